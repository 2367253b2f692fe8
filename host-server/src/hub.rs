//! The whole server without its sockets and its clock: connections, rooms, limits. Pure, so that tests drive it in virtual time.
//!
//! # Contract
//! - [`Hub::connect`], [`Hub::handle_bytes`], [`Hub::handle_closed`], [`Hub::handle_timeout`],
//!   [`Hub::refuse_handshakes`] and [`Hub::shut_down`] tell it what happened.
//! - After each of them ask [`Hub::poll_output`] until it gives `None`; for each connection it names, write what
//!   [`Hub::next_output`] gives and report it with [`Hub::sent`], or with [`Hub::blocked`] when the peer takes no more for now.
//!   Once it takes more again, go on with [`Hub::next_output`]. [`Hub::poll_event`] gives what is worth a log line.
//! - Sleep until [`Hub::poll_timeout`], then call [`Hub::handle_timeout`] while that lies in the past: each call does one piece of work.

use std::collections::{HashMap, HashSet, VecDeque};

use slotmap::SlotMap;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::session::session_frame_samples;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RoomName};

use crate::connection::Connections;
use crate::counters::Counters;
use crate::deadlines::{Deadlines, Due};
use crate::mixdown::Mixdown;
use crate::room::Room;

pub use event::{Event, Output, Work};

mod event;
mod figures;
mod membership;
mod schedule;

slotmap::new_key_type! {
    /// A connection.
    pub struct ConnId;
    /// A room.
    pub struct RoomId;
}

/// What the hub needs to know of the configuration.
#[derive(Clone, Copy, Debug)]
pub struct HubConfig {
    /// The frame duration of every session.
    pub frame: FrameDuration,
    /// How voices become one.
    pub mix_rule: MixRule,
    /// Participants in all rooms.
    pub max_participants: usize,
    /// Connections beside as many as there may be participants.
    pub max_handshakes: usize,
    /// Participants in one room.
    pub room_capacity: usize,
    /// From connecting to a valid Hello.
    pub handshake_timeout: Duration,
    /// Silence after which a peer is dropped.
    pub idle_timeout: Duration,
}

impl From<&crate::config::Config> for HubConfig {
    fn from(config: &crate::config::Config) -> Self {
        Self {
            frame: config.frame_duration,
            mix_rule: config.mix_rule,
            max_participants: config.capacity.participants,
            max_handshakes: config.capacity.handshakes,
            room_capacity: config.room_capacity,
            handshake_timeout: config.handshake_timeout.into(),
            idle_timeout: config.idle_timeout.into(),
        }
    }
}

/// Connections and rooms.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    connections: Connections,
    rooms: SlotMap<RoomId, Room>,
    room_names: HashMap<RoomName, RoomId>,
    ids: HashSet<u16>,
    next_id: u16,
    mixdown: Mixdown,
    deadlines: Deadlines,
    events: VecDeque<Event>,
    counters: Counters,
    stopping: bool,
}

impl Hub {
    /// A hub that nobody has come to.
    pub fn new(config: HubConfig) -> Self {
        Self {
            config,
            connections: Connections::default(),
            rooms: SlotMap::with_key(),
            room_names: HashMap::new(),
            ids: HashSet::new(),
            next_id: 0,
            mixdown: Mixdown::new(config.mix_rule, session_frame_samples(config.frame)),
            deadlines: Deadlines::default(),
            events: VecDeque::new(),
            counters: Counters::with_all_reasons(),
            stopping: false,
        }
    }

    /// Bytes came, in any chunking.
    pub fn handle_bytes(&mut self, id: ConnId, bytes: &[u8], now: Instant) {
        self.counters.bytes_in += bytes.len() as u64;
        let mut rest = bytes;
        while !rest.is_empty() {
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            if connection.is_closing() {
                return;
            }
            let place = connection.place;
            let (is_packet, voice, left) = connection.feed(rest, now);
            rest = left;
            self.counters.packets_in += u64::from(is_packet);
            if let (Some(voice), Some((room_id, member))) = (voice, place)
                && let Some(room) = self.rooms.get_mut(room_id)
            {
                match room.push_voice(member, &voice, now) {
                    Ok(taken) => {
                        if let Some(tick) =
                            room.voice_taken(member, taken, now, &mut self.connections)
                        {
                            self.schedule(tick, Due::Tick(room_id));
                        }
                    }
                    Err(_) => self.end(id, ByeReason::ProtocolError),
                }
            }
            self.after(id, now);
            if let Some((room_id, _)) = place {
                self.arm_states(room_id);
            }
        }
        self.care_for_others(now);
    }

    /// The connection is gone: closed by the peer, or broken.
    pub fn handle_closed(&mut self, id: ConnId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(id) {
            if connection.is_probe() {
                self.counters.probes += 1;
                self.events.push_back(Event::Probed { conn: id });
            } else {
                connection.session.handle_disconnect();
                self.after(id, now);
            }
            self.connections.remove(id);
            self.care_for_others(now);
        }
    }

    /// When to call [`Hub::handle_timeout`]; at times earlier than anything is due. `None`: only input can change anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Does the earliest piece of work that is due, if any.
    pub fn handle_timeout(&mut self, now: Instant) -> Work {
        match self.deadlines.pop_due(now) {
            Some((at, Due::Tick(id))) => self.tick(id, at, now),
            Some((_, Due::States(id))) => {
                if let Some(room) = self.rooms.get_mut(id) {
                    room.tell_states(now, &mut self.connections);
                    self.arm_states(id);
                    self.care_for_others(now);
                }
                Work::Other
            }
            Some((at, Due::Connection(id))) => {
                self.look_at(id, at, now);
                self.care_for_others(now);
                Work::Other
            }
            None => Work::Other,
        }
    }

    /// The next connection that has output or is to be closed; those with voice first.
    pub fn poll_output(&mut self) -> Option<ConnId> {
        self.connections.poll_ready()
    }

    /// The next connection that has voice to send: what a tick has made can be written before all else.
    pub fn poll_voice_output(&mut self) -> Option<ConnId> {
        self.connections.poll_voice_ready()
    }

    /// Whether [`Hub::poll_output`] may give something.
    pub fn has_output(&self) -> bool {
        self.connections.is_any_ready()
    }

    /// What is to be done with a connection.
    pub fn next_output(&mut self, id: ConnId, now: Instant) -> Output<'_> {
        if self
            .connections
            .get(id)
            .is_some_and(|connection| connection.is_done(now))
        {
            let unsent = self
                .connections
                .remove(id)
                .is_some_and(|connection| !connection.outbox.is_empty());
            return Output::Close { unsent };
        }
        match self
            .connections
            .get_mut(id)
            .map(|connection| &mut connection.outbox)
            .filter(|outbox| !outbox.is_empty())
        {
            Some(outbox) => {
                outbox.separate(now);
                Output::Packets(outbox)
            }
            None => Output::Nothing,
        }
    }

    /// The peer took the first `count` of the bytes.
    pub fn sent(&mut self, id: ConnId, count: usize) {
        if let Some(connection) = self.connections.get_mut(id) {
            self.counters.bytes_out += count as u64;
            self.counters.packets_out += connection.outbox.sent(count);
        }
    }

    /// The peer takes no more for now.
    pub fn blocked(&mut self, id: ConnId, now: Instant) {
        if let Some(connection) = self.connections.get_mut(id) {
            connection.outbox.blocked(now);
        }
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Says Bye to everyone, and lets nobody in from now on.
    pub fn shut_down(&mut self, now: Instant) {
        self.stopping = true;
        for id in self.connections.ids() {
            // Nobody is told that the others leave: all do.
            self.leave(id, ByeReason::Stopping, false);
            self.end(id, ByeReason::Stopping);
            self.after(id, now);
        }
    }

    /// All rooms, in no order.
    pub fn rooms(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    /// Voice packets that a connection lost by reading too slowly.
    pub fn voice_dropped(&self, id: ConnId) -> u64 {
        self.connections
            .get(id)
            .map_or(0, |connection| connection.outbox.voice_dropped())
    }

    fn handshakes(&self) -> usize {
        self.connections.count() - self.ids.len()
    }

    fn tick(&mut self, id: RoomId, at: Instant, now: Instant) -> Work {
        let Some(room) = self
            .rooms
            .get_mut(id)
            .filter(|room| room.next_tick() == Some(at))
        else {
            return Work::Other;
        };
        self.counters.ticks += 1;
        self.counters.ticks_skipped += room.tick(now, &mut self.mixdown, &mut self.connections);
        if let Some(next) = room.next_tick() {
            self.schedule(next, Due::Tick(id));
        }
        self.arm_states(id);
        self.care_for_others(now);
        Work::Tick
    }

    /// A connection's deadline has come, or what was its deadline before something came from it.
    fn look_at(&mut self, id: ConnId, at: Instant, now: Instant) {
        let idle_timeout = self.config.idle_timeout;
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        if connection.armed != Some(at) {
            return;
        }
        connection.armed = None;
        if connection
            .poll_timeout(idle_timeout)
            .is_some_and(|due| due <= now)
        {
            if connection.is_done(now) {
                self.connections.mark_ready(id);
                return;
            }
            connection.session.handle_timeout(now);
            if connection
                .outbox
                .stalled_since()
                .is_some_and(|since| since + idle_timeout <= now)
            {
                self.end(id, ByeReason::SlowConsumer);
            }
            self.after(id, now);
        }
        self.arm(id);
    }

    /// Ends a session from this side; [`Hub::after`] has to follow.
    fn end(&mut self, id: ConnId, reason: ByeReason) {
        if let Some(connection) = self.connections.get_mut(id)
            // Its outbox holds the reason already, and is not to be cleared again.
            && !connection.session.is_closed()
        {
            if reason == ByeReason::SlowConsumer {
                connection.outbox.clear_unsent();
            }
            connection.session.end(reason);
        }
    }

    /// Does what the session's events ask for, and takes what it has to say.
    fn after(&mut self, id: ConnId, now: Instant) {
        loop {
            while let Some(event) = self
                .connections
                .get_mut(id)
                .and_then(|connection| connection.session.poll_event())
            {
                self.handle_event(id, event, now);
            }
            let Some(connection) = self.connections.get_mut(id) else {
                return;
            };
            if !connection.settle(now) {
                break;
            }
        }
        let Some(connection) = self.connections.get(id) else {
            return;
        };
        if !connection.outbox.is_empty() || connection.is_closing() {
            self.connections.mark_ready(id);
        }
        self.arm(id);
    }

    /// Ends the sessions of those for whom control packets have piled up, which makes control packets for others.
    fn care_for_others(&mut self, now: Instant) {
        while let Some(id) = self.connections.poll_overflowed() {
            self.end(id, ByeReason::SlowConsumer);
            self.after(id, now);
        }
    }
}

#[cfg(test)]
mod tests;
