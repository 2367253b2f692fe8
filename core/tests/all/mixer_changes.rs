//! What a listener hears while talkers come and go, frame after frame: no step anywhere, and nobody
//! louder than they are.

use crate::common::cases::cases;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::audio::mixer::{
    Contribution, MixRule, MixState, Part, TalkerState, Talkers, render,
};

const LOUDEST: i16 = 20_000;
/// Rounding of two means and of a fade's weight.
const ERROR: i32 = 6;

/// What one talker does in a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    Talk,
    /// Talks, and this is the last frame.
    End,
    /// Sends frames of zeros.
    SendSilence,
    /// Sends nothing. A talkspurt that breaks off fades for a frame, as concealment makes it.
    Nothing,
}

const DOES: [Does; 4] = [Does::Talk, Does::End, Does::SendSilence, Does::Nothing];

/// A talker at a constant level, whose own voice starts and ends without a step.
#[derive(Clone, Debug)]
struct Talker {
    level: i16,
    state: TalkerState,
    value: i16,
}

impl Talker {
    fn new(level: i16, frame: FrameDuration) -> Self {
        Self {
            level,
            state: TalkerState::new(frame),
            value: 0,
        }
    }

    fn does(&mut self, does: Does, len: usize) -> Option<(Part, Vec<i16>)> {
        let counted = self.state.counts();
        if does == Does::Nothing && !(counted && self.value != 0) {
            return self.state.no_frame().map(|part| (part, vec![]));
        }
        let to = match does {
            Does::Talk | Does::End => self.level,
            Does::SendSilence | Does::Nothing => 0,
        };
        // A talker who did not count is about to be faded in: they start at full level, like a word
        // that was cut.
        let from = if counted { self.value } else { to };
        let way = i32::from(to) - i32::from(from);
        let samples: Vec<i16> = (1..=len as i32)
            .map(|n| (i32::from(from) + way * n / len as i32) as i16)
            .collect();
        self.value = if does == Does::End { 0 } else { to };
        let part = self
            .state
            .frame(&samples, half_db(rms(&samples)), does == Does::End);
        Some((part, samples))
    }
}

/// For one listener and frame: the means of the old and of the new set, each at its loudest; `None`
/// where a set is empty.
fn loudest_means(others: &[&(Part, Vec<i16>)]) -> [Option<i32>; 2] {
    let gone = others
        .iter()
        .filter(|(part, _)| *part == Part::Gone)
        .count();
    let mean = |parts: [Part; 2], gone| {
        let those: Vec<_> = others
            .iter()
            .filter(|(part, _)| parts.contains(part))
            .collect();
        let sum_at = |i: usize| {
            those
                .iter()
                .map(|(_, samples)| i32::from(samples[i]))
                .sum::<i32>()
        };
        let len = those.first()?.1.len();
        let loudest = (0..len).map(|i| sum_at(i).abs()).max()?;
        Some(loudest / (those.len() + gone) as i32)
    };
    [
        mean([Part::Staying, Part::Ending], gone),
        mean([Part::Staying, Part::Starting], 0),
    ]
}

proptest! {
    #![proptest_config(cases(256))]

    #[test]
    fn there_is_no_step_whoever_comes_and_goes(
        ms in select(&[5u8, 10, 20]),
        levels in vec(prop_oneof![100..LOUDEST, -LOUDEST..-100], 1..8),
        script in vec(vec(select(&DOES), 8), 2..40),
        listener in 0..8usize,
    ) {
        let frame = FrameDuration::from_millis(ms).unwrap();
        let len = usize::from(ms) * 16;
        let talkers = levels.into_iter().map(|level| Talker::new(level, frame));
        let mut talkers: Vec<_> = talkers.collect();
        let (mut state, mut out) = (MixState::new(), Frame::<FRAME_SAMPLES_MAX>::silence(0));
        let mut last_heard = None;
        for does in script {
            let frames: Vec<_> = talkers
                .iter_mut()
                .zip(does)
                .map(|(talker, does)| talker.does(does, len))
                .collect();
            let mut sum = Talkers::new(SampleRate::Hz16000, len);
            frames.iter().flatten().for_each(|(part, samples)| sum.add(*part, samples));
            let own = frames.get(listener).and_then(Option::as_ref);
            let others: Vec<_> = frames
                .iter()
                .enumerate()
                .filter(|(n, _)| *n != listener)
                .filter_map(|(_, frame)| frame.as_ref())
                .collect();
            let own = own.map(|(part, samples)| Contribution { part: *part, samples });
            render(&sum, own, MixRule::Mean, &mut state, &mut out);
            let [old, new] = loudest_means(&others);
            // A voice heard after nobody starts as it starts; one heard before nobody ends as it
            // ends.
            let before = last_heard.filter(|_| old.is_some());
            last_heard = new.map(|_| out[len - 1]);
            let (Some(old), Some(new)) = (old.or(new), new.or(old)) else { continue };
            prop_assert!(out.iter().all(|&s| i32::from(s).abs() <= old.max(new) + 1));
            // The signals' own slope, plus that of the fade between their means.
            let slope = (i32::from(LOUDEST) + old + new) / len as i32 + ERROR;
            let heard: Vec<i32> = before.iter().chain(out.iter()).map(|&s| s.into()).collect();
            for pair in heard.windows(2) {
                prop_assert!((pair[1] - pair[0]).abs() <= slope, "{pair:?} with {frames:?}");
            }
        }
    }
}

/// 437 Hz at 20,000. A frame holds no whole number of its periods.
fn tone(from_sample: usize, len: usize) -> Vec<i16> {
    const PERIOD_Q8: usize = 16_000 * 256 / 437;
    (from_sample..from_sample + len)
        .map(|n| {
            // A parabola for each half period: within 6 % of a sine, with peaks at 20,000.
            let phase = n * 256 * 4_096 / PERIOD_Q8 % 4_096;
            let half = (phase % 2_048) as i32 - 1_024;
            let height = 20_000 - 20_000 * (half * half / 64) / (1_024 * 1_024 / 64);
            (if phase < 2_048 { height } else { -height }) as i16
        })
        .collect()
}

#[test]
fn two_talkers_at_one_level_are_never_louder_than_either() {
    for (ms, frame) in [(5, FrameDuration::Ms5), (20, FrameDuration::Ms20)] {
        let len = ms * 16;
        let mut states = [TalkerState::new(frame); 2];
        let (mut state, mut out) = (MixState::new(), Frame::<FRAME_SAMPLES_MAX>::silence(0));
        for number in 0..20 {
            let mut sum = Talkers::new(SampleRate::Hz16000, len);
            let frame = tone(number * len, len);
            sum.add(
                states[0].frame(&frame, half_db(rms(&frame)), number == 19),
                &frame,
            );
            if (5..15).contains(&number) {
                let part = states[1].frame(&frame, half_db(rms(&frame)), number == 14);
                sum.add(part, &frame);
            }
            render(&sum, None, MixRule::Mean, &mut state, &mut out);
            let differs = |(a, b): (&i16, &i16)| (a - b).abs() > 1;
            assert_eq!(
                out.iter().zip(&frame).filter(|&pair| differs(pair)).count(),
                0,
                "frame {number}"
            );
            assert!(frame.iter().any(|&s| s > 19_900));
        }
    }
}
