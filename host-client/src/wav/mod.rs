//! WAV files in the devices' place.
//!
//! A file played as a microphone ([`WavSource`]) may have any rate, channel count and sample format; a file that takes the
//! speaker's place ([`WavSink`]) is 16 kHz mono 16-bit. Both are clocked by the session, frame by frame, so they last as
//! long as real sound does. Samples of a file that already is 16 kHz mono 16-bit pass unchanged.

mod reader;
mod writer;

pub use reader::{WavError, WavReader, WavSource};
pub use writer::WavSink;
