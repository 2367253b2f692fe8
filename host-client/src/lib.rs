//! The Talkspurt desktop client as a library: everything of the `talkspurt` program but its exit
//! code.
//!
//! ```text
//! main ── config (flags -> checked values)
//!      └─ ui (main thread) ◀─ events, snapshot ── net (session thread) ── socket
//!              └─ commands ───────────────────────▶ │
//!                                                   ├─ participant ── core: endpoint::Client
//!                                                   └─ audio::{Source, Sink}
//!                                                        ├─ device (cpal, in threads of its own)
//!                                                        └─ wav    (files in the devices' place)
//! ```
//!
//! Each outside thing has one owner: `device` alone knows cpal, `wav` alone knows WAV files,
//! `net::link` alone touches the socket, `ui` alone the terminal. The session thread never waits
//! for any of them: its clock ([`clock::FrameClock`]) says when a frame is due, and every frame is
//! done.
#![deny(missing_docs)]
// These macros panic when the stream cannot be written; `console` of the host kit does not.
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
pub mod wav;
