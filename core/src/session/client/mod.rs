//! The client's end: asks to join, keeps the session alive, reports what the room does.

use heapless::{Deque, String};

use super::PINGS_PER_TIMEOUT;
use super::join::{ClientEvent, JoinRequest, Participant, SessionParams};
use crate::audio::codec::CodecId;
use crate::audio::format::{AudioFormat, FrameDuration, SampleRate};
use crate::time::{Duration, Instant};
use crate::wire::{
    ByeReason, ClientPacket, Hello, OFFERS_MAX, PROTOCOL_VERSION, ParseError, ParticipantName,
    REJECT_TEXT_BYTES_MAX, ROSTER_PAGE, RejectReason, RosterEntry, ServerPacket, Voice, Welcome,
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

/// One session at a time, from Hello to Bye.
#[derive(Clone, Debug)]
pub struct ClientSession {
    request: JoinRequest,
    state: State,
    heard_at: Instant,
    next_ping_at: Instant,
    ping: Option<(u32, Instant)>,
    pings: u32,
    /// Counts the Welcomes, those of earlier sessions too: each begins everything anew.
    welcomes: u8,
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
    /// Begins a session: the Hello is the first thing to transmit, and the answer may take
    /// `handshake_timeout`.
    #[inline]
    pub fn new(request: JoinRequest, handshake_timeout: Duration, now: Instant) -> Self {
        let mut session = Self::idle(request);
        session.begin(handshake_timeout, now);
        session
    }

    /// Creates a session that has not begun: nothing happens until [`ClientSession::begin`].
    #[inline]
    pub const fn idle(request: JoinRequest) -> Self {
        Self {
            request,
            state: State::Closed,
            heard_at: Instant::ZERO,
            next_ping_at: Instant::ZERO,
            ping: None,
            pings: 0,
            welcomes: 0,
            round_trip: None,
            asked_at: Instant::ZERO,
            events: Deque::new(),
            reject_text: String::new(),
            hello_due: false,
            mute_due: false,
            ping_due: None,
            pong_due: None,
            bye_due: None,
        }
    }

    /// Begins another session, with the same request. Whatever is left of an earlier one is
    /// forgotten.
    pub fn begin(&mut self, handshake_timeout: Duration, now: Instant) {
        self.state = State::AwaitingWelcome {
            deadline: now + handshake_timeout,
        };
        (self.heard_at, self.next_ping_at, self.asked_at) = (now, now, now);
        (self.ping, self.pings, self.round_trip) = (None, 0, None);
        self.events.clear();
        self.reject_text.clear();
        (self.hello_due, self.mute_due) = (true, false);
        (self.ping_due, self.pong_due, self.bye_due) = (None, None, None);
    }

    /// Takes a packet; returns the voice in it, if that is what it is. A packet that cannot be read
    /// closes the session.
    ///
    /// Panics if the events of earlier inputs were not taken.
    pub fn handle_packet<'a>(
        &mut self,
        now: Instant,
        packet: Result<ServerPacket<'a>, ParseError>,
    ) -> Option<Voice<'a>> {
        if self.state == State::Closed {
            return None;
        }
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                self.handle_unreadable(error);
                return None;
            }
        };
        self.heard_at = now;
        match packet {
            ServerPacket::Voice(voice) => {
                matches!(self.state, State::Joined { .. }).then_some(voice)
            }
            packet => {
                self.handle_control(now, packet);
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
                if now.duration_since(self.heard_at) >= params.idle_timeout {
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

    /// Returns the next packet of the session. Voice does not pass here.
    // Inlined, it costs a Cortex-M0 70 bytes more.
    #[inline(never)]
    pub fn poll_transmit(&mut self) -> Option<ClientPacket<'_>> {
        if core::mem::take(&mut self.hello_due) {
            return Some(ClientPacket::Hello(self.hello()));
        }
        if core::mem::take(&mut self.mute_due) {
            return Some(ClientPacket::SetMuted(self.request.muted));
        }
        if let Some(number) = self.pong_due.take() {
            return Some(ClientPacket::Pong(number));
        }
        if let Some(number) = self.ping_due.take() {
            return Some(ClientPacket::Ping(number));
        }
        self.bye_due.take().map(ClientPacket::Bye)
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

    /// Returns how many Welcomes have come, in all sessions; wraps.
    pub(crate) const fn welcomes(&self) -> u8 {
        self.welcomes
    }

    /// What the server decided, once we are in.
    pub fn params(&self) -> Option<SessionParams> {
        match self.state {
            State::Joined { params, .. } => Some(params),
            _ => None,
        }
    }

    /// Who wants to join which room.
    pub const fn request(&self) -> &JoinRequest {
        &self.request
    }

    /// Whether the session is over, or has not begun.
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

    fn hello(&self) -> Hello<'_> {
        let rates_hz = self.request.rates.iter().map(|rate| rate.hz());
        Hello {
            version: PROTOCOL_VERSION,
            room: &self.request.room,
            name: &self.request.name,
            codecs: &self.request.codecs,
            rates_hz: rates_hz.take(OFFERS_MAX).collect(),
            muted: self.request.muted,
            credentials: &self.request.credentials,
        }
    }

    fn handle_unreadable(&mut self, error: ParseError) {
        match (error, self.state) {
            (ParseError::Version(_), State::AwaitingWelcome { .. }) => {
                self.reject(RejectReason::Version, "");
            }
            _ => self.close(ByeReason::ProtocolError, true),
        }
    }

    fn ask(&mut self, now: Instant, idle_timeout: Duration) {
        self.next_ping_at = now + idle_timeout / PINGS_PER_TIMEOUT;
        self.pings = self.pings.wrapping_add(1);
        self.ping = Some((self.pings, now));
        self.ping_due = Some(self.pings);
    }

    #[inline(never)]
    fn handle_control(&mut self, now: Instant, packet: ServerPacket<'_>) {
        match packet {
            ServerPacket::Ping(number) => self.pong_due = Some(number),
            ServerPacket::Pong(number) => {
                if let Some((_, sent_at)) = self.ping.take_if(|(expected, _)| *expected == number) {
                    self.round_trip = Some(now.duration_since(sent_at));
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
        self.welcomes = self.welcomes.wrapping_add(1);
        self.event(ClientEvent::Joined(params, welcome.roster_len));
        self.list(&welcome.roster);
    }

    fn check_welcome(&self, welcome: &Welcome<'_>) -> Option<SessionParams> {
        let params = SessionParams {
            id: welcome.id,
            codec: CodecId::from_id(welcome.codec)?,
            format: AudioFormat {
                rate: SampleRate::from_hz(welcome.rate_hz)?,
                frame: FrameDuration::from_millis(welcome.frame_ms)?,
            },
            idle_timeout: Duration::from_millis(u64::from(welcome.idle_timeout_ms)),
        };
        let offered = self.request.codecs.contains(&welcome.codec)
            && self.request.rates.contains(&params.format.rate);
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
        if self.events.is_full() {
            // Whatever the last of them tells holds no longer.
            let _ = self.events.pop_back();
        }
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
