//! From raw flags to checked values.
//!
//! [`flags`] is what clap sees: strings and numbers as typed. The other modules turn them into
//! types that cannot be wrong ([`JoinConfig`]), with an error that says what to do. Nothing behind
//! this module checks a flag again.

pub mod flags;
mod join;

pub use join::{EventsFormat, Input, JoinConfig, Output, input_channel, server_address};
pub use talkspurt_host_kit::gate::{Threshold, opening_at, rms_to_dbfs};
