//! One peer's link: bytes in, packets of its session, bytes out.
//!
//! A link is with the lobby or with a member of a room, and moves between them.

use talkspurt_core::carrier::receiver::{Received, Receiver};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::session::{ServerEvent, ServerSession, ServerSessionConfig};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RejectReason, Voice, parse};

use crate::encodings::encode;
use crate::ids::LinkId;
use crate::outbox::{Outbox, Overflow, SharedPacket};
use crate::ready::Ready;

/// A link that is over has so long to take its last packet (Reject or Bye).
const CLOSING_GRACE: Duration = Duration::from_millis(1_000);

const _: () = assert!(
    size_of::<Link>() <= 2 * 1024,
    "docs/PERFORMANCE.md states what a link takes"
);

/// Bytes that came over a link, and how far they were taken.
#[derive(Debug)]
pub struct Input<'a> {
    /// What is still to be taken.
    pub rest: &'a [u8],
    /// Whole packets taken.
    pub packets: u64,
}

impl<'a> Input<'a> {
    /// Bytes of which none is taken yet.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            packets: 0,
        }
    }
}

/// The state of one link.
#[derive(Debug)]
pub struct Link {
    /// The hub's name for it.
    pub id: LinkId,
    /// What waits for the peer.
    pub outbox: Outbox,
    session: ServerSession,
    receiver: Receiver<ENCODED_MAX>,
    idle_timeout: Duration,
    connected_at: Instant,
    /// Something has come from it.
    has_spoken: bool,
    /// It stands in the queue of those with output, and in that of those with voice.
    queued_control: bool,
    queued_voice: bool,
    closing: Option<Instant>,
}

// Life of a link
impl Link {
    /// Creates a link to a peer that has just connected.
    pub fn new(id: LinkId, session: ServerSessionConfig, outbox: Outbox, now: Instant) -> Self {
        Self {
            id,
            session: ServerSession::new(session, now),
            receiver: Receiver::new(),
            outbox,
            idle_timeout: session.idle_timeout,
            connected_at: now,
            has_spoken: false,
            queued_control: false,
            queued_voice: false,
            closing: None,
        }
    }

    /// Lets in the peer whose Hello was the last event. The owner sends the Welcome.
    pub fn accept(&mut self) {
        self.session.accept();
    }

    /// Refuses the peer unless it is in a room; returns whether it did. A peer that has no place in
    /// a room yet can always be refused.
    pub fn refuse(&mut self, reason: RejectReason, text: impl std::fmt::Display) -> bool {
        let may_be_refused = self.waits_since().is_some();
        if may_be_refused {
            self.session.reject(reason, text);
        }
        may_be_refused
    }

    /// Ends the session from this side; the owner has to take the events that follow.
    pub fn end(&mut self, reason: ByeReason) {
        // The outbox of one that is over holds the reason already, and is not to be cleared again.
        if self.session.is_closed() {
            return;
        }
        if reason == ByeReason::SlowConsumer {
            self.outbox.clear_unsent();
        }
        self.session.end(reason);
    }

    /// Says that the peer is gone: no more can be sent.
    pub fn handle_disconnect(&mut self) {
        self.session.handle_disconnect();
    }

    /// Returns since when it has been waiting to be let in; `None` once it is in a room, or over.
    pub fn waits_since(&self) -> Option<Instant> {
        let is_settled = self.session.is_joined() || self.session.is_closed();
        (!is_settled).then_some(self.connected_at)
    }

    /// Returns whether nothing has ever come from it: a port scan, or the probe of a load balancer.
    pub fn is_probe(&self) -> bool {
        !self.has_spoken && !self.session.is_closed()
    }

    /// Returns whether the session is over.
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
    /// Takes the bytes of `input` up to the end of a packet. Returns the voice in it.
    pub fn receive(&mut self, input: &mut Input<'_>, now: Instant) -> Option<Voice<'_>> {
        self.has_spoken = true;
        let (received, rest) = self.receiver.feed(input.rest);
        input.rest = rest;
        match received {
            Received::NeedMore => None,
            Received::Packet(packet) => {
                input.packets += 1;
                self.session.handle_packet(now, parse(packet))
            }
            Received::Damaged { bytes, .. } => {
                self.session.handle_garbage(now, bytes);
                None
            }
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        let stalled_since = self.outbox.stalled_since();
        if stalled_since.is_some_and(|since| since + self.idle_timeout <= now) {
            self.end(ByeReason::SlowConsumer);
        }
    }

    /// Returns the next event of the session. When there is none left, moves what the session has
    /// to say into the outbox, which may end it and so make another event.
    pub fn poll_event(&mut self, now: Instant) -> Option<ServerEvent> {
        if let Some(event) = self.session.poll_event() {
            return Some(event);
        }
        if self.settle(now) {
            return None;
        }
        self.session.poll_event()
    }

    /// Begins to close if the session is over. False if the session's packets are too many, which
    /// has ended it.
    fn settle(&mut self, now: Instant) -> bool {
        let mut next = || self.session.poll_transmit().map(|packet| encode(&packet));
        while let Some(packet) = next() {
            if self.outbox.push_control(packet).is_err() {
                // The peer sends pings but takes no pongs.
                self.outbox.clear_unsent();
                self.session.end(ByeReason::SlowConsumer);
                return false;
            }
        }
        if self.session.is_closed() && self.closing.is_none() {
            self.closing = Some(now + CLOSING_GRACE);
        }
        true
    }
}

// Deadlines
impl Link {
    /// Returns when to look at the link: for its Hello, for silence, for a stalled outbox, for its
    /// end.
    pub fn poll_timeout(&self) -> Option<Instant> {
        // Once it is over nothing else matters: a stall that ended it lies in the past, and would
        // be due for ever.
        if self.closing.is_some() {
            return self.closing;
        }
        let stalled_since = self.outbox.stalled_since();
        let stalled = stalled_since.map(|since| since + self.idle_timeout);
        let deadlines = [self.session.poll_timeout(), stalled];
        deadlines.into_iter().flatten().min()
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
        self.queue_control(ready);
        self.outbox.push_control(packet)
    }

    /// Appends a voice packet. Returns how many older ones made room for it.
    pub fn push_voice(&mut self, packet: SharedPacket, ready: &mut Ready) -> u64 {
        if !std::mem::replace(&mut self.queued_voice, true) {
            ready.voice.push_back(self.id);
        }
        self.outbox.push_voice(packet)
    }

    /// Stands in the queue if there is output, or the link is to be closed.
    pub fn queue_if_due(&mut self, ready: &mut Ready) {
        if !self.outbox.is_empty() || self.is_closing() {
            self.queue_control(ready);
        }
    }

    fn queue_control(&mut self, ready: &mut Ready) {
        if !std::mem::replace(&mut self.queued_control, true) {
            ready.control.push_back(self.id);
        }
    }

    /// Says that it was taken from the queue of those with output.
    pub fn left_control_queue(&mut self) {
        self.queued_control = false;
    }

    /// Returns what waits for the peer, if anything, to be written now. That ends the wait in the
    /// queue of those with voice.
    pub fn begin_write(&mut self, now: Instant) -> Option<&Outbox> {
        self.queued_voice = false;
        self.outbox.separate(now);
        (!self.outbox.is_empty()).then_some(&self.outbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::audio::format::AudioFormat;

    fn link() -> Link {
        let session = ServerSessionConfig {
            handshake_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(15),
            format: AudioFormat::DEFAULT,
        };
        let outbox = Outbox::new(AudioFormat::DEFAULT.frame, 1_000);
        Link::new(LinkId::default(), session, outbox, Instant::ZERO)
    }

    #[test]
    fn what_is_over_cannot_be_refused() {
        let mut link = link();
        assert!(link.refuse(RejectReason::RoomFull, "full"));
        assert!(!link.refuse(RejectReason::RoomFull, "full"));
        assert!(!link.is_probe(), "it is over");
    }
}
