//! What the server counts by itself, read from its `/metrics` before and after a span: whose fault
//! it is that a frame was lost.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);

/// Frames and ticks that went wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counters {
    /// Frames made up for late or lost ones.
    pub concealed: u64,
    /// Frames blended away to shorten the delay.
    pub skipped: u64,
    /// Frames dropped because too many waited.
    pub overflowed: u64,
    /// Ticks given up because the server was late.
    pub ticks_skipped: u64,
}

impl Counters {
    /// Asks a server.
    ///
    /// # Errors
    /// It does not answer, or not with these counters.
    pub fn read(http: SocketAddr) -> Result<Self> {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(PATIENCE))
            .proxy(None)
            .build();
        let agent = ureq::Agent::new_with_config(config);
        let url = format!("http://{http}/metrics");
        let page = agent
            .get(&url)
            .call()
            .and_then(|mut answer| answer.body_mut().read_to_string())
            .with_context(|| format!("cannot read {url}"))?;
        Self::parse(&page).with_context(|| format!("{url} lacks a counter"))
    }

    fn parse(page: &str) -> Option<Self> {
        let counter = |name: &str| {
            page.lines().find_map(|line| {
                let value = line.strip_prefix(name)?.strip_prefix(' ')?;
                value.trim().parse().ok()
            })
        };
        Some(Self {
            concealed: counter("talkspurt_frames_concealed_total")?,
            skipped: counter("talkspurt_frames_skipped_total")?,
            overflowed: counter("talkspurt_frames_overflowed_total")?,
            ticks_skipped: counter("talkspurt_ticks_skipped_total")?,
        })
    }

    /// What was added to an earlier reading.
    pub fn since(self, earlier: Self) -> Self {
        self.with(earlier, u64::saturating_sub)
    }

    /// Of two spans together.
    pub fn and(self, other: Self) -> Self {
        self.with(other, u64::saturating_add)
    }

    fn with(self, other: Self, join: fn(u64, u64) -> u64) -> Self {
        Self {
            concealed: join(self.concealed, other.concealed),
            skipped: join(self.skipped, other.skipped),
            overflowed: join(self.overflowed, other.overflowed),
            ticks_skipped: join(self.ticks_skipped, other.ticks_skipped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counters_are_found_on_the_page() {
        let page = "# TYPE talkspurt_frames_concealed_total counter\n\
                    talkspurt_frames_concealed_total 9\n\
                    talkspurt_frames_skipped_total 2\ntalkspurt_frames_overflowed_total 3\n\
                    talkspurt_ticks_total 77\ntalkspurt_ticks_skipped_total 4\n";
        let counters = Counters {
            concealed: 9,
            skipped: 2,
            overflowed: 3,
            ticks_skipped: 4,
        };
        assert_eq!(Counters::parse(page), Some(counters));
        assert_eq!(counters.since(Counters::default()), counters);
        assert_eq!(counters.and(counters).since(counters), counters);
        assert_eq!(Counters::parse("talkspurt_ticks_total 77\n"), None);
    }
}
