//! The server's end: one for each connection. It judges what a client sends and when; who may join
//! is the caller's decision.

use heapless::{Deque, String};

use super::hello::HelloRequest;
use super::{HANDSHAKE_TIMEOUT_DEFAULT, IDLE_TIMEOUT_DEFAULT_MS, tolerated_garbage};
use crate::audio::format::AudioFormat;
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::token_bucket::TokenBucket;
use crate::wire::{
    Bye, ClientPacket, DelayReport, Hello, NO_NONCE, Nonce, PROTOCOL_VERSION, ParseError,
    ParticipantFlags, Reason, Reject, ServerPacket, ServerPong, SetMuted, TEXT_BYTES_MAX, Text,
    Voice,
};

/// How patient a server is with one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ServerSessionConfig {
    /// How long a connection may take for its Hello.
    pub handshake_timeout: Duration,
    /// How long a client may be silent.
    pub idle_timeout: Duration,
    /// The format of the server's sessions: what a client may send follows from it.
    pub format: AudioFormat,
}

impl ServerSessionConfig {
    /// Creates a configuration with the default timeouts.
    pub const fn new(format: AudioFormat) -> Self {
        Self {
            handshake_timeout: HANDSHAKE_TIMEOUT_DEFAULT,
            idle_timeout: Duration::from_millis(IDLE_TIMEOUT_DEFAULT_MS as u64),
            format,
        }
    }
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ServerEvent {
    /// Someone wants to join: answer with [`ServerSession::accept`] or [`ServerSession::end`]. If
    /// they had joined already on this connection, they leave first ([`ServerEvent::Left`] with
    /// [`Reason::REJOINED`] precedes this).
    Hello(HelloRequest),
    /// The Hello of the running session came again: the caller sends its Welcome once more, and the
    /// roster to those who asked for it.
    Repeated,
    /// The client wants the roster.
    RosterRequested,
    /// The microphone was muted (or unmuted).
    Muted(SetMuted),
    /// The client's voice takes so long to the server; unchecked, and unasked for if the session
    /// has not the feature.
    DelayReported(DelayReport),
    /// The participant is no longer in the room. What came up to the voice packet that is named, if
    /// one is, is still to be heard. Unless the reason is [`Reason::REJOINED`], the session is
    /// over.
    Left(Reason, Option<Seq>),
    /// The client was refused before it was in; the session is over.
    Refused(Reason),
}

/// The most events of one input: a Hello that ends one session and begins another.
const EVENTS_MAX: usize = 2;

/// Hellos at once, and in a second: each can make its room's roster change twice, for everyone in
/// it. A node that was reset, and calls every half second until a bridge is there, stays below.
const HELLOS: (u32, u32) = (10, 1);

/// Packets other than Hello and Voice, at once and in a second.
const OTHERS: (u32, u32) = (500, 50);

/// Pings that are answered, at once and in a second.
const PINGS: (u32, u32) = (20, 10);

/// Rosters that are sent again, at once and in a second.
const ROSTERS: (u32, u32) = (5, 1);

/// Voice at once: 8 s of frames, what a TCP connection that had stalled may bring when it recovers.
const VOICE_BURST_MS: u32 = 8_000;

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
    pub(super) config: ServerSessionConfig,
    state: State,
    /// That of the last Hello.
    nonce: Nonce,
    /// What the client said of its microphone last.
    is_muted: bool,
    heard_at: Instant,
    voice: TokenBucket,
    hellos: TokenBucket,
    others: TokenBucket,
    pings: TokenBucket,
    rosters: TokenBucket,
    garbage: TokenBucket,
    events: Deque<ServerEvent, EVENTS_MAX>,
    pong_due: Option<u32>,
    /// Why the session ends, and whether by a Bye: a Reject ends what has not begun.
    last_word_due: Option<(Reason, bool)>,
    closing_text: String<TEXT_BYTES_MAX, u8>,
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
        let bucket = |(burst, per_second)| TokenBucket::new(burst, per_second, now);
        let frame = config.format.frame;
        let voice_burst = frame.frames_in_ms(VOICE_BURST_MS);
        // Twice as many as frames go by.
        let voice_per_second = 2 * frame.frames_in_ms(1_000);
        Self {
            config,
            state: State::AwaitingHello {
                deadline: now + config.handshake_timeout,
            },
            nonce: NO_NONCE,
            is_muted: false,
            heard_at: now,
            voice: bucket((voice_burst, voice_per_second)),
            hellos: bucket(HELLOS),
            others: bucket(OTHERS),
            pings: bucket(PINGS),
            rosters: bucket(ROSTERS),
            garbage: tolerated_garbage(now),
            events: Deque::new(),
            pong_due: None,
            last_word_due: None,
            closing_text: String::new(),
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
        let budget = match &packet {
            Ok(ClientPacket::Voice(_)) => &mut self.voice,
            Ok(ClientPacket::Hello(_)) => &mut self.hellos,
            Ok(_) | Err(ParseError::Skippable) => &mut self.others,
            Err(error) => {
                self.refuse_unreadable(*error);
                return None;
            }
        };
        if !budget.take(1, now) {
            self.end(Reason::FLOOD, "you send more packets than a session needs");
            return None;
        }
        self.heard_at = now;
        match (packet.ok()?, self.state) {
            (ClientPacket::Hello(hello), _) => self.handle_hello(&hello),
            (ClientPacket::Ping(number), _) => {
                if self.pings.take(1, now) {
                    self.pong_due = Some(number);
                }
            }
            (ClientPacket::Pong(_), _) => {}
            (ClientPacket::Voice(voice), State::Joined) => return Some(voice),
            (ClientPacket::SetMuted(muted), State::Joined) => {
                self.is_muted = muted.muted;
                self.event(ServerEvent::Muted(muted));
            }
            (ClientPacket::DelayReport(report), State::Joined) => {
                self.event(ServerEvent::DelayReported(report));
            }
            (ClientPacket::RosterRequest, State::Joined) => {
                if self.rosters.take(1, now) {
                    self.event(ServerEvent::RosterRequested);
                }
            }
            (ClientPacket::Bye(bye), _) => {
                // What only a server says is not told to others as a client's reason; its class is.
                let reason = match bye.reason {
                    own @ (Reason::MALFORMED
                    | Reason::UNEXPECTED
                    | Reason::IDLE_TIMEOUT
                    | Reason::SLOW_READER
                    | Reason::DAMAGE) => own,
                    other if other.is_permanent() => Reason::LEAVING,
                    _ => Reason::CONNECTION_LOST,
                };
                self.close(reason, bye.after);
            }
            _ => self.end(
                Reason::NO_SESSION,
                "this connection has not joined a room: send a Hello first",
            ),
        }
        None
    }

    /// Says that the deframer dropped bytes: noise on a serial line is tolerated, a stream of
    /// garbage is not.
    pub fn handle_garbage(&mut self, now: Instant, dropped_bytes: u32) {
        if self.state != State::Closed && !self.garbage.take(dropped_bytes, now) {
            self.end(Reason::DAMAGE, "what you send is not Talkspurt's protocol");
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::AwaitingHello { deadline } if now >= deadline => {
                self.end(Reason::NO_HELLO, "no Hello came in time");
            }
            State::Joined if now.duration_since(self.heard_at) >= self.config.idle_timeout => {
                self.end(Reason::IDLE_TIMEOUT, "");
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
    /// the caller's. `revision` is that of the roster, and `flags` are those of the participant in
    /// it: a Pong tells both.
    pub fn poll_transmit(
        &mut self,
        revision: u32,
        flags: ParticipantFlags,
    ) -> Option<ServerPacket<'_>> {
        if let Some(number) = self.pong_due.take() {
            let (revision, flags) = match self.state {
                State::Joined => (revision, flags.with(ParticipantFlags::MUTED, self.is_muted)),
                _ => (0, ParticipantFlags::default()),
            };
            return Some(ServerPacket::Pong(ServerPong {
                number,
                revision,
                flags,
            }));
        }
        let text = Text::from(self.closing_text.as_str());
        let (reason, is_bye) = self.last_word_due.take()?;
        let retry_ms = reason.retry_ms();
        Some(if is_bye {
            ServerPacket::Bye(Bye {
                reason,
                after: None,
                retry_ms,
                text,
            })
        } else {
            ServerPacket::Reject(Reject {
                reason,
                version: PROTOCOL_VERSION,
                nonce: self.nonce,
                retry_ms,
                text,
            })
        })
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// Lets in the client whose [`ServerEvent::Hello`] was the last event. The caller sends the
    /// Welcome.
    pub fn accept(&mut self) {
        assert!(
            self.state == State::Deciding,
            "nobody is waiting to be let in"
        );
        self.state = State::Joined;
    }

    /// Ends the session from this side: with a Bye, or with a Reject if the client is not in.
    /// `text` is a sentence that tells a person what to do; what exceeds 160 bytes is cut. Changes
    /// nothing once the session is over. [`Reason::REJOINED`] is not for this: only a Hello
    /// rejoins.
    pub fn end(&mut self, reason: Reason, text: &str) {
        if self.state == State::Closed {
            return;
        }
        Text::from(text).copy_to(&mut self.closing_text);
        self.last_word_due = Some((reason, self.is_joined()));
        self.close(reason, None);
    }

    /// The connection is gone: no more can be sent.
    pub fn handle_disconnect(&mut self) {
        self.close(Reason::CONNECTION_LOST, None);
    }

    /// Whether the client is in a room.
    pub fn is_joined(&self) -> bool {
        self.state == State::Joined
    }

    /// Whether the session is over: send what [`ServerSession::poll_transmit`] still gives, then
    /// close the connection.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    fn handle_hello(&mut self, hello: &Hello<'_>) {
        if self.state == State::Joined && hello.nonce == self.nonce {
            return self.event(ServerEvent::Repeated);
        }
        self.begin(hello.nonce);
        if let Some(request) = self.check_hello(hello) {
            self.state = State::Deciding;
            self.is_muted = request.muted;
            self.event(ServerEvent::Hello(request));
        }
    }

    /// Another session begins, or is refused: a running one is over.
    fn begin(&mut self, nonce: Nonce) {
        self.nonce = nonce;
        if self.state == State::Joined {
            self.event(ServerEvent::Left(Reason::REJOINED, None));
            self.state = State::AwaitingHello {
                deadline: self.heard_at,
            };
        }
    }

    fn refuse_unreadable(&mut self, error: ParseError) {
        let reason = match error {
            ParseError::Version { nonce, .. } => {
                self.begin(nonce);
                Reason::VERSION
            }
            ParseError::Malformed => Reason::MALFORMED,
            _ => Reason::UNEXPECTED,
        };
        self.end(reason, error.text());
    }

    fn close(&mut self, reason: Reason, after: Option<Seq>) {
        let event = match self.state {
            State::Closed => return,
            State::Joined => ServerEvent::Left(reason, after),
            _ => ServerEvent::Refused(reason),
        };
        self.state = State::Closed;
        self.event(event);
    }

    fn event(&mut self, event: ServerEvent) {
        assert!(
            self.events.push_back(event).is_ok(),
            "take the events after each input"
        );
    }
}
