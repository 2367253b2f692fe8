//! Whether the server is still there: what it was asked, and when anything was heard of it.

use super::PINGS_PER_TIMEOUT;
use crate::time::{Duration, Instant};

/// While the client talks, a server that has said nothing for this long is asked whether it is there, ...
const TALKING_PING_EVERY: Duration = Duration::from_secs(1);

/// ... and counts as lost when it has not answered for this long. Otherwise a broken path would cost the idle timeout, or as long as
/// TCP takes to try again.
const TALKING_PATIENCE: Duration = Duration::from_secs(3);

/// When to ask, and when to give up.
#[derive(Clone, Debug)]
pub(super) struct Liveness {
    heard_at: Instant,
    /// When the client last sent voice, if the caller says so.
    voice_at: Instant,
    /// The first Ping since anything was heard; an earlier time if there was none.
    asked_at: Instant,
    next_ping_at: Instant,
    ping: Option<(u32, Instant)>,
    pings: u32,
    round_trip: Option<Duration>,
}

/// What is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Due {
    Nothing,
    /// A Ping with this number.
    Ping(u32),
    /// Nothing was heard for the idle timeout.
    IdleTimeout,
    /// The client talks to nobody.
    Lost,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            heard_at: now,
            voice_at: now,
            asked_at: now,
            next_ping_at: now,
            ping: None,
            pings: 0,
            round_trip: None,
        }
    }

    /// The session has begun: a Ping is due.
    pub(super) fn joined(&mut self, now: Instant) {
        self.next_ping_at = now;
    }

    /// A packet came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// It was the answer to a Ping.
    pub(super) fn answered(&mut self, number: u32, now: Instant) {
        if let Some((_, sent_at)) = self.ping.take_if(|(expected, _)| *expected == number) {
            self.round_trip = Some(now.since(sent_at));
        }
    }

    pub(super) fn voice_sent(&mut self, now: Instant) {
        self.voice_at = now;
    }

    pub(super) fn handle_timeout(&mut self, now: Instant, idle_timeout: Duration) -> Due {
        if now >= self.heard_at + idle_timeout {
            Due::IdleTimeout
        } else if self.lost_at().is_some_and(|at| now >= at) {
            Due::Lost
        } else if now >= self.ping_at() {
            if self.asked_at <= self.heard_at {
                self.asked_at = now;
            }
            self.next_ping_at = now + idle_timeout.divided_by(PINGS_PER_TIMEOUT);
            self.pings = self.pings.wrapping_add(1);
            self.ping = Some((self.pings, now));
            Due::Ping(self.pings)
        } else {
            Due::Nothing
        }
    }

    /// When something is due next.
    pub(super) fn poll_timeout(&self, idle_timeout: Duration) -> Instant {
        let given_up_at = self.heard_at + idle_timeout;
        let lost_at = self.lost_at().unwrap_or(given_up_at);
        self.ping_at().min(given_up_at).min(lost_at)
    }

    #[cfg(feature = "defmt")]
    pub(super) const fn heard_at(&self) -> Instant {
        self.heard_at
    }

    pub(super) const fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Whether voice was sent since anything was heard.
    fn talks_unanswered(&self) -> bool {
        self.voice_at > self.heard_at
    }

    fn ping_at(&self) -> Instant {
        let sent_at = self.ping.map_or(self.heard_at, |(_, sent_at)| sent_at);
        let next = sent_at.max(self.heard_at) + TALKING_PING_EVERY;
        if self.talks_unanswered() {
            next.min(self.next_ping_at)
        } else {
            self.next_ping_at
        }
    }

    fn lost_at(&self) -> Option<Instant> {
        let asked = self.talks_unanswered() && self.asked_at > self.heard_at;
        asked.then(|| self.asked_at + TALKING_PATIENCE)
    }
}
