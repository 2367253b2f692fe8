//! Codecs: how samples become the payload of a voice packet, and back.
//!
//! A [`Codec`] is one encoder or decoder with its state; [`CodecId`] is its number on the wire.

use crate::audio::format::AudioFormat;
use crate::audio::frame::FRAME_SAMPLES_MAX;

pub use ima_adpcm::ImaAdpcm;
pub use pcm16::Pcm16;

use ima_adpcm::{HEADER_BYTES, STEP_INDEX_MAX};

mod ima_adpcm;
mod pcm16;

/// The longest payload of a frame of [`FRAME_SAMPLES_MAX`] samples, in bytes: that of PCM16.
pub const PAYLOAD_MAX: usize = CodecId::Pcm16.payload_len(FRAME_SAMPLES_MAX);

/// The longest ADPCM payload of such a frame, in bytes.
pub const ADPCM_PAYLOAD_MAX: usize = CodecId::ImaAdpcm.payload_len(FRAME_SAMPLES_MAX);

/// One encoder or decoder. Make an encoder for each mix or microphone, and a decoder for each
/// talker: what either remembers belongs to one stream. The default is any of those that the type
/// has, for as long as no session says which.
pub trait Codec: Default {
    /// Creates the codec of that number, which has heard nothing yet; `None` if it is not one of
    /// this type's.
    fn for_session(id: CodecId, format: AudioFormat) -> Option<Self>;

    /// Checks whether [`Codec::decode`] would take `payload` for a frame of `samples` samples.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    fn check(&self, payload: &[u8], samples: usize) -> Result<(), CodecError>;

    /// Encodes `samples` into the start of `payload`. Returns the bytes written.
    ///
    /// # Errors
    /// [`CodecError::BufferTooSmall`].
    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError>;

    /// Decodes `payload` into the whole of `samples`.
    ///
    /// # Errors
    /// A payload that is no frame of so many samples; nothing is changed then.
    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<(), CodecError>;

    /// Fills `samples` with what stands in for a lost frame. Returns `false`, and leaves them as
    /// they are, if the codec knows nothing better than its caller.
    fn conceal(&mut self, _samples: &mut [i16]) -> bool {
        false
    }

    /// Forgets what it has heard: another stream begins.
    fn reset(&mut self);
}

/// The number and name of a codec.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum CodecId {
    /// Two bytes a sample, little-endian: lossless, 256 kbit/s at 16 kHz.
    Pcm16 = 0,
    /// IMA ADPCM, four bits a sample: about 31 dB signal to noise, 65 kbit/s at 16 kHz.
    ImaAdpcm = 1,
}

impl CodecId {
    /// Every codec that this build knows.
    pub const ALL: [Self; 2] = [Self::Pcm16, Self::ImaAdpcm];

    /// Its number on the wire.
    pub const fn id(self) -> u8 {
        self as u8
    }

    /// The codec of that number, if this build knows it.
    pub const fn from_id(id: u8) -> Option<Self> {
        match id {
            0 => Some(Self::Pcm16),
            1 => Some(Self::ImaAdpcm),
            _ => None,
        }
    }

    /// Its name for people and for flags: `pcm16` or `adpcm`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pcm16 => "pcm16",
            Self::ImaAdpcm => "adpcm",
        }
    }

    /// Bytes of the payload that holds `samples` samples.
    pub const fn payload_len(self, samples: usize) -> usize {
        match self {
            Self::Pcm16 => samples * 2,
            Self::ImaAdpcm => HEADER_BYTES + samples.div_ceil(2),
        }
    }
}

/// Why a payload or a buffer does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum CodecError {
    /// The payload has not the length of a frame of the session.
    WrongLength {
        /// Bytes that came.
        got: u16,
        /// Bytes that a frame of this session takes.
        expected: u16,
    },
    /// The step index of an ADPCM payload lies outside its table (0..=88).
    BadStepIndex(u8),
    /// The buffer to encode into is too small.
    BufferTooSmall,
}

impl core::fmt::Display for CodecError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::WrongLength { got, expected } => {
                write!(f, "payload of {got} bytes where a frame takes {expected}")
            }
            Self::BadStepIndex(index) => {
                write!(f, "ADPCM step index {index} is above {STEP_INDEX_MAX}")
            }
            Self::BufferTooSmall => write!(f, "buffer too small for the payload"),
        }
    }
}

impl core::error::Error for CodecError {}

/// Any codec of the core, where the choice is made at run time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum AnyCodec {
    /// [`CodecId::Pcm16`].
    Pcm16(Pcm16),
    /// [`CodecId::ImaAdpcm`].
    ImaAdpcm(ImaAdpcm),
}

impl Default for AnyCodec {
    fn default() -> Self {
        Self::Pcm16(Pcm16)
    }
}

impl From<CodecId> for AnyCodec {
    fn from(id: CodecId) -> Self {
        match id {
            CodecId::Pcm16 => Self::Pcm16(Pcm16),
            CodecId::ImaAdpcm => Self::ImaAdpcm(ImaAdpcm::default()),
        }
    }
}

impl Codec for AnyCodec {
    fn for_session(id: CodecId, _format: AudioFormat) -> Option<Self> {
        Some(id.into())
    }

    fn check(&self, payload: &[u8], samples: usize) -> Result<(), CodecError> {
        match self {
            Self::Pcm16(codec) => codec.check(payload, samples),
            Self::ImaAdpcm(codec) => codec.check(payload, samples),
        }
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        match self {
            Self::Pcm16(codec) => codec.encode(samples, payload),
            Self::ImaAdpcm(codec) => codec.encode(samples, payload),
        }
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<(), CodecError> {
        match self {
            Self::Pcm16(codec) => codec.decode(payload, samples),
            Self::ImaAdpcm(codec) => codec.decode(payload, samples),
        }
    }

    fn conceal(&mut self, samples: &mut [i16]) -> bool {
        match self {
            Self::Pcm16(codec) => codec.conceal(samples),
            Self::ImaAdpcm(codec) => codec.conceal(samples),
        }
    }

    fn reset(&mut self) {
        match self {
            Self::Pcm16(codec) => codec.reset(),
            Self::ImaAdpcm(codec) => codec.reset(),
        }
    }
}

fn check_len(payload: &[u8], expected: usize) -> Result<(), CodecError> {
    if payload.len() == expected {
        return Ok(());
    }
    Err(CodecError::WrongLength {
        got: payload.len() as u16,
        expected: expected as u16,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcm16_is_lossless_for_every_sample() {
        let mut encoder = Pcm16;
        let mut payload = [0; 2];
        for sample in i16::MIN..=i16::MAX {
            encoder.encode(&[sample], &mut payload).unwrap();
            let mut back = [0];
            Pcm16.decode(&payload, &mut back).unwrap();
            assert_eq!(back, [sample]);
        }
    }

    #[test]
    fn wrong_lengths_and_step_indices_are_errors() {
        for codec in CodecId::ALL {
            let right = codec.payload_len(320);
            for len in 0..=PAYLOAD_MAX {
                let result = AnyCodec::from(codec).decode(&[0; PAYLOAD_MAX][..len], &mut [0; 320]);
                assert_eq!(result.is_ok(), len == right, "{codec:?} {len}");
            }
        }
        for index in 0..=u8::MAX {
            let result = ImaAdpcm::default().decode(&[0, 0, index, 0], &mut [0; 2]);
            assert_eq!(
                result,
                if index <= 88 {
                    Ok(())
                } else {
                    Err(CodecError::BadStepIndex(index))
                }
            );
        }
    }

    #[test]
    fn names_are_those_of_the_flags() {
        assert_eq!(CodecId::ALL.map(CodecId::name), ["pcm16", "adpcm"]);
    }

    #[test]
    fn ids_name_the_codecs() {
        for id in 0..=u8::MAX {
            assert_eq!(
                CodecId::from_id(id).map(CodecId::id),
                (id < 2).then_some(id)
            );
        }
    }

    #[test]
    fn an_odd_frame_survives_adpcm() {
        let mut payload = [0; 8];
        let len = ImaAdpcm::default()
            .encode(&[5, 6, 7], &mut payload)
            .unwrap();
        assert_eq!(len, 5);
        let mut back = [0; 3];
        ImaAdpcm::default()
            .decode(&payload[..len], &mut back)
            .unwrap();
        // The smallest step is 7.
        let near = |(back, said): (i16, i16)| (back - said).abs() <= 7;
        assert!(back.into_iter().zip([5, 6, 7]).all(near), "{back:?}");
    }

    #[test]
    fn a_small_buffer_is_an_error() {
        assert_eq!(
            Pcm16.encode(&[0; 4], &mut [0; 7]),
            Err(CodecError::BufferTooSmall)
        );
    }
}
