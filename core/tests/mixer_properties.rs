//! What must hold for any mix. Each property was broken in a shipped system (overflow in Janus AudioBridge, a residue of one's own
//! voice in its spatial rooms, and so on).

mod common;

use common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::frame::Frame;
use talkspurt_core::mixer::{Accumulator, Gain, MixRule, MixState, render};

const LEN: usize = 32;
type Samples = Vec<i16>;
type Mix = Accumulator<LEN>;

/// Any sample, and often one at an end of the range.
fn sample() -> impl Strategy<Value = i16> {
    prop_oneof![3 => any::<i16>(), 1 => Just(i16::MIN), 1 => Just(i16::MAX), 1 => -3..=3i16]
}

fn frame() -> impl Strategy<Value = Samples> {
    vec(sample(), LEN)
}

fn frames(count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<Samples>> {
    vec(frame(), count)
}

fn rule() -> impl Strategy<Value = MixRule> {
    prop_oneof![Just(MixRule::Mean), Just(MixRule::Sum)]
}

/// A state such as frames with this many talkers leave behind.
fn state_after(talkers: usize, rule: MixRule, level: i16) -> MixState {
    let mut state = MixState::new();
    let frame = vec![level; LEN];
    hear(&sum(&vec![frame; talkers]), None, rule, &mut state);
    state
}

fn sum(frames: &[Samples]) -> Mix {
    let mut mix = Mix::new(LEN);
    frames.iter().for_each(|frame| mix.add(frame));
    mix
}

fn hear(mix: &Mix, own: Option<&[i16]>, rule: MixRule, state: &mut MixState) -> Samples {
    let mut out = Frame::<LEN>::silence(0);
    render(mix, own, rule, state, &mut out);
    out.to_vec()
}

fn hear_fresh(mix: &Mix, own: Option<&[i16]>, rule: MixRule) -> Samples {
    hear(mix, own, rule, &mut MixState::new())
}

proptest! {
    #![proptest_config(cases(512))]

    #[test]
    fn the_mean_is_exact_and_never_overflows(frames in frames(1..=40)) {
        let expected: Samples = (0..LEN)
            .map(|i| {
                let sum: i64 = frames.iter().map(|frame| i64::from(frame[i])).sum();
                i16::try_from(sum / frames.len() as i64).unwrap()
            })
            .collect();
        prop_assert_eq!(hear_fresh(&sum(&frames), None, MixRule::Mean), expected);
    }

    #[test]
    fn ones_own_voice_is_not_there_at_any_gain(
        others in frames(0..=8), mut own in frame(), mut also_own in frame(), gain in any::<u16>(), other_gain in any::<u16>(),
        rule in rule(), before in 0..5usize, level in sample(),
    ) {
        Gain(gain).apply(&mut own);
        Gain(other_gain).apply(&mut also_own);
        let mut heard = [own, also_own].map(|own| {
            let mut mix = sum(&others);
            mix.add(&own);
            let mut state = state_after(before, rule, level);
            (hear(&mix, Some(&own), rule, &mut state), state)
        });
        // Nor does it matter whether one speaks at all.
        let mut state = state_after(before, rule, level);
        let without = (hear(&sum(&others), None, rule, &mut state), state);
        for heard in &mut heard {
            prop_assert_eq!(&*heard, &without);
        }
    }

    #[test]
    fn the_order_of_talkers_does_not_matter(
        (frames, shuffled) in frames(1..=12).prop_flat_map(|frames| (Just(frames.clone()), Just(frames).prop_shuffle())),
    ) {
        prop_assert_eq!(sum(&frames), sum(&shuffled));
    }

    #[test]
    fn one_talker_passes_bit_for_bit(talker in frame(), own in frame(), rule in rule(), frames_before in 0..3usize) {
        // From the start, and frame after frame; to a listener who is silent, and to one who talks.
        let (mut silent, mut talking) = (MixState::new(), MixState::new());
        // A sum is limited only above full scale, and one talker never is.
        for _ in 0..=frames_before {
            let heard = hear(&sum(std::slice::from_ref(&talker)), None, rule, &mut silent);
            let peak_is_in_range = rule == MixRule::Mean || !talker.contains(&i16::MIN);
            if peak_is_in_range {
                prop_assert_eq!(&heard, &talker);
            }
            let both = sum(&[talker.clone(), own.clone()]);
            prop_assert_eq!(hear(&both, Some(&own), rule, &mut talking), heard);
        }
    }

    #[test]
    fn silence_in_is_silence_out(talkers in 0..50usize, rule in rule(), before in 0..50usize, level in sample()) {
        let mut state = state_after(before, rule, level);
        prop_assert_eq!(hear(&sum(&vec![vec![0; LEN]; talkers]), None, rule, &mut state), vec![0; LEN]);
    }

    #[test]
    fn a_talker_who_comes_or_goes_makes_no_jump(
        levels in vec(sample(), 1..10), silent_before in 0..10usize, silent_after in 0..10usize,
    ) {
        // Those who talk on are at a constant level; those who come and go do so while they make no sound.
        let talking: Vec<Samples> = levels.iter().map(|&level| vec![level; LEN]).collect();
        let with_silent = |count: usize| {
            let mut mix = sum(&talking);
            (0..count).for_each(|_| mix.add(&[0; LEN]));
            mix
        };
        let total: i64 = levels.iter().map(|&level| i64::from(level)).sum();
        let (before, after) = ((levels.len() + silent_before) as i64, (levels.len() + silent_after) as i64);
        let mut state = MixState::new();
        let mut heard = hear(&with_silent(silent_before), None, MixRule::Mean, &mut state);
        heard.extend(hear(&with_silent(silent_after), None, MixRule::Mean, &mut state));
        heard.extend(hear(&with_silent(silent_after), None, MixRule::Mean, &mut state));
        // The way from one mean to the other, in steps of equal size but for rounding.
        let way = (total / before - total / after).abs();
        let step = way / LEN as i64 + 2;
        for pair in heard.windows(2) {
            prop_assert!((i64::from(pair[1]) - i64::from(pair[0])).abs() <= step, "{heard:?}");
        }
        prop_assert_eq!(i64::from(heard[0]), total / before);
        prop_assert_eq!(i64::from(heard[2 * LEN]), total / after);
    }

    #[test]
    fn two_servers_halves_are_exactly_what_one_server_sums(here in frames(0..=10), there in frames(0..=10)) {
        let mut merged = sum(&here);
        merged.merge(&sum(&there));
        let whole = sum(&[here, there].concat());
        prop_assert_eq!(merged.count(), whole.count());
        prop_assert_eq!(merged.sum(), whole.sum());
        prop_assert_eq!(merged, whole);
    }

    #[test]
    fn a_limited_sum_never_wraps(rooms in vec(frames(1..=12), 1..6)) {
        let mut state = MixState::new();
        for frames in rooms {
            let mix = sum(&frames);
            for (&heard, &true_sum) in hear(&mix, None, MixRule::Sum, &mut state).iter().zip(mix.sum()) {
                // Same sign, and no louder. (A gain that is rounded down may make -1 of any small negative sum.)
                prop_assert!(i32::from(heard).abs() <= true_sum.abs());
                prop_assert!(heard == 0 || (heard < 0) == (true_sum < 0));
            }
        }
    }

    #[test]
    fn a_sum_that_fits_is_left_alone(frames in vec(vec(-3_000..3_000i16, LEN), 1..=10)) {
        let heard = hear_fresh(&sum(&frames), None, MixRule::Sum);
        prop_assert!(heard.iter().zip(sum(&frames).sum()).all(|(&heard, &sum)| i32::from(heard) == sum));
    }
}

#[test]
fn as_many_talkers_as_can_be_counted_fit_the_sum() {
    for level in [i16::MIN, i16::MAX] {
        let mut mix = Accumulator::<1>::new(1);
        for _ in 0..u16::MAX {
            mix.add(&[level]);
        }
        assert_eq!(mix.sum(), [i32::from(level) * 65_535]);
        for (rule, expected) in [(MixRule::Mean, i32::from(level)), (MixRule::Sum, 0)] {
            let mut out = Frame::<1>::silence(0);
            assert!(render(&mix, None, rule, &mut MixState::new(), &mut out));
            // The limiter's gain has 15 bits: of 65,535 shouting at once nothing is left.
            assert_eq!(i32::from(out[0]), expected, "{rule:?} of {level}");
        }
    }
}
