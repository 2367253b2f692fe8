//! The sound of a stay: frames at their times, from the first joining to leaving, whatever the connection does.

use super::{connection::Connection, ends::Ends, tell::Teller};
use crate::{audio::Captured, clock::FrameClock, events::EventKind};
use std::time::Instant;
use talkspurt_core::{audio::format::FRAME_SAMPLES_MAX, session::SessionParams};

/// Opened ends and the clock that drives them. While the server is away frames go by in silence: a file has no gap.
pub(super) struct Stay {
    pub(super) ends: Ends,
    pub(super) joined_at: Instant,
    clock: FrameClock,
    frame_samples: usize,
    input_ended: bool,
}

impl Stay {
    /// The first frame is due now.
    pub(super) fn new(ends: Ends, params: &SessionParams, now: Instant) -> Self {
        Self {
            ends,
            joined_at: now,
            clock: FrameClock::new(now, params.frame.ms()),
            frame_samples: params.frame_samples(),
            input_ended: false,
        }
    }

    /// A restarted server may have another frame duration.
    pub(super) fn follow(&mut self, params: &SessionParams) {
        if self.frame_samples != params.frame_samples() {
            self.clock = FrameClock::new(self.clock.next_due(), params.frame.ms());
            self.frame_samples = params.frame_samples();
        }
    }

    pub(super) fn next_due(&self) -> Instant {
        self.clock.next_due()
    }

    /// Does all frames due at `now`, but none due at `until` or later. Says when the input ended, if it did.
    pub(super) fn run(
        &mut self,
        now: Instant,
        until: Option<Instant>,
        mut connection: Option<&mut Connection>,
        deafened: bool,
    ) -> Option<Instant> {
        let mut ended_at = None;
        while until.is_none_or(|until| self.clock.next_due() < until) {
            let due = self.clock.next_due();
            if !self.clock.take_due(now) {
                break;
            }
            if !self.input_ended && self.capture(connection.as_deref_mut()) == Captured::End {
                self.input_ended = true;
                ended_at = Some(due);
            }
            let voice = connection
                .as_deref_mut()
                .and_then(|connection| connection.voice.as_mut());
            match voice {
                Some(voice) => voice.play(&mut *self.ends.sink, deafened),
                None => self
                    .ends
                    .sink
                    .write(&[0; FRAME_SAMPLES_MAX][..self.frame_samples]),
            }
        }
        ended_at
    }

    /// Passes on what has become of a recording.
    pub(super) fn tell_of_recording(&mut self, teller: &Teller) {
        while let Some(notice) = self.ends.sink.next_notice() {
            teller.tell(EventKind::Recording {
                state: notice.state(),
                file: notice.file(),
                text: notice.text(),
            });
        }
    }

    /// One frame of the source: sent if we are in the room, else gone, as what is said to a dead line is.
    fn capture(&mut self, connection: Option<&mut Connection>) -> Captured {
        if let Some(connection) = connection
            && let Some(voice) = &mut connection.voice
        {
            let outbox = &mut connection.link.outbox;
            return voice.capture(&mut *self.ends.source, |packet| outbox.push_voice(packet));
        }
        self.ends
            .source
            .read(&mut [0; FRAME_SAMPLES_MAX][..self.frame_samples])
    }
}
