//! The core of Talkspurt: the same audio and protocol code, bit for bit, on a microcontroller, a desktop and a server.
//!
//! `no_std`, no allocator, no floating point, no clock, no I/O. Samples are signed 16-bit mono; sizes are const generics;
//! time is an argument ([`time::Instant`], microseconds since an epoch of the caller's choice).
//!
//! # Layers
//! A module uses only modules of lower layers:
//!
//! | layer | modules |
//! |---|---|
//! | 0 | [`frame`], [`time`], [`seq`] |
//! | 1 | [`filter`], [`level`], [`codec`] |
//! | 2 | [`gate`], [`mixer`], [`jitter`], [`wire`] |
//! | 3 | [`deframer`], [`session`] |
//! | 4 | [`uplink`], [`downlink`] |
//!
//! [`gate`], [`mixer`] and [`jitter`] never see the wire, and the wire never sees them: only layer 4 joins them.
//!
//! # The contract of a state machine
//! Everything that has state over time is driven by few verbs, and does nothing between calls:
//!
//! - `handle_input(now, ..)` takes one packet, `handle_timeout(now)` says that time has passed. `now` never runs backwards.
//! - After either, drain `poll_transmit(&mut [u8])` (bytes ready for the stream, each call one packet) and `poll_event()`
//!   until both give `None`. Events wait in a bounded queue that holds all that one input can cause.
//! - Then sleep until input comes or until `poll_timeout()`; `None` means that only input can change anything.
//!
//! # Errors
//! Bad bytes never panic and never lose sync for good: a parse error is a value ([`wire::ParseError`]). A panic in this crate
//! is a bug of this crate or of its caller (a frame longer than its buffer, say), never the work of a peer.
#![no_std]
#![cfg_attr(not(test), forbid(unsafe_code))]
#![deny(missing_docs)]
#![deny(
    clippy::float_arithmetic,
    clippy::alloc_instead_of_core,
    clippy::std_instead_of_core
)]

#[cfg(test)]
extern crate std;

pub mod audio;
pub mod backoff;
pub mod carrier;
pub mod endpoint;
pub mod seq;
pub mod session;
pub mod time;
pub mod token_bucket;
pub mod voice;
pub mod wire;
