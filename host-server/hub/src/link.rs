//! One peer's link: bytes in, packets of its session, bytes out.
//!
//! A link is with the lobby or with a member of a room, and moves between them.

use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::session::{ServerEvent, ServerSession, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ClientPacket, ParticipantFlags, Reason, Voice, parse};

use crate::config::HubConfig;
use crate::counters::Counters;
use crate::encodings::encode;
use crate::ids::LinkId;
use crate::outbox::{Outbox, Overflow, SharedPacket};
use crate::ready::Ready;

/// A link that is over has so long to take its last packet (Reject or Bye).
const CLOSING_GRACE: Duration = Duration::from_millis(1_000);

const _: () = assert!(
    size_of::<Link>() <= 2_560,
    "docs/PERFORMANCE.md states what a link takes"
);

/// The revision of a roster, and what a participant does there.
pub type Standing = (u32, ParticipantFlags);

/// What some bytes brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A part of a packet.
    Part,
    /// Voice. The session has no event because of it, and nothing to say.
    Voice(Voice<'a>),
    /// Anything else: the session may have events now, or something to say. Whether it shows that
    /// the peer has its Welcome.
    Other(bool),
}

/// The state of one link.
#[derive(Debug)]
pub struct Link {
    /// The hub's name for it.
    pub id: LinkId,
    /// What waits for the peer.
    pub outbox: Outbox,
    session: ServerSession,
    deframer: Deframer,
    idle_timeout: Duration,
    /// Something has come from it.
    has_spoken: bool,
    closing: Option<Instant>,
}

// Life of a link
impl Link {
    /// Creates a link to a peer that has just connected.
    pub fn new(id: LinkId, config: &HubConfig, now: Instant) -> Self {
        let mut session = ServerSessionConfig::new(config.format);
        session.handshake_timeout = config.handshake_timeout;
        session.idle_timeout = config.idle_timeout;
        Self {
            id,
            outbox: Outbox::new(config.format.frame, config.outbox_bytes()),
            session: ServerSession::new(session, now),
            deframer: Deframer::new(),
            idle_timeout: config.idle_timeout,
            has_spoken: false,
            closing: None,
        }
    }

    /// Lets in the peer whose Hello was the last event. The owner sends the Welcome.
    pub fn accept(&mut self) {
        self.session.accept();
    }

    /// Ends the session from this side, with a Reject if the peer is in no room; the owner has to
    /// take the events that follow. `text` says what to do about it.
    pub fn end(&mut self, reason: Reason, text: &str) {
        // The outbox of one that is over holds the reason already, and is not to be cleared again.
        if reason == Reason::SLOW_READER && !self.session.is_closed() {
            self.outbox.clear_unsent();
        }
        self.session.end(reason, text);
    }

    /// Says that the peer is gone: no more can be sent.
    pub fn handle_disconnect(&mut self) {
        self.session.handle_disconnect();
    }

    /// Returns whether nothing has ever come from it: a port scan, or the probe of a load balancer.
    pub fn is_probe(&self) -> bool {
        !self.has_spoken && !self.session.is_closed()
    }

    /// Returns whether the session is over, as of the last [`Link::next_event`].
    pub fn is_closing(&self) -> bool {
        self.closing.is_some()
    }

    /// Returns whether it has sent all that it had to, or has had its time for that.
    pub fn is_done(&self, now: Instant) -> bool {
        self.closing
            .is_some_and(|deadline| self.outbox.is_empty() || now >= deadline)
    }
}

// Input
impl Link {
    /// Takes bytes up to the end of a packet, and leaves the others.
    pub fn receive(
        &mut self,
        bytes: &mut &[u8],
        now: Instant,
        counters: &mut Counters,
    ) -> Input<'_> {
        self.has_spoken = true;
        let (feed, rest) = self.deframer.feed(bytes);
        *bytes = rest;
        match feed {
            Feed::NeedMore => Input::Part,
            Feed::Packet(packet) => {
                counters.packets_in += 1;
                let packet = parse(packet);
                let is_of_session = !matches!(packet, Ok(ClientPacket::Hello(_)));
                let voice = self.session.handle_packet(now, packet);
                voice.map_or(Input::Other(is_of_session), Input::Voice)
            }
            Feed::Bad { dropped_bytes, .. } => {
                self.session.handle_garbage(now, dropped_bytes);
                Input::Other(false)
            }
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        if self.stall_deadline().is_some_and(|due| due <= now) {
            self.end(Reason::SLOW_READER, "");
        }
    }

    /// Returns the next event of the session. When there is none left, moves what the session has
    /// to say into the outbox, which may end it and so make another event. `standing` is the
    /// revision of the roster and what its participant does there.
    pub fn next_event(&mut self, now: Instant, standing: Standing) -> Option<ServerEvent> {
        if let Some(event) = self.session.poll_event() {
            return Some(event);
        }
        let (revision, flags) = standing;
        let next = |session: &mut ServerSession| {
            let packet = session.poll_transmit(revision, flags)?;
            Some(encode(&packet))
        };
        while let Some(packet) = next(&mut self.session) {
            if self.outbox.push_control(packet.clone()).is_err() {
                // The peer sends pings but takes no pongs, or its last words find no room.
                self.outbox.clear_unsent();
                if self.session.is_closed() {
                    _ = self.outbox.push_control(packet);
                }
                self.session.end(Reason::SLOW_READER, "");
            }
        }
        if self.session.is_closed() {
            self.closing.get_or_insert(now + CLOSING_GRACE);
        }
        self.session.poll_event()
    }

    /// Returns when to look at the link: for its Hello, for silence, for a stalled outbox, for its
    /// end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Once it is over nothing else matters: a stall that ended it lies in the past, and would
        // be due for ever.
        if self.closing.is_some() {
            return self.closing;
        }
        let deadlines = [self.session.poll_timeout(), self.stall_deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Returns until when the peer has to take something of what waits.
    fn stall_deadline(&self) -> Option<Instant> {
        let since = self.outbox.stalled_since()?;
        Some(since + self.idle_timeout)
    }
}

// Output
impl Link {
    /// Appends a control packet.
    ///
    /// # Errors
    /// More wait than may; the session is to be ended.
    pub fn push_control(
        &mut self,
        packet: SharedPacket,
        ready: &mut Ready,
    ) -> Result<(), Overflow> {
        ready.control.push(self.id);
        self.outbox.push_control(packet)
    }

    /// Appends a voice packet. Returns how many older ones made room for it.
    pub fn push_voice(&mut self, packet: SharedPacket, ready: &mut Ready) -> u64 {
        ready.voice.push(self.id);
        self.outbox.push_voice(packet)
    }

    /// Has the link stand in the queue if there is output, or it is to be closed.
    pub fn queue_output(&self, ready: &mut Ready) {
        if !self.outbox.is_empty() || self.is_closing() {
            ready.control.push(self.id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::wire::{Bye, ClientPacket, ServerPacket, ServerPong};

    const STANDING: Standing = (1, ParticipantFlags(0));

    fn link() -> Link {
        Link::new(LinkId::default(), &HubConfig::default(), Instant::ZERO)
    }

    #[test]
    fn what_is_over_cannot_be_ended_again() {
        let mut link = link();
        link.end(Reason::ROOM_FULL, "full");
        assert!(!link.is_probe(), "it is over");
        let refused = Some(ServerEvent::Refused(Reason::ROOM_FULL));
        assert_eq!(link.next_event(Instant::ZERO, STANDING), refused);
        link.end(Reason::ROOM_FULL, "full");
        assert_eq!(link.next_event(Instant::ZERO, STANDING), None);
        assert_eq!(link.outbox.packets().count(), 1);
    }

    #[test]
    fn last_words_find_room_however_much_waits() {
        for ends_itself in [true, false] {
            let mut link = link();
            let hello: &[u8] = &[
                0, 2, 1, 1, 1, 1, 1, 1, 1, 1, 0xe0, 2, 0, 0, 1, 97, 1, 97, 1, 1, 1, 1, 1, 0x80,
                0x7d, 0, 0, 0,
            ];
            link.session.handle_packet(Instant::ZERO, parse(hello));
            _ = link.next_event(Instant::ZERO, STANDING);
            link.accept();
            let (number, revision, flags) = (1, 1, ParticipantFlags(0));
            let packet = encode(&ServerPacket::Pong(ServerPong {
                number,
                revision,
                flags,
            }));
            while link.outbox.push_control(packet.clone()).is_ok() {}
            if ends_itself {
                link.session
                    .handle_packet(Instant::ZERO, Ok(ClientPacket::Ping(7)));
            } else {
                link.end(Reason::UNEXPECTED, "");
            }
            while link.next_event(Instant::ZERO, STANDING).is_some() {}
            assert!(link.is_closing());
            let last = link.outbox.packets().last().map(<[u8]>::to_vec);
            let reason = match ends_itself {
                true => Reason::SLOW_READER,
                false => Reason::UNEXPECTED,
            };
            let bye = encode(&ServerPacket::Bye(Bye {
                retry_ms: reason.retry_ms(),
                ..Bye::from(reason)
            }));
            assert_eq!(last.as_deref(), Some(&bye[..]));
            assert_eq!(link.outbox.packets().count(), 1);
        }
    }
}
