//! Between frames of audio and voice packets.

pub mod downlink;
pub mod uplink;
