//! Compares what was heard with what was spoken, sample by sample: which stretches of a recording
//! repeat a speaker bit for bit, and which are the mean of two. Each stretch is found wherever it
//! is, however often the delay changed on the way.
//!
//! All positions and lengths are in samples.

use std::collections::HashMap;
use std::ops::Range;

use crate::recording::Recording;

pub use blends::joined_over_blends;

mod blends;

/// A stretch that was heard exactly as spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    /// Where it begins in what was spoken.
    pub spoken: usize,
    /// Where it begins in what was heard.
    pub heard: usize,
    /// How long it is.
    pub len: usize,
}

/// Samples by which a stretch is recognised: 2 ms. Sound of 10 significant bits repeats this many
/// by chance once in 2^320.
const KEY: usize = 32;
/// A stretch can be recognised at every multiple of this many spoken samples.
const KEY_STEP: usize = 16;

/// Returns the stretches of `heard`, in order, that repeat `spoken` bit for bit. Each is at least 3
/// ms long, and none is silent.
pub fn exact_runs(spoken: &[i16], heard: &[i16]) -> Vec<Run> {
    let places: HashMap<&[i16], usize> = (0..spoken.len().saturating_sub(KEY - 1))
        .step_by(KEY_STEP)
        .map(|place| (&spoken[place..place + KEY], place))
        .filter(|(key, _)| key.iter().any(|&s| s != key[0]))
        .collect();
    let mut runs = Vec::new();
    let (mut at, mut end) = (0, 0);
    while let Some(key) = heard.get(at..at + KEY) {
        let Some(&place) = places.get(key) else {
            at += 1;
            continue;
        };
        // A run may have begun before the first key in it, but not within the run before.
        let before = equal_len(spoken[..place].iter().rev(), heard[end..at].iter().rev());
        let len = before + equal_len(spoken[place..].iter(), heard[at..].iter());
        runs.push(Run {
            spoken: place - before,
            heard: at - before,
            len,
        });
        end = at - before + len;
        at = end;
    }
    runs
}

/// Returns whether all of `spoken` was heard in one piece: in order, and with one delay.
pub fn is_whole(runs: &[Run], spoken: &[i16]) -> bool {
    matches!(runs, [run] if (run.spoken, run.len) == (0, spoken.len()))
}

/// Returns how many samples of `spoken` the runs cover, each counted once.
pub fn covered(runs: &[Run], spoken: &[i16]) -> usize {
    covered_within(runs, 0..spoken.len())
}

/// Like [`covered`], for a part of what was spoken.
pub fn covered_within(runs: &[Run], part: Range<usize>) -> usize {
    let mut heard = vec![false; part.len()];
    for run in runs {
        let start = run.spoken.clamp(part.start, part.end) - part.start;
        let end = (run.spoken + run.len).clamp(part.start, part.end) - part.start;
        heard[start..end].fill(true);
    }
    heard.into_iter().filter(|heard| *heard).count()
}

/// Like [`covered_within`], counting only what was heard in order and in time: the first spoken
/// sample is due at sample `due` of the recording, and no sample may be more than `latest` late.
pub fn covered_in_time(runs: &[Run], part: Range<usize>, due: i64, latest: usize) -> usize {
    // Delays are counted from moments that two processes report; those agree within this.
    const EARLY: i64 = 3_200;
    let mut kept: Vec<Run> = Vec::new();
    for run in runs {
        let delay = run.heard as i64 - run.spoken as i64 - due;
        let in_order = kept
            .last()
            .is_none_or(|last| last.spoken + last.len <= run.spoken);
        if in_order && (-EARLY..=latest as i64).contains(&delay) {
            kept.push(*run);
        }
    }
    covered_within(&kept, part)
}

/// How much of a recording is the mean of two speakers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MeanMatch {
    /// Samples that are the mean of both within 1 LSB.
    pub matching: usize,
    /// Samples during which both were heard, in the recording's time: from the later start to the
    /// earlier end.
    pub overlap: usize,
}

impl MeanMatch {
    /// Returns the share of the overlap that matches, 0 if there is none.
    pub fn share(&self) -> f64 {
        if self.overlap == 0 {
            return 0.0;
        }
        self.matching as f64 / self.overlap as f64
    }
}

/// Delays are searched in steps of a frame, this many to either side of the last.
const STEPS: i64 = 12;
/// The length that is correlated when the delays are not known: 300 ms.
const TEMPLATE: usize = 4_800;

/// Finds where `heard` is the mean of `one` and `other`, frame by frame, whatever their delays and
/// however they change.
pub fn mean_of(one: &[i16], other: &[i16], heard: &[i16], frame_samples: usize) -> MeanMatch {
    let mut search = Search {
        one,
        other,
        heard,
        frame: frame_samples,
        shifts: None,
    };
    let mut found = MeanMatch::default();
    let mut spans: Vec<(i64, i64)> = Vec::new();
    let mut at = 0;
    while at + frame_samples <= heard.len() {
        let Some(shifts) = search.shifts_at(at) else {
            at += frame_samples;
            continue;
        };
        // Both delays may change within this frame, since it need not begin where the streams'
        // frames do.
        let len = search.matching_len(at, shifts);
        found.matching += len;
        spans.push(overlap(one.len(), other.len(), shifts));
        at += len.max(1);
    }
    found.overlap = span_of(&spans, heard.len());
    found
}

/// By how many samples each of the two was heard later than spoken.
type Shifts = (i64, i64);

struct Search<'a> {
    one: &'a [i16],
    other: &'a [i16],
    heard: &'a [i16],
    frame: usize,
    shifts: Option<Shifts>,
}

impl Search<'_> {
    /// The shifts with which a whole frame at `at` is the mean, if there are any.
    fn shifts_at(&mut self, at: usize) -> Option<Shifts> {
        let found = match self.shifts {
            Some(last) => self.near(at, last, STEPS),
            None => None,
        };
        let found = found.or_else(|| {
            let coarse = self.by_correlation(at)?;
            self.near(at, coarse, 1)
        });
        self.shifts = found.or(self.shifts);
        found
    }

    fn near(&self, at: usize, around: Shifts, steps: i64) -> Option<Shifts> {
        let frame = self.frame as i64;
        let mut candidates: Vec<(i64, i64)> = (-steps..=steps)
            .flat_map(|one| (-steps..=steps).map(move |other| (one, other)))
            .collect();
        // Nearest first, because silence would match anywhere.
        candidates.sort_by_key(|(one, other)| one.abs() + other.abs());
        candidates
            .into_iter()
            .map(|(one, other)| (around.0 + one * frame, around.1 + other * frame))
            .find(|&shifts| self.matching_len(at, shifts) >= self.frame)
    }

    fn by_correlation(&self, at: usize) -> Option<Shifts> {
        let template = self.heard.get(at..at + TEMPLATE)?;
        let one = Recording::new(self.one).find(template)?;
        let other = Recording::new(self.other).find(template)?;
        let shift = |offset: usize| at as i64 - offset as i64;
        Some((shift(one.offset), shift(other.offset)))
    }

    /// For how many samples from `at` the recording is the mean.
    fn matching_len(&self, at: usize, (one, other): Shifts) -> usize {
        let sample = |sound: &[i16], index: i64| {
            let index = usize::try_from(index).ok()?;
            sound.get(index).copied().map(i32::from)
        };
        self.heard[at..]
            .iter()
            .enumerate()
            .take_while(|&(i, &heard)| {
                let now = (at + i) as i64;
                let (Some(a), Some(b)) =
                    (sample(self.one, now - one), sample(self.other, now - other))
                else {
                    return false;
                };
                (i32::from(heard) * 2 - (a + b)).abs() <= 2
            })
            .count()
    }
}

fn equal_len<'a>(a: impl Iterator<Item = &'a i16>, b: impl Iterator<Item = &'a i16>) -> usize {
    a.zip(b).take_while(|(a, b)| a == b).count()
}

fn overlap(one_len: usize, other_len: usize, (one, other): Shifts) -> (i64, i64) {
    (
        one.max(other),
        (one + one_len as i64).min(other + other_len as i64),
    )
}

/// The widest span that any of the shifts gives, within the recording.
fn span_of(spans: &[(i64, i64)], heard_len: usize) -> usize {
    let start = spans.iter().map(|span| span.0).min().unwrap_or(0).max(0);
    let end = spans.iter().map(|span| span.1).max().unwrap_or(0);
    (end.min(heard_len as i64) - start).max(0) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::noise::noise;

    fn mean(a: &[i16], b: &[i16]) -> Vec<i16> {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| ((i32::from(a) + i32::from(b)) / 2) as i16)
            .collect()
    }

    #[test]
    fn stretches_are_found_where_they_are() {
        let spoken = noise(1, 2_000);
        let mut heard = vec![0; 77];
        heard.extend(&spoken[..900]);
        heard.extend([5; 40]);
        heard.extend(&spoken[1_000..]);
        let runs = exact_runs(&spoken, &heard);
        let run = |spoken, heard, len| Run { spoken, heard, len };
        assert_eq!(runs, [run(0, 77, 900), run(1_000, 1_017, 1_000)]);
        assert_eq!(covered(&runs, &spoken), 1_900);
        assert!(!is_whole(&runs, &spoken));
        let later = [&[0; 50][..], &spoken].concat();
        assert!(is_whole(&exact_runs(&spoken, &later), &spoken));
        assert!(!is_whole(&exact_runs(&spoken, &spoken[1..]), &spoken));
        assert_eq!(covered_within(&runs, 800..1_050), 150);
        assert_eq!(exact_runs(&spoken, &noise(2, 2_000)), []);
        assert_eq!(exact_runs(&spoken, &[0; 500]), []);
    }

    #[test]
    fn only_sound_in_order_and_in_time_counts() {
        let spoken = noise(1, 8_000);
        let count = |heard: &[i16], latest| {
            let runs = exact_runs(&spoken, heard);
            covered_in_time(&runs, 0..spoken.len(), 100, latest)
        };
        let late = |delay: usize| [&vec![0; 100 + delay][..], &spoken[..]].concat();
        assert_eq!(count(&late(0), 500), 8_000);
        assert_eq!(count(&late(500), 500), 8_000);
        assert_eq!(count(&late(501), 500), 0);
        let swapped = [&[0; 4_100][..], &spoken[4_000..], &spoken[..4_000]].concat();
        assert_eq!(covered(&exact_runs(&spoken, &swapped), &spoken), 8_000);
        assert_eq!(
            count(&swapped, 500),
            4_000,
            "the second half, at its own time"
        );
        assert_eq!(
            count(&swapped, 9_000),
            4_000,
            "and not the first half after it"
        );
    }

    #[test]
    fn one_wrong_bit_is_seen() {
        let spoken = noise(1, 1_000);
        let mut heard = spoken.clone();
        heard[500] ^= 1;
        let runs = exact_runs(&spoken, &heard);
        assert_eq!(covered(&runs, &spoken), 999);
        assert_eq!(runs.len(), 2);
    }

    #[test]
    fn a_mean_is_recognised_across_a_change_of_delay() {
        let (a, b) = (noise(1, 16_000), noise(2, 16_000));
        let mut heard = vec![0; 123];
        heard.extend(&a[..640]);
        heard.extend(mean(&a[640..8_000], &b));
        // From here on b is two frames late.
        heard.extend(mean(&a[8_000..], &b[7_360 - 640..]));
        let found = mean_of(&a, &b, &heard, 320);
        assert_eq!(found.overlap, 16_000 - 640);
        assert!(found.share() > 0.97, "{found:?}");
    }

    #[test]
    fn sound_that_is_not_the_mean_does_not_match() {
        let (a, b) = (noise(1, 16_000), noise(2, 16_000));
        assert_eq!(mean_of(&a, &b, &a, 320).matching, 0);
        assert_eq!(mean_of(&a, &b, &noise(3, 16_000), 320).matching, 0);
        let off_by_three: Vec<i16> = mean(&a, &b).iter().map(|s| s + 3).collect();
        assert_eq!(mean_of(&a, &b, &off_by_three, 320).matching, 0);
    }
}
