//! Between frames of audio and voice packets.

mod catch_up;
mod history;
mod shorten;

pub mod downlink;
pub mod uplink;
