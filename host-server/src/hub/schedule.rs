//! What is due when: a deadline for each connection, two for each room.

use talkspurt_core::time::Instant;

use super::{ConnId, Hub, RoomId};
use crate::deadlines::Due;
use crate::room::Room;

/// Old deadlines that may lie about beyond as many as are meant.
const DEADLINES_SPARE: usize = 64;

impl Hub {
    /// Has the hub look at a connection when its deadline comes. A deadline that moved back needs nothing: it is looked at early once.
    pub(super) fn arm(&mut self, id: ConnId) {
        let Some(connection) = self.connections.get_mut(id) else {
            return;
        };
        let Some(due) = connection.poll_timeout(self.config.idle_timeout) else {
            return;
        };
        if connection.armed.is_none_or(|armed| due < armed) {
            connection.armed = Some(due);
            self.schedule(due, Due::Connection(id));
        }
    }

    /// Has a room tell what its participants do when its next round comes.
    pub(super) fn arm_states(&mut self, id: RoomId) {
        if let Some(due) = self.rooms.get_mut(id).and_then(Room::poll_states_due) {
            self.schedule(due, Due::States(id));
        }
    }

    pub(super) fn schedule(&mut self, at: Instant, due: Due) {
        self.deadlines.push(at, due);
        // At most one for each connection, two for each room, and as many that are old.
        let meant_max = self.connections.count() + 2 * self.rooms.len();
        if self.deadlines.len() <= 2 * meant_max + DEADLINES_SPARE {
            return;
        }
        let (connections, rooms) = (&self.connections, &self.rooms);
        self.deadlines.retain(|at, due| {
            let meant = match due {
                Due::Tick(id) => rooms.get(id).and_then(Room::next_tick),
                Due::States(id) => rooms.get(id).and_then(Room::states_due),
                Due::Connection(id) => connections.get(id).and_then(|connection| connection.armed),
            };
            meant == Some(at)
        });
    }
}
