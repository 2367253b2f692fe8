//! The limiter of summed voices.

use core::cmp::Ordering;

use super::saturate;
use crate::audio::format::FRAME_SAMPLES_MAX;

/// A gain that leaves samples as they are, Q15.
pub(super) const UNITY_Q15: u16 = 1 << 15;
/// Samples over which the limiter ducks: 2 ms at 16 kHz, short enough to catch a plosive, long
/// enough not to click.
pub(super) const ATTACK_SAMPLES: usize = 32;
/// What the limiter's gain may recover in a sample, Q15: 4 / 32768, from nothing to unity in 8192
/// samples (0.5 s at 16 kHz).
const RELEASE_PER_SAMPLE_Q15: u32 = 4;

/// Holds `sums`, whose largest magnitude is `peak`, below full scale; `gain_q15` is the gain from
/// frame to frame.
pub(super) fn limit(
    mut sums: impl Iterator<Item = i32>,
    peak: u32,
    gain_q15: &mut u16,
    out: &mut [i16],
) {
    let allowed = if peak > 32_767 {
        ((32_767u64 << 15) / u64::from(peak)) as u32
    } else {
        u32::from(UNITY_Q15)
    };
    let before = u32::from(*gain_q15);
    let recovered = (before + RELEASE_PER_SAMPLE_Q15 * out.len() as u32).min(u32::from(UNITY_Q15));
    let after = allowed.min(recovered);
    let ramp_samples = match after.cmp(&before) {
        Ordering::Less => ATTACK_SAMPLES.min(out.len()),
        Ordering::Equal => 0,
        Ordering::Greater => out.len(),
    };
    let change = after.cast_signed() - before.cast_signed();
    let (ramp, level) = out.split_at_mut(ramp_samples);
    for (i, (out, sum)) in ramp.iter_mut().zip(&mut sums).enumerate() {
        let gain = before.cast_signed() + change * (i as i32 + 1) / ramp_samples as i32;
        *out = saturate((i64::from(sum) * i64::from(gain)) >> 15);
    }
    for (out, sum) in level.iter_mut().zip(sums) {
        *out = saturate((i64::from(sum) * i64::from(after)) >> 15);
    }
    *gain_q15 = after as u16;
}

const _: () = assert!(
    FRAME_SAMPLES_MAX <= u16::MAX as usize,
    "a gain's ramp over a frame fits 32 bits"
);
