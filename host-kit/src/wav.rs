//! Sound files in, at a session's rate, and recordings out.
//!
//! [`WavReader`] turns a file of any rate, channel count and sample format into a session's
//! samples. It plays WAV (also as pipes and crashed recorders leave it), FLAC and Ogg Vorbis.
//! [`BackgroundReader`] does so in its own thread, so that a stalled input stalls nothing else.
//! [`Recorder`] writes what is heard, in its own thread for the same reason. [`same_file`] tells
//! whether a recording would overwrite its own input.

mod background;
mod decode;
mod reader;
mod recorder;
mod resample;
mod riff;
mod same;
mod writer;

pub use background::{BackgroundReader, FrameRead};
pub use reader::WavReader;
pub use recorder::{Recorder, RecordingNotice, recording_line};
pub use same::same_file;
pub use writer::WavWriter;

use writer::DATA_BYTES_MAX;

use crate::{channels::CHANNELS_MAX, words::describe};
use std::{io, path::PathBuf};

/// Plausible sample rates. Others are refused.
const RATE_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Why a sound file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file does not exist, or cannot be read.
    #[error("cannot read {}: {}", path.display(), describe(source))]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is not a sound file, or one of an unsupported kind.
    #[error("cannot play {}: {problem}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        problem: String,
    },
}

/// A [`WavError`] before it has a path.
#[derive(Debug)]
enum Fault {
    Io(io::Error),
    Format(String),
}

impl Fault {
    fn format(problem: impl Into<String>) -> Self {
        Self::Format(problem.into())
    }

    fn compressed(kind: &str, container: &str) -> Self {
        Self::Format(format!(
            "this is {kind} in a {container} file; convert it to 16-bit PCM, FLAC or Ogg Vorbis"
        ))
    }

    fn at(self, path: PathBuf) -> WavError {
        match self {
            Self::Io(source) => WavError::Open { path, source },
            Self::Format(problem) => WavError::Format { path, problem },
        }
    }
}

/// Refuses a damaged header before it sizes an allocation.
fn check_format(channels: u16, rate_hz: u32) -> Result<(), Fault> {
    if (1..=CHANNELS_MAX).contains(&channels) && RATE_HZ.contains(&rate_hz) {
        Ok(())
    } else {
        Err(Fault::format(format!(
            "its header says {channels} channels at {rate_hz} Hz, which is no sound"
        )))
    }
}
