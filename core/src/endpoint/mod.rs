//! Endpoints: what every participant is, whatever it runs on and whatever carries its packets.

pub use client::{Client, Transmit};
pub use config::{ClientConfig, ClientConfigError};
pub use delay_meter::{DelayMeter, DelayParts};
pub use stats::ClientStats;

mod client;
mod config;
mod delay_meter;
mod stats;
mod voice_queue;

use crate::carrier::stream;
use crate::wire::{Encode, EncodeError, encode};

/// Writes a packet that belongs to no endpoint as it stands in a stream. Returns the bytes written.
///
/// # Errors
/// [`EncodeError`] if `out` is too small; [`stream::ENCODED_MAX`] bytes are enough for any packet.
pub fn write_to_stream<P: Encode>(packet: &P, out: &mut [u8]) -> Result<usize, EncodeError> {
    let len = encode(packet, out)?;
    stream::enclose(out, len).ok_or(EncodeError)
}
