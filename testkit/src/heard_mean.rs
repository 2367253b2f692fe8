//! How much of a recording is the mean of two talkers, where the codec is lossy (for sound that
//! arrives bit for bit: [`crate::bit_exact::mean_of`]).

use std::ops::Range;

use crate::recording::{Recording, rms, speech_parts};
use crate::wav::samples;

/// The length that is compared at a time: longer than a syllable, and short enough that a change of
/// delay spoils only few parts.
const PART: usize = samples(300);
/// Sound below this RMS does not count as speech.
const SPEECH_RMS: f64 = 300.0;
/// How far a part's delay may be from its talker's median delay.
const DRIFT: usize = samples(120);

/// A part below this similarity is not the mean of both: its noise is louder than a third of it, or
/// a frame is missing.
const HEARD: f64 = 0.95;

/// How a recording of two simultaneous talkers compares with what they said.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MeanHearing {
    /// How many parts there are in which both talk.
    pub parts: usize,
    /// The share of these parts that are the mean of both, each within 120 ms of its talker's
    /// median delay.
    pub share: f64,
    /// The median similarity to the mean of both: 1 if the recording is exactly that.
    pub mean: f64,
    /// The median loudness relative to that mean: 1 if the recording is as loud.
    pub level: f64,
    /// The similarity to the first talker alone: the root of a half if both are equally loud.
    pub one: f64,
    /// The similarity to the second talker alone.
    pub other: f64,
}

/// Compares the parts of `heard` in which `one` and `other` talk at once. `None` if there is no
/// such part.
pub fn hear_mean(one: &[i16], other: &[i16], heard: &[i16]) -> Option<MeanHearing> {
    let (recording, second) = (Recording::new(heard), Recording::new(other));
    let first_delay = median_delay(one, &recording)?;
    let between = first_delay - median_delay(other, &recording)?;
    let (mut mean, mut level) = (Vec::new(), Vec::new());
    let (mut alone, mut other_alone) = (Vec::new(), Vec::new());
    for part in speech_parts(one, SPEECH_RMS, PART) {
        let spoken = &one[part.clone()];
        // What the other said meanwhile: looked for near where both delays put it, at the best
        // match.
        let beside_due = part.start as i64 + between;
        let beside = other.get(beside_due.max(0) as usize..).unwrap_or(&[]);
        if rms(&beside[..beside.len().min(spoken.len())]) < SPEECH_RMS {
            continue;
        }
        let due = part.start as i64 + first_delay;
        let found = recording.find_within(spoken, around(due, spoken.len()));
        let piece = found.map(|found| &heard[found.offset..found.offset + spoken.len()]);
        let place =
            piece.and_then(|piece| second.find_within(piece, around(beside_due, piece.len())));
        let (Some(piece), Some(place)) = (piece, place) else {
            // Silence where both should be heard.
            mean.push(0.0);
            continue;
        };
        let beside = &other[place.offset..place.offset + piece.len()];
        let both: Vec<i16> = spoken
            .iter()
            .zip(beside)
            .map(|(&one, &other)| i16::midpoint(one, other))
            .collect();
        mean.push(similarity(&both, piece));
        level.push(rms(piece) / rms(&both).max(1.0));
        alone.push(similarity(spoken, piece));
        other_alone.push(similarity(beside, piece));
    }
    let share = mean.iter().filter(|&&part| part >= HEARD).count() as f64 / mean.len() as f64;
    Some(MeanHearing {
        parts: mean.len(),
        share,
        mean: median(mean)?,
        level: median(level)?,
        one: median(alone)?,
        other: median(other_alone)?,
    })
}

/// By how many samples a talker was heard later than spoken, beneath another one.
fn median_delay(spoken: &[i16], recording: &Recording<'_>) -> Option<i64> {
    let parts = speech_parts(spoken, SPEECH_RMS, PART).into_iter();
    let mut delays: Vec<i64> = parts
        .filter_map(|part| {
            let found = recording.find(&spoken[part.clone()])?;
            Some(found.offset as i64 - part.start as i64)
        })
        .collect();
    delays.sort_unstable();
    delays.get(delays.len() / 2).copied()
}

fn around(due: i64, len: usize) -> Range<usize> {
    let due = due.max(0) as usize;
    due.saturating_sub(DRIFT)..due + DRIFT + len
}

/// The cosine between two pieces of equal length.
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
    fn a_mean_is_found_and_one_talker_alone_is_not_mistaken_for_it() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let found = hear_mean(&one, &other, &recording(&one, &other, 777)).unwrap();
        assert!(found.parts >= 5 && found.mean > 0.999, "{found:?}");
        assert!((found.level - 1.0).abs() < 0.01, "{found:?}");
        for alone in [found.one, found.other] {
            // Low-pass noise resembles other noise by chance.
            assert!((alone - 0.5f64.sqrt()).abs() < 0.15, "{found:?}");
        }
        let found = hear_mean(&one, &other, &one).unwrap();
        assert!(found.mean < 0.8 && found.one > 0.999, "{found:?}");
        assert_eq!(found.share, 0.0, "{found:?}");
    }

    #[test]
    fn a_mean_that_is_too_low_is_seen() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let mut heard = recording(&one, &other, 777);
        heard.iter_mut().for_each(|sample| *sample /= 2);
        let found = hear_mean(&one, &other, &heard).unwrap();
        assert!(found.mean > 0.999 && (found.level - 0.5).abs() < 0.01);
    }

    #[test]
    fn a_missing_part_is_counted() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let mut heard = recording(&one, &other, 777);
        let whole = hear_mean(&one, &other, &heard).unwrap();
        assert_eq!(whole.share, 1.0, "{whole:?}");
        heard[777 + 9_600..777 + 14_400].fill(0);
        let gapped = hear_mean(&one, &other, &heard).unwrap();
        assert_eq!(gapped.parts, whole.parts, "{gapped:?}");
        assert!(gapped.share < 0.9, "{gapped:?}");
    }

    #[test]
    fn different_delays_do_not_matter() {
        let (one, other) = (noise(1, 32_000), noise(2, 32_000));
        let heard = recording(&one[..30_000], &other[2_000..], 100);
        let found = hear_mean(&one, &other, &heard).unwrap();
        assert!(found.mean > 0.999, "{found:?}");
    }

    #[test]
    fn without_a_part_with_both_there_is_no_result() {
        assert_eq!(
            hear_mean(&noise(1, 8_000), &[0; 8_000], &noise(1, 8_000)),
            None
        );
        assert_eq!(hear_mean(&[], &[], &[]), None);
    }
}
