//! Between frames of audio and voice packets.

mod shorten;

pub mod downlink;
pub mod uplink;
