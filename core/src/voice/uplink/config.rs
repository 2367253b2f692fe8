//! How an uplink is set, what it takes beside samples, and what it counts.

use super::PRE_ROLL_DEFAULT_MS;
use crate::audio::codec::AnyCodec;
use crate::audio::format::AudioFormat;
use crate::audio::gate::GateConfig;
use crate::seq::Timestamp;

/// How voice is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UplinkConfig<C = AnyCodec> {
    /// The session's codec, which has heard nothing yet.
    pub codec: C,
    /// The session's format. The history must hold a frame of it, and what takes delay back two.
    pub format: AudioFormat,
    /// When voice is sent.
    pub gate: GateConfig,
    /// Frames from before the gate opened that are sent first. What exceeds the history is not
    /// kept.
    pub pre_roll_frames: u16,
}

impl<C> UplinkConfig<C> {
    /// The default gate and pre-roll.
    pub const fn default_for(codec: C, format: AudioFormat) -> Self {
        Self {
            codec,
            format,
            gate: GateConfig::DEFAULT,
            pre_roll_frames: format.frame.frames_in_ms(PRE_ROLL_DEFAULT_MS) as u16,
        }
    }
}

/// A frame that a codec outside the uplink has encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodedFrame<'a> {
    /// When the frame starts on the session's clock: a frame after the one before it in the same
    /// talkspurt, and later than all before it. By it the other side tells pauses.
    pub timestamp: Timestamp,
    /// How loud it is, as [`half_db`](crate::audio::level::half_db) has it.
    pub level: u8,
    /// The frame in the session's codec.
    pub payload: &'a [u8],
    /// Whether it is the last of its talkspurt.
    pub terminator: bool,
}

/// What an uplink has done. All counts wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct UplinkStats {
    /// Frames pushed.
    pub frames_captured: u32,
    /// Frames sent, pre-roll among them.
    pub frames_sent: u32,
    /// Frames of pre-roll, the first of which may be voice in part. They put off what comes after
    /// them, until their delay is taken back.
    pub frames_pre_roll: u32,
    /// Talkspurts begun.
    pub talkspurts: u32,
    /// Frames that were to be sent but not polled in time.
    pub frames_overrun: u32,
}
