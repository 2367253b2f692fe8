//! The rooms of one worker, and what they share: buffers for mixing, and a queue of what is due.

use std::collections::VecDeque;

use slotmap::SlotMap;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::RoomName;

use crate::config::HubConfig;
use crate::counters::Counters;
use crate::deadlines::{Deadlines, Timer};
use crate::event::Work;
use crate::ids::{MemberId, RoomId};
use crate::link::Link;
use crate::mixdown::Mixdown;
use crate::ready::Ready;
use crate::room::{Departure, Room};

const _: () = {
    const fn can_move_to_a_thread<T: Send>() {}
    can_move_to_a_thread::<Shard>();
};

/// The rooms of one worker.
#[derive(Debug)]
pub struct Shard {
    format: AudioFormat,
    idle_timeout: Duration,
    rooms: SlotMap<RoomId, Room>,
    mixdown: Mixdown,
    deadlines: Deadlines<RoomId, Timer>,
    /// Those who have left, and from which room. Their links wait for another owner.
    pub departures: VecDeque<(RoomId, Departure)>,
    /// Links for which there is output.
    pub ready: Ready,
}

impl Shard {
    /// A shard without rooms.
    pub fn new(config: &HubConfig) -> Self {
        Self {
            format: config.format,
            idle_timeout: config.idle_timeout,
            rooms: SlotMap::with_key(),
            mixdown: Mixdown::new(config.mix_rule, config.format),
            deadlines: Deadlines::default(),
            departures: VecDeque::new(),
            ready: Ready::default(),
        }
    }

    /// Makes a room.
    pub fn open(&mut self, name: RoomName) -> RoomId {
        self.rooms
            .insert(Room::new(name, self.format, self.idle_timeout))
    }

    /// Forgets a room.
    pub fn close(&mut self, room: RoomId) {
        self.deadlines.disarm(room);
        self.rooms.remove(room);
    }

    /// Has a room take something in, then takes what it has for its owner. Panics if there is no
    /// such room: the hub knows which there are.
    pub fn enter<T>(&mut self, room: RoomId, take_in: impl FnOnce(&mut Room) -> T) -> T {
        let taken = take_in(&mut self.rooms[room]);
        self.settle(room);
        taken
    }

    /// As [`Shard::enter`], for all rooms.
    pub fn enter_all(&mut self, mut take_in: impl FnMut(&mut Room)) {
        let rooms: Vec<_> = self.rooms.keys().collect();
        for room in rooms {
            self.enter(room, &mut take_in);
        }
    }

    /// Returns when to call [`Shard::handle_timeout`]; at times earlier than anything is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Does the earliest piece of work that is due, if any.
    pub fn handle_timeout(&mut self, now: Instant, counters: &mut Counters) -> Work {
        let Some(id) = self.deadlines.pop_due(now) else {
            return Work::Other;
        };
        let ticked = self.rooms[id].handle_timeout(now, &mut self.mixdown);
        self.settle(id);
        let Some(ticked) = ticked else {
            return Work::Other;
        };
        counters.ticks += 1;
        counters.ticks_skipped += ticked.given_up;
        counters.slow_consumer_drops += ticked.voice_dropped;
        Work::Tick
    }

    /// Takes what a room has for its owner.
    fn settle(&mut self, id: RoomId) {
        let room = &mut self.rooms[id];
        self.ready.append(room.ready_mut());
        while let Some(departure) = room.departures.pop_front() {
            self.departures.push_back((id, departure));
        }
        if let Some((at, timer)) = room.poll_timeout() {
            self.deadlines.arm(id, at, timer);
        }
    }
}

// How it stands
impl Shard {
    /// Returns one of the rooms.
    pub fn room(&self, room: RoomId) -> Option<&Room> {
        self.rooms.get(room)
    }

    /// Returns all rooms, in no order.
    pub fn rooms(&self) -> impl ExactSizeIterator<Item = &Room> {
        self.rooms.values()
    }

    /// Returns a member's link.
    pub fn link_mut(&mut self, room: RoomId, member: MemberId) -> Option<&mut Link> {
        self.rooms.get_mut(room)?.link_mut(member)
    }

    /// Returns how many mixes were rendered and encoded.
    pub fn encodings(&self) -> u64 {
        self.mixdown.encodings()
    }

    /// Returns how many deadlines are kept, old ones and those of the rooms among them.
    pub fn deadlines_kept(&self) -> usize {
        self.deadlines.len() + self.rooms().map(Room::deadlines_kept).sum::<usize>()
    }
}
