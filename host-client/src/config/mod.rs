//! From raw flags to checked values.
//!
//! [`flags`] is what clap sees: strings and numbers as typed. The other modules turn them into
//! types that are always valid ([`JoinConfig`]), with errors that say what to do. Later code never
//! checks a flag again.

pub mod flags;
mod join;

pub use join::{EventsFormat, Input, JoinConfig, Output, input_channel, server_address};
pub use talkspurt_host_kit::gate::{Threshold, opening_at, rms_to_dbfs};
