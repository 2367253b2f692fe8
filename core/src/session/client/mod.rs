//! The client's end: asks to join, keeps the session alive, reports what the room does.

use heapless::{Deque, String};

use self::delay::DelayReports;
use self::roster::{RosterWatch, owned};
use super::PINGS_PER_TIMEOUT;
use super::join::{ClientEvent, JoinRequest, SessionParams};
use crate::seq::Seq;
use crate::time::{Duration, Instant};
use crate::wire::{
    Bye, ClientPacket, Hello, NO_NONCE, Nonce, OFFERS_MAX, PROTOCOL_VERSION, ParseError,
    ParticipantFlags, ROSTER_PAGE, Reason, ServerPacket, ServerPong, SetMuted, TEXT_BYTES_MAX,
    Text, TickHint, Token, Voice, Welcome,
};

mod delay;
mod roster;
mod talking;
mod tick_hint;

/// The most events of one input: a full page of a roster, and its end.
const EVENTS_MAX: usize = ROSTER_PAGE + 1;

/// A Hello that has no answer goes again after this long: a serial line may have lost it.
const HELLO_EVERY: Duration = Duration::from_secs(1);

/// A client never waits for longer before it tries again, whatever the server asks for.
const RETRY_MS_MAX: u32 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum State {
    AwaitingWelcome {
        deadline: Instant,
        repeat_at: Instant,
    },
    Joined(SessionParams),
    Closed,
}

/// One session at a time, from Hello to Bye.
#[derive(Clone, Debug)]
pub struct ClientSession {
    request: JoinRequest,
    state: State,
    nonce: Nonce,
    /// Resumes the last session; from its Welcome.
    resume: Option<Token>,
    /// The number of the last Ping. It goes on from session to session, so that an answer to one of
    /// an earlier session is none to this one's.
    pings: u32,
    events: Deque<ClientEvent, EVENTS_MAX>,
    closing_text: String<TEXT_BYTES_MAX, u8>,
    run: Run,
}

/// What begins anew with each session.
#[derive(Clone, Debug, Default)]
struct Run {
    heard_at: Instant,
    next_ping_at: Instant,
    /// When the last Ping was sent, while it has no answer.
    pinged_at: Option<Instant>,
    round_trip: Option<Duration>,
    /// The first Ping that a talker sent since anything was heard; an earlier time if there was
    /// none.
    asked_at: Instant,
    roster: RosterWatch,
    /// The last voice packet that was sent when the microphone was muted, or the session left.
    after: Option<Seq>,
    /// What the server was told of the microphone last.
    told_muted: bool,
    /// Whether that went before the last Ping, so that the Pong must agree.
    told_before_ping: bool,
    /// What the server said last of the client's frames.
    tick_hint: Option<TickHint>,
    /// The last voice packet before the client shifted its frames.
    shifted_after: Option<Seq>,
    /// What both sides say of how long voice takes.
    delays: DelayReports,
    hello_due: bool,
    ping_due: bool,
    pong_due: Option<u32>,
    bye_due: Option<Reason>,
}

/// How it stands, without what waits to be taken.
#[cfg(feature = "defmt")]
impl defmt::Format for ClientSession {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(
            f,
            "ClientSession {{ state: {}, heard_at: {}, round_trip: {} }}",
            self.state,
            self.run.heard_at,
            self.run.round_trip
        )
    }
}

impl ClientSession {
    /// Creates a session that has not begun: nothing happens until [`ClientSession::begin`].
    #[inline]
    pub fn new(request: JoinRequest) -> Self {
        Self {
            request,
            state: State::Closed,
            nonce: NO_NONCE,
            resume: None,
            pings: 0,
            events: Deque::new(),
            closing_text: String::new(),
            run: Run::default(),
        }
    }

    /// Begins another session, with the same request: the Hello is the first thing to transmit, and
    /// the answer may take `handshake_timeout`. Whatever is left of an earlier session is
    /// forgotten, except that the server is asked to resume it.
    ///
    /// `nonce` names the session: not all zeros, and one that comes again, even after a reset,
    /// makes the server take this session for the one before.
    pub fn begin(&mut self, handshake_timeout: Duration, nonce: Nonce, now: Instant) {
        self.state = State::AwaitingWelcome {
            deadline: now + handshake_timeout,
            repeat_at: now + HELLO_EVERY,
        };
        self.nonce = nonce;
        self.events.clear();
        self.closing_text.clear();
        self.run = Run {
            heard_at: now,
            asked_at: now,
            told_muted: self.request.muted,
            hello_due: true,
            ..Run::default()
        };
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
        if self.is_closed() {
            return None;
        }
        let packet = match packet {
            Ok(packet) => packet,
            Err(error) => {
                self.handle_unreadable(now, error);
                return None;
            }
        };
        self.run.heard_at = now;
        match packet {
            ServerPacket::Voice(voice) => self.params().map(|_| voice),
            // Whether it is of use is judged when it is taken.
            ServerPacket::TickHint(hint) => {
                self.run.tick_hint = Some(hint);
                None
            }
            ServerPacket::DelayReport(report) => {
                self.run.delays.heard(report);
                None
            }
            packet => {
                self.handle_control(now, packet);
                None
            }
        }
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        match &mut self.state {
            State::AwaitingWelcome { deadline, .. } if now >= *deadline => {
                // On a serial line a Welcome that comes late would leave a session behind.
                self.close(Reason::IDLE_TIMEOUT, Some(Reason::LEAVING));
            }
            State::AwaitingWelcome { repeat_at, .. } if now >= *repeat_at => {
                *repeat_at = now + HELLO_EVERY;
                self.run.hello_due = true;
            }
            State::Joined(params) => {
                let idle_timeout = params.idle_timeout;
                if now.duration_since(self.run.heard_at) >= idle_timeout {
                    return self.end(Reason::IDLE_TIMEOUT);
                }
                if now >= self.run.next_ping_at {
                    self.ask(now, idle_timeout);
                }
                self.run.roster.handle_timeout(now);
            }
            _ => {}
        }
    }

    /// When to call [`ClientSession::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitingWelcome {
                deadline,
                repeat_at,
            } => Some(deadline.min(repeat_at)),
            State::Joined(params) => {
                let idle_at = self.run.heard_at + params.idle_timeout;
                let next = self.run.next_ping_at.min(idle_at);
                let ask_at = self.run.roster.poll_timeout();
                Some(ask_at.map_or(next, |at| next.min(at)))
            }
            State::Closed => None,
        }
    }

    /// Returns the next packet of the session. Voice does not pass here.
    // Inlined, it costs a Cortex-M0 70 bytes more.
    #[inline(never)]
    pub fn poll_transmit(&mut self) -> Option<ClientPacket<'_>> {
        if core::mem::take(&mut self.run.hello_due) {
            return Some(ClientPacket::Hello(self.hello()));
        }
        if let Some(number) = self.run.pong_due.take() {
            return Some(ClientPacket::Pong(number));
        }
        let (muted, after) = (self.request.muted, self.run.after);
        if self.params().is_some() {
            if muted != self.run.told_muted {
                self.run.told_muted = muted;
                self.run.told_before_ping = false;
                return Some(ClientPacket::SetMuted(SetMuted { muted, after }));
            }
            if self.run.roster.take_request() {
                return Some(ClientPacket::RosterRequest);
            }
            if let Some(report) = self.run.delays.take_due() {
                return Some(ClientPacket::DelayReport(report));
            }
        }
        if core::mem::take(&mut self.run.ping_due) {
            return Some(ClientPacket::Ping(self.pings));
        }
        let bye = Bye::from(self.run.bye_due.take()?);
        Some(ClientPacket::Bye(Bye { after, ..bye }))
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// Tells the server that the microphone is muted, or not, `after` this voice packet of the
    /// session. The next Hello says it, too.
    pub fn set_muted(&mut self, muted: bool, after: Option<Seq>) {
        if self.request.muted != muted {
            (self.request.muted, self.run.after) = (muted, after);
        }
    }

    /// Leaves, `after` this voice packet: a Bye is transmitted, and the session is over.
    pub fn leave(&mut self, after: Option<Seq>) {
        self.run.after = after;
        self.close(Reason::LEAVING, Some(Reason::LEAVING));
    }

    /// Ends the session from this side, with a Bye: what was said is not played out. Changes
    /// nothing once it is over.
    pub fn end(&mut self, reason: Reason) {
        if !self.is_closed() {
            self.run.after = None;
        }
        self.close(reason, Some(reason));
    }

    /// Returns what the server decided, while in a room.
    // Inlined, it costs a Cortex-M0 80 bytes more.
    #[inline(never)]
    pub fn params(&self) -> Option<SessionParams> {
        match self.state {
            State::Joined(params) => Some(params),
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
        self.run.round_trip
    }

    /// What the server said with its Reject or Bye; empty if it said nothing.
    pub fn closing_text(&self) -> &str {
        &self.closing_text
    }

    fn hello(&self) -> Hello<'_> {
        let rates_hz = self.request.rates.iter().map(|rate| rate.hz());
        Hello {
            version: PROTOCOL_VERSION,
            nonce: self.nonce,
            max_packet: self.request.max_packet,
            features: self.request.features(),
            resume: self.resume,
            room: &self.request.room,
            name: &self.request.name,
            codecs_up: &self.request.codecs,
            codecs_down: &self.request.codecs,
            rates_hz: rates_hz.take(OFFERS_MAX).collect(),
            flags: ParticipantFlags::default().with(ParticipantFlags::MUTED, self.run.told_muted),
            roster: self.request.roster.into(),
            credentials: &self.request.credentials,
        }
    }

    fn handle_unreadable(&mut self, now: Instant, error: ParseError) {
        match error {
            ParseError::Skippable => self.run.heard_at = now,
            ParseError::Version { nonce, .. } => {
                if self.params().is_none() && nonce == self.nonce {
                    self.refused(ClientEvent::Rejected, Reason::VERSION, 0, Text::default());
                }
            }
            ParseError::Malformed => self.end(Reason::MALFORMED),
            ParseError::Unknown => self.end(Reason::UNEXPECTED),
        }
    }

    fn ask(&mut self, now: Instant, idle_timeout: Duration) {
        self.run.next_ping_at = now + idle_timeout / PINGS_PER_TIMEOUT;
        self.pings = self.pings.wrapping_add(1);
        self.run.pinged_at = Some(now);
        self.run.ping_due = true;
        self.run.told_before_ping = true;
    }

    #[inline(never)]
    fn handle_control(&mut self, now: Instant, packet: ServerPacket<'_>) {
        match packet {
            ServerPacket::Ping(number) => self.run.pong_due = Some(number),
            ServerPacket::Pong(pong) => self.handle_pong(now, &pong),
            ServerPacket::Reject(reject) if [self.nonce, NO_NONCE].contains(&reject.nonce) => {
                let (reason, retry_ms) = (reject.reason, reject.retry_ms);
                self.refused(ClientEvent::Rejected, reason, retry_ms, reject.text);
            }
            ServerPacket::Welcome(welcome) if welcome.nonce == self.nonce => {
                self.handle_welcome(now, &welcome);
            }
            // The rest belongs to a session, and before its Welcome to an earlier one.
            _ if self.params().is_none() => {}
            ServerPacket::Bye(bye) => {
                self.refused(ClientEvent::Closed, bye.reason, bye.retry_ms, bye.text);
            }
            packet if self.request.roster => self.handle_roster(now, packet),
            ServerPacket::Count(participants) => self.event(ClientEvent::Count(participants)),
            _ => {}
        }
    }

    fn handle_roster(&mut self, now: Instant, packet: ServerPacket<'_>) {
        let (revision, event) = match packet {
            ServerPacket::Roster(page) => return self.handle_page(now, &page),
            ServerPacket::Joined(joined) => (
                joined.revision,
                ClientEvent::ParticipantJoined(owned(&joined.entry)),
            ),
            ServerPacket::Left(left) => (
                left.revision,
                ClientEvent::ParticipantLeft(left.id, left.reason),
            ),
            ServerPacket::State(state) => {
                (state.revision, ClientEvent::State(state.id, state.flags))
            }
            _ => return,
        };
        if self.run.roster.handle_change(now, revision) {
            self.event(event);
        }
    }

    fn handle_pong(&mut self, now: Instant, pong: &ServerPong) {
        let is_answer = pong.number == self.pings;
        let Some(sent_at) = self.run.pinged_at.take_if(|_| is_answer) else {
            return;
        };
        self.run.round_trip = Some(now.duration_since(sent_at));
        if pong.revision == 0 {
            // The server answers one that is in no room.
            return;
        }
        if self.run.told_before_ping {
            // If the SetMuted was lost, it goes again.
            self.run.told_muted = pong.flags.has(ParticipantFlags::MUTED);
        }
        if self.request.roster {
            self.run.roster.handle_pong(now, pong.revision);
        }
    }

    fn handle_welcome(&mut self, now: Instant, welcome: &Welcome) {
        let Some(params) = self.request.params(welcome) else {
            return self.end(Reason::UNEXPECTED);
        };
        if self.request.roster {
            self.run.roster.expect(now, welcome.revision);
        }
        if self.params().is_none() {
            self.state = State::Joined(params);
            self.resume = welcome.resume;
            self.run
                .delays
                .agree(self.request.features() & welcome.features);
            self.run.hello_due = false;
            self.run.next_ping_at = now;
            self.event(ClientEvent::Joined(params, welcome.participants));
        } else if !self.request.roster {
            // The answer to a Hello that was repeated.
            self.event(ClientEvent::Count(welcome.participants));
        }
    }

    /// The server has ended the session, or does not begin one.
    fn refused(
        &mut self,
        event: fn(Reason, Duration) -> ClientEvent,
        reason: Reason,
        retry_ms: u32,
        text: Text<'_>,
    ) {
        text.copy_to(&mut self.closing_text);
        self.over(event, reason, retry_ms);
    }

    fn close(&mut self, reason: Reason, bye: Option<Reason>) {
        if self.is_closed() {
            return;
        }
        // A client that has not said Hello yet need not say Bye.
        self.run.bye_due = bye.filter(|_| !self.run.hello_due);
        if self.events.is_full() {
            // Whatever the last of them tells holds no longer.
            let _ = self.events.pop_back();
        }
        self.over(ClientEvent::Closed, reason, 0);
    }

    // Inlined, it costs a Cortex-M0 80 bytes more.
    #[inline(never)]
    fn over(&mut self, event: fn(Reason, Duration) -> ClientEvent, reason: Reason, retry_ms: u32) {
        if reason.is_permanent() && self.params().is_some() {
            // The server has forgotten this session as well.
            self.resume = None;
        }
        self.state = State::Closed;
        self.run.hello_due = false;
        let wait = Duration::from_millis(retry_ms.min(RETRY_MS_MAX).into());
        self.event(event(reason, wait));
    }

    fn event(&mut self, event: ClientEvent) {
        assert!(
            self.events.push_back(event).is_ok(),
            "take the events after each input"
        );
    }
}
