//! From raw flags to checked values.
//!
//! [`flags`] is what clap sees: strings and numbers as typed. The other modules turn them into
//! types that cannot be wrong ([`JoinConfig`], [`Endpoint`], [`Threshold`]), with an error that
//! says what to do. Nothing behind this module checks a flag again.

mod endpoint;
pub mod flags;
mod join;
mod threshold;

pub use endpoint::Endpoint;
pub use join::{EventsFormat, Input, JoinConfig, Output, input_channel, opening_at};
pub use threshold::{Threshold, rms_to_dbfs};

/// Where the server listens for voice: 8255 is TALK on a phone's keypad.
pub const VOICE_PORT: u16 = 8255;
/// Where the server answers HTTP (`/rooms`, `/healthz`, `/metrics`).
pub const HTTP_PORT: u16 = 8256;

/// A flag that cannot be used, said so that its reader can repair it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{flag}: {problem}")]
pub struct ConfigError {
    /// The flag or argument as the user types it.
    pub flag: &'static str,
    /// What is wrong with it, and what would be right.
    pub problem: String,
}

impl ConfigError {
    fn new(flag: &'static str, problem: impl Into<String>) -> Self {
        Self {
            flag,
            problem: problem.into(),
        }
    }
}
