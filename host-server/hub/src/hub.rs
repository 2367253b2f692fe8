//! The whole server without its sockets and its clock: links, rooms, limits.
//!
//! # Contract
//! - [`Hub::connect`], [`Hub::handle_bytes`], [`Hub::handle_closed`], [`Hub::handle_timeout`],
//!   [`Hub::refuse_handshakes`] and [`Hub::shut_down`] tell it what happened.
//! - After each of them answer those who want to join: [`Hub::admit_all`], or take each from
//!   [`Hub::poll_incoming`] and answer it when you can.
//! - Then ask [`Hub::poll_output`] until it gives `None`; for each link it names, write what
//!   [`Hub::next_output`] gives and report it with [`Hub::sent`], or with [`Hub::blocked`] when the
//!   peer takes no more for now. Once it takes more again, go on with [`Hub::next_output`].
//!   [`Hub::poll_event`] gives what is worth a log line.
//! - Sleep until [`Hub::poll_timeout`], then call [`Hub::handle_timeout`] while that lies in the
//!   past: each call does one piece of work.

use std::collections::VecDeque;

use slotmap::SlotMap;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RejectReason};

use crate::admission::{House, Incoming};
use crate::config::HubConfig;
use crate::counters::{Counters, FrameCounters, Gauges};
use crate::directory::Directory;
use crate::event::{Event, Output, Work};
use crate::ids::{LinkId, MemberId, RoomId};
use crate::link::{Input, Link};
use crate::lobby::Lobby;
use crate::outbox::Outbox;
use crate::ready::Ready;
use crate::room::{Departure, Room};
use crate::shard::Shard;

/// For so long a link keeps its descriptor, however scarce they are: its Hello, which comes with
/// the end of TCP's handshake, has to be read, and may be lost once (Linux sends it again after 200
/// ms and a round trip). A node whose bridge is still connecting may take 2 s, and is refused then.
const HELLO_GRACE: Duration = Duration::from_millis(500);

/// Links and rooms.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    places: SlotMap<LinkId, Place>,
    lobby: Lobby,
    directory: Directory,
    shard: Shard,
    participants: usize,
    ready: Ready,
    events: VecDeque<Event>,
    counters: Counters,
    is_stopping: bool,
}

/// Where a link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Lobby,
    Room(RoomId, MemberId),
}

// Who comes and who goes
impl Hub {
    /// A hub that nobody has come to.
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            places: SlotMap::with_key(),
            lobby: Lobby::default(),
            directory: Directory::default(),
            shard: Shard::new(&config),
            participants: 0,
            ready: Ready::default(),
            events: VecDeque::new(),
            counters: Counters::with_all_reasons(),
            is_stopping: false,
        }
    }

    /// Someone connected. `None`: the server is stopping, or nobody can make room; drop it.
    ///
    /// When too many links have not joined, the one that has waited longest makes room: a client
    /// that means to join says Hello at once.
    pub fn connect(&mut self, now: Instant) -> Option<LinkId> {
        let most = self.config.max_participants + self.config.max_handshakes;
        let crowded = self.places.len() >= most;
        if self.is_stopping || (crowded && !self.refuse_oldest_handshake(Duration::ZERO, now)) {
            self.counters.refused(RejectReason::ServerFull);
            return None;
        }
        let id = self.places.insert(Place::Lobby);
        let outbox = Outbox::new(self.config.format.frame, self.config.outbox_bytes());
        let link = Link::new(id, self.config.session(), outbox, now);
        self.lobby.enter(Box::new(link), now);
        Some(id)
    }

    /// No descriptor is left: refuses up to `most` of the links that have waited longest for their
    /// Hello.
    pub fn refuse_handshakes(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            if !self.refuse_oldest_handshake(HELLO_GRACE, now) {
                return;
            }
        }
    }

    fn refuse_oldest_handshake(&mut self, least: Duration, now: Instant) -> bool {
        let is_refused = self.lobby.refuse_oldest(least, now);
        self.settle(now);
        is_refused
    }

    /// Returns the next of those who want to join. Answer each with [`Hub::admit`] or
    /// [`Hub::refuse`], now or later; one that has gone meanwhile needs no answer, and takes any.
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.lobby.incoming.pop_front()
    }

    /// Answers all who want to join, as [`Hub::admit`] does.
    pub fn admit_all(&mut self, now: Instant) {
        while let Some(incoming) = self.poll_incoming() {
            self.admit(incoming, now);
        }
    }

    /// Lets someone join if there is room and the name is free, and refuses them otherwise.
    pub fn admit(&mut self, incoming: Incoming, now: Instant) {
        let request = incoming.request();
        let house = House {
            config: &self.config,
            is_stopping: self.is_stopping,
            participants: self.participants,
            room: self
                .directory
                .find(&request.room)
                .and_then(|room| self.shard.room(room)),
        };
        match house.objection(request) {
            Some((reason, text)) => self.refuse(incoming, reason, &text, now),
            None => self.let_in(&incoming, now),
        }
    }

    /// Refuses someone who wants to join. `text` says what to do about it.
    pub fn refuse(&mut self, incoming: Incoming, reason: RejectReason, text: &str, now: Instant) {
        self.lobby.refuse(incoming.link(), reason, text, now);
        self.settle(now);
    }

    fn let_in(&mut self, incoming: &Incoming, now: Instant) {
        let (id, request) = (incoming.link(), incoming.request());
        let Some((link, early)) = self.lobby.take_waiting(id) else {
            return;
        };
        let found = self.directory.find(&request.room);
        let room = found.unwrap_or_else(|| {
            let room = self.shard.open(request.room.clone());
            self.directory.add(request.room.clone(), room);
            room
        });
        let join = |room: &mut Room| room.join(link, request, now);
        let (member, event) = self.shard.enter(room, join);
        self.places[id] = Place::Room(room, member);
        self.participants += 1;
        self.events.push_back(event);
        self.settle(now);
        self.take_in(id, &early, now);
    }

    /// The connection is gone: closed by the peer, or broken.
    pub fn handle_closed(&mut self, id: LinkId, now: Instant) {
        let Some(&place) = self.places.get(id) else {
            return;
        };
        match place {
            Place::Lobby if self.lobby.link(id).is_some_and(Link::is_probe) => {
                self.counters.probes += 1;
                self.events.push_back(Event::Probed { link: id });
            }
            Place::Lobby => self.lobby.handle_disconnect(id, now),
            Place::Room(room, member) => self
                .shard
                .enter(room, |room| room.handle_disconnect(member, now)),
        }
        self.settle(now);
        self.forget(id);
    }

    /// Says Bye to everyone, and lets nobody in from now on.
    pub fn shut_down(&mut self, now: Instant) {
        self.is_stopping = true;
        self.shard
            .enter_all(|room| room.end_all(ByeReason::Stopping, now));
        self.lobby.end_all(ByeReason::Stopping, now);
        self.settle(now);
    }

    /// A link from which someone has left a room is in the lobby again.
    fn take_back(&mut self, room: RoomId, gone: Departure, now: Instant) {
        self.places[gone.link.id] = Place::Lobby;
        self.participants -= 1;
        self.counters.frames.add(&gone.frames);
        self.counters.left(gone.reason);
        self.events.push_back(gone.event);
        if let Some(room_left) = self.shard.room(room)
            && room_left.members().len() == 0
        {
            self.directory.remove(room_left.name());
            self.shard.close(room);
        }
        self.lobby.enter(gone.link, now);
    }

    fn forget(&mut self, id: LinkId) {
        self.lobby.forget(id);
        self.places.remove(id);
    }

    /// Takes what lobby and rooms have for the hub.
    fn settle(&mut self, now: Instant) {
        while let Some((room, gone)) = self.shard.departures.pop_front() {
            self.take_back(room, gone, now);
        }
        while let Some((link, reason)) = self.lobby.refused.pop_front() {
            self.counters.refused(reason);
            self.events.push_back(Event::Refused { link, reason });
        }
        self.ready.append(&mut self.shard.ready);
        self.ready.append(&mut self.lobby.ready);
    }
}

// Input and time
impl Hub {
    /// Bytes came, in any chunking.
    pub fn handle_bytes(&mut self, id: LinkId, bytes: &[u8], now: Instant) {
        self.counters.bytes_in += bytes.len() as u64;
        self.take_in(id, bytes, now);
    }

    /// Each place takes all that is for it: only a link that moves leaves some to the next.
    fn take_in(&mut self, id: LinkId, bytes: &[u8], now: Instant) {
        let mut input = Input::new(bytes);
        while !input.rest.is_empty()
            && let Some(&place) = self.places.get(id)
        {
            match place {
                Place::Lobby => self.lobby.handle_bytes(id, &mut input, now),
                Place::Room(room, member) => self
                    .shard
                    .enter(room, |room| room.handle_bytes(member, &mut input, now)),
            }
            self.settle(now);
        }
        self.counters.packets_in += input.packets;
    }

    /// When to call [`Hub::handle_timeout`]; at times earlier than anything is due. `None`: only
    /// input can change anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadlines = [self.shard.poll_timeout(), self.lobby.poll_timeout()];
        deadlines.into_iter().flatten().min()
    }

    /// Does the earliest piece of work that is due, if any; in rooms before the lobby.
    pub fn handle_timeout(&mut self, now: Instant) -> Work {
        let work = if self.poll_timeout() == self.shard.poll_timeout() {
            self.shard.handle_timeout(now, &mut self.counters)
        } else {
            self.lobby.handle_timeout(now);
            Work::Other
        };
        self.settle(now);
        work
    }
}

// Output
impl Hub {
    /// The next link that has output or is to be closed; those with voice first.
    pub fn poll_output(&mut self) -> Option<LinkId> {
        if let Some(id) = self.poll_voice_output() {
            return Some(id);
        }
        while let Some(id) = self.ready.control.pop_front() {
            if let Some(link) = self.link_mut(id) {
                link.left_control_queue();
                return Some(id);
            }
        }
        None
    }

    /// The next link that has voice to send: what a tick has made can be written before all else.
    /// It may be one that has gone, for which [`Hub::next_output`] gives nothing.
    pub fn poll_voice_output(&mut self) -> Option<LinkId> {
        self.ready.voice.pop_front()
    }

    /// Whether [`Hub::poll_output`] may give something.
    pub fn has_output(&self) -> bool {
        !self.ready.is_empty()
    }

    /// What is to be done with a link.
    pub fn next_output(&mut self, id: LinkId, now: Instant) -> Output<'_> {
        let Some(&place) = self.places.get(id) else {
            return Output::Nothing;
        };
        // A link in a room is not over.
        if place == Place::Lobby
            && let Some(link) = self.lobby.link(id).filter(|link| link.is_done(now))
        {
            let unsent = !link.outbox.is_empty();
            self.forget(id);
            return Output::Close { unsent };
        }
        let link = self.link_at(place, id);
        let outbox = link.and_then(|link| link.begin_write(now));
        outbox.map_or(Output::Nothing, Output::Packets)
    }

    /// The peer took the first `count` of the bytes. Returns whether there is more to be done.
    pub fn sent(&mut self, id: LinkId, count: usize) -> bool {
        let Some(link) = self.link_mut(id) else {
            return false;
        };
        let packets = link.outbox.sent(count);
        let is_more = !link.outbox.is_empty() || link.is_closing();
        self.counters.bytes_out += count as u64;
        self.counters.packets_out += packets;
        is_more
    }

    /// The peer takes no more for now.
    pub fn blocked(&mut self, id: LinkId, now: Instant) {
        if let Some(link) = self.link_mut(id) {
            link.outbox.blocked(now);
        }
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.link_at(*self.places.get(id)?, id)
    }

    fn link_at(&mut self, place: Place, id: LinkId) -> Option<&mut Link> {
        match place {
            Place::Lobby => self.lobby.link_mut(id),
            Place::Room(room, member) => self.shard.link_mut(room, member),
        }
    }
}

// How it stands
impl Hub {
    /// All rooms, in no order.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.shard.rooms()
    }

    /// Counts since the start. The frames of those who are here are in [`Hub::frame_counters`].
    pub fn counters(&self) -> Counters {
        Counters {
            encodings: self.shard.encodings(),
            ..self.counters.clone()
        }
    }

    /// Jitter-buffer outcomes, summed over all talkers, those who have left among them.
    pub fn frame_counters(&self) -> FrameCounters {
        let mut frames = self.counters.frames;
        for participant in self.rooms().flat_map(Room::participants) {
            frames.add(&participant.jitter_stats());
        }
        frames
    }

    /// What is true right now.
    pub fn gauges(&self) -> Gauges {
        let participants = self.rooms().flat_map(Room::participants);
        let talkers = participants.filter(|participant| participant.is_talking());
        Gauges {
            rooms: self.rooms().len(),
            participants: self.participants,
            talkers: talkers.count(),
            handshakes: self.places.len() - self.participants,
        }
    }
}

#[cfg(test)]
mod tests;
