//! The current state of a participant, and its counts.

use super::Participant;
use crate::{
    config::rms_to_dbfs,
    events::{Counts, DelayParts, Levels, RosterLine},
};
use talkspurt_core::{audio::gate::GateLevels, time::Instant};

/// Everything that the live view shows, some milliseconds old at most.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// Whether we are in the room.
    pub connected: bool,
    /// Our number; 0 before joining.
    pub id: u32,
    /// The codec's name.
    pub codec: &'static str,
    /// Milliseconds in a frame; 0 before joining.
    pub frame_ms: u8,
    /// Everyone in the room.
    pub roster: Vec<RosterLine>,
    /// RMS of the last captured frame.
    pub input_rms: u16,
    /// RMS of the last played frame.
    pub output_rms: u16,
    /// The noise floor and the gate's thresholds; `None` when it does not gate.
    pub gate: Option<GateLevels>,
    /// Whether our gate is open.
    pub talking: bool,
    /// Whether our microphone is muted.
    pub muted: bool,
    /// Whether the push-to-talk key is held; `None` without push-to-talk.
    pub key_held: Option<bool>,
    /// Whether the voice is too quiet for the gate.
    pub too_quiet: bool,
    /// Whether we are deafened.
    pub deafened: bool,
    /// From mouth to ear, of the voice heard last, in milliseconds.
    pub delay_ms: Option<u32>,
    /// What of such delays lies where on our side.
    pub delay_parts: DelayParts,
    /// Round trip to the server, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// How long a received frame waits until it is heard, in milliseconds.
    pub playout_ms: u32,
    /// The counts so far.
    pub counts: Counts,
}

impl Snapshot {
    /// Returns loudness and delay for an event.
    pub(crate) fn levels(&self) -> Levels {
        Levels {
            input_dbfs: rms_to_dbfs(self.input_rms),
            output_dbfs: rms_to_dbfs(self.output_rms),
            noise_dbfs: self.gate.and_then(|gate| gate.noise_rms).map(rms_to_dbfs),
            gate_open_dbfs: self.gate.map(|gate| rms_to_dbfs(gate.open_rms)),
            gate_close_dbfs: self.gate.map(|gate| rms_to_dbfs(gate.close_rms)),
            delay_ms: self.delay_ms,
            delay_parts: self.delay_parts,
            round_trip_ms: self.round_trip_ms,
            playout_ms: self.playout_ms,
            packets_lost: self.counts.packets_lost,
        }
    }
}

impl Participant {
    /// Returns the current state.
    #[must_use]
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let mut snapshot = Snapshot {
            roster: self.roster.lines(),
            gate: self.client.gate_levels(),
            muted: self.client.is_muted(),
            key_held: self.key_held,
            deafened: self.deafened,
            counts: self.counts(),
            ..Snapshot::default()
        };
        if let Some(params) = self.client.params() {
            let round_trip = self.client.round_trip();
            let (waiting_frames, _) = self.client.playout_frames();
            snapshot.connected = true;
            snapshot.id = params.id.0;
            snapshot.codec = params.codec_up.name();
            snapshot.frame_ms = params.format.frame.ms();
            snapshot.input_rms = self.client.level_rms();
            snapshot.output_rms = self.output_rms;
            snapshot.talking = self.client.is_talking();
            snapshot.too_quiet =
                !snapshot.talking && self.too_quiet_until.is_some_and(|until| now < until);
            snapshot.delay_ms = self.delay_ms();
            snapshot.delay_parts = self.delay.parts().into();
            snapshot.round_trip_ms = round_trip.map(|span| span.as_micros() as f64 / 1_000.0);
            snapshot.playout_ms = u32::from(waiting_frames) * u32::from(params.format.frame.ms());
        }
        snapshot
    }

    fn delay_ms(&self) -> Option<u32> {
        let delay = self.client.mouth_to_ear(&self.delay)?;
        u32::try_from(delay.as_millis()).ok()
    }

    /// Returns the counts of the stay so far, except those that only the driver knows.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let stats = self.client.stats();
        let jitter = self.client.jitter_stats();
        Counts {
            talkspurts: stats.talkspurts.into(),
            frames_captured: stats.frames_captured.into(),
            frames_sent: stats.frames_sent.into(),
            frames_received: stats.frames_received.into(),
            frames_played: stats.frames_played.into(),
            frames_concealed: jitter.concealed.into(),
            frames_late: jitter.late.into(),
            frames_skipped: jitter.skipped.into(),
            frames_dropped: stats.voice_dropped.into(),
            packets_lost: jitter.lost.into(),
            bytes_bad: stats.dropped_bytes,
            delay_ms: self.delay_ms(),
            ..Counts::default()
        }
    }
}
