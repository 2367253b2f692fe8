//! 16-bit samples as they are.

use super::{Codec, CodecError, CodecId, check_len};
use crate::audio::format::AudioFormat;

/// PCM16: two bytes a sample, little-endian. It remembers nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Pcm16;

impl Codec for Pcm16 {
    fn for_session(id: CodecId, _format: AudioFormat) -> Option<Self> {
        (id == CodecId::Pcm16).then_some(Self)
    }

    fn check(&self, payload: &[u8], samples: usize) -> Result<(), CodecError> {
        check_len(payload, CodecId::Pcm16.payload_len(samples))
    }

    fn encode(&mut self, samples: &[i16], payload: &mut [u8]) -> Result<usize, CodecError> {
        let len = CodecId::Pcm16.payload_len(samples.len());
        let payload = payload.get_mut(..len).ok_or(CodecError::BufferTooSmall)?;
        for (bytes, sample) in payload.chunks_exact_mut(2).zip(samples) {
            bytes.copy_from_slice(&sample.to_le_bytes());
        }
        Ok(len)
    }

    fn decode(&mut self, payload: &[u8], samples: &mut [i16]) -> Result<(), CodecError> {
        self.check(payload, samples.len())?;
        for (sample, bytes) in samples.iter_mut().zip(payload.chunks_exact(2)) {
            *sample = i16::from_le_bytes([bytes[0], bytes[1]]);
        }
        Ok(())
    }

    fn reset(&mut self) {}
}
