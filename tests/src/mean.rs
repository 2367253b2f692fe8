//! How much of a recording is the mean of two talkers, where a codec has left no bit as it was (for sound that comes bit for
//! bit: [`crate::exact::mean_of`]).

use std::ops::Range;

use crate::analysis::{Recording, hear, rms, speech_parts};
use crate::wav::samples;

/// What is compared at a time: longer than a syllable, and short enough that a delay which changes spoils few of them.
const PART: usize = samples(300);
/// Sound below this RMS is no speech.
const SPEECH_RMS: f64 = 300.0;
/// How far the delay of a part may be from the median delay of its talker.
const DRIFT: usize = samples(120);

/// How a recording of two who talked at the same time compares with what they said: medians over its parts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanHearing {
    /// Parts in which both talk.
    pub parts: usize,
    /// With the mean of both: 1 where the recording is that.
    pub mean: f64,
    /// With the first alone; the root of a half where both are as loud.
    pub one: f64,
    /// With the second alone.
    pub other: f64,
}

/// Compares the parts of `heard` in which `one` and `other` talk at once; `None` where there is no such part.
pub fn hear_mean(one: &[i16], other: &[i16], heard: &[i16]) -> Option<MeanHearing> {
    let shift = |spoken| Some(hear(spoken, &speech_parts(spoken, SPEECH_RMS, PART), heard)?.shift);
    let between = shift(one)? - shift(other)?;
    let (recording, second) = (Recording::new(heard), Recording::new(other));
    let (mut mean, mut alone, mut other_alone) = (Vec::new(), Vec::new(), Vec::new());
    for part in speech_parts(one, SPEECH_RMS, PART) {
        let spoken = &one[part.clone()];
        let due = part.start as i64 + shift(one)?;
        let Some(found) = recording.find_within(spoken, around(due, spoken.len())) else {
            continue;
        };
        let piece = &heard[found.offset..found.offset + spoken.len()];
        // What the other said meanwhile: near where both delays put it, and there where it fits best.
        let due = part.start as i64 + between;
        let Some(place) = second.find_within(piece, around(due, piece.len())) else {
            continue;
        };
        let beside = &other[place.offset..place.offset + piece.len()];
        if rms(beside) < SPEECH_RMS {
            continue;
        }
        let both: Vec<i16> = spoken
            .iter()
            .zip(beside)
            .map(|(&one, &other)| i16::midpoint(one, other))
            .collect();
        mean.push(similarity(&both, piece));
        alone.push(similarity(spoken, piece));
        other_alone.push(similarity(beside, piece));
    }
    Some(MeanHearing {
        parts: mean.len(),
        mean: median(mean)?,
        one: median(alone)?,
        other: median(other_alone)?,
    })
}

fn around(due: i64, len: usize) -> Range<usize> {
    let due = due.max(0) as usize;
    due.saturating_sub(DRIFT)..due + DRIFT + len
}

/// The cosine between two pieces of one length.
fn similarity(a: &[i16], b: &[i16]) -> f64 {
    let product: f64 = a
        .iter()
        .zip(b)
        .map(|(&a, &b)| f64::from(a) * f64::from(b))
        .sum();
    let size = rms(a) * rms(b) * a.len() as f64;
    if size == 0.0 { 0.0 } else { product / size }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    fn recording(one: &[i16], other: &[i16], ahead: usize) -> Vec<i16> {
        let mut heard = vec![0; ahead];
        heard.extend(one.iter().zip(other).map(|(&a, &b)| i16::midpoint(a, b)));
        heard
    }

    #[test]
    fn a_mean_is_found_and_one_alone_is_not_taken_for_it() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let found = hear_mean(&one, &other, &recording(&one, &other, 777)).unwrap();
        assert!(found.parts >= 5 && found.mean > 0.999, "{found:?}");
        for alone in [found.one, found.other] {
            // Noise that is low has likenesses by chance.
            assert!((alone - 0.5f64.sqrt()).abs() < 0.15, "{found:?}");
        }
        let found = hear_mean(&one, &other, &one).unwrap();
        assert!(found.mean < 0.8 && found.one > 0.999, "{found:?}");
    }

    #[test]
    fn delays_that_differ_are_no_matter() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let heard = recording(&one[..30_000], &other[2_000..], 100);
        let found = hear_mean(&one, &other, &heard).unwrap();
        assert!(found.mean > 0.999, "{found:?}");
    }

    #[test]
    fn without_a_part_of_both_there_is_nothing_to_say() {
        assert_eq!(
            hear_mean(&noise(1, 8_000), &[0; 8_000], &noise(1, 8_000)),
            None
        );
        assert_eq!(hear_mean(&[], &[], &[]), None);
    }
}
