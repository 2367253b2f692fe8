//! IMA ADPCM whose payloads carry the state they begin with.

use audio_codec_algorithms::{AdpcmImaState, decode_adpcm_ima, encode_adpcm_ima};

use super::{Codec, CodecError, CodecId, check_len};
use crate::audio::format::AudioFormat;

/// Predictor (2 bytes) and step index (1 byte) at the start of each payload.
pub(super) const HEADER_BYTES: usize = 3;

/// The largest index into the step table (IMA Digital Audio Focus and Technical Working Group,
/// 1992: 89 steps).
pub(super) const STEP_INDEX_MAX: u8 = 88;

/// IMA ADPCM: four bits a sample. The encoder's state goes on from frame to frame, and stands at
/// the head of each payload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ImaAdpcm {
    predictor: i16,
    step_index: u8,
}

impl Codec for ImaAdpcm {
    fn for_session(id: CodecId, _format: AudioFormat) -> Option<Self> {
        (id == CodecId::ImaAdpcm).then(Self::default)
    }

    fn check(&self, payload: &[u8], samples: usize) -> Result<(), CodecError> {
        check_len(payload, CodecId::ImaAdpcm.payload_len(samples))?;
        if payload[2] > STEP_INDEX_MAX {
            return Err(CodecError::BadStepIndex(payload[2]));
        }
        Ok(())
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let len = CodecId::ImaAdpcm.payload_len(samples.len());
        let payload = payload.get_mut(..len).ok_or(CodecError::BufferTooSmall)?;
        self.write(samples, payload);
        Ok(len)
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<(), CodecError> {
        self.check(payload, samples.len())?;
        let mut state = AdpcmImaState {
            predictor: i16::from_le_bytes([payload[0], payload[1]]),
            step_index: payload[2],
        };
        let nibbles = &payload[HEADER_BYTES..];
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
        Ok(())
    }

    fn reset(&mut self) {
        *self = Self::default();
    }
}

impl ImaAdpcm {
    /// Writes the whole of `payload`.
    // Inlined, it costs x86-64 5 % more.
    #[inline(never)]
    fn write(&mut self, samples: &[i16], payload: &mut [u8]) {
        let (header, nibbles) = payload.split_at_mut(HEADER_BYTES);
        header[..2].copy_from_slice(&self.predictor.to_le_bytes());
        header[2] = self.step_index;
        // On its own, the state stays in registers: on a Cortex-M that saves a sixth of the time.
        let mut state = AdpcmImaState {
            predictor: self.predictor,
            step_index: self.step_index,
        };
        let (pairs, last) = samples.as_chunks::<2>();
        for (byte, [first, second]) in nibbles.iter_mut().zip(pairs) {
            let low = encode_adpcm_ima(*first, &mut state);
            *byte = low | encode_adpcm_ima(*second, &mut state) << 4;
        }
        if let ([sample], Some(byte)) = (last, nibbles.last_mut()) {
            *byte = encode_adpcm_ima(*sample, &mut state);
        }
        (self.predictor, self.step_index) = (state.predictor, state.step_index);
    }
}
