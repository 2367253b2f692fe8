//! Sound files in the place of microphone and speaker.
//!
//! Both have a thread of their own: a pipe or disk that stalls does not stop the simulated chip's time.

use std::path::Path;

use talkspurt_host_kit::wav::{DATA_BYTES_MAX, Recorder as FileRecorder, RecordingNotice};

use super::pace::Recorder;

/// A 16 kHz mono 16-bit WAV file that what is played goes to.
pub struct WavOutput(FileRecorder);

impl WavOutput {
    /// Opens the file. What is in it is replaced when the node has joined.
    ///
    /// # Errors
    /// When it cannot be written, in a line with its name.
    pub fn open(path: &Path) -> Result<Self, String> {
        FileRecorder::open(path, DATA_BYTES_MAX).map(Self)
    }
}

impl Recorder for WavOutput {
    fn begin(&mut self) {
        self.0.begin();
    }

    fn record(&mut self, frame: &[i16]) {
        self.0.write(frame);
    }

    fn finish(&mut self) -> Result<(), String> {
        self.0.finish()
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        self.0.next_notice()
    }
}
