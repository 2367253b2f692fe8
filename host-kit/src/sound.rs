//! Sources and sinks of frames: what devices, files and nothing have in common.
//!
//! A program with a clock takes one frame from a [`Source`] and gives one to a [`Sink`] each frame
//! period. Neither ever blocks: a source with nothing ready yields silence, and one that has ended
//! says so. All frames are 16-bit mono at [`ROOM_RATE_HZ`](crate::sample::ROOM_RATE_HZ).

mod notice;

pub use notice::{RecordingNotice, recording_line};

use std::{io, time::Duration};

/// What a [`Source`] had for this frame period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The frame was filled. The last frame of a file is padded with silence.
    Frame,
    /// Nothing was captured (yet): the frame is silence, and no sample was skipped.
    Missing,
    /// The source has ended: the frame is silence.
    End,
}

/// The microphone's side: a device, a file, or nothing.
pub trait Source: Send {
    /// Fills `frame` with the next frame of sound, or with silence where there is none.
    fn read(&mut self, frame: &mut [i16]) -> Captured;

    /// Returns whether the next frame, of so many samples, has been captured as a whole. Reading it
    /// may be put off for a moment if not.
    fn is_ready(&mut self, _frame_samples: usize) -> bool {
        true
    }

    /// Lets the source drop sound that waits needlessly long before the next frame. To be called
    /// while nothing is sent, so that nobody hears the splice.
    fn may_drop(&mut self) {}

    /// Passes over so much sound before the next frame, which will be read later by as much. Nobody
    /// hears the splice.
    fn skip(&mut self, _span: Duration) {}

    /// Returns how long ago the frame that was read last ended: so much sound from behind it waits
    /// in a device and its buffers.
    fn age(&self) -> Duration {
        Duration::ZERO
    }

    /// Takes the reason why the source ended, if that was not the end of a file.
    fn take_problem(&mut self) -> Option<String> {
        None
    }
}

/// The speaker's side: a device, a file, or nothing.
pub trait Sink: Send {
    /// Prepares for the first frame, which follows.
    fn begin(&mut self) {}

    /// Takes the next frame of sound. [`Self::next_notice`] reports what happened to it, if that
    /// needs reporting.
    fn write(&mut self, frame: &[i16]);

    /// Takes a frame of silence between what is said. A device that has nothing to play need not
    /// be fed.
    fn write_silence(&mut self, frame: &[i16]) {
        self.write(frame);
    }

    /// Returns by how much the next frame may be put off before what was written has been played:
    /// a frame that comes late is then in time. `None` if frames are to come evenly, as in a file.
    fn slack(&mut self) -> Option<Duration> {
        None
    }

    /// Returns how long samples written now wait before they are heard, in milliseconds.
    fn delay_ms(&self) -> u32 {
        0
    }

    /// Returns what has happened to a recording since the last call.
    fn next_notice(&mut self) -> Option<RecordingNotice> {
        None
    }

    /// Completes the output, for `patience` at most. Nothing is written afterwards.
    ///
    /// # Errors
    /// When `patience` was too short. Call it again to keep waiting.
    fn finish(&mut self, _patience: Duration) -> io::Result<()> {
        Ok(())
    }
}

/// A source without sound: the participant is a listener.
#[derive(Debug)]
pub struct NoSource;

impl Source for NoSource {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        frame.fill(0);
        Captured::Missing
    }
}

/// A sink that discards everything.
#[derive(Debug)]
pub struct NoSink;

impl Sink for NoSink {
    fn write(&mut self, _frame: &[i16]) {}
}
