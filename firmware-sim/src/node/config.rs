//! Who a node is and how it listens.

use core::fmt;

use heapless::Vec;
use talkspurt_core::audio::codec::Codec;
use talkspurt_core::audio::format::{FRAME_SAMPLES_MAX, FrameDuration};
use talkspurt_core::audio::gate::{GateConfig, GateConfigError};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::voice::uplink::{PRE_ROLL_DEFAULT_MS, UplinkConfig};
use talkspurt_core::wire::{OFFERS_MAX, ParticipantName, RoomName};

/// Frames that wait before playout begins. TCP delivers in bursts of a frame or two on a quiet network.
const JITTER_TARGET_FRAMES: u16 = 2;

/// What a node is told before it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// Room, name, codecs (the best liked first), credentials.
    pub request: JoinRequest,
    /// When voice is sent.
    pub gate: GateSettings,
    /// Sound from before the gate opened that is sent first, in milliseconds; at most 60 are kept.
    pub pre_roll_ms: u16,
    /// The jitter buffer's margin to start with, in frames.
    pub jitter_target_frames: u16,
}

/// The gate's settings in units that do not depend on the frame duration, which the server decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSettings {
    /// A frame whose RMS exceeds this opens the gate: 0..=32768.
    pub open_rms: u16,
    /// The gate closes when the window's mean RMS falls below this.
    pub close_rms: u16,
    /// Frames that are averaged for closing.
    pub window_frames: u8,
    /// How long the gate stays open after that, in milliseconds.
    pub hold_ms: u16,
    /// `false` keeps the gate open always.
    pub enabled: bool,
}

/// Why a node cannot run with its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigError {
    /// The gate's values contradict each other.
    Gate(GateConfigError),
    /// None of the codecs asked for fits this node's buffers.
    NoCodecFits,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gate(error) => write!(f, "the gate cannot work like that: {error}"),
            Self::NoCodecFits => {
                f.write_str("this node has no memory for the codecs asked for: offer adpcm")
            }
        }
    }
}

impl core::error::Error for ConfigError {}

impl NodeConfig {
    /// The default gate, pre-roll and margin; offers ADPCM, which fits a serial line.
    #[must_use]
    pub fn new(room: RoomName, name: ParticipantName) -> Self {
        Self {
            request: JoinRequest::new(room, name, &[Codec::ImaAdpcm]),
            gate: GateSettings::default(),
            pre_roll_ms: PRE_ROLL_DEFAULT_MS as u16,
            jitter_target_frames: JITTER_TARGET_FRAMES,
        }
    }

    /// The same, offering only codecs whose payload fits `payload_bytes`.
    pub(super) fn checked(mut self, payload_bytes: usize) -> Result<Self, ConfigError> {
        for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
            self.gate
                .for_frame(frame)
                .check()
                .map_err(ConfigError::Gate)?;
        }
        let fits = |codec: &Codec| codec.payload_len(FRAME_SAMPLES_MAX) <= payload_bytes;
        let codecs: Vec<Codec, OFFERS_MAX> =
            self.request.codecs.iter().copied().filter(fits).collect();
        self.request.codecs = codecs;
        if self.request.codecs.is_empty() {
            Err(ConfigError::NoCodecFits)
        } else {
            Ok(self)
        }
    }

    pub(super) fn uplink(&self, codec: Codec, frame: FrameDuration) -> UplinkConfig {
        let pre_roll_frames = frame
            .frames_in_ms(u32::from(self.pre_roll_ms))
            .min(u32::from(u16::MAX)) as u16;
        UplinkConfig {
            codec,
            frame,
            gate: self.gate.for_frame(frame),
            pre_roll_frames,
        }
    }
}

impl GateSettings {
    /// The gate of sessions with this frame duration.
    #[must_use]
    pub fn for_frame(&self, frame: FrameDuration) -> GateConfig {
        let hold_frames = frame
            .frames_in_ms(u32::from(self.hold_ms))
            .min(u32::from(u8::MAX)) as u8;
        GateConfig {
            open_rms: self.open_rms,
            close_rms: self.close_rms,
            window_frames: self.window_frames,
            hold_frames,
            enabled: self.enabled,
        }
    }
}

impl Default for GateSettings {
    fn default() -> Self {
        let gate = GateConfig::default_for(FrameDuration::Ms20);
        Self {
            open_rms: gate.open_rms,
            close_rms: gate.close_rms,
            window_frames: gate.window_frames,
            hold_ms: GateConfig::HOLD_MS as u16,
            enabled: gate.enabled,
        }
    }
}
