//! The server, its clients and the streams between them, moved from one event to the next.
//!
//! Drives the hub by its own contract, as `host-server/src/server.rs` does over sockets.

use std::any::Any;

use fastrand::Rng;
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_hub::{Hub, HubConfig, Outbox, Room};

use crate::client::Client;
use crate::participant::Participant;
use crate::person::Person;
use crate::pipe::Arrived;
use crate::stream::Stream;
use crate::weather::Weather;

/// The limits of the server's command-line defaults, with this frame duration.
pub fn hub_config(frame: FrameDuration) -> HubConfig {
    HubConfig {
        format: AudioFormat {
            frame,
            ..AudioFormat::DEFAULT
        },
        ..HubConfig::default()
    }
}

/// Identifies a client of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientId(usize);

/// Identifies a stream of a world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StreamId(usize);

/// A server, its clients, and the streams between them.
pub struct World {
    /// The server.
    pub hub: Hub,
    now: Instant,
    rng: Rng,
    streams: Vec<Stream>,
    clients: Vec<(Box<dyn Participant>, StreamId)>,
    wakeups: u64,
}

/// More work than this at one moment means that the hub asks to be woken for nothing.
const WORK_MAX: usize = 100_000;

impl World {
    /// Creates a server without clients. Everything random follows from `seed`.
    pub fn new(config: HubConfig, seed: u64) -> Self {
        Self {
            hub: Hub::new(config),
            now: Instant::ZERO,
            rng: Rng::with_seed(seed),
            streams: Vec::new(),
            clients: Vec::new(),
            wakeups: 0,
        }
    }

    /// Returns how often the hub was woken at its own request.
    pub fn wakeups(&self) -> u64 {
        self.wakeups
    }

    /// Returns the current time.
    pub fn now(&self) -> Instant {
        self.now
    }

    /// Connects a client, which joins as soon as the weather allows it.
    pub fn join(&mut self, person: Person, weather: Weather) -> ClientId {
        self.invite(Client::new(person, self.now), weather)
    }

    /// Connects a participant of the caller's, who has joined already as far as it can tell.
    pub fn invite(&mut self, participant: impl Participant, weather: Weather) -> ClientId {
        let id = ClientId(self.clients.len());
        let stream = self.connect(weather);
        self.streams[stream.0].client = Some(id);
        self.clients.push((Box::new(participant), stream));
        self.send_outbox(id);
        id
    }

    /// Opens a stream without a client, for bytes written and read by hand.
    pub fn connect(&mut self, weather: Weather) -> StreamId {
        let (up_seed, down_seed) = (self.rng.u64(..), self.rng.u64(..));
        let link = self.hub.connect(self.now);
        self.streams
            .push(Stream::new(link, weather, up_seed, down_seed));
        // The hub may have closed another connection to make room.
        self.flush();
        StreamId(self.streams.len() - 1)
    }

    /// Returns a client.
    pub fn client(&self, id: ClientId) -> &Client {
        self.guest(id)
    }

    /// Returns a participant that was invited.
    ///
    /// # Panics
    /// If it is none of that type.
    pub fn guest<P: Participant>(&self, id: ClientId) -> &P {
        known(&*self.clients[id.0].0).expect("a participant of that type")
    }

    /// Calls a method of a client, and sends the resulting packets.
    pub fn act<T>(&mut self, id: ClientId, something: impl FnOnce(&mut Client, Instant) -> T) -> T {
        let guest: &mut dyn Any = &mut *self.clients[id.0].0;
        let guest = guest.downcast_mut().expect("a client of `join`");
        let done = something(guest, self.now);
        self.send_outbox(id);
        done
    }

    /// Returns all clients but the participants that were invited.
    pub fn clients(&self) -> impl Iterator<Item = &Client> {
        self.clients.iter().filter_map(|(guest, _)| known(&**guest))
    }

    /// Returns the stream that a client is on.
    pub fn stream(&self, id: ClientId) -> StreamId {
        self.clients[id.0].1
    }

    /// Returns how many voice packets a client in a room has lost by reading too slowly.
    pub fn voice_dropped(&self, id: ClientId) -> u64 {
        let link = self.streams[self.stream(id).0].link;
        let mut members = self.hub.rooms().flat_map(Room::members);
        let member = members.find(|member| Some(member.link.id) == link);
        member.map_or(0, |member| member.link.outbox.voice_dropped())
    }

    /// Writes by hand, and returns how many bytes were taken.
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> usize {
        self.streams[stream.0].up.write(self.now, bytes)
    }

    /// Returns everything received on a stream without a client.
    pub fn received(&self, stream: StreamId) -> &[u8] {
        &self.streams[stream.0].received
    }

    /// Returns how many bytes were damaged on a stream: to the server, and from it.
    pub fn damaged_bytes(&self, stream: StreamId) -> (u64, u64) {
        let Stream { up, down, .. } = &self.streams[stream.0];
        (up.damaged_bytes(), down.damaged_bytes())
    }

    /// Returns whether the hub still has the connection.
    pub fn is_open(&self, stream: StreamId) -> bool {
        self.streams[stream.0].link.is_some()
    }

    /// Changes the weather on a client's stream in both directions.
    pub fn set_weather(&mut self, id: ClientId, weather: Weather) {
        let stream = self.stream(id);
        let stream = &mut self.streams[stream.0];
        stream.weather = weather;
        stream.up.set_weather(weather);
        stream.down.set_weather(weather);
    }

    /// Adds noise to a client's line in both directions: bytes that nobody sent.
    pub fn noise(&mut self, id: ClientId, bytes: &[u8]) {
        let stream = self.stream(id);
        let stream = &mut self.streams[stream.0];
        stream.up.write(self.now, bytes);
        stream.down.write(self.now, bytes);
    }

    /// Closes the stream as if a process were killed: each end is told.
    pub fn cut(&mut self, stream: StreamId) {
        let cut = &mut self.streams[stream.0];
        let (link, client) = (cut.link.take(), cut.client);
        // Bytes on their way are lost.
        cut.vanished = true;
        if let Some(link) = link {
            self.hub.handle_closed(link, self.now);
            self.flush();
        }
        if let Some(ClientId(client)) = client {
            self.clients[client].0.handle_closed(self.now);
        }
    }

    /// Silences the stream as if a cable were pulled: neither end is told.
    pub fn vanish(&mut self, stream: StreamId) {
        self.streams[stream.0].vanished = true;
    }

    /// Makes the far end stop reading (`true`) or resume.
    pub fn stall(&mut self, stream: StreamId, stalled: bool) {
        self.streams[stream.0].stalled = stalled;
        self.deliver_down(stream.0);
    }

    /// Lets `span` pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while let Some(next) = self.next_event().filter(|next| *next <= end) {
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    /// Lets time pass until `done`. Panics with `what` if that takes longer than `most`.
    pub fn run_until(&mut self, what: &str, most: Duration, done: impl Fn(&Self) -> bool) {
        let end = self.now + most;
        while !done(self) {
            let next = self.next_event().filter(|next| *next <= end);
            let next = next.unwrap_or_else(|| panic!("not within {} ms: {what}", most.as_millis()));
            self.now = self.now.max(next);
            self.step();
        }
    }

    fn next_event(&self) -> Option<Instant> {
        let streams = self.streams.iter().flat_map(|stream| {
            let down = stream.down.next_arrival().filter(|_| !stream.stalled);
            [stream.up.next_arrival(), down]
        });
        let clients = self.clients.iter().map(|(client, _)| client.poll_timeout());
        streams
            .chain(clients)
            .chain([self.hub.poll_timeout()])
            .flatten()
            .min()
    }

    fn step(&mut self) {
        for index in 0..self.streams.len() {
            self.deliver_up(index);
        }
        let mut work = 0;
        while self.hub.poll_timeout().is_some_and(|due| due <= self.now) {
            self.hub.handle_timeout(self.now);
            self.flush();
            work += 1;
            self.wakeups += 1;
            assert!(
                work < WORK_MAX,
                "the hub asks again and again to be woken at {:?}",
                self.now
            );
        }
        for index in 0..self.streams.len() {
            self.deliver_down(index);
        }
        for index in 0..self.clients.len() {
            self.clients[index].0.handle_time(self.now);
            if self.clients[index].0.wants_session(self.now) {
                self.start_again(ClientId(index));
            }
            self.send_outbox(ClientId(index));
        }
    }

    /// Joins on the same stream if it is still open and the participant cannot tell (a node behind
    /// a bridge), else on a new one.
    fn start_again(&mut self, id: ClientId) {
        let old = self.stream(id);
        if self.is_open(old) && self.clients[id.0].0.keeps_stream() {
            return self.clients[id.0].0.join(self.now);
        }
        self.streams[old.0].client = None;
        if !self.streams[old.0].vanished {
            self.cut(old);
        }
        let weather = self.streams[old.0].weather;
        let stream = self.connect(weather);
        self.streams[stream.0].client = Some(id);
        self.clients[id.0].1 = stream;
        self.clients[id.0].0.handle_reconnect(self.now);
    }

    /// Delivers in pieces of any size, as a socket or a UART would.
    fn deliver_up(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let arrived = stream.up.read(self.now).bytes;
        let Some(link) = stream.link.filter(|_| !stream.vanished) else {
            return;
        };
        let mut rest = &arrived[..];
        while !rest.is_empty() {
            let (piece, more) = rest.split_at(self.rng.usize(1..=rest.len()));
            self.hub.handle_bytes(link, piece, self.now);
            self.hub
                .admit_all(self.now, || self.rng.u128(..).to_le_bytes());
            rest = more;
        }
        self.flush();
    }

    fn deliver_down(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        if stream.stalled {
            return;
        }
        let arrived = stream.down.read(self.now);
        if stream.vanished {
            return;
        }
        if stream.link.is_none() && stream.down.next_arrival().is_none() {
            self.tell_closed(index, &arrived);
            return;
        }
        if arrived.bytes.is_empty() {
            return;
        }
        self.hand_over(index, &arrived);
        if std::mem::take(&mut self.streams[index].blocked) {
            self.write_output(index);
            self.flush();
        }
    }

    /// Delivers the last bytes, and then the end of the stream.
    fn tell_closed(&mut self, index: usize, arrived: &Arrived) {
        self.hand_over(index, arrived);
        if let Some(ClientId(client)) = self.streams[index].client
            && !std::mem::replace(&mut self.streams[index].told_closed, true)
        {
            self.clients[client].0.handle_closed(self.now);
        }
    }

    fn hand_over(&mut self, index: usize, arrived: &Arrived) {
        let stream = &mut self.streams[index];
        let Some(ClientId(client)) = stream.client else {
            stream.received.extend(&arrived.bytes);
            return;
        };
        let (client, now) = (&mut self.clients[client].0, self.now);
        let mut at = 0;
        while at < arrived.bytes.len() {
            let end = at + self.rng.usize(1..=arrived.bytes.len() - at);
            let (sent, piece) = (&arrived.as_sent[at..end], &arrived.bytes[at..end]);
            stream.losses.follow(sent, piece, |lost, bytes| {
                client.excuse(lost);
                client.handle_bytes(now, bytes);
            });
            at = end;
        }
    }

    fn send_outbox(&mut self, id: ClientId) {
        let (client, stream) = &mut self.clients[id.0];
        let stream = &mut self.streams[stream.0];
        let is_open = stream.link.is_some();
        client.transmit(self.now, &mut |bytes| match is_open {
            true => stream.up.write(self.now, bytes),
            // Nobody reads this stream any more.
            false => bytes.len(),
        });
    }

    fn flush(&mut self) {
        while let Some(link) = self.hub.poll_output() {
            let index = self
                .streams
                .iter()
                .position(|stream| stream.link == Some(link));
            if let Some(index) = index {
                self.write_output(index);
            }
        }
        while self.hub.poll_event().is_some() {}
    }

    fn write_output(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let Some(link) = stream.link else { return };
        let now = self.now;
        let write = |outbox: &Outbox| {
            if stream.blocked {
                return Some(0);
            }
            let bytes: Vec<u8> = outbox.packets().flatten().copied().collect();
            let taken = if stream.vanished {
                bytes.len()
            } else {
                stream.down.write(now, &bytes)
            };
            stream.blocked = taken == 0;
            Some(taken)
        };
        // A blocked stream is still asked whether its link has ended.
        if self.hub.write(link, now, write).is_some() {
            stream.link = None;
        }
    }
}

fn known<P: Participant>(participant: &dyn Participant) -> Option<&P> {
    let participant: &dyn Any = participant;
    participant.downcast_ref()
}
