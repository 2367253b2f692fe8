//! Sources and sinks of frames.
//!
//! The session is clocked once per frame ([`crate::clock::FrameClock`]). Each tick it takes one
//! frame from a [`Source`] and gives one to a [`Sink`]. Neither ever blocks: a device with nothing
//! ready yields silence, and a file that has ended says so. All frames are 16-bit mono at
//! [`ROOM_RATE_HZ`]; their length is the session's frame duration.

use std::{io, time::Duration};
use talkspurt_host_kit::wav::RecordingNotice;

pub use talkspurt_host_kit::sample::{ROOM_RATE_HZ, to_f32, to_i16};

/// What a [`Source`] had for this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The frame was filled.
    Frame,
    /// Nothing was captured (yet): the frame is silence.
    Missing,
    /// The source has ended.
    End,
}

/// The microphone's side: a device, a file, or nothing.
pub trait Source: Send {
    /// Fills `frame` with the next frame of sound, or with silence where there is none.
    fn read(&mut self, frame: &mut [i16]) -> Captured;

    /// Takes the reason why the source ended, if that was not the end of a file.
    fn take_problem(&mut self) -> Option<String> {
        None
    }
}

/// The speaker's side: a device, a file, or nothing.
pub trait Sink: Send {
    /// Takes the next frame of sound. [`Self::next_notice`] reports what happened to it, if that
    /// needs reporting.
    fn write(&mut self, frame: &[i16]);

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
