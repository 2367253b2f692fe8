//! One connection: bytes in, packets of its session, bytes out. Pure. Rooms are the hub's.

use std::collections::VecDeque;

use slotmap::SlotMap;
use talkspurt_core::carrier::receiver::{Received, Receiver};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::session::{ServerSession, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RejectReason, Voice, parse};

use crate::hub::{ConnId, RoomId};
use crate::mixdown::encode;
use crate::outbox::{Encoded, Outbox};
use crate::room::{MemberId, Outlet};

/// A connection that is over has so long to take its last packet (Reject or Bye).
const CLOSING_GRACE: Duration = Duration::from_millis(1_000);

const _: () = assert!(
    size_of::<Connection>() <= 2 * 1024,
    "docs/PERFORMANCE.md states what a connection takes"
);

/// The state of one connection.
#[derive(Debug)]
pub struct Connection {
    /// Judges what the client sends.
    pub session: ServerSession,
    /// What waits for the client.
    pub outbox: Outbox,
    /// Where its participant is.
    pub place: Option<(RoomId, MemberId)>,
    /// The deadline by which the hub will look at it.
    pub armed: Option<Instant>,
    receiver: Receiver<ENCODED_MAX>,
    connected_at: Instant,
    /// Something has come from it.
    has_spoken: bool,
    /// It waits in the queue of those with output, and in that of those with voice.
    ready: bool,
    voice_ready: bool,
    closing: Option<Instant>,
}

impl Connection {
    /// A connection that was just made.
    pub fn new(session: ServerSessionConfig, outbox: Outbox, now: Instant) -> Self {
        Self {
            session: ServerSession::new(session, now),
            outbox,
            place: None,
            armed: None,
            receiver: Receiver::new(),
            connected_at: now,
            has_spoken: false,
            ready: false,
            voice_ready: false,
            closing: None,
        }
    }

    /// Takes bytes up to the end of a packet. Gives whether it was one, the voice in it, and the bytes that are left.
    pub fn feed<'a, 'b>(
        &'a mut self,
        bytes: &'b [u8],
        now: Instant,
    ) -> (bool, Option<Voice<'a>>, &'b [u8]) {
        self.has_spoken = true;
        let (received, rest) = self.receiver.feed(bytes);
        match received {
            Received::NeedMore => (false, None, rest),
            Received::Packet(packet) => {
                let packet = parse(packet);
                (true, self.session.handle_packet(now, packet), rest)
            }
            Received::Damaged { bytes, .. } => {
                self.session.handle_garbage(now, bytes);
                (false, None, rest)
            }
        }
    }

    /// Moves what the session has to say into the outbox, and begins to close if that is the end. True if that ended the session, so
    /// that it has an event to tell and more to say.
    pub fn settle(&mut self, now: Instant) -> bool {
        let mut next = || self.session.poll_transmit().map(|packet| encode(&packet));
        while let Some(packet) = next() {
            if self.outbox.push_control(packet).is_err() {
                // He sends pings but takes no pongs.
                self.outbox.clear_unsent();
                self.session.end(ByeReason::SlowConsumer);
                return true;
            }
        }
        if self.session.is_closed() && self.closing.is_none() {
            self.closing = Some(now + CLOSING_GRACE);
        }
        false
    }

    /// Refuses it unless it is in a room; gives whether it did. What has no place in a room yet can always be refused.
    pub fn refuse(&mut self, reason: RejectReason, text: impl std::fmt::Display) -> bool {
        let may_be_refused = !self.session.is_joined() && !self.session.is_closed();
        if may_be_refused {
            self.session.reject(reason, text);
        }
        may_be_refused
    }

    /// Since when it has been waiting for its Hello; `None` once it is in a room, or over.
    pub fn waits_since(&self) -> Option<Instant> {
        let is_settled = self.session.is_joined() || self.session.is_closed();
        (!is_settled).then_some(self.connected_at)
    }

    /// Nothing has ever come from it: a port scan, or the probe of a load balancer.
    pub fn is_probe(&self) -> bool {
        !self.has_spoken && !self.session.is_closed()
    }

    /// The session is over.
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// It has sent all that it had to, or has had its time for that.
    pub fn is_done(&self, now: Instant) -> bool {
        self.closing
            .is_some_and(|deadline| self.outbox.is_empty() || now >= deadline)
    }

    /// When the hub must look at it: for its Hello, for silence, for a stalled outbox, for its end.
    pub fn poll_timeout(&self, idle_timeout: Duration) -> Option<Instant> {
        // Once it is over nothing else matters: a stall that ended it lies in the past, and would be due for ever.
        if self.closing.is_some() {
            return self.closing;
        }
        let stalled = self
            .outbox
            .stalled_since()
            .map(|since| since + idle_timeout);
        [self.session.poll_timeout(), stalled]
            .into_iter()
            .flatten()
            .min()
    }
}

/// All connections, and which of them have output.
#[derive(Debug, Default)]
pub struct Connections {
    map: SlotMap<ConnId, Connection>,
    ready: VecDeque<ConnId>,
    /// Those of them for whom there is voice.
    voice_ready: VecDeque<ConnId>,
    /// Those whose control packets have piled up.
    overflowed: Vec<ConnId>,
    /// Voice packets dropped because they waited too long.
    voice_drops: u64,
}

impl Connections {
    /// Adds one.
    pub fn insert(&mut self, connection: Connection) -> ConnId {
        self.map.insert(connection)
    }

    /// Forgets one.
    pub fn remove(&mut self, id: ConnId) -> Option<Connection> {
        self.map.remove(id)
    }

    /// One of them, if it is still there.
    pub fn get(&self, id: ConnId) -> Option<&Connection> {
        self.map.get(id)
    }

    /// One of them, if it is still there.
    pub fn get_mut(&mut self, id: ConnId) -> Option<&mut Connection> {
        self.map.get_mut(id)
    }

    /// All of them.
    pub fn ids(&self) -> Vec<ConnId> {
        self.map.keys().collect()
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.map.len()
    }

    /// Voice packets dropped because they waited too long.
    pub fn voice_drops(&self) -> u64 {
        self.voice_drops
    }

    /// The next connection that has output or is to be closed; those with voice first.
    pub fn poll_ready(&mut self) -> Option<ConnId> {
        if let Some(id) = self.poll_voice_ready() {
            return Some(id);
        }
        while let Some(id) = self.ready.pop_front() {
            if let Some(connection) = self.map.get_mut(id) {
                connection.ready = false;
                return Some(id);
            }
        }
        None
    }

    /// The next connection that has voice to send.
    pub fn poll_voice_ready(&mut self) -> Option<ConnId> {
        while let Some(id) = self.voice_ready.pop_front() {
            if let Some(connection) = self.map.get_mut(id) {
                connection.voice_ready = false;
                return Some(id);
            }
        }
        None
    }

    /// Whether a connection may have output.
    pub fn is_any_ready(&self) -> bool {
        !self.ready.is_empty() || !self.voice_ready.is_empty()
    }

    /// Has the shell look at a connection.
    pub fn mark_ready(&mut self, id: ConnId) {
        if let Some(connection) = self.map.get_mut(id)
            && !std::mem::replace(&mut connection.ready, true)
        {
            self.ready.push_back(id);
        }
    }

    /// The one that has waited longest for its Hello, and since when.
    pub fn oldest_handshake(&self) -> Option<(Instant, ConnId)> {
        let waiting = self
            .map
            .iter()
            .filter_map(|(id, connection)| Some((connection.waits_since()?, id)));
        waiting.min()
    }

    /// The next of those whose control packets have piled up.
    pub fn poll_overflowed(&mut self) -> Option<ConnId> {
        self.overflowed.pop()
    }
}

impl Outlet for Connections {
    fn control(&mut self, to: ConnId, packet: &Encoded) {
        let Some(connection) = self.map.get_mut(to) else {
            return;
        };
        if connection
            .outbox
            .push_control(Encoded::clone(packet))
            .is_err()
        {
            self.overflowed.push(to);
        }
        self.mark_ready(to);
    }

    fn voice(&mut self, to: ConnId, packet: Encoded) {
        let Some(connection) = self.map.get_mut(to) else {
            return;
        };
        self.voice_drops += connection.outbox.push_voice(packet);
        if !std::mem::replace(&mut connection.voice_ready, true) {
            self.voice_ready.push_back(to);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::audio::format::FrameDuration;

    fn connection() -> Connection {
        let session = ServerSessionConfig {
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            frame: FrameDuration::Ms20,
        };
        let outbox = Outbox::new(FrameDuration::Ms20, 1_000);
        Connection::new(session, outbox, Instant::ZERO)
    }

    #[test]
    fn what_is_over_cannot_be_refused() {
        let mut connection = connection();
        assert!(connection.refuse(RejectReason::RoomFull, "full"));
        assert!(!connection.refuse(RejectReason::RoomFull, "full"));
        assert!(!connection.is_probe(), "it is over");
    }
}
