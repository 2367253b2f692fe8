//! The server, its clients and the streams between them, moved from one event to the next.
//!
//! Drives the hub by its own contract, as `host-server/src/server.rs` does over sockets.

use std::any::Any;
use std::collections::HashMap;

use fastrand::Rng;
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_hub::{Hub, HubConfig, LinkId, Outbox, Room};

use crate::client::Client;
use crate::datagrams::DatagramCounts;
use crate::participant::Participant;
use crate::person::Person;
use crate::pipe::Arrived;
use crate::schedule::Schedule;
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
    /// The streams by the hub's names for them.
    by_link: HashMap<LinkId, usize>,
    /// When bytes of which stream reach the hub, and when its far end; and when which client does
    /// something. Of thousands, few are due at a time.
    ups: Schedule,
    downs: Schedule,
    client_times: Schedule,
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
            by_link: HashMap::new(),
            ups: Schedule::default(),
            downs: Schedule::default(),
            client_times: Schedule::default(),
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
        self.look_at_stream(stream.0);
        id
    }

    /// Opens a stream without a client, for bytes written and read by hand.
    pub fn connect(&mut self, weather: Weather) -> StreamId {
        let (up_seed, down_seed) = (self.rng.u64(..), self.rng.u64(..));
        let link = self.hub.connect(self.now);
        let index = self.streams.len();
        self.by_link.extend(link.map(|link| (link, index)));
        self.streams
            .push(Stream::new(link, weather, up_seed, down_seed));
        // The hub may have closed another connection to make room.
        self.flush();
        StreamId(index)
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
        let taken = self.streams[stream.0].up.write(self.now, bytes);
        self.look_at_stream(stream.0);
        taken
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

    /// Returns what became of a client's datagrams on the present stream: to the server, and from
    /// it.
    pub fn datagrams(&self, id: ClientId) -> (DatagramCounts, DatagramCounts) {
        let Stream { up, down, .. } = &self.streams[self.stream(id).0];
        (up.datagram_counts(), down.datagram_counts())
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

    /// Breaks a client's network in both directions for `span`, as when a laptop changes to another
    /// access point: datagrams are lost, and the stream's bytes arrive after it.
    pub fn outage(&mut self, id: ClientId, span: Duration) {
        let index = self.stream(id).0;
        let (stream, end) = (&mut self.streams[index], self.now + span);
        stream.up.break_until(end);
        stream.down.break_until(end);
        self.look_at_stream(index);
    }

    /// Adds noise to a client's line in both directions: bytes that nobody sent.
    pub fn noise(&mut self, id: ClientId, bytes: &[u8]) {
        let index = self.stream(id).0;
        let stream = &mut self.streams[index];
        stream.up.write(self.now, bytes);
        stream.down.write(self.now, bytes);
        self.look_at_stream(index);
    }

    /// Closes the stream as if a process were killed: each end is told.
    pub fn cut(&mut self, stream: StreamId) {
        let cut = &mut self.streams[stream.0];
        let (link, client) = (cut.link.take(), cut.client);
        // Bytes on their way are lost.
        cut.vanished = true;
        if let Some(link) = link {
            self.by_link.remove(&link);
            self.hub.handle_closed(link, self.now);
            self.flush();
        }
        if let Some(ClientId(client)) = client {
            self.clients[client].0.handle_closed(self.now);
            self.look_at_client(client);
        }
        self.look_at_stream(stream.0);
    }

    /// Silences the stream as if a cable were pulled: neither end is told.
    pub fn vanish(&mut self, stream: StreamId) {
        self.streams[stream.0].vanished = true;
        self.look_at_stream(stream.0);
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
        let (streams, clients) = ([&self.ups, &self.downs], [&self.client_times]);
        let next = streams.into_iter().chain(clients).map(Schedule::next);
        next.chain([self.hub.poll_timeout()]).flatten().min()
    }

    fn step(&mut self) {
        for index in self.ups.take_due(self.now) {
            self.deliver_up(index);
        }
        self.flush();
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
        for index in self.downs.take_due(self.now) {
            self.deliver_down(index);
        }
        for index in self.client_times.take_due(self.now) {
            self.clients[index].0.handle_time(self.now);
            if self.clients[index].0.wants_session(self.now) {
                self.start_again(ClientId(index));
            }
            self.send_outbox(ClientId(index));
        }
    }

    /// Looks again at when something happens on a stream, after anything has changed on it.
    fn look_at_stream(&mut self, index: usize) {
        let stream = &self.streams[index];
        self.ups.set(index, stream.up.next_arrival());
        self.downs.set(index, stream.next_down(self.now));
    }

    /// Has a client look at the time, and at what it has to send.
    fn look_at_client(&mut self, index: usize) {
        self.client_times.set(index, Some(self.now));
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
        let waiting = stream.client.filter(|_| stream.client_blocked);
        let link = stream.link.filter(|_| !stream.vanished);
        self.look_at_stream(index);
        if let Some(ClientId(client)) = waiting {
            self.look_at_client(client);
        }
        let Some(link) = link else { return };
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
        self.read_down(index);
        self.look_at_stream(index);
    }

    fn read_down(&mut self, index: usize) {
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
            self.look_at_client(client);
        }
    }

    fn hand_over(&mut self, index: usize, arrived: &Arrived) {
        let stream = &mut self.streams[index];
        let Some(ClientId(client)) = stream.client else {
            stream.received.extend(&arrived.bytes);
            return;
        };
        self.client_times.set(client, Some(self.now));
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
        let (client, StreamId(index)) = &mut self.clients[id.0];
        let (index, stream) = (*index, &mut self.streams[*index]);
        let (is_open, mut is_blocked) = (stream.link.is_some(), false);
        client.transmit(self.now, &mut |bytes| match is_open {
            true => {
                let taken = stream.up.write(self.now, bytes);
                is_blocked = taken < bytes.len();
                taken
            }
            // Nobody reads this stream any more.
            false => bytes.len(),
        });
        stream.client_blocked = is_blocked;
        self.client_times.set(id.0, client.poll_timeout());
        self.look_at_stream(index);
    }

    fn flush(&mut self) {
        while let Some(link) = self.hub.poll_output() {
            if let Some(&index) = self.by_link.get(&link) {
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
            self.by_link.remove(&link);
        }
        self.look_at_stream(index);
    }
}

fn known<P: Participant>(participant: &dyn Participant) -> Option<&P> {
    let participant: &dyn Any = participant;
    participant.downcast_ref()
}
