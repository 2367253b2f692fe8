//! The Talkspurt desktop client as a library: all of the `talkspurt` program except its exit code.
//!
//! ```text
//! main ── config (flags -> checked values)
//!      └─ ui (main thread) ◀─ events, snapshot ── net (session thread) ── socket
//!              └─ commands ───────────────────────▶ │
//!                                                   ├─ participant ── core: endpoint::Client
//!                                                   └─ audio::{Source, Sink}
//!                                                        ├─ device (cpal, in its own threads)
//!                                                        └─ the kit's wav (files in place of devices)
//! ```
//!
//! Each external thing has one owner: `device` alone knows cpal, `net::link` the socket, `ui` the
//! terminal. The session thread never waits for any of them. Its clock ([`clock::FrameClock`]) says
//! when a frame is due, and no frame is left out.
#![deny(missing_docs)]
// These macros panic when the stream cannot be written. The host kit's `console` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod audio;
pub mod calibrate;
pub mod clock;
pub mod config;
pub mod device;
pub mod events;
pub mod net;
pub mod participant;
mod priority;
pub mod resample;
pub mod rooms;
mod stderr;
#[cfg(test)]
mod testing;
pub mod ui;
