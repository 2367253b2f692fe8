//! The Talkspurt server: rooms in which everyone hears the mean of the others.
//!
//! [`run`] serves on bound listeners until it is told to stop. All that decides anything is in [`hub`] and below it, without
//! sockets and without a clock, so that tests drive the very same server in virtual time.
//!
//! | module | owns |
//! |---|---|
//! | [`config`] | flags and environment |
//! | [`capacity`] | how many connections the limit of open files allows |
//! | [`hub`] | who is connected, which rooms there are, limits |
//! | [`connection`] | one connection: deframer, session, [`outbox`] |
//! | [`room`], [`participant`] | who hears whom, rosters, ticks |
//! | [`states`] | when a room tells who talks and who is muted |
//! | [`mixdown`] | one tick's mixing and encoding, shared where it can be |
//! | [`net`] | the only sockets of the voice side |
//! | [`printable`] | names that look like others |
//! | [`ticker`] | the only clock |
//! | [`turns`] | what goes first: what is due, or input |
//! | [`http`], [`metrics`], [`process`], [`report`] | the pages |
//! | [`trouble`] | what is said while accepting fails |
#![deny(missing_docs)]

pub mod capacity;
pub mod config;
pub mod connection;
pub mod counters;
pub mod deadlines;
pub mod health;
pub mod http;
pub mod hub;
pub mod journal;
pub mod metrics;
pub mod mixdown;
pub mod net;
pub mod outbox;
pub mod participant;
pub mod printable;
pub mod process;
pub mod report;
pub mod room;
mod server;
pub mod shutdown;
pub mod states;
#[cfg(test)]
mod testing;
pub mod ticker;
pub mod trouble;
pub mod turns;

pub use server::run;
