//! The Talkspurt server: rooms in which everyone hears the mean of the others.
//!
//! [`run`] serves on bound listeners until it is told to stop. [`talkspurt_hub`] decides who is in
//! a room and who hears what, without sockets or a clock. This crate adds the sockets, the clock,
//! and the pages.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | flags and environment |
//! | [`capacity`] | how many connections the limit of open files allows |
//! | [`net`] | the only sockets of the voice side |
//! | [`ticker`] | the only clock |
//! | [`turns`] | whether due work or input goes first |
//! | [`http`], [`metrics`], [`process`], [`report`] | the pages |
//! | [`journal`] | the log of what happens in the rooms |
#![deny(missing_docs)]

pub mod capacity;
pub mod config;
pub mod health;
pub mod http;
pub mod journal;
pub mod metrics;
pub mod net;
pub mod process;
pub mod report;
mod server;
pub mod shutdown;
#[cfg(test)]
mod testing;
pub mod ticker;
pub mod turns;

pub use server::run;
