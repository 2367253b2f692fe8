//! The averaged frame of a room's talkers, and each listener's share of it without the
//! listener's own voice.
//!
//! One pass per talker adds its frame to [`Talkers`]; [`render`] then makes what one listener hears
//! from the sums, less the listener's own frame. Where the set of those who count changes, the
//! frame is the cross-fade from the mean of the old set to the mean of the new one, both in this
//! frame's samples. So no sample is louder than the louder of the two means, whoever comes and
//! goes. [`TalkerState`] follows who counts.

use crate::audio::frame::Frame;

use divide::divide;
use fade::{cross_fade, cross_fade_sums};
use limit::{UNITY_Q15, limit};

pub use accumulator::Accumulator;
pub use talkers::{Part, TalkerState, Talkers};

mod accumulator;
mod divide;
mod fade;
mod limit;
mod talkers;

/// A fixed-point factor for samples, in Q12: 4096 is unity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Gain(pub u16);

impl Gain {
    /// Leaves samples as they are, bit for bit.
    pub const UNITY: Self = Self(1 << 12);

    /// Scales every sample, rounding towards minus infinity and saturating at 16 bits.
    ///
    /// A listener's own voice vanishes from its mix at any gain, because the scaled frame is what
    /// is added and what is taken away.
    pub fn apply(self, samples: &mut [i16]) {
        if self == Self::UNITY {
            return;
        }
        for sample in samples {
            *sample = saturate((i64::from(*sample) * i64::from(self.0)) >> 12);
        }
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
    /// The limiter's gain at the end of the last frame, Q15. Unity by [`MixRule::Mean`], which
    /// remembers nothing.
    limiter_q15: u16,
}

impl MixState {
    /// A listener who has heard nothing yet.
    pub const fn new() -> Self {
        Self {
            limiter_q15: UNITY_Q15,
        }
    }
}

impl Default for MixState {
    fn default() -> Self {
        Self::new()
    }
}

/// What was added for one talker.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Contribution<'a> {
    /// What it is to the mix.
    pub part: Part,
    /// The very samples; none where the talker is [`Part::Gone`].
    pub samples: &'a [i16],
}

/// Makes what one listener hears: everyone in `talkers` less the listener's `own` contribution, if
/// there is one.
///
/// Returns `false`, and silence, when nobody else has a frame. `out` takes the talkers' frame
/// length. Panics if `own` has another.
/// - [`MixRule::Mean`]: the sum divided by the number of others, rounded towards zero. One other:
///   its very bits.
/// - [`MixRule::Sum`]: a limiter without look-ahead: 2 ms to duck, 0.5 s to recover, and saturation
///   for what is left.
///
/// Who is in it, by either rule:
/// - Where others counted before the frame and others count after it, and they are not the same, it
///   is cross-faded from the ones to the others. It ends exactly with the latter, so the next frame
///   follows without a step.
/// - Where others count on one side only, theirs is heard unchanged: from nobody and to nobody
///   there is no fade.
/// - Where nobody else counts, those who are [`Part::Quiet`] are heard.
pub fn render<const N: usize>(
    talkers: &Talkers<N>,
    own: Option<Contribution<'_>>,
    rule: MixRule,
    state: &mut MixState,
    out: &mut Frame<N>,
) -> bool {
    let len = talkers.frame_samples();
    out.set_len(len);
    if let Some(own) = own.filter(|own| own.part != Part::Gone) {
        assert_eq!(own.samples.len(), len, "a frame of another length");
    }
    let others = Others { talkers, own };
    if others.present() == 0 {
        out.silence_all();
        *state = MixState::new();
        return false;
    }
    match others.heard() {
        Heard::Plain(sum, own, count) => match own {
            Some(own) => {
                let sums = || {
                    let sums = sum.iter().zip(own);
                    sums.map(|(&sum, &own)| sum - i32::from(own))
                };
                talkers.finish(sums, count, rule, state, out);
            }
            None => talkers.finish(|| sum.iter().copied(), count, rule, state, out),
        },
        Heard::Fade(old_count, new_count) => {
            let (mut old, mut new) = ([0; N], [0; N]);
            let (old, new) = (&mut old[..len], &mut new[..len]);
            others.old_and_new_sums(old, new);
            match rule {
                MixRule::Mean => {
                    let mut from = [0; N];
                    divide(old.iter().copied(), old_count, &mut from[..len]);
                    divide(new.iter().copied(), new_count, out);
                    cross_fade(&from[..len], out);
                }
                MixRule::Sum => {
                    cross_fade_sums(old, new);
                    talkers.finish(|| new.iter().copied(), new_count, rule, state, out);
                }
            }
        }
    }
    true
}

impl<const N: usize> Talkers<N> {
    // As a function of its own, it costs 4 % more.
    #[inline(always)]
    fn finish<I: Iterator<Item = i32>>(
        &self,
        sums: impl Fn() -> I,
        count: u16,
        rule: MixRule,
        state: &mut MixState,
        out: &mut [i16],
    ) {
        match rule {
            // A sum of one frame fits its 16 bits: the talker passes unchanged.
            MixRule::Mean if count == 1 => out
                .iter_mut()
                .zip(sums())
                .for_each(|(out, sum)| *out = sum as i16),
            MixRule::Mean => divide(sums(), count, out),
            MixRule::Sum => {
                let peak = sums().map(i32::unsigned_abs).max().unwrap_or(0);
                limit(sums(), peak, self.rate, &mut state.limiter_q15, out);
            }
        }
    }
}

/// All talkers but the listener.
struct Others<'a, const N: usize> {
    talkers: &'a Talkers<N>,
    own: Option<Contribution<'a>>,
}

/// What one listener hears of a frame.
enum Heard<'a> {
    /// A sum, the listener's own share of it, and of how many others it is.
    Plain(&'a [i32], Option<&'a [i16]>, u16),
    /// From so many who counted before the frame to so many who count after it.
    Fade(u16, u16),
}

impl<'a, const N: usize> Others<'a, N> {
    fn present(&self) -> u16 {
        let own = self.own.is_some_and(|own| own.part != Part::Gone);
        self.talkers.present() - u16::from(own)
    }

    /// Of `all` who are `part`, those who are not the listener.
    fn less_own(&self, all: u16, part: Part) -> u16 {
        all - u16::from(self.own.is_some_and(|own| own.part == part))
    }

    fn own_in(&self, part: Part) -> Option<&'a [i16]> {
        let own = self.own.filter(|own| own.part == part)?;
        Some(own.samples)
    }

    fn heard(&self) -> Heard<'a> {
        let talkers = self.talkers;
        let staying = self.less_own(talkers.staying.count(), Part::Staying);
        let starting = self.less_own(talkers.starting.count(), Part::Starting);
        let ending = self.less_own(talkers.ending.count(), Part::Ending);
        let gone = self.less_own(talkers.gone, Part::Gone);
        // Those who are gone had a share of the old mean. Nothing of them is left to fade from.
        let old = if staying + ending > 0 {
            staying + ending + gone
        } else {
            0
        };
        let new = staying + starting;
        match (old, new) {
            (0, 0) => {
                let quiet = self.less_own(talkers.quiet.count(), Part::Quiet);
                self.plain(&talkers.quiet, Part::Quiet, quiet)
            }
            (0, _) => self.plain(&talkers.starting, Part::Starting, new),
            (_, 0) => self.plain(&talkers.ending, Part::Ending, old),
            _ if starting + ending + gone == 0 => self.plain(&talkers.staying, Part::Staying, new),
            _ => Heard::Fade(old, new),
        }
    }

    /// Of nobody there is a sum of zeros.
    fn plain(&self, sum: &'a Accumulator<N>, part: Part, count: u16) -> Heard<'a> {
        Heard::Plain(sum.sum(), self.own_in(part), count.max(1))
    }

    fn old_and_new_sums(&self, old: &mut [i32], new: &mut [i32]) {
        let talkers = self.talkers;
        old.copy_from_slice(talkers.staying.sum());
        if let Some(own) = self.own_in(Part::Staying) {
            take_away(old, own);
        }
        new.copy_from_slice(old);
        for (sums, accumulator, part) in [
            (old, &talkers.ending, Part::Ending),
            (new, &talkers.starting, Part::Starting),
        ] {
            for (sum, &more) in sums.iter_mut().zip(accumulator.sum()) {
                *sum += more;
            }
            if let Some(own) = self.own_in(part) {
                take_away(sums, own);
            }
        }
    }
}

fn take_away(sums: &mut [i32], own: &[i16]) {
    for (sum, &own) in sums.iter_mut().zip(own) {
        *sum -= i32::from(own);
    }
}

fn saturate(value: i64) -> i16 {
    value.clamp(i64::from(i16::MIN), i64::from(i16::MAX)) as i16
}

#[cfg(test)]
mod tests {
    use super::limit::ATTACK_MS;
    use super::*;

    use crate::audio::format::SampleRate;

    const RATE: SampleRate = SampleRate::Hz16000;

    /// What a listener hears of talkers who all have counted before.
    fn mix(frames: &[&[i16]], rule: MixRule, state: &mut MixState) -> std::vec::Vec<i16> {
        let mut talkers = Talkers::<320>::new(RATE, frames[0].len());
        for frame in frames {
            talkers.add(Part::Staying, frame);
        }
        let mut out = Frame::silence(0);
        render(&talkers, None, rule, state, &mut out);
        out.to_vec()
    }

    #[test]
    fn the_original_overflow_does_not_come_back() {
        for value in [20_000, i16::MAX, i16::MIN] {
            let frame: &[i16] = &[value; 4];
            for count in [2, 3] {
                assert_eq!(
                    mix(
                        &std::vec![frame; count],
                        MixRule::Mean,
                        &mut MixState::new()
                    ),
                    frame
                );
            }
        }
    }

    #[test]
    fn alone_one_hears_nothing() {
        for part in [Part::Staying, Part::Starting, Part::Ending, Part::Quiet] {
            let own = Contribution {
                part,
                samples: &[123; 8],
            };
            let mut talkers = Talkers::<320>::new(RATE, 8);
            talkers.add(own.part, own.samples);
            let mut out = Frame::from_slice(&[9; 8]).unwrap();
            let (rule, mut state) = (MixRule::Mean, MixState::new());
            assert!(!render(&talkers, Some(own), rule, &mut state, &mut out));
            assert_eq!(&*out, &[0; 8]);
        }
    }

    #[test]
    fn the_limiter_ducks_and_recovers() {
        let mut state = MixState::new();
        let loud: &[i16] = &[30_000; 320];
        let ducked = mix(&[loud, loud], MixRule::Sum, &mut state);
        assert!(
            ducked[RATE.samples_in_ms(ATTACK_MS)..]
                .iter()
                .all(|&s| (32_700..=32_767).contains(&s))
        );
        let quiet: &[i16] = &[1_000; 320];
        let after = mix(&[quiet], MixRule::Sum, &mut state);
        assert!(after[0] < 600 && after.windows(2).all(|w| w[1] >= w[0]));
        // From nothing to unity in 8,192 samples: by 39 of 1,000 in a frame.
        assert!((36..=40).contains(&(after[319] - after[0])), "{after:?}");
        let mut last = 0;
        for _ in 0..26 {
            last = mix(&[quiet], MixRule::Sum, &mut state)[319];
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
        for (gain, heard) in [
            (4_096, [-3, 0, 3, 5_000, 30_000]),
            (8_192, [-6, 0, 6, 10_000, i16::MAX]),
            (2_048, [-2, 0, 1, 2_500, 15_000]),
            (0, [0; 5]),
        ] {
            let mut samples = [-3, 0, 3, 5_000, 30_000];
            Gain(gain).apply(&mut samples);
            assert_eq!(samples, heard, "{gain}");
        }
    }
}
