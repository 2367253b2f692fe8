//! The Talkspurt desktop client (being laid).
#![deny(missing_docs)]
pub mod audio;
pub mod clock;
pub mod device;
pub mod resample;
#[cfg(test)]
mod testing;
pub mod wav;
