//! The server's end: one for each connection. It judges what a client sends and when; who may join is the caller's decision.

use core::fmt::Write as _;

use heapless::{Deque, String};

use super::hello::{HelloRequest, Refusal, check_hello};
use super::{GARBAGE_BURST_BYTES, GARBAGE_BYTES_PER_SECOND};
use crate::audio::format::AudioFormat;
use crate::time::{Duration, Instant};
use crate::token_bucket::TokenBucket;
use crate::wire::{
    ByeReason, ClientPacket, Hello, ParseError, REJECT_TEXT_BYTES_MAX, RejectReason, ServerPacket,
    Voice,
};

/// How patient a server is with one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ServerSessionConfig {
    /// How long a connection may take for its Hello.
    pub handshake_timeout: Duration,
    /// How long a client may be silent.
    pub idle_timeout: Duration,
    /// The format of the server's sessions: what a client may send follows from it.
    pub format: AudioFormat,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum ServerEvent {
    /// Someone wants to join: answer with [`ServerSession::accept`] or [`ServerSession::reject`].
    /// If he had joined already on this connection, he leaves first ([`ServerEvent::Left`] with `Rejoined` precedes this).
    Hello(HelloRequest),
    /// He muted (or unmuted) himself.
    Muted(bool),
    /// He is no longer in the room. Unless the reason is `Rejoined`, the session is over.
    Left(ByeReason),
    /// He was refused before he was in; the session is over.
    Refused(RejectReason),
}

/// The most events of one input: a Hello that ends one session and begins another.
const EVENTS_MAX: usize = 2;

/// Hellos at once, and in a second: each can make its room's roster change twice, for everyone in it. A node that was reset, and
/// calls every half second until a bridge is there, stays below.
const HELLO_BURST: u32 = 10;
const HELLOS_PER_SECOND: u32 = 1;

/// Packets at once: 8 s of frames, what a TCP connection that had stalled may bring when it recovers.
const PACKET_BURST_MS: u32 = 8_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    AwaitingHello {
        deadline: Instant,
    },
    /// The Hello is with the caller.
    Deciding,
    Joined,
    Closed,
}

/// One connection's session.
#[derive(Clone, Debug)]
pub struct ServerSession {
    config: ServerSessionConfig,
    state: State,
    heard_at: Instant,
    packets: TokenBucket,
    hellos: TokenBucket,
    garbage: TokenBucket,
    events: Deque<ServerEvent, EVENTS_MAX>,
    pong_due: Option<u32>,
    reject_due: Option<RejectReason>,
    reject_text: String<REJECT_TEXT_BYTES_MAX>,
    bye_due: Option<ByeReason>,
}

/// How it stands, without what waits to be taken.
#[cfg(feature = "defmt")]
impl defmt::Format for ServerSession {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "ServerSession {{ state: {}, heard_at: {} }}",
            self.state,
            self.heard_at
        )
    }
}

impl ServerSession {
    /// A connection that was just made.
    pub fn new(config: ServerSessionConfig, now: Instant) -> Self {
        // Twice as many packets as frames go by, and some for control.
        let packets_per_second = 2 * config.format.frame.frames_in_ms(1_000) + 20;
        let packet_burst = config.format.frame.frames_in_ms(PACKET_BURST_MS);
        Self {
            config,
            state: State::AwaitingHello {
                deadline: now + config.handshake_timeout,
            },
            heard_at: now,
            packets: TokenBucket::new(packet_burst, packets_per_second, now),
            hellos: TokenBucket::new(HELLO_BURST, HELLOS_PER_SECOND, now),
            garbage: TokenBucket::new(GARBAGE_BURST_BYTES, GARBAGE_BYTES_PER_SECOND, now),
            events: Deque::new(),
            pong_due: None,
            reject_due: None,
            reject_text: String::new(),
            bye_due: None,
        }
    }

    /// Takes a packet; returns the voice in it, if that is what it is and its sender may speak.
    ///
    /// Panics if the events of earlier inputs were not taken, or a Hello was not answered.
    pub fn handle_packet<'a>(
        &mut self,
        now: Instant,
        packet: Result<ClientPacket<'a>, ParseError>,
    ) -> Option<Voice<'a>> {
        assert!(
            self.state != State::Deciding,
            "answer the Hello before the next input"
        );
        if self.state == State::Closed {
            return None;
        }
        if !self.packets.take(1, now) {
            self.end(ByeReason::Flood);
            return None;
        }
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                self.refuse_unreadable(error);
                return None;
            }
        };
        self.heard_at = now;
        match (packet, self.state) {
            (ClientPacket::Hello(hello), _) => self.handle_hello(&hello),
            (ClientPacket::Ping(number), _) => self.pong_due = Some(number),
            (ClientPacket::Pong(_), _) => {}
            (ClientPacket::Voice(voice), State::Joined) => return Some(voice),
            (ClientPacket::SetMuted(muted), State::Joined) => self.event(ServerEvent::Muted(muted)),
            (ClientPacket::Bye(_), State::Joined) => {
                self.close(ServerEvent::Left(ByeReason::Leaving))
            }
            (ClientPacket::Bye(_), _) => self.close(ServerEvent::Refused(RejectReason::NotAHello)),
            (ClientPacket::Voice(_) | ClientPacket::SetMuted(_), _) => self.reject(
                RejectReason::NotAHello,
                "this connection has not joined a room: send a Hello first",
            ),
        }
        None
    }

    /// Says that the deframer dropped bytes: noise on a serial line is tolerated, a stream of
    /// garbage is not.
    pub fn handle_garbage(&mut self, now: Instant, dropped_bytes: u32) {
        if self.state != State::Closed && !self.garbage.take(dropped_bytes, now) {
            self.reject(
                RejectReason::Malformed,
                "what you send is not Talkspurt's protocol",
            );
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::AwaitingHello { deadline } if now >= deadline => {
                self.reject(RejectReason::HandshakeTimeout, "no Hello came in time");
            }
            State::Joined if now.duration_since(self.heard_at) >= self.config.idle_timeout => {
                self.end(ByeReason::IdleTimeout)
            }
            _ => {}
        }
    }

    /// When to call [`ServerSession::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingHello { deadline } => Some(deadline),
            State::Joined => Some(self.heard_at + self.config.idle_timeout),
            State::Deciding | State::Closed => None,
        }
    }

    /// Returns the next packet of the session (Pong, Reject, Bye). Welcome, rosters and voice are
    /// the caller's.
    pub fn poll_transmit(&mut self) -> Option<ServerPacket<'_>> {
        if let Some(number) = self.pong_due.take() {
            return Some(ServerPacket::Pong(number));
        }
        if let Some(reason) = self.reject_due.take() {
            return Some(ServerPacket::Reject(reason, &self.reject_text));
        }
        self.bye_due.take().map(ServerPacket::Bye)
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Lets in the client whose [`ServerEvent::Hello`] was the last event. The caller sends the Welcome.
    pub fn accept(&mut self) {
        assert!(
            self.state == State::Deciding,
            "nobody is waiting to be let in"
        );
        self.state = State::Joined;
    }

    /// Refuses a client who is not in. `text` is a sentence that tells him what to do; what exceeds 160 bytes is cut.
    /// Changes nothing once the session is over. A client that is in is past refusing: it gets a Bye instead (`ProtocolError`), as by
    /// [`ServerSession::end`].
    pub fn reject(&mut self, reason: RejectReason, text: impl core::fmt::Display) {
        match self.state {
            State::AwaitingHello { .. } | State::Deciding => {}
            State::Joined => return self.end(ByeReason::ProtocolError),
            State::Closed => return,
        }
        let mut cut = CutText(&mut self.reject_text);
        cut.0.clear();
        // A text that is too long is cut; that is no error.
        let _ = write!(cut, "{text}");
        self.reject_due = Some(reason);
        self.close(ServerEvent::Refused(reason));
    }

    /// Ends the session from this side, with a Bye. `Rejoined` is not for this: only a Hello rejoins.
    pub fn end(&mut self, reason: ByeReason) {
        if self.state == State::Closed {
            return;
        }
        self.bye_due = Some(reason);
        let event = match self.state {
            State::Joined => ServerEvent::Left(reason),
            _ => ServerEvent::Refused(match reason {
                ByeReason::Stopping => RejectReason::Stopping,
                _ => RejectReason::Malformed,
            }),
        };
        self.close(event);
    }

    /// The connection is gone: no more can be sent.
    pub fn handle_disconnect(&mut self) {
        match self.state {
            State::Joined => self.close(ServerEvent::Left(ByeReason::ConnectionLost)),
            State::AwaitingHello { .. } | State::Deciding => {
                self.close(ServerEvent::Refused(RejectReason::NotAHello))
            }
            State::Closed => {}
        }
    }

    /// Whether the client is in a room.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// Whether the session is over: send what [`ServerSession::poll_transmit`] still gives, then close the connection.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn handle_hello(&mut self, hello: &Hello<'_>) {
        if !self.hellos.take(1, self.heard_at) {
            return self.end(ByeReason::Flood);
        }
        if self.state == State::Joined {
            self.event(ServerEvent::Left(ByeReason::Rejoined));
            self.state = State::AwaitingHello {
                deadline: self.heard_at,
            };
        }
        match check_hello(hello, self.config.format.rate) {
            Ok(request) => {
                self.state = State::Deciding;
                self.event(ServerEvent::Hello(request));
            }
            Err(refusal) => self.reject(refusal.reason(), &refusal),
        }
    }

    fn refuse_unreadable(&mut self, error: ParseError) {
        match error {
            ParseError::Version(theirs) => {
                let refusal = Refusal::Version(theirs);
                self.reject(refusal.reason(), &refusal);
            }
            _ => self.reject(RejectReason::Malformed, "a packet could not be read"),
        }
    }

    fn close(&mut self, event: ServerEvent) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.event(event);
        }
    }

    fn event(&mut self, event: ServerEvent) {
        assert!(
            self.events.push_back(event).is_ok(),
            "take the events after each input"
        );
    }
}

/// Writes as much as fits.
struct CutText<'a>(&'a mut String<REJECT_TEXT_BYTES_MAX>);

impl core::fmt::Write for CutText<'_> {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        text.chars()
            .try_for_each(|character| self.0.push(character))
            .map_err(|_| core::fmt::Error)
    }
}
