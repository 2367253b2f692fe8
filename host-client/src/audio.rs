//! Sources and sinks of frames, and what a sample is.
//!
//! Once per frame the session takes a frame from a [`Source`] and gives one to a [`Sink`]; the
//! frames' length is the session's frame duration. The two have clocks of their own: what is
//! captured goes out when it is whole, and what came is played when it comes.

pub use talkspurt_host_kit::sample::{ROOM_RATE_HZ, to_f32, to_i16};
pub use talkspurt_host_kit::sound::{Captured, NoSink, NoSource, Sink, Source};
