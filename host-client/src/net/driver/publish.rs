//! What the driver publishes: snapshots for the live view, levels and counts for the events.

use super::{Driver, Phase};
use crate::{
    config::EventsFormat,
    events::{Counts, EventKind},
    participant::Snapshot,
};
use std::time::{Duration, Instant};

/// How often the snapshot is renewed: 20 times a second looks live.
const SNAPSHOT_EVERY: Duration = Duration::from_millis(50);
/// How often levels are reported if asked for.
const LEVELS_EVERY: Duration = Duration::from_secs(1);

impl Driver {
    /// Renews the snapshot, and reports the levels if asked for.
    pub(super) fn publish(&mut self, now: Instant) {
        if now < self.snapshot_at {
            return;
        }
        self.snapshot_at = now + SNAPSHOT_EVERY;
        self.teller.log_lost();
        let snapshot = self.current_snapshot(now);
        let levels_asked = self.config.events == EventsFormat::Json { levels: true };
        if levels_asked && snapshot.connected && now >= self.levels_at {
            self.levels_at = now + LEVELS_EVERY;
            self.teller.tell(EventKind::Level(snapshot.levels()));
        }
        self.snapshot.send_replace(snapshot);
    }

    fn current_snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = self.participant.snapshot(self.core_time(now));
        snapshot.counts = self.counts_now(now);
        if let Some(audio) = &self.audio
            && snapshot.connected
        {
            snapshot.playout_ms += audio.io.sink.delay_ms();
        }
        snapshot
    }

    pub(super) fn counts_now(&self, now: Instant) -> Counts {
        let mut counts = Counts {
            reconnects: self.counts.reconnects,
            bytes_sent: self.counts.bytes_sent,
            bytes_received: self.counts.bytes_received,
            ..self.participant.counts()
        };
        if let Phase::Open(link) = &self.phase {
            link.add_counts(&mut counts);
        }
        if let Some(audio) = &self.audio {
            counts.stayed_ms = (now - audio.started_at).as_millis() as u64;
        }
        counts
    }
}
