//! Helpers shared by several test files.

pub mod cases;
pub mod ear;
pub mod jitter_line;
pub mod mic;
pub mod packets;
pub mod session_pair;

use talkspurt_core::audio::format::{AudioFormat, FrameDuration};

/// The default format with frames of another duration.
pub fn wide_band(frame: FrameDuration) -> AudioFormat {
    AudioFormat {
        frame,
        ..AudioFormat::DEFAULT
    }
}
