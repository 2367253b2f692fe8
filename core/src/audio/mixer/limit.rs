//! The limiter of summed voices.

use core::cmp::Ordering;

use super::saturate;
use crate::audio::format::SampleRate;

/// A gain that leaves samples as they are, Q15.
pub(super) const UNITY_Q15: u16 = 1 << 15;
/// For how long the limiter ducks: short enough to catch a plosive, long enough not to click.
pub(super) const ATTACK_MS: usize = 2;
/// What the limiter's gain may recover in a millisecond, Q15: from nothing to unity in 0.5 s.
const RELEASE_PER_MS_Q15: usize = 64;

/// Holds `sums`, whose largest magnitude is `peak`, below full scale; `gain_q15` is the gain from
/// frame to frame. A frame has fewer than 2^16 samples, so a gain's ramp over one fits 32 bits.
pub(super) fn limit(
    mut sums: impl Iterator<Item = i32>,
    peak: u32,
    rate: SampleRate,
    gain_q15: &mut u16,
    out: &mut [i16],
) {
    let allowed = if peak > 32_767 {
        ((32_767u64 << 15) / u64::from(peak)) as u32
    } else {
        u32::from(UNITY_Q15)
    };
    let before = u32::from(*gain_q15);
    let release = (RELEASE_PER_MS_Q15 * out.len() / rate.samples_in_ms(1)) as u32;
    let recovered = (before + release).min(u32::from(UNITY_Q15));
    let after = allowed.min(recovered);
    let ramp_samples = match after.cmp(&before) {
        Ordering::Less => rate.samples_in_ms(ATTACK_MS).min(out.len()),
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
