//! The sound of a stay: frames on time, from the first joining to leaving, whatever the connection
//! does. While the server is away frames are silent: a file has no gap.

use super::{audio_io::AudioIo, event_channel::Teller};
use crate::{audio::Captured, clock::FrameClock, events::EventKind, participant::Participant};
use std::time::Instant;
use talkspurt_core::{session::SessionParams, time::Instant as CoreInstant};

/// Opened source and sink, and the clock that drives them.
pub(super) struct AudioClock {
    pub(super) io: AudioIo,
    pub(super) started_at: Instant,
    frames: FrameClock,
    frame_ms: u8,
    input_ended: bool,
}

impl AudioClock {
    /// The first frame is due now.
    pub(super) fn new(io: AudioIo, params: &SessionParams, now: Instant) -> Self {
        let frame_ms = params.format.frame.ms();
        Self {
            io,
            started_at: now,
            frames: FrameClock::new(now, frame_ms),
            frame_ms,
            input_ended: false,
        }
    }

    /// Adopts the parameters of a new session: a restarted server may have another frame duration.
    pub(super) fn follow(&mut self, params: &SessionParams) {
        if self.frame_ms != params.format.frame.ms() {
            self.frame_ms = params.format.frame.ms();
            self.frames = FrameClock::new(self.frames.next_due(), self.frame_ms);
        }
    }

    pub(super) fn next_due(&self) -> Instant {
        self.frames.next_due()
    }

    /// Processes all frames due at `now`, but none due at `until` or later. Returns when the input
    /// ended, if it did.
    pub(super) fn run(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        participant: &mut Participant,
        core_now: CoreInstant,
    ) -> Option<Instant> {
        let mut ended_at = None;
        while until.is_none_or(|until| self.frames.next_due() < until) {
            let due = self.frames.next_due();
            if !self.frames.take_due(now) {
                break;
            }
            let source = &mut *self.io.source;
            if !self.input_ended && participant.capture(core_now, source) == Captured::End {
                self.input_ended = true;
                ended_at = Some(due);
            }
            participant.play(&mut *self.io.sink);
        }
        ended_at
    }

    /// Reports what has happened to a recording.
    pub(super) fn tell_of_recording(&mut self, teller: &Teller) {
        while let Some(notice) = self.io.sink.next_notice() {
            let (state, file, text) = notice.parts();
            teller.tell(EventKind::Recording { state, file, text });
        }
    }
}
