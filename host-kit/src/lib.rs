//! What Talkspurt's host programs share. It knows no session, no room and no socket.
//!
//! - [`addresses`]: in which order the addresses of a host are tried.
//! - [`console`]: standard output and error that may be closed, full or unread, and the log on them.
//! - [`environment`]: variables that set flags, and `RUST_LOG`.
//! - [`channels`]: one channel out of many, for microphones and files.
//! - [`sample`]: samples as integers and as floats.
//! - [`signals`]: those that a program was started with.
//! - [`words`]: errors of the system in words for people, and texts from elsewhere without what
//!   does not show.
//! - `wav` (feature `wav`): sound files in, at a session's rate, and recordings out.

// These macros panic when the stream cannot be written; `console` of the host kit does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod addresses;
pub mod channels;
pub mod console;
pub mod environment;
pub mod sample;
pub mod signals;
#[cfg(feature = "wav")]
pub mod wav;
pub mod words;
