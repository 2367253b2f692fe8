//! Sound files in place of devices.
//!
//! A file played as a microphone may have any rate, channel count and sample format; a recording is
//! 16 kHz mono 16-bit. Both are clocked by the session, frame by frame, so they last as long as
//! real sound, and both have their own thread, so that a stalled disk or pipe stalls nothing else.

use crate::audio::{Captured, Sink, Source};
use std::{io, time::Duration};
use talkspurt_host_kit::wav::{BackgroundReader, FrameRead, Recorder, RecordingNotice, WavReader};

/// A sound file as a microphone. Samples that are late are silence, which also pads the last frame.
impl Source for BackgroundReader {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        match self.read(frame) {
            FrameRead::Frame => Captured::Frame,
            FrameRead::Missing => Captured::Missing,
            FrameRead::End => Captured::End,
        }
    }

    fn take_problem(&mut self) -> Option<String> {
        self.take_problem().map(|problem| problem.to_string())
    }
}

/// A sound file read as fast as possible. Blocks.
impl Source for WavReader {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        let count = self.read(frame);
        frame[count..].fill(0);
        if count == 0 {
            Captured::End
        } else {
            Captured::Frame
        }
    }
}

/// A WAV file as a speaker. It lasts as long as the session wrote to it. A recording that cannot go
/// on does not end the session; [`next_notice`](Sink::next_notice) reports it.
impl Sink for Recorder {
    fn write(&mut self, frame: &[i16]) {
        self.write(frame);
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        self.next_notice()
    }

    fn finish(&mut self, patience: Duration) -> io::Result<()> {
        self.finish_within(patience).map_err(io::Error::other)
    }
}
