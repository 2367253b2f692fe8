//! The session's way to its user: events in order, and a snapshot of the moment.

use super::voice::{VoicePath, VoiceSettings};
use crate::{
    config::{Threshold, rms_to_dbfs},
    events::{Counts, Event, EventKind, Levels, RosterLine},
};
use std::{
    sync::mpsc::{SyncSender, TrySendError},
    time::Instant,
};
use talkspurt_core::time::Duration as CoreDuration;

/// Events that may wait for a slow reader. A room's churn of hours fits; beyond it events are lost, and the log says so.
pub(super) const EVENTS_MAX: usize = 16_384;

/// Sends events, stamped with the time.
#[derive(Clone)]
pub(super) struct Teller {
    events: SyncSender<Event>,
    epoch: Instant,
}

impl Teller {
    pub(super) fn new(events: SyncSender<Event>, epoch: Instant) -> Self {
        Self { events, epoch }
    }

    /// Never waits: the session has frames to care for.
    pub(super) fn tell(&self, kind: EventKind) {
        let t_ms = self.epoch.elapsed().as_millis() as u64;
        match self.events.try_send(Event { t_ms, kind }) {
            // Nobody listens any more: the program is about to end.
            Ok(()) | Err(TrySendError::Disconnected(_)) => {}
            Err(TrySendError::Full(event)) => {
                tracing::error!(
                    event = event.to_json(),
                    "nobody reads the events; one is lost"
                );
            }
        }
    }
}

/// Everything the live view shows, as of some milliseconds ago.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// In the room now.
    pub connected: bool,
    /// Our number; 0 before joining.
    pub id: u16,
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
    /// The gate's thresholds; `None` when it does not gate.
    pub gate: Option<(Threshold, Threshold)>,
    /// Our gate is open.
    pub talking: bool,
    /// Our microphone is muted.
    pub muted: bool,
    /// We do not listen.
    pub deafened: bool,
    /// To the server and back, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// How long a received frame waits until it is heard, in milliseconds.
    pub playout_ms: u32,
    /// The counts so far.
    pub counts: Counts,
}

impl Snapshot {
    /// What there is to show without a connection.
    pub(super) fn before_joining(settings: &VoiceSettings) -> Self {
        Self {
            connected: false,
            id: 0,
            codec: "",
            frame_ms: 0,
            roster: Vec::new(),
            input_rms: 0,
            output_rms: 0,
            gate: settings
                .gate
                .enabled
                .then_some((settings.gate.open, settings.gate.close)),
            talking: false,
            muted: settings.muted,
            deafened: false,
            round_trip_ms: None,
            playout_ms: 0,
            counts: Counts::default(),
        }
    }

    /// Adds what a session in the room has to show.
    pub(super) fn show(
        &mut self,
        voice: &VoicePath,
        round_trip: Option<CoreDuration>,
        sink_ms: u32,
    ) {
        let params = voice.params();
        self.connected = true;
        (self.id, self.codec, self.frame_ms) =
            (params.id.0, params.codec.name(), params.frame.ms());
        (self.input_rms, self.output_rms) = (voice.input_rms(), voice.output_rms());
        self.talking = voice.is_talking();
        self.round_trip_ms = round_trip.map(|span| span.as_micros() as f64 / 1_000.0);
        self.playout_ms = voice.waiting_ms() + sink_ms;
    }

    /// Loudness and delay for an event.
    pub(super) fn levels(&self) -> Levels {
        Levels {
            input_dbfs: rms_to_dbfs(self.input_rms),
            output_dbfs: rms_to_dbfs(self.output_rms),
            round_trip_ms: self.round_trip_ms,
            playout_ms: self.playout_ms,
            packets_lost: self.counts.packets_lost,
        }
    }
}
