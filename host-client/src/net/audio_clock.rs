//! The sound of a stay: frames on time, from the first joining to leaving, whatever the connection
//! does. While the server is away frames are silent: a file has no gap.
//!
//! A microphone and a speaker have clocks of their own here. The microphone's frames are due
//! evenly, and sent as soon as they are whole. The speaker's follow the packets ([`PlayoutClock`]).
//! A file is given its frames evenly instead.

use super::{
    audio_io::AudioIo,
    event_channel::Teller,
    playout_clock::{Hearing, Played, PlayoutClock},
};
use crate::{audio::Captured, clock::FrameClock, events::EventKind, participant::Participant};
use std::time::{Duration, Instant};
use talkspurt_core::{session::SessionParams, time::Instant as CoreInstant};

/// A frame that is due is waited for so long. Then the microphone counts as dry.
const LATE_MAX: Duration = Duration::from_millis(40);

/// How often a frame that is not whole is looked for where nothing wakes the session.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Opened source and sink, and the clocks that drive them.
pub(super) struct AudioClock {
    pub(super) io: AudioIo,
    pub(super) started_at: Instant,
    capture: FrameClock,
    playout: Playout,
    frame_ms: u8,
    frame_samples: usize,
    input_ended: bool,
    /// Frames that waited to be played when the clock ran last.
    waiting_frames: u16,
    /// When to look again for what is due.
    wake_at: Instant,
}

enum Playout {
    /// As the packets come.
    Device(PlayoutClock),
    /// Evenly.
    File(FrameClock),
}

impl AudioClock {
    /// The first frame is due now.
    pub(super) fn new(mut io: AudioIo, params: &SessionParams, now: Instant) -> Self {
        let frame_ms = params.format.frame.ms();
        let playout = match io.sink.slack() {
            Some(_) => Playout::Device(PlayoutClock::new(now, frame_ms)),
            None => Playout::File(FrameClock::new(now, frame_ms)),
        };
        Self {
            io,
            started_at: now,
            capture: FrameClock::new(now, frame_ms),
            playout,
            frame_ms,
            frame_samples: params.format.frame_samples(),
            input_ended: false,
            waiting_frames: 0,
            wake_at: now,
        }
    }

    /// Adopts the parameters of a new session: a restarted server may have another frame duration.
    pub(super) fn follow(&mut self, params: &SessionParams) {
        self.frame_samples = params.format.frame_samples();
        let frame_ms = params.format.frame.ms();
        if self.frame_ms == frame_ms {
            return;
        }
        self.frame_ms = frame_ms;
        self.capture = FrameClock::new(self.capture.next_due(), frame_ms);
        match &mut self.playout {
            Playout::Device(clock) => clock.set_frame_ms(frame_ms),
            Playout::File(clock) => *clock = FrameClock::new(clock.next_due(), frame_ms),
        }
    }

    /// When to call [`AudioClock::run`] again, unless packets come or the microphone wakes the
    /// session earlier.
    pub(super) fn next_due(&self) -> Instant {
        self.wake_at
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
        let is_over = |due| until.is_some_and(|until| due >= until);
        let mut ended_at = None;
        let capture_at = loop {
            let due = self.capture.next_due();
            if now < due || is_over(due) {
                break due;
            }
            if let Some(later) = participant.take_tick_shift() {
                let later = Duration::from_micros(later.as_micros());
                self.capture.shift(later);
                self.io.source.skip(later);
                continue;
            }
            let given_up_at = due + LATE_MAX;
            if now < given_up_at && !self.io.source.is_ready(self.frame_samples) {
                break match self.io.has_wake() {
                    true => given_up_at,
                    false => now + LOOK_EVERY,
                };
            }
            self.capture.take_due(now);
            let source = &mut *self.io.source;
            if !self.input_ended && participant.capture(core_now, source) == Captured::End {
                self.input_ended = true;
                ended_at = Some(due);
            }
        };
        let playout_at = match &mut self.playout {
            Playout::Device(clock) => {
                let waiting = participant.waiting_frames();
                clock.arrived(now, waiting.saturating_sub(self.waiting_frames).into());
                for _ in 0..clock.take_missed(now) {
                    participant.skip_playout();
                }
                loop {
                    let hearing = Hearing {
                        is_active: participant.is_hearing(),
                        is_next_here: participant.is_next_here(),
                        slack: self.io.sink.slack().unwrap_or_default(),
                        waiting_frames: participant.waiting_frames(),
                    };
                    let due = clock.next_due(now, hearing);
                    if now < due || is_over(due) {
                        break due;
                    }
                    let is_received = participant.play(core_now, &mut *self.io.sink);
                    clock.played(Played {
                        is_received,
                        is_pause: participant.plays_pause(),
                        waiting_frames: participant.waiting_frames(),
                        margin_frames: participant.margin_frames(),
                    });
                }
            }
            Playout::File(clock) => loop {
                let due = clock.next_due();
                if now < due || is_over(due) {
                    break due;
                }
                clock.take_due(now);
                participant.play(core_now, &mut *self.io.sink);
            },
        };
        self.waiting_frames = participant.waiting_frames();
        self.wake_at = capture_at.min(playout_at);
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
