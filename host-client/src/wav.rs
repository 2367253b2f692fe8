//! Sound files in the devices' place.
//!
//! A file played as a microphone ([`FileSource`]) may have any rate, channel count and sample format; a file that takes the
//! speaker's place ([`FileSink`]) is 16 kHz mono 16-bit. Both are clocked by the session, frame by frame, so they last as
//! long as real sound does, and both have a thread of their own, so that a disk or pipe that stalls stalls nobody.

use crate::audio::{Captured, Sink, Source};
use std::{io, path::Path, time::Duration};
use talkspurt_host_kit::{
    channels::InputChannel,
    wav::{
        BackgroundReader, DATA_BYTES_MAX, FrameRead, Recorder, RecordingNotice, WavError, WavReader,
    },
};

/// A sound file as a microphone. What it does not have in time is silence.
pub struct FileSource(BackgroundReader);

impl FileSource {
    /// Opens a file, and checks that it can be played if it opens in time.
    ///
    /// # Errors
    /// When it cannot be played.
    pub fn open(path: &Path, channel: InputChannel) -> Result<Self, WavError> {
        BackgroundReader::open(path, channel).map(Self)
    }
}

impl Source for FileSource {
    /// The last frame is filled up with silence.
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        match self.0.read(frame) {
            FrameRead::Frame => Captured::Frame,
            FrameRead::Missing => Captured::Missing,
            FrameRead::End => Captured::End,
        }
    }

    fn take_problem(&mut self) -> Option<String> {
        self.0.take_problem().map(|problem| problem.to_string())
    }
}

/// A sound file that is read as fast as it can be. Waits for it.
pub struct WholeFile(WavReader);

impl WholeFile {
    /// Opens a file and checks that it can be played.
    ///
    /// # Errors
    /// When it cannot be played.
    pub fn open(path: &Path, channel: InputChannel) -> Result<Self, WavError> {
        WavReader::open(path, channel).map(Self)
    }
}

impl Source for WholeFile {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        let count = self.0.read(frame);
        frame[count..].fill(0);
        if count == 0 {
            Captured::End
        } else {
            Captured::Frame
        }
    }
}

/// A WAV file as a speaker. Its length is the time that the session wrote to it.
pub struct FileSink(Recorder);

impl FileSink {
    /// Opens the file for writing. What is in it stays until [`begin`](Self::begin).
    ///
    /// # Errors
    /// When it cannot be written, with its name.
    pub fn open(path: &Path) -> Result<Self, String> {
        Recorder::open(path, DATA_BYTES_MAX).map(Self)
    }

    /// Replaces what is in the file.
    pub fn begin(&mut self) {
        self.0.begin();
    }
}

impl Sink for FileSink {
    /// A recording that cannot go on does not end the session: [`next_notice`](Sink::next_notice) tells of it.
    fn write(&mut self, frame: &[i16]) {
        self.0.write(frame);
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        self.0.next_notice()
    }

    fn finish(&mut self, patience: Duration) -> io::Result<()> {
        self.0.finish_within(patience).map_err(io::Error::other)
    }
}
