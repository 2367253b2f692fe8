//! What must hold for any mix. Each property was broken in a shipped system (overflow in Janus
//! AudioBridge, a residue of a talker's own voice in its spatial rooms, and so on).
//!
//! Frames have real lengths, in which the unrolled block of 40 samples does the work.

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::level::{SILENCE, half_db, rms};
use talkspurt_core::audio::mixer::{
    Accumulator, Contribution, Gain, MixRule, MixState, Part, TalkerState, Talkers, render,
};

/// Of 5, 10 and 20 ms at 16 kHz.
const LENS: [usize; 3] = [80, 160, 320];
const PARTS: [Part; 6] = [
    Part::Staying,
    Part::Starting,
    Part::Ending,
    Part::Quiet,
    Part::Blank,
    Part::Gone,
];
const COUNTED: [Part; 3] = [Part::Staying, Part::Starting, Part::Ending];
/// A fade's weight is right to 2^-14, which is four of the whole range; and two means are rounded.
const FADE_ERROR: i64 = 6;

type Samples = Vec<i16>;

fn contribution((part, samples): &(Part, Samples)) -> Contribution<'_> {
    Contribution {
        part: *part,
        samples,
    }
}

/// Samples of any value, often at an end of the range, derived from the seed.
fn wild(seed: u64, len: usize) -> Samples {
    let mut random = seed | 1;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    (0..len)
        .map(|_| match next() >> 61 {
            0 => i16::MIN,
            1 => i16::MAX,
            2 => (next() % 7) as i16 - 3,
            _ => next() as i16,
        })
        .collect()
}

fn frame_of(part: Part, seed: u64, len: usize) -> (Part, Samples) {
    let samples = match part {
        Part::Gone => vec![],
        Part::Blank => vec![0; len],
        _ => wild(seed, len),
    };
    (part, samples)
}

/// `count` talkers, each with one of `parts`, in frames of one length.
fn scene(
    parts: &'static [Part],
    count: std::ops::RangeInclusive<usize>,
) -> impl Strategy<Value = (usize, Vec<(Part, Samples)>)> {
    (select(&LENS), vec((select(parts), any::<u64>()), count)).prop_map(|(len, talkers)| {
        let frames = talkers.into_iter();
        (
            len,
            frames
                .map(|(part, seed)| frame_of(part, seed, len))
                .collect(),
        )
    })
}

fn rule() -> impl Strategy<Value = MixRule> {
    prop_oneof![Just(MixRule::Mean), Just(MixRule::Sum)]
}

fn talkers<'a>(len: usize, all: impl IntoIterator<Item = &'a (Part, Samples)>) -> Talkers {
    let mut talkers = Talkers::new(SampleRate::Hz16000, len);
    for (part, samples) in all {
        talkers.add(*part, samples);
    }
    talkers
}

/// Returns whether anyone else has a frame, and what is heard.
fn hear(
    talkers: &Talkers,
    own: Option<Contribution<'_>>,
    rule: MixRule,
    state: &mut MixState,
) -> (bool, Samples) {
    let mut out = Frame::<FRAME_SAMPLES_MAX>::silence(0);
    let heard = render(talkers, own, rule, state, &mut out);
    (heard, out.to_vec())
}

/// A state as left behind by a frame with this many talkers.
fn state_after(talkers_before: usize, rule: MixRule, seed: u64) -> MixState {
    let mut state = MixState::new();
    let frame = (Part::Staying, wild(seed, 80));
    let before = talkers(80, &vec![frame; talkers_before]);
    hear(&before, None, rule, &mut state);
    state
}

/// How many talkers have one of `parts`, and the sum of their sample `i`.
fn sum_of(all: &[(Part, Samples)], parts: &[Part], i: usize) -> (i64, i64) {
    let those = all.iter().filter(|(part, _)| parts.contains(part));
    let sum = those
        .clone()
        .map(|(_, samples)| i64::from(samples[i]))
        .sum();
    (those.count() as i64, sum)
}

/// The exact mean of sample `i` before and after the frame, by definition; `None` where nobody
/// counts.
fn means(all: &[(Part, Samples)], i: usize) -> [Option<i64>; 2] {
    let gone = all.iter().filter(|(part, _)| *part == Part::Gone).count() as i64;
    let mean = |(count, sum): (i64, i64), gone| (count > 0).then(|| sum / (count + gone));
    [
        mean(sum_of(all, &[Part::Staying, Part::Ending], i), gone),
        mean(sum_of(all, &[Part::Staying, Part::Starting], i), 0),
    ]
}

/// Everyone except the talker at this index.
fn without(all: &[(Part, Samples)], number: usize) -> Vec<(Part, Samples)> {
    let mut others = all.to_vec();
    others.remove(number);
    others
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn the_mean_is_exact_and_never_overflows((len, all) in scene(&[Part::Staying], 1..=40)) {
        let expected: Samples = (0..len)
            .map(|i| i16::try_from(means(&all, i)[1].unwrap()).unwrap())
            .collect();
        let heard = hear(&talkers(len, &all), None, MixRule::Mean, &mut MixState::new());
        prop_assert_eq!(heard, (true, expected));
    }

    #[test]
    fn a_change_is_a_fade_from_the_old_mean_to_the_new((len, all) in scene(&PARTS, 1..=16)) {
        // However many of them come, go and vanish; for a listener, and for each talker.
        let sum = talkers(len, &all);
        for own in std::iter::once(None).chain((0..all.len()).map(Some)) {
            let others = own.map_or(all.clone(), |own| without(&all, own));
            let own = own.map(|own| contribution(&all[own]));
            let (_, heard) = hear(&sum, own, MixRule::Mean, &mut MixState::new());
            for (i, &heard) in heard.iter().enumerate() {
                let heard = i64::from(heard);
                match means(&others, i) {
                    [Some(old), Some(new)] => {
                        // Between the two means, and on the straight line from one to the other.
                        prop_assert!((old.min(new)..=old.max(new)).contains(&heard));
                        let n = i as i64 + 1;
                        let on_the_line = old + (new - old) * n / len as i64;
                        prop_assert!((heard - on_the_line).abs() <= FADE_ERROR);
                        prop_assert!(n < len as i64 || heard == new, "ends with the new mean");
                    }
                    [Some(only), None] | [None, Some(only)] => prop_assert_eq!(heard, only),
                    [None, None] => {
                        let (count, sum) = sum_of(&others, &[Part::Quiet], i);
                        prop_assert_eq!(heard, sum / count.max(1));
                    }
                }
            }
        }
    }

    #[test]
    fn a_talkers_own_voice_is_absent_at_any_gain(
        (len, others) in scene(&PARTS, 0..=8), parts in [select(&PARTS), select(&PARTS)],
        seeds in any::<[u64; 2]>(), gains in any::<[u16; 2]>(), rule in rule(),
        before in 0..5usize, seed in any::<u64>(),
    ) {
        // Nor does it matter whether the talker speaks at all.
        let mut state = state_after(before, rule, seed);
        let expected = (hear(&talkers(len, &others), None, rule, &mut state), state);
        for ((part, voice), gain) in parts.into_iter().zip(seeds).zip(gains) {
            let mut own = frame_of(part, voice, len);
            Gain(gain).apply(&mut own.1);
            let all = talkers(len, others.iter().chain([&own]));
            let mut state = state_after(before, rule, seed);
            let heard = hear(&all, Some(contribution(&own)), rule, &mut state);
            prop_assert_eq!(&(heard, state), &expected, "{:?}", part);
        }
    }

    #[test]
    fn the_order_of_talkers_does_not_matter(
        ((len, all), shuffled) in scene(&PARTS, 1..=12)
            .prop_flat_map(|(len, all)| (Just((len, all.clone())), Just(all).prop_shuffle())),
    ) {
        prop_assert_eq!(talkers(len, &all), talkers(len, &shuffled));
    }

    #[test]
    fn one_talker_passes_bit_for_bit(
        len in select(&LENS), rule in rule(),
        frames in vec((any::<u64>(), 0..3u8, prop::bool::weighted(0.1)), 1..30),
        own_parts in vec(select(&PARTS), 30), blanks in 0..4usize,
    ) {
        // The talker is loud, near silence and silent, from the first frame to the last and in the
        // next talkspurt. A silent and a talking listener hear them, beside others who send only
        // zeros.
        let frame = FrameDuration::from_millis((len / 16) as u8).unwrap();
        let mut talker = TalkerState::new(frame);
        let (mut silent, mut talking) = (MixState::new(), MixState::new());
        for ((seed, kind, last), own_part) in frames.into_iter().zip(own_parts) {
            let said: Samples = match kind {
                // A sum is limited only above full scale, and one talker never is.
                0 => wild(seed, len).into_iter().map(|s| s.max(-i16::MAX)).collect(),
                1 => wild(seed, len).into_iter().map(|sample| sample % 4).collect(),
                _ => vec![0; len],
            };
            let part = talker.frame(&said, half_db(rms(&said)), last);
            let mut all = vec![(part, said); 1];
            let zeros = vec![0; len];
            let blank = TalkerState::new(frame).frame(&zeros, SILENCE, false);
            all.resize(1 + blanks, (blank, zeros));
            let heard = hear(&talkers(len, &all), None, rule, &mut silent);
            prop_assert_eq!(heard, (true, all[0].1.clone()));
            all.push(frame_of(own_part, seed, len));
            let own = Some(contribution(all.last().unwrap()));
            let heard = hear(&talkers(len, &all), own, rule, &mut talking);
            prop_assert_eq!(heard, (true, all[0].1.clone()));
        }
    }

    #[test]
    fn silence_in_is_silence_out(
        len in select(&LENS), parts in vec(select(&PARTS), 0..50), rule in rule(),
        before in 0..50usize, seed in any::<u64>(),
    ) {
        let mut state = state_after(before, rule, seed);
        let silence: Vec<_> = parts
            .into_iter()
            .map(|part| (part, vec![0; if part == Part::Gone { 0 } else { len }]))
            .collect();
        let (_, heard) = hear(&talkers(len, &silence), None, rule, &mut state);
        prop_assert_eq!(heard, vec![0; len]);
    }

    #[test]
    fn the_sums_of_two_servers_merge_to_the_sum_of_one(
        (len, here) in scene(&PARTS, 0..=10), there in vec((select(&PARTS), any::<u64>()), 0..=10),
    ) {
        let there: Vec<_> = there
            .into_iter()
            .map(|(part, seed)| frame_of(part, seed, len))
            .collect();
        let everyone = here.iter().chain(&there);
        let present = everyone.clone().filter(|(part, _)| *part != Part::Gone).count();
        let mut merged = talkers(len, &here);
        merged.merge(&talkers(len, &there));
        prop_assert_eq!(usize::from(merged.present()), present);
        prop_assert_eq!(merged, talkers(len, everyone));
    }

    #[test]
    fn a_pair_of_sum_and_count_merges_exactly(
        (len, here) in scene(&COUNTED, 0..=10), seeds in vec(any::<u64>(), 0..=10),
    ) {
        let there: Vec<_> = seeds
            .into_iter()
            .map(|seed| frame_of(Part::Staying, seed, len))
            .collect();
        let sum = |frames: &[(Part, Samples)]| {
            let mut sum = Accumulator::<FRAME_SAMPLES_MAX>::new(len);
            frames.iter().for_each(|(_, frame)| sum.add(frame));
            sum
        };
        let mut merged = sum(&here);
        merged.merge(&sum(&there));
        let whole = [here, there].concat();
        for (i, &merged) in merged.sum().iter().enumerate() {
            prop_assert_eq!(i64::from(merged), sum_of(&whole, &COUNTED, i).1);
        }
        prop_assert_eq!(&merged, &sum(&whole));
        prop_assert_eq!(usize::from(merged.count()), whole.len());
    }

    #[test]
    fn a_limited_sum_never_wraps(rooms in vec(scene(&COUNTED, 1..=12), 1..6)) {
        let mut state = MixState::new();
        for (len, all) in rooms {
            let (_, heard) = hear(&talkers(len, &all), None, MixRule::Sum, &mut state);
            for (i, &heard) in heard.iter().enumerate() {
                // Never on a side of zero where neither sum is, and no louder than the louder. (A
                // gain that is rounded down may make -1 of any small negative sum.)
                let old = sum_of(&all, &[Part::Staying, Part::Ending], i);
                let new = sum_of(&all, &[Part::Staying, Part::Starting], i);
                let (old, new) = match (old, new) {
                    ((0, _), (_, only)) | ((_, only), (0, _)) => (only, only),
                    ((_, old), (_, new)) => (old, new),
                };
                let least = old.min(new).min(0);
                let most = old.max(new).max(0);
                prop_assert!((least..=most).contains(&heard.into()), "{heard} of {old} to {new}");
            }
        }
    }

    #[test]
    fn a_sum_that_fits_is_left_alone_or_fades_to_the_next((len, all) in scene(&COUNTED, 1..=10)) {
        let soft = |samples: Samples| samples.into_iter().map(|sample| sample / 11).collect();
        let all: Vec<_> = all.into_iter().map(|(part, samples)| (part, soft(samples))).collect();
        let (_, heard) = hear(&talkers(len, &all), None, MixRule::Sum, &mut MixState::new());
        for (i, &heard) in heard.iter().enumerate() {
            let old = sum_of(&all, &[Part::Staying, Part::Ending], i);
            let new = sum_of(&all, &[Part::Staying, Part::Starting], i);
            match (old, new) {
                ((0, _), (_, only)) | ((_, only), (0, _)) => {
                    prop_assert_eq!(i64::from(heard), only);
                }
                ((_, old), (_, new)) => {
                    let n = i as i64 + 1;
                    let on_the_line = old + (new - old) * n / len as i64;
                    prop_assert!((i64::from(heard) - on_the_line).abs() <= FADE_ERROR);
                    prop_assert!(n < len as i64 || i64::from(heard) == new);
                }
            }
        }
    }

    #[test]
    fn nothing_of_the_last_frame_remains(
        (len, all) in scene(&PARTS, 0..=4), rule in rule(),
        before in 0..5usize, seed in any::<u64>(),
    ) {
        let mut cleared = talkers(len, &all);
        cleared.clear();
        prop_assert_eq!(&cleared, &Talkers::new(SampleRate::Hz16000, len));
        // Nor does anything of a limiter, once nobody talks.
        let mut state = state_after(before, rule, seed);
        prop_assert_eq!(hear(&cleared, None, rule, &mut state), (false, vec![0; len]));
        prop_assert_eq!(state, MixState::new());
    }
}

#[test]
fn the_sum_holds_as_many_talkers_as_can_be_counted() {
    for level in [i16::MIN, i16::MAX] {
        for parts in [[Part::Staying; 3], COUNTED] {
            let mut all = Talkers::<1>::new(SampleRate::Hz16000, 1);
            for part in parts.iter().cycle().take(usize::from(u16::MAX)) {
                all.add(*part, &[level]);
            }
            for (rule, expected) in [(MixRule::Mean, i32::from(level)), (MixRule::Sum, 0)] {
                let mut out = Frame::<1>::silence(0);
                assert!(render(&all, None, rule, &mut MixState::new(), &mut out));
                // The limiter's gain has 15 bits: of tens of thousands at full level nothing is
                // left.
                assert_eq!(i32::from(out[0]), expected, "{rule:?} of {level}");
            }
        }
    }
}
