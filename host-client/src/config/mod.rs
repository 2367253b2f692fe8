//! From raw flags to checked values.
//!
//! [`flags`] is what clap sees: it checks each flag. [`JoinConfig`] is what they come to together,
//! always valid, with errors that say what to do. Later code never checks a flag again.

pub mod flags;
mod join;

pub use join::{EventsFormat, JoinConfig, SoundChoice};
pub use talkspurt_host_kit::gate::{Threshold, rms_to_dbfs, shifted};
