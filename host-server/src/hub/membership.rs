//! Who is let in, what he is told, and what happens when he leaves.

use talkspurt_core::session::{HelloRequest, SESSION_RATE, ServerEvent, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    ByeReason, PROTOCOL_VERSION, ParticipantId, RejectReason, ServerPacket, Welcome,
};

use super::{ConnId, Event, Hub, HubConfig, RoomId};
use crate::connection::Connection;
use crate::mixdown::encode;
use crate::outbox::Outbox;
use crate::participant::Participant;
use crate::printable;
use crate::room::{Outlet, Room};

/// For so long a connection keeps its descriptor, however scarce they are: its Hello, which comes
/// with the end of TCP's handshake, has to be read, and may be lost once (Linux sends it again
/// after 200 ms and a round trip). A node whose bridge is still connecting may take 2 s,
/// and is refused then.
const HELLO_GRACE: Duration = Duration::from_millis(500);
/// A participant's share of a roster in bytes: 32 of name, 5 around it, and packet overhead, rounded up.
pub(super) const ROSTER_ENTRY_BYTES: usize = 48;
/// Memory for the control packets that may wait for one consumer beside a roster, in bytes: 300 roster changes. With a talker's buffer
/// and the voice that waits it keeps a participant below 64 KiB, whatever he does.
pub(super) const CONTROL_BYTES: usize = 24 * 1024;

impl Hub {
    /// Someone connected. `None`: the server is stopping, or nobody can make room; drop it.
    ///
    /// When too many connections have not said Hello, the one that has waited longest makes room: who means to join says it at once.
    pub fn connect(&mut self, now: Instant) -> Option<ConnId> {
        let most = self.config.max_participants + self.config.max_handshakes;
        let crowded = self.connections.count() >= most;
        if self.stopping || (crowded && !self.refuse_oldest_handshake(Duration::ZERO, now)) {
            self.counters.refused(RejectReason::ServerFull);
            return None;
        }
        let session = ServerSessionConfig {
            handshake_timeout: self.config.handshake_timeout,
            idle_timeout: self.config.idle_timeout,
            frame: self.config.frame,
        };
        let outbox_bytes = CONTROL_BYTES + self.config.room_capacity * ROSTER_ENTRY_BYTES;
        let outbox = Outbox::new(self.config.frame, outbox_bytes);
        let id = self
            .connections
            .insert(Connection::new(session, outbox, now));
        self.arm(id);
        Some(id)
    }

    /// No descriptor is left: refuses up to `most` of the connections that have waited longest for
    /// their Hello.
    pub fn refuse_handshakes(&mut self, most: usize, now: Instant) {
        for _ in 0..most {
            if !self.refuse_oldest_handshake(HELLO_GRACE, now) {
                return;
            }
        }
    }

    /// Refuses the connection that has waited longest for its Hello, if it has waited for `least`;
    /// gives whether there was one.
    fn refuse_oldest_handshake(&mut self, least: Duration, now: Instant) -> bool {
        let oldest = self.connections.oldest_handshake();
        let Some((_, id)) = oldest.filter(|(since, _)| now.duration_since(*since) >= least) else {
            return false;
        };
        let is_refused = self.connections.get_mut(id).is_some_and(|connection| {
            connection.refuse(
                RejectReason::ServerFull,
                "too many connections wait to join: say Hello at once, or try again later",
            )
        });
        self.after(id, now);
        is_refused
    }

    pub(super) fn handle_event(&mut self, id: ConnId, event: ServerEvent, now: Instant) {
        match event {
            ServerEvent::Hello(request) => self.join(id, request),
            ServerEvent::Muted(muted) => {
                if let Some((room, member)) = self
                    .connections
                    .get(id)
                    .and_then(|connection| connection.place)
                    && let Some(room) = self.rooms.get_mut(room)
                {
                    room.set_muted(member, muted, now, &mut self.connections);
                }
            }
            ServerEvent::Left(reason) => self.leave(id, reason, true),
            ServerEvent::Refused(reason) => {
                self.counters.refused(reason);
                self.events.push_back(Event::Refused { conn: id, reason });
            }
        }
    }

    fn join(&mut self, id: ConnId, request: HelloRequest) {
        if let Some((reason, text)) = self.objection(&request) {
            if let Some(connection) = self.connections.get_mut(id) {
                connection.refuse(reason, text);
            }
            return;
        }
        let participant_id = self.new_id();
        let room_id = *self
            .room_names
            .entry(request.room.clone())
            .or_insert_with(|| {
                self.rooms
                    .insert(Room::new(request.room.clone(), self.config.frame))
            });
        let room = &mut self.rooms[room_id];
        let mut newcomer = Participant::new(
            id,
            participant_id,
            request.name.clone(),
            request.codec,
            self.config.frame,
        );
        newcomer.set_muted(request.muted);
        let member = room.join(newcomer, &mut self.connections);
        let participants = room.len();
        if let Some(connection) = self.connections.get_mut(id) {
            connection.session.accept();
            connection.place = Some((room_id, member));
        }
        self.welcome(id, participant_id, room_id, &request);
        self.events.push_back(Event::Joined {
            conn: id,
            id: participant_id,
            name: request.name,
            room: request.room,
            participants,
        });
    }

    /// Why a Hello cannot be granted, and what to do about it.
    fn objection(&self, request: &HelloRequest) -> Option<(RejectReason, String)> {
        let room = self
            .room_names
            .get(&request.room)
            .and_then(|id| self.rooms.get(*id));
        let HubConfig {
            max_participants,
            room_capacity,
            idle_timeout,
            ..
        } = self.config;
        if self.stopping {
            Some((
                RejectReason::Stopping,
                "the server is stopping: try again in a moment".to_owned(),
            ))
        } else if let Some(what) = printable::objection(&request.room) {
            Some((RejectReason::BadRoom, format!("the room's name {what}")))
        } else if let Some(what) = printable::objection(&request.name) {
            Some((RejectReason::BadName, format!("the name {what}")))
        } else if room.is_some_and(|room| room.has_name(&request.name)) {
            let wait_secs = idle_timeout.as_millis().div_ceil(1_000);
            let text = format!(
                "the name is taken in this room: choose another, or wait {wait_secs} s if it was yours"
            );
            Some((RejectReason::NameTaken, text))
        } else if self.ids.len() >= max_participants {
            let text =
                format!("all {max_participants} places on this server are taken: try again later");
            Some((RejectReason::ServerFull, text))
        } else if room.is_some_and(|room| room.len() >= room_capacity) {
            let text = format!(
                "all {room_capacity} places in this room are taken: choose another room, or try again later"
            );
            Some((RejectReason::RoomFull, text))
        } else {
            None
        }
    }

    fn welcome(&mut self, conn: ConnId, id: ParticipantId, room: RoomId, request: &HelloRequest) {
        let roster = self.rooms[room].roster();
        let welcome = encode(&ServerPacket::Welcome(Welcome {
            version: PROTOCOL_VERSION,
            id,
            codec: request.codec.id(),
            rate_hz: SESSION_RATE.hz(),
            frame_ms: self.config.frame.ms(),
            idle_timeout_ms: self
                .config
                .idle_timeout
                .as_millis()
                .try_into()
                .unwrap_or(u32::MAX),
            roster_len: roster.len,
            roster: roster.first,
        }));
        self.connections.control(conn, &welcome);
        for page in roster.others {
            self.connections
                .control(conn, &encode(&ServerPacket::Roster(page)));
        }
    }

    pub(super) fn leave(&mut self, conn: ConnId, reason: ByeReason, tell_others: bool) {
        let Some(connection) = self.connections.get_mut(conn) else {
            return;
        };
        let Some((room_id, member)) = connection.place.take() else {
            return;
        };
        // Control packets go before voice: what waits would follow on the Welcome of the next room.
        connection.outbox.drop_voice();
        let Some(room) = self.rooms.get_mut(room_id) else {
            return;
        };
        let gone = if tell_others {
            room.leave(member, &mut self.connections)
        } else {
            room.remove(member)
        };
        let Some(gone) = gone else { return };
        self.ids.remove(&gone.id.0);
        self.counters.frames.add(&gone.jitter_stats());
        self.counters.left(reason);
        let is_over = room.is_empty();
        let (room, participants) = (room.name().clone(), room.len());
        if is_over {
            self.rooms.remove(room_id);
            self.room_names.remove(&room);
        }
        self.events.push_back(Event::Left {
            conn,
            id: gone.id,
            name: gone.name,
            room,
            participants,
            reason,
        });
    }

    /// The next number that nobody has; numbers come back as late as possible. There are fewer participants than numbers.
    fn new_id(&mut self) -> ParticipantId {
        loop {
            self.next_id = self.next_id.wrapping_add(1);
            if self.ids.insert(self.next_id) {
                return ParticipantId(self.next_id);
            }
        }
    }
}
