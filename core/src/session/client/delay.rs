//! How long voice takes, as both ends tell it. Apart, so that a node, which tells nothing, carries
//! little of it.

use super::{ClientSession, State};
use crate::delay::DELAY_MAX;
use crate::time::{Duration, Instant};
use crate::wire::{DelayReport, FEATURE_DELAY_REPORT};

/// What both sides of a session say.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct DelayReports {
    is_agreed: bool,
    /// How long the voice that the server sends had taken, as it said last; 0 if it is not known.
    heard_ms: u16,
    /// What is to be said of the client's own voice; 0 if nothing.
    due_ms: u16,
}

impl DelayReports {
    /// Takes the features that both sides have.
    pub(super) const fn agree(&mut self, features: u32) {
        self.is_agreed = features & FEATURE_DELAY_REPORT > 0;
    }

    pub(super) const fn heard(&mut self, report: DelayReport) {
        self.heard_ms = report.delay_ms;
    }

    pub(super) fn take_due(&mut self) -> Option<DelayReport> {
        let delay_ms = core::mem::take(&mut self.due_ms);
        (delay_ms > 0).then_some(DelayReport { delay_ms })
    }
}

impl ClientSession {
    /// Whether both sides tell how long voice takes.
    pub const fn reports_delay(&self) -> bool {
        self.run.delays.is_agreed
    }

    /// Tells the server how long the client's voice takes to it, in milliseconds.
    pub const fn report_delay(&mut self, delay_ms: u16) {
        if self.reports_delay() {
            self.run.delays.due_ms = delay_ms;
        }
    }

    /// How long the voice that is heard had taken when the server sent it, as the server said last.
    pub fn delay_heard(&self) -> Option<Duration> {
        let delay_ms = self.run.delays.heard_ms;
        let is_known = self.reports_delay() && delay_ms > 0;
        is_known.then(|| Duration::from_millis(delay_ms.into()).min(DELAY_MAX))
    }

    /// Whether a Ping waits for its answer.
    pub const fn is_pinging(&self) -> bool {
        self.run.pinged_at.is_some()
    }

    /// Asks for a Pong now, to measure the round trip, in a session that tells delays.
    pub fn ping(&mut self, now: Instant) {
        if let State::Joined(params) = self.state
            && self.reports_delay()
        {
            self.ask(now, params.idle_timeout);
        }
    }
}
