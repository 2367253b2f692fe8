//! Sources and sinks of frames, and what a sample is.
//!
//! The session is clocked once per frame ([`crate::clock::FrameClock`]). Each tick it takes one
//! frame from a [`Source`] and gives one to a [`Sink`]; the frames' length is the session's frame
//! duration.

pub use talkspurt_host_kit::sample::{ROOM_RATE_HZ, to_f32, to_i16};
pub use talkspurt_host_kit::sound::{Captured, NoSink, NoSource, Sink, Source};
