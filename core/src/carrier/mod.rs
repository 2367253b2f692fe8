//! Carriers: what transports packets, as bytes. Knows no packet.
//!
//! The one carrier today is a byte stream (TCP, a serial line): [`stream`] writes packets to it,
//! and [`deframer`] finds them in it again.

mod cobs;
mod crc;
pub mod deframer;
pub mod stream;
