//! The rooms of one worker, and what they share: buffers for mixing, and a queue of what is due.

use std::collections::HashMap;

use slotmap::{SecondaryMap, SlotMap};
use talkspurt_core::session::HelloRequest;
use talkspurt_core::wire::{Reason, RoomName};

use crate::config::HubConfig;
use crate::deadlines::Deadlines;
use crate::event::Work;
use crate::ids::{LinkId, MemberId, RoomId};
use crate::link::Link;
use crate::mixdown::Mixdown;
use crate::outbound::Outbound;
use crate::resume::Entry;
use crate::room::{Room, Timer};

const _: () = {
    const fn can_move_to_a_thread<T: Send>() {}
    can_move_to_a_thread::<Shard>();
};

/// The rooms of one worker.
#[derive(Debug)]
pub struct Shard {
    config: HubConfig,
    /// The rooms.
    pub rooms: SlotMap<RoomId, Room>,
    names: HashMap<RoomName, RoomId>,
    /// Whose link is whose, and where.
    pub members: SecondaryMap<LinkId, (RoomId, MemberId)>,
    mixdown: Mixdown,
    /// When each room has to be looked at: then [`Shard::handle_timeout`] is called.
    pub deadlines: Deadlines<RoomId, Timer>,
}

impl Shard {
    /// Creates a shard without rooms.
    pub fn new(config: &HubConfig) -> Self {
        Self {
            config: *config,
            rooms: SlotMap::with_key(),
            names: HashMap::new(),
            members: SecondaryMap::new(),
            mixdown: Mixdown::new(config.mix_rule, config.format),
            deadlines: Deadlines::default(),
        }
    }

    /// Lets someone whose Hello waits for the answer into the room that it asks for.
    pub fn join(
        &mut self,
        link: Box<Link>,
        request: &HelloRequest,
        entry: Entry,
        out: &mut Outbound,
    ) {
        let id = link.id;
        let named = self.names.entry(request.room.clone());
        let room = *named.or_insert_with_key(|name| {
            self.rooms
                .insert(Room::new(name.clone(), &self.config, out.now))
        });
        let member = self.rooms[room].join(link, request, entry, out);
        self.members.insert(id, (room, member));
        self.collect(room, out);
    }

    /// Has the room of a link do something with its member; returns whether it is in one.
    pub fn enter(
        &mut self,
        link: LinkId,
        out: &mut Outbound,
        act: impl FnOnce(&mut Room, MemberId, &mut Outbound),
    ) -> bool {
        let Some(&(room, member)) = self.members.get(link) else {
            return false;
        };
        act(&mut self.rooms[room], member, out);
        self.collect(room, out);
        true
    }

    /// Ends all sessions.
    pub fn end_all(&mut self, reason: Reason, text: &str, out: &mut Outbound) {
        for room in self.rooms.keys().collect::<Vec<_>>() {
            self.rooms[room].end_all(reason, text, out);
            self.collect(room, out);
        }
    }

    /// Does the earliest piece of work that is due, if any.
    pub fn handle_timeout(&mut self, out: &mut Outbound) -> Work {
        let Some(id) = self.deadlines.pop_due(out.now) else {
            return Work::Other;
        };
        let work = self.rooms[id].handle_timeout(&mut self.mixdown, out);
        out.counters.encodings = self.mixdown.encodings;
        self.collect(id, out);
        work
    }

    /// Follows what a room has done: whether it is empty, and when it is due.
    fn collect(&mut self, id: RoomId, out: &mut Outbound) {
        let room = &mut self.rooms[id];
        room.drop_overflowed(out);
        if room.members().len() == 0 {
            self.names.remove(room.name());
            self.deadlines.disarm(id);
            self.rooms.remove(id);
        } else if let Some((at, timer)) = room.poll_timeout() {
            self.deadlines.arm(id, at, timer);
        }
    }
}

// How it stands
impl Shard {
    /// Returns the room of that name, if there is one.
    pub fn room(&self, name: &RoomName) -> Option<&Room> {
        self.rooms.get(*self.names.get(name)?)
    }

    /// Returns a member's link.
    pub fn link_mut(&mut self, link: LinkId) -> Option<&mut Link> {
        let (room, member) = *self.members.get(link)?;
        self.rooms[room].link_mut(member)
    }
}
