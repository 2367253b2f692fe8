//! The rooms of one worker, and what they share: buffers for mixing, and a queue of what is due.

use std::collections::VecDeque;

use slotmap::SlotMap;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::session::{HelloRequest, session_frame_samples};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RoomName};

use crate::config::HubConfig;
use crate::counters::Counters;
use crate::deadlines::{Deadlines, Timer};
use crate::event::Work;
use crate::ids::{MemberId, RoomId};
use crate::link::{Input, Link};
use crate::mixdown::Mixdown;
use crate::ready::Ready;
use crate::room::{Departure, Joined, Room};

const _: () = {
    const fn can_move_to_a_thread<T: Send>() {}
    can_move_to_a_thread::<Shard>();
};

/// Rooms, each with the deadline by which the shard will look at it.
#[derive(Debug)]
pub struct Shard {
    frame: FrameDuration,
    idle_timeout: Duration,
    rooms: SlotMap<RoomId, (Room, Option<(Instant, Timer)>)>,
    mixdown: Mixdown,
    deadlines: Deadlines<(Timer, RoomId)>,
    departures: VecDeque<(RoomId, Departure)>,
    ticks: u64,
    ticks_skipped: u64,
    voice_dropped: u64,
    /// Links for which there is output.
    pub ready: Ready,
}

impl Shard {
    /// A shard without rooms.
    pub fn new(config: &HubConfig) -> Self {
        let frame_samples = session_frame_samples(config.frame);
        Self {
            frame: config.frame,
            idle_timeout: config.idle_timeout,
            rooms: SlotMap::with_key(),
            mixdown: Mixdown::new(config.mix_rule, frame_samples),
            deadlines: Deadlines::default(),
            departures: VecDeque::new(),
            ticks: 0,
            ticks_skipped: 0,
            voice_dropped: 0,
            ready: Ready::default(),
        }
    }

    /// Makes a room.
    pub fn open(&mut self, name: RoomName) -> RoomId {
        let room = Room::new(name, self.frame, self.idle_timeout);
        self.rooms.insert((room, None))
    }

    /// Forgets a room.
    pub fn close(&mut self, room: RoomId) -> Option<Room> {
        self.rooms.remove(room).map(|(room, _)| room)
    }

    /// Returns one of the rooms.
    pub fn room(&self, room: RoomId) -> Option<&Room> {
        self.rooms.get(room).map(|(room, _)| room)
    }

    /// Returns all rooms, in no order.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.rooms.values().map(|(room, _)| room)
    }

    /// Returns a member's link.
    pub fn link_mut(&mut self, room: RoomId, member: MemberId) -> Option<&mut Link> {
        self.rooms.get_mut(room)?.0.link_mut(member)
    }

    /// As [`Room::join`], in one of the rooms.
    pub fn join(
        &mut self,
        room: RoomId,
        link: Box<Link>,
        request: &HelloRequest,
        now: Instant,
    ) -> Joined {
        let joined = self.rooms[room].0.join(link, request, now);
        self.settle(room);
        joined
    }

    /// As [`Room::handle_bytes`], in one of the rooms.
    pub fn handle_bytes(
        &mut self,
        room: RoomId,
        member: MemberId,
        input: &mut Input<'_>,
        now: Instant,
    ) {
        if let Some((room, _)) = self.rooms.get_mut(room) {
            room.handle_bytes(member, input, now);
        }
        self.settle(room);
    }

    /// As [`Room::handle_disconnect`], in one of the rooms.
    pub fn handle_disconnect(&mut self, room: RoomId, member: MemberId, now: Instant) {
        if let Some((room, _)) = self.rooms.get_mut(room) {
            room.handle_disconnect(member, now);
        }
        self.settle(room);
    }

    /// Ends all sessions in all rooms.
    pub fn end_all(&mut self, reason: ByeReason, now: Instant) {
        let rooms: Vec<_> = self.rooms.keys().collect();
        for room in rooms {
            self.rooms[room].0.end_all(reason, now);
            self.settle(room);
        }
    }

    /// Returns when to call [`Shard::handle_timeout`]; at times earlier than anything is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Does the earliest piece of work that is due, if any.
    pub fn handle_timeout(&mut self, now: Instant) -> Work {
        let Some((at, (timer, id))) = self.deadlines.pop_due(now) else {
            return Work::Other;
        };
        let Some((room, armed)) = self.rooms.get_mut(id) else {
            return Work::Other;
        };
        if *armed != Some((at, timer)) {
            return Work::Other;
        }
        *armed = None;
        let ticked = room.handle_timeout(now, &mut self.mixdown);
        self.settle(id);
        match ticked {
            Some(ticked) => {
                self.ticks += 1;
                self.ticks_skipped += ticked.given_up;
                self.voice_dropped += ticked.voice_dropped;
                Work::Tick
            }
            None => Work::Other,
        }
    }

    /// Returns the next of those who have left, and from which room.
    pub fn poll_departure(&mut self) -> Option<(RoomId, Departure)> {
        self.departures.pop_front()
    }

    /// Takes what a room has for its owner.
    fn settle(&mut self, id: RoomId) {
        let Some((room, armed)) = self.rooms.get_mut(id) else {
            return;
        };
        self.ready.append(room.ready_mut());
        while let Some(departure) = room.poll_departure() {
            self.departures.push_back((id, departure));
        }
        if let Some(due) = room.poll_timeout()
            && armed.is_none_or(|armed| due < armed)
        {
            *armed = Some(due);
            let ((at, timer), rooms) = (due, &self.rooms);
            let is_meant = |at, (timer, id)| {
                let room = rooms.get(id);
                room.is_some_and(|(_, armed)| *armed == Some((at, timer)))
            };
            self.deadlines.push(at, (timer, id), rooms.len(), is_meant);
        }
    }
}

// Figures
impl Shard {
    /// Returns the counters with those of the rooms filled in.
    pub fn add_figures(&self, counters: Counters) -> Counters {
        Counters {
            ticks: self.ticks,
            ticks_skipped: self.ticks_skipped,
            encodings: self.mixdown.encodings(),
            slow_consumer_drops: self.voice_dropped,
            ..counters
        }
    }

    /// Returns how many deadlines are kept, old ones and those of the rooms among them.
    pub fn deadlines_kept(&self) -> usize {
        self.deadlines.len() + self.rooms().map(Room::deadlines_kept).sum::<usize>()
    }
}
