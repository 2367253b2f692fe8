//! How samples become the payload of a voice packet, and back.
//!
//! Every payload decodes on its own: a lost packet harms nothing but itself.

use audio_codec_algorithms::{AdpcmImaState, decode_adpcm_ima, encode_adpcm_ima};

use crate::audio::frame::FRAME_SAMPLES_MAX;

/// The longest payload of a frame of [`FRAME_SAMPLES_MAX`] samples, in bytes: that of PCM16.
pub const PAYLOAD_MAX: usize = FRAME_SAMPLES_MAX * 2;

/// The longest ADPCM payload of such a frame, in bytes.
pub const ADPCM_PAYLOAD_MAX: usize = Codec::ImaAdpcm.payload_len(FRAME_SAMPLES_MAX);

/// Predictor (2 bytes) and step index (1 byte) at the start of each ADPCM payload.
const ADPCM_HEADER_BYTES: usize = 3;

/// The largest index into the step table of IMA ADPCM (IMA Digital Audio Focus and Technical Working Group, 1992: 89 steps).
const ADPCM_STEP_INDEX_MAX: u8 = 88;

/// How the samples of a frame are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Codec {
    /// Two bytes a sample, little-endian: lossless, 256 kbit/s at 16 kHz.
    Pcm16,
    /// IMA ADPCM, four bits a sample: about 31 dB signal to noise, 65 kbit/s at 16 kHz.
    ImaAdpcm,
}

impl Codec {
    /// Every codec that this build knows.
    pub const ALL: [Self; 2] = [Self::Pcm16, Self::ImaAdpcm];

    /// Its number on the wire.
    pub const fn id(self) -> u8 {
        match self {
            Self::Pcm16 => 0,
            Self::ImaAdpcm => 1,
        }
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
            Self::ImaAdpcm => ADPCM_HEADER_BYTES + samples.div_ceil(2),
        }
    }

    /// Decodes `payload` into the whole of `samples`.
    ///
    /// # Errors
    /// A payload whose length is not [`Codec::payload_len`] of `samples`, or an ADPCM step index above 88.
    pub fn decode(self, payload: &[u8], samples: &mut [i16]) -> Result<(), CodecError> {
        self.check(payload, samples.len())?;
        match self {
            Self::Pcm16 => {
                for (sample, bytes) in samples.iter_mut().zip(payload.chunks_exact(2)) {
                    *sample = i16::from_le_bytes([bytes[0], bytes[1]]);
                }
            }
            Self::ImaAdpcm => decode_adpcm(payload, samples),
        }
        Ok(())
    }

    /// Whether [`Codec::decode`] would take `payload` for a frame of `samples` samples.
    ///
    /// # Errors
    /// As [`Codec::decode`].
    pub fn check(self, payload: &[u8], samples: usize) -> Result<(), CodecError> {
        let expected = self.payload_len(samples);
        if payload.len() != expected {
            return Err(CodecError::WrongLength {
                got: payload.len() as u16,
                expected: expected as u16,
            });
        }
        match self {
            Self::ImaAdpcm if payload[2] > ADPCM_STEP_INDEX_MAX => {
                Err(CodecError::BadStepIndex(payload[2]))
            }
            _ => Ok(()),
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
            Self::BadStepIndex(index) => write!(
                f,
                "ADPCM step index {index} is above {ADPCM_STEP_INDEX_MAX}"
            ),
            Self::BufferTooSmall => write!(f, "buffer too small for the payload"),
        }
    }
}

impl core::error::Error for CodecError {}

/// Turns frames into payloads. ADPCM carries its state from frame to frame, and writes it at the head of each payload.
#[derive(Clone, Debug)]
pub struct Encoder {
    codec: Codec,
    adpcm: AdpcmImaState,
}

/// Without the inner state of ADPCM, which is a library's.
#[cfg(feature = "defmt")]
impl defmt::Format for Encoder {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "Encoder({})", self.codec)
    }
}

impl Encoder {
    /// An encoder that has heard nothing yet.
    pub fn new(codec: Codec) -> Self {
        Self {
            codec,
            adpcm: AdpcmImaState::new(),
        }
    }

    /// The codec that it writes.
    pub const fn codec(&self) -> Codec {
        self.codec
    }

    /// Encodes `samples` into the start of `payload`; gives the bytes written.
    ///
    /// # Errors
    /// [`CodecError::BufferTooSmall`].
    pub fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let len = self.codec.payload_len(samples.len());
        let payload = payload.get_mut(..len).ok_or(CodecError::BufferTooSmall)?;
        match self.codec {
            Codec::Pcm16 => {
                for (bytes, sample) in payload.chunks_exact_mut(2).zip(samples) {
                    bytes.copy_from_slice(&sample.to_le_bytes());
                }
            }
            Codec::ImaAdpcm => self.encode_adpcm(samples, payload),
        }
        Ok(len)
    }

    fn encode_adpcm(&mut self, samples: &[i16], payload: &mut [u8]) {
        let (header, nibbles) = payload.split_at_mut(ADPCM_HEADER_BYTES);
        header[..2].copy_from_slice(&self.adpcm.predictor.to_le_bytes());
        header[2] = self.adpcm.step_index;
        // On its own, the state stays in registers: on a Cortex-M that saves a sixth of the time.
        let mut state = self.adpcm.clone();
        let (pairs, last) = samples.as_chunks::<2>();
        for (byte, [first, second]) in nibbles.iter_mut().zip(pairs) {
            let low = encode_adpcm_ima(*first, &mut state);
            *byte = low | encode_adpcm_ima(*second, &mut state) << 4;
        }
        if let ([sample], Some(byte)) = (last, nibbles.last_mut()) {
            *byte = encode_adpcm_ima(*sample, &mut state);
        }
        self.adpcm = state;
    }
}

fn decode_adpcm(payload: &[u8], samples: &mut [i16]) {
    let mut state = AdpcmImaState {
        predictor: i16::from_le_bytes([payload[0], payload[1]]),
        step_index: payload[2],
    };
    let nibbles = &payload[ADPCM_HEADER_BYTES..];
    let (pairs, last) = samples.as_chunks_mut::<2>();
    for (pair, &byte) in pairs.iter_mut().zip(nibbles) {
        *pair = [
            decode_adpcm_ima(byte & 0x0f, &mut state),
            decode_adpcm_ima(byte >> 4, &mut state),
        ];
    }
    if let ([sample], Some(&byte)) = (last, nibbles.last()) {
        *sample = decode_adpcm_ima(byte & 0x0f, &mut state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pcm16_is_lossless_for_every_sample() {
        let mut encoder = Encoder::new(Codec::Pcm16);
        let mut payload = [0; 2];
        for sample in i16::MIN..=i16::MAX {
            encoder.encode(&[sample], &mut payload).unwrap();
            let mut back = [0];
            Codec::Pcm16.decode(&payload, &mut back).unwrap();
            assert_eq!(back, [sample]);
        }
    }

    #[test]
    fn wrong_lengths_and_step_indices_are_errors() {
        for codec in Codec::ALL {
            let right = codec.payload_len(320);
            for len in 0..=PAYLOAD_MAX {
                let result = codec.decode(&[0; PAYLOAD_MAX][..len], &mut [0; 320]);
                assert_eq!(result.is_ok(), len == right, "{codec:?} {len}");
            }
        }
        for index in 0..=u8::MAX {
            let result = Codec::ImaAdpcm.decode(&[0, 0, index, 0], &mut [0; 2]);
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
        assert_eq!(Codec::ALL.map(Codec::name), ["pcm16", "adpcm"]);
    }

    #[test]
    fn ids_name_the_codecs() {
        for id in 0..=u8::MAX {
            assert_eq!(Codec::from_id(id).map(Codec::id), (id < 2).then_some(id));
        }
    }

    #[test]
    fn an_odd_frame_survives_adpcm() {
        let mut payload = [0; 8];
        let len = Encoder::new(Codec::ImaAdpcm)
            .encode(&[5, 6, 7], &mut payload)
            .unwrap();
        assert_eq!(len, 5);
        let mut back = [0; 3];
        Codec::ImaAdpcm.decode(&payload[..len], &mut back).unwrap();
        // The smallest step is 7.
        let near = |(back, said): (i16, i16)| (back - said).abs() <= 7;
        assert!(back.into_iter().zip([5, 6, 7]).all(near), "{back:?}");
    }

    #[test]
    fn a_small_buffer_is_an_error() {
        assert_eq!(
            Encoder::new(Codec::Pcm16).encode(&[0; 4], &mut [0; 7]),
            Err(CodecError::BufferTooSmall)
        );
    }
}
