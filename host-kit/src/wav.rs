//! Sound files in, at a session's rate, and recordings out.
//!
//! [`WavReader`] turns a file of any rate, channel count and sample format into a session's
//! samples. It plays WAV (also as pipes and crashed recorders leave it), FLAC and Ogg Vorbis.
//! [`BackgroundReader`] does so in its own thread, so that a stalled input stalls nothing else.
//! [`Recorder`] writes what is heard, in its own thread for the same reason. [`refuse_overwriting`]
//! keeps a recording from destroying its own input.

mod background;
mod decode;
mod reader;
mod recorder;
mod resample;
mod riff;
mod same;
mod writer;

pub use background::BackgroundReader;
pub use reader::WavReader;
pub use recorder::Recorder;
pub use resample::resample_block;
pub use same::refuse_overwriting;
pub use writer::WavWriter;

use writer::DATA_BYTES_MAX;

use crate::{channels::CHANNELS_MAX, words::describe};
use std::{io, path::Path};

/// Plausible sample rates. Others are refused.
const RATE_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Why a sound file cannot be played.
#[derive(Debug, thiserror::Error)]
enum Fault {
    /// The file does not exist, or cannot be read.
    #[error("{}", describe(.0))]
    Io(#[from] io::Error),
    /// It is not a sound file, or one of an unsupported kind. Says what to do.
    #[error("{0}")]
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

    /// Names the file: a line for people.
    fn at(self, path: &Path) -> String {
        let path = path.display();
        match self {
            Self::Io(error) => format!("cannot read {path}: {}", describe(&error)),
            Self::Format(problem) => format!("cannot play {path}: {problem}"),
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
