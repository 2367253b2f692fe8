//! What Talkspurt's host programs share. Nothing here knows a session or a room.
//!
//! - [`channels`]: one channel out of many, for microphones and files.
//! - [`connect`]: from a server's name to a connection.
//! - [`console`]: standard output and error that may be closed, full or unread; the log.
//! - [`environment`]: flags, variables that set flags, and `RUST_LOG`.
//! - `events` (feature `events`): one event as a line of JSON.
//! - [`flags`]: values that flags of several programs take.
//! - `gate` (feature `gate`): the flags of the voice gate, and what they mean.
//! - [`log_throttle`]: one log line for many occurrences.
//! - [`random`]: numbers that do not come again.
//! - [`sample`]: samples as integers and as floats.
//! - [`server_address`]: `HOST[:PORT]` to connect to, `ADDR:PORT` to listen on.
//! - [`signals`]: signals that a program was started with.
//! - `socket` (feature `socket`): options of the socket that carries voice.
//! - `sound` (feature `wav`): sources and sinks of frames.
//! - `wav` (feature `wav`): sound files in, at a session's rate, and recordings out.
//! - [`words`]: system errors in words for people, and foreign texts without invisible characters.

// These macros panic when the stream cannot be written. This crate's `console` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod channels;
pub mod connect;
pub mod console;
pub mod environment;
#[cfg(feature = "events")]
pub mod events;
pub mod flags;
#[cfg(feature = "gate")]
pub mod gate;
pub mod log_throttle;
pub mod random;
pub mod sample;
pub mod server_address;
pub mod signals;
#[cfg(feature = "socket")]
pub mod socket;
#[cfg(feature = "wav")]
pub mod sound;
#[cfg(feature = "wav")]
pub mod wav;
pub mod words;
