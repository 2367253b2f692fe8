//! A voice-like sound, made of integers: the same on every machine.

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, CodecId};

/// A generator of numbers (xorshift, Marsaglia 2003), the same everywhere.
#[derive(Clone, Debug)]
pub struct Numbers(u32);

impl Numbers {
    /// Creates the generator for a seed.
    pub const fn new(seed: u32) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9) | 1)
    }

    /// Returns the next number, in 0..`below`.
    pub fn below(&mut self, below: u32) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        (self.0 >> 8) % below
    }
}

/// Fills a frame with pulses at about 120 Hz through two resonances and a little noise. `frame`
/// numbers the frames of one sound; RMS about 4,000.
pub fn voice(frame: u32, samples: &mut [i16]) {
    let mut noise = Numbers::new(frame + 1);
    let (mut a1, mut a2, mut b1, mut b2) = (0_i32, 0_i32, 0_i32, 0_i32);
    for (i, sample) in (0_u32..).zip(samples.iter_mut()) {
        let hiss = noise.below(1_024).cast_signed() - 512;
        let pulse = if (i + frame * 37).is_multiple_of(133) {
            14_000
        } else {
            0
        };
        let a = pulse + hiss / 4 + a1 * 30_000 / 16_384 - a2 * 15_200 / 16_384;
        let b = a / 2 + b1 * 17_000 / 16_384 - b2 * 14_500 / 16_384;
        (a2, a1, b2, b1) = (a1, a, b1, b);
        *sample = (b / 2).clamp(-30_000, 30_000) as i16;
    }
}

/// Fills a frame with words and pauses: [`voice`] in 12 of 40 frames, then a murmur of RMS about
/// 20.
pub fn words(frame: u32, samples: &mut [i16]) {
    voice(frame, samples);
    if frame % 40 >= 12 {
        samples.iter_mut().for_each(|sample| *sample /= 200);
    }
}

/// Returns the ADPCM payload of a frame of [`voice`].
pub fn payload(frame: u32) -> [u8; ADPCM_PAYLOAD_MAX] {
    let mut samples = [0; 320];
    let mut payload = [0; ADPCM_PAYLOAD_MAX];
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    for number in [frame, frame + 1] {
        voice(number, &mut samples);
        // It fits: that is the buffer's length.
        let _ = encoder.encode(&samples, &mut payload);
    }
    payload
}
