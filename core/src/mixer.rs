//! Layer 2: the averaged frame of a room's talkers, and each listener's share of it without his own voice.
//!
//! One pass per talker adds his frame into an [`Accumulator`]; [`render`] then makes what one listener hears from the sum, less
//! the listener's own frame. The pair (sum, count) is the mergeable form: the halves of one room on two servers add up to
//! exactly what one server would have summed.

use core::cmp::Ordering;

use crate::frame::{FRAME_SAMPLES_MAX, Frame};

use divide::{divide, divide_ramped};

mod divide;

/// A fixed-point factor for samples, in Q12: 4096 is unity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gain(pub u16);

impl Gain {
    /// Leaves samples as they are, bit for bit.
    pub const UNITY: Self = Self(1 << 12);

    /// Scales every sample, rounding towards minus infinity and saturating at 16 bits.
    ///
    /// A listener's own voice vanishes from his mix at any gain because the scaled frame is what is added and what is taken away.
    pub fn apply(self, samples: &mut [i16]) {
        if self == Self::UNITY {
            return;
        }
        for sample in samples {
            *sample = saturate((i64::from(*sample) * i64::from(self.0)) >> 12);
        }
    }
}

/// The sum of the talkers' frames, and how many they are.
#[derive(Clone, Debug, PartialEq, Eq)]
#[repr(C, align(64))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Accumulator<const N: usize = FRAME_SAMPLES_MAX> {
    sum: [i32; N],
    len: usize,
    count: u16,
}

impl<const N: usize> Accumulator<N> {
    /// Nobody talking, in frames of `len` samples. Panics if `len` exceeds `N`.
    pub const fn new(len: usize) -> Self {
        assert!(len <= N, "frame longer than the accumulator");
        Self {
            sum: [0; N],
            len,
            count: 0,
        }
    }

    /// Forgets everyone and keeps the length.
    pub fn clear(&mut self) {
        self.sum[..self.len].fill(0);
        self.count = 0;
    }

    /// Adds a talker. His frame must have the accumulator's length, and there can be 65,535 of them: their sum fits 32 bits.
    pub fn add(&mut self, samples: &[i16]) {
        assert_eq!(samples.len(), self.len, "a frame of another length");
        assert!(
            self.count < u16::MAX,
            "more talkers than an i32 sum can hold"
        );
        self.count += 1;
        let (sum_blocks, sum_rest) = self.sum[..self.len].as_chunks_mut::<UNROLLED_SAMPLES>();
        let (blocks, rest) = samples.as_chunks::<UNROLLED_SAMPLES>();
        for (sums, block) in sum_blocks.iter_mut().zip(blocks) {
            add_each(sums, block);
        }
        add_each(sum_rest, rest);
    }

    /// Adds another's talkers, as from another server's half of the room. Together they must not exceed 65,535.
    pub fn merge(&mut self, other: &Self) {
        assert_eq!(other.len, self.len, "a sum of another length");
        let Some(count) = self.count.checked_add(other.count) else {
            panic!("more talkers than an i32 sum can hold")
        };
        self.count = count;
        for (sum, &more) in self.sum[..self.len].iter_mut().zip(other.sum()) {
            *sum += more;
        }
    }

    /// The sums, one a sample.
    pub fn sum(&self) -> &[i32] {
        &self.sum[..self.len]
    }

    /// How many talkers are in it.
    pub const fn count(&self) -> u16 {
        self.count
    }
}

/// Samples that are added without a branch between: with the eight that a compiler takes by itself, a sample costs 1.6
/// instructions on x86-64, with these 1.4. All frames of a session are a multiple of it (5 ms at 8 kHz have 40 samples).
const UNROLLED_SAMPLES: usize = 40;

fn add_each(sums: &mut [i32], samples: &[i16]) {
    for (sum, &sample) in sums.iter_mut().zip(samples) {
        *sum += i32::from(sample);
    }
}

/// How a sum becomes something to listen to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum MixRule {
    /// The mean of those talking now: never louder than the loudest of them.
    #[default]
    Mean,
    /// Their sum, held below full scale by a limiter: nobody gets quieter when another joins in.
    Sum,
}

/// What one listener's mix remembers from frame to frame.
///
/// Listeners who do not talk and whose states are equal hear the same: render once for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MixState {
    /// Whom the last frame was divided by; 0 when nothing was heard.
    divisor: u16,
    /// The limiter's gain at the end of the last frame, Q15.
    limiter_q15: u16,
}

impl MixState {
    /// A listener who has heard nothing yet.
    pub const fn new() -> Self {
        Self {
            divisor: 0,
            limiter_q15: UNITY_Q15,
        }
    }
}

impl Default for MixState {
    fn default() -> Self {
        Self::new()
    }
}

/// Makes what one listener hears: everyone in `talkers` less his `own` frame (the very samples that were added for him, if any).
///
/// Gives `false`, and silence, when nobody else talks. `out` takes the accumulator's length. Panics if `own` has another length.
/// - [`MixRule::Mean`]: the sum divided by the number of others, rounded towards zero. When that number changes, the divisor is
///   ramped across the frame, so that the voices that stay do not jump; then the result saturates. One other: his very bits.
/// - [`MixRule::Sum`]: a limiter without look-ahead: 2 ms to duck, 0.5 s to recover, and saturation for what is left.
pub fn render<const N: usize>(
    talkers: &Accumulator<N>,
    own: Option<&[i16]>,
    rule: MixRule,
    state: &mut MixState,
    out: &mut Frame<N>,
) -> bool {
    out.set_len(talkers.len);
    let others = talkers.count - u16::from(own.is_some());
    if others == 0 {
        out.silence_all();
        *state = MixState::new();
        return false;
    }
    match own {
        Some(own) => {
            assert_eq!(own.len(), talkers.len, "a frame of another length");
            let others_sum = || {
                talkers
                    .sum()
                    .iter()
                    .zip(own)
                    .map(|(&sum, &own)| sum - i32::from(own))
            };
            finish(others_sum, others, rule, state, out);
        }
        None => finish(|| talkers.sum().iter().copied(), others, rule, state, out),
    }
    true
}

fn finish<I: Iterator<Item = i32>>(
    sums: impl Fn() -> I,
    others: u16,
    rule: MixRule,
    state: &mut MixState,
    out: &mut [i16],
) {
    match rule {
        MixRule::Mean => {
            let before = core::mem::replace(&mut state.divisor, others);
            if others == 1 && before <= 1 {
                // A sum of one frame fits its 16 bits: the talker passes unchanged.
                out.iter_mut()
                    .zip(sums())
                    .for_each(|(out, sum)| *out = sum as i16);
            } else if before == others || before == 0 {
                divide(sums(), others, out);
            } else {
                divide_ramped(sums(), before, others, out);
            }
        }
        MixRule::Sum => {
            state.divisor = others;
            let peak = sums().map(i32::unsigned_abs).max().unwrap_or(0);
            limit(sums(), peak, &mut state.limiter_q15, out);
        }
    }
}

const UNITY_Q15: u16 = 1 << 15;
/// Samples over which the limiter ducks: 2 ms at 16 kHz, short enough to catch a plosive, long enough not to click.
const ATTACK_SAMPLES: usize = 32;
/// What the limiter's gain may recover in a sample, Q15: 4 / 32768, from nothing to unity in 8192 samples (0.5 s at 16 kHz).
const RELEASE_PER_SAMPLE_Q15: u32 = 4;

fn limit(mut sums: impl Iterator<Item = i32>, peak: u32, gain_q15: &mut u16, out: &mut [i16]) {
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

fn saturate(value: i64) -> i16 {
    value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mix(
        frames: &[&[i16]],
        own: Option<&[i16]>,
        rule: MixRule,
        state: &mut MixState,
    ) -> std::vec::Vec<i16> {
        let mut talkers = Accumulator::<320>::new(frames[0].len());
        frames.iter().for_each(|frame| talkers.add(frame));
        let mut out = Frame::silence(0);
        render(&talkers, own, rule, state, &mut out);
        out.to_vec()
    }

    #[test]
    fn the_original_overflow_does_not_come_back() {
        let frame: &[i16] = &[20_000; 4];
        assert_eq!(
            mix(&[frame, frame], None, MixRule::Mean, &mut MixState::new()),
            [20_000; 4]
        );
        let lowest: &[i16] = &[i16::MIN; 4];
        assert_eq!(
            mix(
                &[lowest, lowest, lowest],
                None,
                MixRule::Mean,
                &mut MixState::new()
            ),
            [i16::MIN; 4]
        );
    }

    #[test]
    fn the_divisor_is_ramped_when_a_talker_comes() {
        let mut state = MixState::new();
        let (steady, silent): (&[i16], &[i16]) = (&[10_000; 320], &[0; 320]);
        assert_eq!(mix(&[steady], None, MixRule::Mean, &mut state), steady);
        let ramped = mix(&[steady, silent], None, MixRule::Mean, &mut state);
        assert!(
            ramped.windows(2).all(|w| (w[0] - w[1]).abs() < 40),
            "no step anywhere"
        );
        assert!(
            ramped[0] > 9_950 && ramped[319] < 5_020,
            "{} to {}",
            ramped[0],
            ramped[319]
        );
        assert_eq!(
            mix(&[steady, silent], None, MixRule::Mean, &mut state),
            [5_000; 320]
        );
    }

    #[test]
    fn a_ramp_saturates_instead_of_wrapping() {
        let mut state = MixState::new();
        let loud: &[i16] = &[32_767; 320];
        mix(&[loud], None, MixRule::Mean, &mut state);
        assert!(
            mix(&[loud, loud], None, MixRule::Mean, &mut state)
                .iter()
                .all(|&s| s > 32_000)
        );
    }

    #[test]
    fn alone_one_hears_nothing() {
        let own: &[i16] = &[123; 8];
        let mut talkers = Accumulator::<320>::new(8);
        talkers.add(own);
        let mut out = Frame::from_slice(&[9; 8]).unwrap();
        assert!(!render(
            &talkers,
            Some(own),
            MixRule::Mean,
            &mut MixState::new(),
            &mut out
        ));
        assert_eq!(&*out, &[0; 8]);
    }

    #[test]
    fn the_limiter_ducks_and_recovers() {
        let mut state = MixState::new();
        let loud: &[i16] = &[30_000; 320];
        let ducked = mix(&[loud, loud], None, MixRule::Sum, &mut state);
        assert!(
            ducked[ATTACK_SAMPLES..]
                .iter()
                .all(|&s| (32_700..=32_767).contains(&s))
        );
        let quiet: &[i16] = &[1_000; 320];
        let after = mix(&[quiet], None, MixRule::Sum, &mut state);
        assert!(after[0] < 600 && after.windows(2).all(|w| w[1] >= w[0]));
        let mut last = 0;
        for _ in 0..26 {
            last = mix(&[quiet], None, MixRule::Sum, &mut state)[319];
        }
        assert_eq!(last, 1_000, "recovered within 0.5 s");
    }

    #[test]
    fn unity_gain_changes_nothing_and_others_saturate() {
        let mut all: std::vec::Vec<i16> = (i16::MIN..=i16::MAX).collect();
        Gain::UNITY.apply(&mut all);
        assert!(all.iter().copied().eq(i16::MIN..=i16::MAX));
        Gain(u16::MAX).apply(&mut all);
        assert_eq!((all[0], all[65_535]), (i16::MIN, i16::MAX));
    }
}
