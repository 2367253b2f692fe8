//! Between frames of audio and voice packets.

mod history;
mod shorten;

pub mod downlink;
pub mod uplink;
