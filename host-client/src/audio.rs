//! Where frames come from and where they go.
//!
//! The session is clocked once per frame ([`crate::clock::FrameClock`]); each tick it takes one
//! frame from a [`Source`] and gives one to a [`Sink`]. Neither ever blocks: a device that has
//! nothing ready yields silence, a file that ended says so. All frames are 16-bit mono at
//! [`ROOM_RATE_HZ`]; their length is the session's frame duration.

use std::{io, time::Duration};
use talkspurt_host_kit::wav::RecordingNotice;

pub use talkspurt_host_kit::sample::{ROOM_RATE_HZ, to_f32, to_i16};

/// What a [`Source`] had for this tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Captured {
    /// The frame was filled.
    Frame,
    /// Nothing was heard (yet): the frame is silence and was not captured.
    Missing,
    /// There is nothing more to come.
    End,
}

/// The microphone's side: a device, a file, or nothing.
pub trait Source: Send {
    /// Fills `frame` with the sound of the next frame duration; silence where there is none.
    fn read(&mut self, frame: &mut [i16]) -> Captured;

    /// Why there is nothing more to come, if that is not the end of a file.
    fn take_problem(&mut self) -> Option<String> {
        None
    }
}

/// The speaker's side: a device, a file, or nothing.
pub trait Sink: Send {
    /// Takes the sound of the next frame duration. What becomes of it is told by
    /// [`Self::next_notice`], if anyone has to know.
    fn write(&mut self, frame: &[i16]);

    /// How long the samples written now wait before they are heard, in milliseconds.
    fn delay_ms(&self) -> u32 {
        0
    }

    /// What has become of a recording since the last call.
    fn next_notice(&mut self) -> Option<RecordingNotice> {
        None
    }

    /// Nothing more will come: completes what is on its way, within `patience`.
    ///
    /// # Errors
    /// When that was too short. It may be called again, to wait on.
    fn finish(&mut self, _patience: Duration) -> io::Result<()> {
        Ok(())
    }
}

/// A source that has nothing to say: the participant is a listener.
#[derive(Debug)]
pub struct NoSource;

impl Source for NoSource {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        frame.fill(0);
        Captured::Missing
    }
}

/// A sink that hears nothing.
#[derive(Debug)]
pub struct NoSink;

impl Sink for NoSink {
    fn write(&mut self, _frame: &[i16]) {}
}
