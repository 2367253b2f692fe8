//! The client's end: asks to join, keeps the session alive, reports what the room does.

use heapless::{Deque, String, Vec};

use super::join::{ClientConfig, ClientEvent, JoinRequest, Participant, SessionParams};
use super::{PINGS_PER_TIMEOUT, SESSION_RATE};
use crate::codec::Codec;
use crate::frame::{FrameDuration, SampleRate};
use crate::time::{Duration, Instant};
use crate::wire::{
    ByeReason, ClientPacket, Hello, OFFERS_MAX, PROTOCOL_VERSION, ParticipantName,
    REJECT_TEXT_BYTES_MAX, ROSTER_PAGE, RejectReason, RosterEntry, ServerPacket, Voice, Welcome,
    emit, greeting_version, parse,
};

mod talking;

/// The most events of one input: a Welcome with a full page.
const EVENTS_MAX: usize = ROSTER_PAGE + 2;

/// The shortest idle timeout that a client agrees to, as docs/PROTOCOL.md bounds it and the server's `--idle-timeout` does. It pings
/// three times in one: at 1 ms that would be all that it did.
const IDLE_TIMEOUT_MS_MIN: u32 = 500;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    AwaitingWelcome {
        deadline: Instant,
    },
    Joined {
        params: SessionParams,
        listed: u16,
        roster_len: u16,
    },
    Closed,
}

/// One session, from Hello to Bye. To join again, make another.
#[derive(Clone, Debug)]
pub struct ClientSession {
    request: JoinRequest,
    state: State,
    heard_at: Instant,
    next_ping_at: Instant,
    ping: Option<(u32, Instant)>,
    pings: u32,
    round_trip: Option<Duration>,
    /// The first Ping that a talker sent since anything was heard; an earlier time if there was none.
    asked_at: Instant,
    events: Deque<ClientEvent, EVENTS_MAX>,
    reject_text: String<REJECT_TEXT_BYTES_MAX>,
    hello_due: bool,
    mute_due: bool,
    ping_due: Option<u32>,
    pong_due: Option<u32>,
    bye_due: Option<ByeReason>,
}

/// How it stands, without what waits to be taken.
#[cfg(feature = "defmt")]
impl defmt::Format for ClientSession {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "ClientSession {{ state: {}, heard_at: {}, round_trip: {} }}",
            self.state,
            self.heard_at,
            self.round_trip
        )
    }
}

impl ClientSession {
    /// Begins: the Hello is the first thing to transmit.
    #[inline]
    pub fn new(request: JoinRequest, config: ClientConfig, now: Instant) -> Self {
        Self {
            request,
            state: State::AwaitingWelcome {
                deadline: now + config.handshake_timeout,
            },
            heard_at: now,
            next_ping_at: now,
            ping: None,
            pings: 0,
            round_trip: None,
            asked_at: now,
            events: Deque::new(),
            reject_text: String::new(),
            hello_due: true,
            mute_due: false,
            ping_due: None,
            pong_due: None,
            bye_due: None,
        }
    }

    /// Takes a packet (from the deframer); gives the voice in it, if that is what it is.
    ///
    /// A packet that cannot be understood closes the session. Panics if the events of earlier inputs were not taken.
    pub fn handle_input<'a>(&mut self, now: Instant, packet: &'a [u8]) -> Option<Voice<'a>> {
        if self.state == State::Closed {
            return None;
        }
        match parse::<ServerPacket<'a>>(packet) {
            Ok(ServerPacket::Voice(voice)) => {
                self.heard_at = now;
                matches!(self.state, State::Joined { .. }).then_some(voice)
            }
            Ok(packet) => {
                self.heard_at = now;
                self.handle_control(now, packet);
                None
            }
            Err(_) => {
                let version_differs =
                    greeting_version(packet).is_some_and(|v| v != PROTOCOL_VERSION);
                if version_differs && matches!(self.state, State::AwaitingWelcome { .. }) {
                    self.reject(RejectReason::Version, "");
                } else {
                    self.close(ByeReason::ProtocolError, true);
                }
                None
            }
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match self.state {
            State::AwaitingWelcome { deadline } if now >= deadline => {
                self.close(ByeReason::IdleTimeout, false)
            }
            State::Joined { params, .. } => {
                if now.since(self.heard_at) >= params.idle_timeout {
                    self.close(ByeReason::IdleTimeout, true);
                } else if now >= self.next_ping_at {
                    self.ask(now, params.idle_timeout);
                }
            }
            _ => {}
        }
    }

    /// When to call [`ClientSession::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingWelcome { deadline } => Some(deadline),
            State::Joined { params, .. } => {
                Some(self.next_ping_at.min(self.heard_at + params.idle_timeout))
            }
            State::Closed => None,
        }
    }

    /// Writes the next packet of the session as it stands in a stream; gives its bytes, or `None` when there is none.
    /// Voice does not pass here: [`crate::uplink::Uplink::poll_packet`]. `out` must hold [`crate::wire::ENCODED_MAX`] bytes
    /// or, as every packet of this side but voice is short, `encoded_len_max(256)`.
    pub fn poll_transmit(&mut self, out: &mut [u8]) -> Option<usize> {
        if core::mem::take(&mut self.hello_due) {
            return self.emit_hello(out);
        }
        if core::mem::take(&mut self.mute_due) {
            return emit(&ClientPacket::SetMuted(self.request.muted), out).ok();
        }
        if let Some(number) = self.pong_due.take() {
            return emit(&ClientPacket::Pong(number), out).ok();
        }
        if let Some(number) = self.ping_due.take() {
            return emit(&ClientPacket::Ping(number), out).ok();
        }
        let reason = self.bye_due.take()?;
        emit(&ClientPacket::Bye(reason), out).ok()
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Tells the server that the microphone is muted, or not; remembered for the Hello if that has not gone yet.
    pub fn set_muted(&mut self, muted: bool) {
        if self.request.muted != muted {
            self.request.muted = muted;
            self.mute_due = !self.hello_due && self.state != State::Closed;
        }
    }

    /// Leaves: a Bye is transmitted, and the session is over.
    pub fn leave(&mut self) {
        self.end(ByeReason::Leaving);
    }

    /// Ends the session from this side, with a Bye. Changes nothing once it is over.
    pub fn end(&mut self, reason: ByeReason) {
        self.close(reason, true);
    }

    /// What the server decided, once we are in.
    pub fn params(&self) -> Option<SessionParams> {
        match self.state {
            State::Joined { params, .. } => Some(params),
            _ => None,
        }
    }

    /// Whether the session is over.
    pub fn is_closed(&self) -> bool {
        self.state == State::Closed
    }

    /// The last measured round trip to the server and back.
    pub const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// What the server said with its Reject; empty if it said nothing.
    pub fn reject_text(&self) -> &str {
        &self.reject_text
    }

    fn emit_hello(&self, out: &mut [u8]) -> Option<usize> {
        let codecs: Vec<u8, OFFERS_MAX> =
            self.request.codecs.iter().map(|codec| codec.id()).collect();
        let mut rates_hz = Vec::new();
        let _ = rates_hz.push(SESSION_RATE.hz());
        let hello = Hello {
            version: PROTOCOL_VERSION,
            room: &self.request.room,
            name: &self.request.name,
            codecs: &codecs,
            rates_hz,
            muted: self.request.muted,
            credentials: &self.request.credentials,
        };
        // A zero first: whatever a noisy line or a half-sent packet has left at the server ends there.
        let (flush, out) = out.split_first_mut()?;
        *flush = 0;
        emit(&ClientPacket::Hello(hello), out)
            .ok()
            .map(|len| len + 1)
    }

    fn ask(&mut self, now: Instant, idle_timeout: Duration) {
        self.next_ping_at = now + idle_timeout.divided_by(PINGS_PER_TIMEOUT);
        self.pings = self.pings.wrapping_add(1);
        self.ping = Some((self.pings, now));
        self.ping_due = Some(self.pings);
    }

    fn handle_control(&mut self, now: Instant, packet: ServerPacket<'_>) {
        match packet {
            ServerPacket::Ping(number) => self.pong_due = Some(number),
            ServerPacket::Pong(number) => {
                if let Some((_, sent_at)) = self.ping.take_if(|(expected, _)| *expected == number) {
                    self.round_trip = Some(now.since(sent_at));
                }
            }
            ServerPacket::Bye(reason) => self.close(reason, false),
            ServerPacket::Reject(reason, text) => self.reject(reason, text),
            ServerPacket::Welcome(welcome) => self.handle_welcome(now, &welcome),
            ServerPacket::Roster(page) => self.list(&page),
            ServerPacket::Joined(entry) => {
                if let Some(participant) = self.owned(entry) {
                    self.event(ClientEvent::ParticipantJoined(participant));
                }
            }
            ServerPacket::Left(id) => self.event_when_joined(ClientEvent::ParticipantLeft(id)),
            ServerPacket::State(id, flags) => self.event_when_joined(ClientEvent::State(id, flags)),
            ServerPacket::Voice(_) => {}
        }
    }

    fn handle_welcome(&mut self, now: Instant, welcome: &Welcome<'_>) {
        // A second Welcome (the first answered a Hello that an earlier session sent on this line) begins anew: the first number
        // and its roster hold no longer.
        if welcome.version != PROTOCOL_VERSION {
            return self.reject(RejectReason::Version, "");
        }
        let Some(params) = self.check_welcome(welcome) else {
            return self.close(ByeReason::ProtocolError, true);
        };
        self.state = State::Joined {
            params,
            listed: 0,
            roster_len: welcome.roster_len,
        };
        self.next_ping_at = now;
        self.event(ClientEvent::Joined(params, welcome.roster_len));
        self.list(&welcome.roster);
    }

    fn check_welcome(&self, welcome: &Welcome<'_>) -> Option<SessionParams> {
        let params = SessionParams {
            id: welcome.id,
            codec: Codec::from_id(welcome.codec)?,
            rate: SampleRate::from_hz(welcome.rate_hz)?,
            frame: FrameDuration::from_ms(welcome.frame_ms)?,
            idle_timeout: Duration::from_ms(u64::from(welcome.idle_timeout_ms)),
        };
        let offered = self.request.codecs.contains(&params.codec) && params.rate == SESSION_RATE;
        let patient = welcome.idle_timeout_ms >= IDLE_TIMEOUT_MS_MIN;
        (offered && patient && welcome.roster_len > 0).then_some(params)
    }

    fn list(&mut self, page: &[RosterEntry<'_>]) {
        for entry in page {
            let Some(participant) = self.owned(*entry) else {
                return;
            };
            let State::Joined {
                listed, roster_len, ..
            } = &mut self.state
            else {
                return;
            };
            if *listed == *roster_len {
                return self.close(ByeReason::ProtocolError, true);
            }
            *listed += 1;
            let complete = *listed == *roster_len;
            self.event(ClientEvent::Listed(participant));
            if complete {
                self.event(ClientEvent::RosterComplete);
            }
        }
    }

    /// Copies a roster entry; one with a name that cannot be closes the session.
    fn owned(&mut self, entry: RosterEntry<'_>) -> Option<Participant> {
        match ParticipantName::new(entry.name) {
            Ok(name) if matches!(self.state, State::Joined { .. }) => Some(Participant {
                id: entry.id,
                flags: entry.flags,
                name,
            }),
            Ok(_) => None,
            Err(_) => {
                self.close(ByeReason::ProtocolError, true);
                None
            }
        }
    }

    fn reject(&mut self, reason: RejectReason, text: &str) {
        self.reject_text.clear();
        for character in text.chars().filter(|c| !c.is_control()) {
            // A text longer than a Reject may have is cut.
            if self.reject_text.push(character).is_err() {
                break;
            }
        }
        self.state = State::Closed;
        self.event(ClientEvent::Rejected(reason));
    }

    fn close(&mut self, reason: ByeReason, tell: bool) {
        if self.state == State::Closed {
            return;
        }
        self.state = State::Closed;
        // Who has not said Hello yet need not say Bye.
        let greeted = !core::mem::take(&mut self.hello_due);
        self.bye_due = (tell && greeted).then_some(reason);
        self.event(ClientEvent::Closed(reason));
    }

    fn event_when_joined(&mut self, event: ClientEvent) {
        if matches!(self.state, State::Joined { .. }) {
            self.event(event);
        }
    }

    fn event(&mut self, event: ClientEvent) {
        assert!(
            self.events.push_back(event).is_ok(),
            "take the events after each input"
        );
    }
}
