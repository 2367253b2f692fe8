//! Which room has a name.

use std::collections::HashMap;

use talkspurt_core::wire::RoomName;

use crate::ids::RoomId;

/// The rooms there are, by name.
#[derive(Debug, Default)]
pub struct Directory(HashMap<RoomName, RoomId>);

impl Directory {
    /// Returns the room of that name, if there is one.
    pub fn find(&self, name: &RoomName) -> Option<RoomId> {
        self.0.get(name).copied()
    }

    /// Notes a room that has been made.
    pub fn add(&mut self, name: RoomName, room: RoomId) {
        self.0.insert(name, room);
    }

    /// Forgets a room that is over.
    pub fn remove(&mut self, name: &RoomName) {
        self.0.remove(name);
    }
}
