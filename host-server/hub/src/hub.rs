//! The whole server without its sockets and its clock: links, rooms, limits.
//!
//! # Contract
//! - [`Hub::connect`], [`Hub::handle_bytes`], [`Hub::handle_closed`], [`Hub::handle_timeout`],
//!   [`Hub::refuse_handshakes`] and [`Hub::shut_down`] tell it what happened.
//! - After each of them answer those who want to join: [`Hub::admit_all`], or take each from
//!   [`Hub::poll_incoming`] and answer it when you can. A Hello waits for the handshake timeout at
//!   most. What came behind it in one call waits with it; of what comes in later calls 2 KiB do,
//!   and more is refused.
//! - Then ask [`Hub::poll_output`] until it gives `None`, and call [`Hub::write`] for each link it
//!   names. When a peer that took no more takes more again, call that again. [`Hub::poll_event`]
//!   gives what is worth a log line.
//! - Sleep until [`Hub::poll_timeout`], then call [`Hub::handle_timeout`] while that lies in the
//!   past: each call does one piece of work.

use slotmap::SlotMap;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{Reason, Token};

use crate::admission::{Incoming, judge, objection};
use crate::config::{HubConfig, ROOM_CAPACITY_MAX};
use crate::counters::{Counters, FrameCounters, Gauges};
use crate::event::{Close, Event, Work};
use crate::ids::LinkId;
use crate::link::Link;
use crate::lobby::Lobby;
use crate::outbound::Outbound;
use crate::outbox::Outbox;
use crate::resume::Entry;
use crate::room::Room;
use crate::shard::Shard;

/// For so long a link keeps its descriptor, however scarce they are: its Hello, which comes with
/// the end of TCP's handshake, has to be read, and may be lost once (Linux sends it again after 200
/// ms and a round trip). A node whose bridge is still connecting may take 2 s, and is refused then.
const HELLO_GRACE: Duration = Duration::from_millis(500);

/// Links and rooms.
#[derive(Debug)]
pub struct Hub {
    config: HubConfig,
    /// Every link: those in no room of the shard are in the lobby.
    links: SlotMap<LinkId, ()>,
    lobby: Lobby,
    shard: Shard,
    out: Outbound,
    is_stopping: bool,
}

// Who comes and who goes
impl Hub {
    /// Creates a hub that nobody has come to. Panics if a room may have more participants than
    /// [`ROOM_CAPACITY_MAX`].
    pub fn new(config: HubConfig) -> Self {
        assert!(config.room_capacity <= ROOM_CAPACITY_MAX);
        Self {
            config,
            links: SlotMap::with_key(),
            lobby: Lobby::new(config.handshake_timeout),
            shard: Shard::new(&config),
            out: Outbound {
                counters: Counters::with_all_reasons(),
                ..Outbound::default()
            },
            is_stopping: false,
        }
    }

    /// Someone connected. `None`: the server is stopping, or nobody can make room; drop it.
    ///
    /// When too many links have not joined, the one that has waited longest makes room: a client
    /// that means to join says Hello at once.
    pub fn connect(&mut self, now: Instant) -> Option<LinkId> {
        let most = self.config.max_participants + self.config.max_handshakes;
        let is_crowded = self.links.len() >= most;
        let out = self.out.at(now);
        if self.is_stopping || (is_crowded && !self.lobby.refuse_oldest(Duration::ZERO, out)) {
            out.counters.refused(match self.is_stopping {
                true => Reason::STOPPING,
                false => Reason::CROWDED,
            });
            return None;
        }
        let id = self.links.insert(());
        let link = Link::new(id, &self.config, now);
        self.lobby.enter(Box::new(link), None, out);
        Some(id)
    }

    /// No descriptor is left: refuses up to `most` of the links that have waited longest to join,
    /// for their Hello or for the answer to it.
    pub fn refuse_handshakes(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            if !self.lobby.refuse_oldest(HELLO_GRACE, self.out.at(now)) {
                break;
            }
        }
    }

    /// Returns the next of those who want to join. Answer each with [`Hub::admit`] or
    /// [`Hub::refuse`], now or later; one that has gone meanwhile needs no answer, and takes any.
    pub fn poll_incoming(&mut self) -> Option<Incoming> {
        self.lobby.incoming.pop_front()
    }

    /// Answers all who want to join, as [`Hub::admit`] does.
    pub fn admit_all(&mut self, now: Instant, mut random: impl FnMut() -> Token) {
        while let Some(incoming) = self.poll_incoming() {
            self.admit(incoming, random(), now);
        }
    }

    /// Lets someone join if there is room and the name is free, and refuses them otherwise.
    /// `token` is random: with it they can resume the session.
    pub fn admit(&mut self, incoming: Incoming, token: Token, now: Instant) {
        let id = incoming.link;
        if let Err((reason, text)) = self.try_admit(incoming, token, now) {
            self.lobby.refuse(id, reason, &text, self.out.at(now));
        }
    }

    fn try_admit(
        &mut self,
        Incoming { link: id, request }: Incoming,
        token: Token,
        now: Instant,
    ) -> Result<(), (Reason, String)> {
        let request = judge(request)?;
        let (participants, room) = (self.shard.members.len(), self.shard.room(&request.room));
        let running = room.and_then(|room| room.session(&request));
        // Whoever replaces their own session takes its place and its name.
        if running.is_none()
            && let Some(objection) = objection(&self.config, participants, room, &request.name)
        {
            return Err(objection);
        }
        if let Some((link, early)) = self.lobby.take_waiting(id) {
            let ended = || self.out.ended.take(&request, now);
            let entry = Entry {
                token,
                resumes: running.map(|(session, _)| session).or_else(ended),
                replaces: running.map(|(_, member)| member),
            };
            self.shard.join(link, &request, entry, self.out.at(now));
            self.take_back(now);
            self.take_in(id, &early, now);
        }
        Ok(())
    }

    /// Refuses someone who wants to join. `text` says what to do about it.
    pub fn refuse(&mut self, incoming: Incoming, reason: Reason, text: &str, now: Instant) {
        let out = self.out.at(now);
        self.lobby.refuse(incoming.link, reason, text, out);
    }

    /// The connection is gone: closed by the peer, or broken.
    pub fn handle_closed(&mut self, id: LinkId, now: Instant) {
        self.shard.enter(id, self.out.at(now), |room, member, out| {
            room.with(member, out, Link::handle_disconnect);
        });
        self.take_back(now);
        self.lobby.handle_closed(id, self.out.at(now));
        self.links.remove(id);
    }

    /// Says Bye to everyone, and lets nobody in from now on.
    pub fn shut_down(&mut self, now: Instant) {
        self.is_stopping = true;
        let (reason, text) = (Reason::STOPPING, "the server is stopping");
        self.shard.end_all(reason, text, self.out.at(now));
        self.take_back(now);
        self.lobby.end_all(reason, text, self.out.at(now));
    }

    /// Takes links that have left a room to the lobby.
    fn take_back(&mut self, now: Instant) {
        while let Some((link, event)) = self.out.departed.pop_front() {
            self.shard.members.remove(link.id);
            self.lobby.enter(link, event, self.out.at(now));
        }
    }
}

// Input and time
impl Hub {
    /// Bytes came, in any chunking.
    pub fn handle_bytes(&mut self, id: LinkId, bytes: &[u8], now: Instant) {
        self.out.counters.bytes_in += bytes.len() as u64;
        self.take_in(id, bytes, now);
    }

    /// Each place takes all that is for it: only a link that moves leaves some to the next.
    fn take_in(&mut self, id: LinkId, mut bytes: &[u8], now: Instant) {
        let mut has_left_room = false;
        while !bytes.is_empty() && self.links.contains_key(id) {
            let is_in_room = self.shard.enter(id, self.out.at(now), |room, member, out| {
                room.handle_bytes(member, &mut bytes, out);
            });
            if !is_in_room {
                let out = self.out.at(now);
                self.lobby.handle_bytes(id, &mut bytes, has_left_room, out);
            }
            has_left_room |= is_in_room;
            self.take_back(now);
        }
    }

    /// When to call [`Hub::handle_timeout`]; at times earlier than anything is due. `None`: only
    /// input can change anything.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let (shard, lobby) = (&self.shard.deadlines, &self.lobby.deadlines);
        let deadlines = [shard.earliest(), lobby.earliest()];
        deadlines.into_iter().flatten().min()
    }

    /// Does the earliest piece of work that is due, if any; in rooms before the lobby.
    pub fn handle_timeout(&mut self, now: Instant) -> Work {
        if self.poll_timeout() != self.shard.deadlines.earliest() {
            self.lobby.handle_timeout(self.out.at(now));
            return Work::Other;
        }
        let work = self.shard.handle_timeout(self.out.at(now));
        self.take_back(now);
        work
    }
}

// Output
impl Hub {
    /// Takes the next link that has output or is to be closed; those with voice first. It may be
    /// one that has gone, for which [`Hub::write`] does nothing.
    pub fn poll_output(&mut self) -> Option<LinkId> {
        let voice = self.poll_voice_output();
        voice.or_else(|| self.out.ready.control.pop())
    }

    /// Takes the next link that has voice to send, as [`Hub::poll_output`] does: what a tick has
    /// made can be written before all else.
    pub fn poll_voice_output(&mut self) -> Option<LinkId> {
        self.out.ready.voice.pop()
    }

    /// Whether [`Hub::poll_output`] may give something.
    pub fn has_output(&self) -> bool {
        !(self.out.ready.control.is_empty() && self.out.ready.voice.is_empty())
    }

    /// Has `write` take what waits for a link, until nothing does or no more is taken. `write`
    /// returns how many bytes it took of [`Outbox::packets`]: 0 when the peer takes no more for
    /// now, `None` when the connection is broken, upon which the hub forgets the link. Returns
    /// whether the link is to be closed; the hub has forgotten it then, too.
    ///
    /// # Panics
    /// If `write` says that it took more than was there.
    pub fn write(
        &mut self,
        id: LinkId,
        now: Instant,
        mut write: impl FnMut(&Outbox) -> Option<usize>,
    ) -> Option<Close> {
        let link = self.shard.link_mut(id);
        let link = link.or_else(|| self.lobby.link_mut(id))?;
        // A link in a room is not over.
        while !link.is_done(now) {
            link.outbox.separate(now);
            if link.outbox.is_empty() {
                return None;
            }
            match write(&link.outbox) {
                Some(0) => {
                    link.outbox.blocked(now);
                    return None;
                }
                Some(count) => {
                    self.out.counters.bytes_out += count as u64;
                    self.out.counters.packets_out += link.outbox.sent(count);
                }
                None => {
                    self.handle_closed(id, now);
                    return None;
                }
            }
        }
        let unsent = !link.outbox.is_empty();
        self.lobby.remove(id);
        self.links.remove(id);
        Some(Close { unsent })
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }
}

// How it stands
impl Hub {
    /// All rooms, in no order.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.shard.rooms.values()
    }

    /// Counts since the start. The frames of those who are here are in [`Hub::frame_counters`].
    pub fn counters(&self) -> &Counters {
        &self.out.counters
    }

    /// Jitter-buffer outcomes, summed over all talkers, those who have left among them.
    pub fn frame_counters(&self) -> FrameCounters {
        let mut frames = self.counters().frames;
        for participant in self.rooms().flat_map(Room::participants) {
            frames.add(&participant.jitter_stats());
        }
        frames
    }

    /// What is true right now.
    pub fn gauges(&self) -> Gauges {
        let all = self.rooms().flat_map(Room::participants);
        let participants = self.shard.members.len();
        Gauges {
            rooms: self.rooms().len(),
            participants,
            talkers: all.filter(|participant| participant.is_talking()).count(),
            handshakes: self.links.len() - participants,
        }
    }
}

#[cfg(test)]
mod tests;
