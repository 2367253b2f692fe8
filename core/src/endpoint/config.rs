//! What an endpoint is told before it starts.

use heapless::Vec;

use crate::audio::codec::{Codec, CodecId};
use crate::audio::format::{AudioFormat, FrameDuration};
use crate::audio::gate::{GateConfig, GateConfigError};
use crate::audio::jitter::JitterConfig;
use crate::carrier::stream::packet_len_max;
use crate::session::JoinRequest;
use crate::voice::uplink::{PRE_ROLL_DEFAULT_MS, PRE_ROLL_MAX_MS, UplinkConfig};

/// Who a client is, when it sends voice, and how it listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct ClientConfig {
    /// Room, name, codecs in order of preference, credentials.
    pub request: JoinRequest,
    /// When voice is sent.
    pub gate: GateConfig,
    /// Sound from before the gate opened that is sent first, in milliseconds, as far as the
    /// uplink's history reaches.
    pub pre_roll_ms: u16,
    /// How much sound waits before it is played at first, in milliseconds. It follows the network
    /// from there.
    pub playout_margin_ms: u16,
}

/// Why a client cannot run with its configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ClientConfigError {
    /// The gate's values contradict each other.
    Gate(GateConfigError),
    /// None of the codecs asked for fits this client's buffers.
    NoCodecFits,
    /// No rate is asked for, or one whose frames do not fit this client's buffers.
    RateDoesNotFit,
}

impl core::fmt::Display for ClientConfigError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Gate(error) => write!(f, "the gate cannot work like that: {error}"),
            Self::NoCodecFits => {
                f.write_str("this client has no memory for the codecs asked for: offer adpcm")
            }
            Self::RateDoesNotFit => {
                f.write_str("this client has no memory for the sample rates asked for: offer lower")
            }
        }
    }
}

impl core::error::Error for ClientConfigError {}

impl ClientConfig {
    /// Creates a configuration with the default gate and pre-roll, and a margin of two frames of 20
    /// ms: TCP delivers in bursts of a frame or two on a quiet network.
    pub fn new(request: JoinRequest) -> Self {
        Self {
            request,
            gate: GateConfig::default(),
            pre_roll_ms: PRE_ROLL_DEFAULT_MS as u16,
            playout_margin_ms: 40,
        }
    }

    /// Returns the same, offering only codecs that `C` has and whose payload fits `payload_bytes`,
    /// for a client whose frames have at most `frame_samples`, and taking the packets that fit
    /// `transmit_bytes`.
    pub(super) fn checked<C: Codec>(
        mut self,
        payload_bytes: usize,
        frame_samples: usize,
        transmit_bytes: usize,
    ) -> Result<Self, ClientConfigError> {
        self.gate.check().map_err(ClientConfigError::Gate)?;
        let rates = self.request.rates.iter();
        let longest = rates.map(|rate| FrameDuration::Ms20.samples(*rate)).max();
        let longest = longest.filter(|samples| *samples <= frame_samples);
        let longest = longest.ok_or(ClientConfigError::RateDoesNotFit)?;
        let fits = |id: &u8| {
            CodecId::from_id(*id).is_some_and(|codec| {
                C::for_session(codec, AudioFormat::DEFAULT).is_some()
                    && codec.payload_len(longest) <= payload_bytes
            })
        };
        let codecs: Vec<u8, _> = self.request.codecs.iter().copied().filter(fits).collect();
        self.request.codecs = codecs;
        self.request.max_packet = packet_len_max(transmit_bytes - 1) as u16;
        if self.request.codecs.is_empty() {
            return Err(ClientConfigError::NoCodecFits);
        }
        Ok(self)
    }

    pub(super) fn voice(&self) -> VoiceConfig {
        VoiceConfig {
            gate: self.gate,
            pre_roll_ms: self.pre_roll_ms,
            playout_margin_ms: self.playout_margin_ms,
        }
    }
}

/// What of it holds for voice in every session.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct VoiceConfig {
    pub(super) gate: GateConfig,
    pub(super) pre_roll_ms: u16,
    playout_margin_ms: u16,
}

impl VoiceConfig {
    pub(super) fn uplink<C>(&self, codec: C, format: AudioFormat) -> UplinkConfig<C> {
        UplinkConfig {
            codec,
            format,
            gate: self.gate,
            pre_roll_frames: frames(format.frame, self.pre_roll_ms.min(PRE_ROLL_MAX_MS)),
        }
    }

    /// For a buffer of `slots` packets: a margin of more than half of them would never be met.
    pub(super) fn jitter(&self, frame: FrameDuration, slots: usize) -> JitterConfig {
        let margin_frames = frames(frame, self.playout_margin_ms).min(slots as u16 / 2);
        let mut jitter = JitterConfig::default_for(frame, margin_frames);
        jitter.target_max_frames = jitter.target_max_frames.max(margin_frames);
        jitter.pre_roll_max_frames = 0;
        jitter
    }
}

/// At most 13,107: 65,535 ms in frames of 5 ms.
fn frames(frame: FrameDuration, ms: u16) -> u16 {
    frame.frames_in_ms(u32::from(ms)) as u16
}
