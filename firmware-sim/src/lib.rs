//! The Talkspurt node: a participant on a microcontroller, and replacements for its hardware on a
//! host.
//!
//! * [`node`]: the firmware's main loop. `no_std`, no allocation, generic over what a board
//!   implements (`talkspurt-node-driver`); the simulator on the host and an image on a Cortex-M run
//!   the same code.
//!
//! The rest needs an operating system and the Cargo feature `host` (on by default):
//!
//! * [`uart`]: a simulated UART, paced at its baud rate, with a bounded FIFO that overruns.
//! * [`host`]: what drives the node on a host: pseudo-terminal, sound files in place of microphone
//!   and speaker, events as JSON.
//! * [`bridge`]: a blind byte pump between a serial port and a TCP connection.
//!
//! ```text
//! cargo build -p talkspurt-node --lib --no-default-features --target thumbv7em-none-eabihf
//! ```

#![cfg_attr(not(feature = "host"), no_std)]
#![deny(missing_docs)]

#[cfg(feature = "host")]
pub mod bridge;
#[cfg(feature = "host")]
pub mod host;
pub mod node;
#[cfg(feature = "host")]
pub mod uart;
