//! What the server counts, in plain integers: the voice path only adds to them, a scrape of
//! `/metrics` reads them.

use std::collections::BTreeMap;

use talkspurt_core::audio::jitter::JitterStats;
use talkspurt_core::wire::Reason;

/// Counts since the start of the server.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Whole packets that came and could be read.
    pub packets_in: u64,
    /// Whole packets taken by peers.
    pub packets_out: u64,
    /// Bytes that came, readable or not.
    pub bytes_in: u64,
    /// Bytes taken by peers.
    pub bytes_out: u64,
    /// Room ticks, each one mix.
    pub ticks: u64,
    /// Ticks given up because the server was too late for them.
    pub ticks_skipped: u64,
    /// Mixes rendered and encoded; listeners who share one count once.
    pub encodings: u64,
    /// Voice packets dropped because their listener took them too slowly.
    pub slow_consumer_drops: u64,
    /// Links that never became a session, by reason.
    pub handshake_failures: BTreeMap<&'static str, u64>,
    /// Links that closed before anything came from them.
    pub probes: u64,
    /// Sessions that ended, by reason.
    pub sessions_ended: BTreeMap<&'static str, u64>,
    /// Of talkers who have left; those who are here count for themselves.
    pub frames: FrameCounters,
}

impl Counters {
    /// Nothing has happened yet; every reason is there with a zero, so that a rate can be taken of
    /// it from its first time on.
    pub fn with_all_reasons() -> Self {
        let zeros: BTreeMap<_, _> = Reason::ALL.iter().map(|it| (it.label(), 0)).collect();
        Self {
            handshake_failures: zeros.clone(),
            sessions_ended: zeros,
            ..Self::default()
        }
    }

    /// Counts a link that was refused.
    pub fn refused(&mut self, reason: Reason) {
        *self.handshake_failures.entry(reason.label()).or_default() += 1;
    }

    /// Counts a session that ended.
    pub fn left(&mut self, reason: Reason) {
        *self.sessions_ended.entry(reason.label()).or_default() += 1;
    }
}

/// Jitter-buffer outcomes, summed over talkers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameCounters {
    /// Came after their turn.
    pub late: u64,
    /// Never came.
    pub lost: u64,
    /// Made up, for those that were late or lost.
    pub concealed: u64,
    /// Blended away to shorten the delay.
    pub skipped: u64,
    /// Dropped because too many waited.
    pub overflowed: u64,
}

impl FrameCounters {
    /// Adds one talker's counts.
    pub fn add(&mut self, stats: &JitterStats) {
        self.late += u64::from(stats.late);
        self.lost += u64::from(stats.lost);
        self.concealed += u64::from(stats.concealed);
        self.skipped += u64::from(stats.skipped);
        self.overflowed += u64::from(stats.overflowed);
    }
}

/// What is true right now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Rooms with someone in them.
    pub rooms: usize,
    /// Participants in all rooms.
    pub participants: usize,
    /// Participants with a talkspurt running.
    pub talkers: usize,
    /// Links that are in no room.
    pub handshakes: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_there_with_a_zero() {
        let counters = Counters::with_all_reasons();
        let of = |counts: &BTreeMap<&str, u64>| (counts.len(), counts.values().sum::<u64>());
        assert_eq!(of(&counters.handshake_failures), (Reason::ALL.len(), 0));
        assert_eq!(of(&counters.sessions_ended), (Reason::ALL.len(), 0));
    }

    #[test]
    fn the_frames_of_all_talkers_add_up() {
        let stats = JitterStats {
            late: 1,
            lost: 20,
            duplicate: 300,
            overflowed: 4_000,
            concealed: 50_000,
            skipped: 600_000,
        };
        let mut frames = FrameCounters::default();
        frames.add(&stats);
        frames.add(&stats);
        let twice = FrameCounters {
            late: 2,
            lost: 40,
            concealed: 100_000,
            skipped: 1_200_000,
            overflowed: 8_000,
        };
        assert_eq!(frames, twice);
    }
}
