//! A voice-like sound, made of integers: the same on every machine.

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, CodecId};

/// Fills a frame with pulses at about 120 Hz through two resonances and a little noise. `frame`
/// numbers the frames of one sound.
pub fn voice(frame: u32, samples: &mut [i16]) {
    let mut noise = 0x2545_f491_u32 ^ frame.wrapping_mul(0x9e37_79b9);
    let (mut a1, mut a2, mut b1, mut b2) = (0_i32, 0_i32, 0_i32, 0_i32);
    for (i, sample) in samples.iter_mut().enumerate() {
        noise ^= noise << 13;
        noise ^= noise >> 17;
        noise ^= noise << 5;
        let hiss = (noise >> 22).cast_signed() - 512;
        let pulse = if (i + frame as usize * 37).is_multiple_of(133) {
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

/// Returns the ADPCM payload of a frame of that sound.
pub fn payload(frame: u32) -> [u8; ADPCM_PAYLOAD_MAX] {
    let mut samples = [0; 320];
    let mut payload = [0; ADPCM_PAYLOAD_MAX];
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    for number in [frame, frame + 1] {
        voice(number, &mut samples);
        let _ = encoder.encode(&samples, &mut payload);
    }
    payload
}
