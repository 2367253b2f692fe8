//! Compares speech frame by frame with a recording, at the delays of the parts around each frame.

use std::collections::BTreeSet;
use std::ops::Range;

use super::{FRAME, Hearing, PART, PART_FOUND, PER_MS, SPEECH_RMS};
use crate::recording::{Recording, rms};
use crate::wav::{millis, samples};

/// What every gate with the default thresholds passes: from a frame of this RMS on ...
const OPENS_RMS: f64 = 2_300.0;
/// ... until so many frames in a row (200 ms; the gate holds 300 ms) ...
const HOLD_FRAMES: usize = 10;
/// ... were softer than this. (Thresholds are 2,000 and 500, of frames that begin elsewhere.)
const CLOSES_RMS: f64 = 600.0;
/// A frame below this similarity was not heard: its noise is louder than a third of it.
const FRAME_HEARD: f64 = 0.95;
/// Two parts in order may overlap by this much: playout that drops frames to catch up moves them
/// closer.
const OVERLAP: usize = samples(80);
/// How far a frame may be from where the parts around it put it: clocks differ, and resamplers
/// shift.
const DRIFT: i64 = 16;
/// Two frames that were heard lie at least this far apart, since no sound is two frames at once. In
/// a steady vowel one would otherwise count twice.
const APART: usize = FRAME - DRIFT as usize;
/// Concealment, fading and the reverberation of filters last no longer than this after the speech.
const TAIL: usize = samples(80);

/// A part that was found, and where.
#[derive(Clone, Copy, Debug)]
pub(super) struct Anchor {
    pub(super) spoken: usize,
    pub(super) heard: usize,
}

impl Anchor {
    /// Looks for a piece of what was spoken between two places of the recording.
    pub(super) fn find(
        spoken: &[i16],
        piece: Range<usize>,
        recording: &Recording<'_>,
        places: Range<i64>,
    ) -> Option<Self> {
        let places = places.start.max(0) as usize..places.end.max(0) as usize;
        let found = recording.find_within(&spoken[piece.clone()], places)?;
        (found.similarity >= PART_FOUND).then_some(Self {
            spoken: piece.start,
            heard: found.offset,
        })
    }

    fn delay(self) -> i64 {
        self.heard as i64 - self.spoken as i64
    }
}

/// Returns the longest selection of the parts, sorted by when they were spoken, that were heard in
/// the same order.
pub(super) fn in_order(found: &[Anchor]) -> Vec<Anchor> {
    // How many parts are in order up to this one, and which one precedes it.
    let mut best: Vec<(usize, Option<usize>)> = Vec::new();
    for (index, part) in found.iter().enumerate() {
        let before = (0..index)
            .filter(|&earlier| found[earlier].heard + PART <= part.heard + OVERLAP)
            .max_by_key(|&earlier| best[earlier].0);
        best.push((before.map_or(1, |earlier| best[earlier].0 + 1), before));
    }
    let mut next = (0..found.len()).max_by_key(|&index| best[index].0);
    let mut chain = Vec::new();
    while let Some(index) = next {
        chain.push(found[index]);
        next = best[index].1;
    }
    chain.reverse();
    chain
}

/// The frames of speech, compared one by one.
#[derive(Default)]
pub(super) struct Frames {
    /// How many frames contain speech.
    pub(super) frames: usize,
    /// Where each heard frame was spoken, and where it was heard.
    heard: Vec<Anchor>,
    /// Where the missed frames were spoken.
    missed: Vec<Range<usize>>,
    longest_gap: usize,
    product: f64,
    spoken_energy: f64,
    heard_energy: f64,
}

impl Frames {
    pub(super) fn compare(spoken: &[i16], recording: &[i16], anchors: &[Anchor]) -> Self {
        let mut all = Self::default();
        let mut gap = 0;
        let frames = spoken.chunks_exact(FRAME).enumerate();
        for ((index, frame), _) in frames.zip(due_frames(spoken)).filter(|&(_, due)| due) {
            all.frames += 1;
            let from = all.heard.last().map_or(0, |last| last.heard + APART);
            let Some((anchor, products)) = find(frame, index * FRAME, recording, anchors, from)
            else {
                all.miss(index * FRAME);
                gap += 1;
                all.longest_gap = all.longest_gap.max(gap);
                continue;
            };
            gap = 0;
            all.heard.push(anchor);
            all.product += products.cross;
            all.spoken_energy += products.spoken;
            all.heard_energy += products.heard;
        }
        all
    }

    fn miss(&mut self, at: usize) {
        match self.missed.last_mut() {
            Some(last) if last.end == at => last.end += FRAME,
            _ => self.missed.push(at..at + FRAME),
        }
    }

    /// Places short pieces that were missed because the delay changes close to them. Each is looked
    /// for between what was heard before it and after it, with delays within `bounds`.
    pub(super) fn refine(
        &self,
        spoken: &[i16],
        recording: &Recording<'_>,
        bounds: Range<i64>,
    ) -> Vec<Anchor> {
        const PIECE: usize = samples(100);
        const SHORTEST: usize = samples(40);
        let mut found = Vec::new();
        let runs = self.missed.iter().cloned();
        let pieces = runs.flat_map(|run| {
            let end = run.end;
            run.step_by(FRAME).map(move |at| at..end.min(at + PIECE))
        });
        for Range { start: at, end } in pieces.filter(|piece| piece.len() >= SHORTEST) {
            let next = self.heard.partition_point(|heard| heard.spoken < at);
            let before = next
                .checked_sub(1)
                .map(|last| self.heard[last].heard + FRAME);
            let after = self.heard.get(next).map(|next| next.heard + OVERLAP);
            let from = (at as i64 + bounds.start).max(before.unwrap_or(0) as i64 - OVERLAP as i64);
            let to = (end as i64 + bounds.end).min(after.map_or(i64::MAX, |after| after as i64));
            found.extend(Anchor::find(spoken, at..end, recording, from..to));
        }
        found
    }

    /// Places frames that were missed between two delays, and have one of their own: playout that
    /// catches up by frames moves closer step by step. Each is looked for at the delays between.
    pub(super) fn between(&self, spoken: &[i16], recording: &Recording<'_>) -> Vec<Anchor> {
        const PIECE: usize = samples(40);
        let mut found = Vec::new();
        for run in &self.missed {
            let next = self.heard.partition_point(|heard| heard.spoken < run.start);
            let (Some(before), Some(after)) = (
                next.checked_sub(1).map(|last| self.heard[last].delay()),
                self.heard.get(next).map(|next| next.delay()),
            ) else {
                continue;
            };
            let pieces = run.clone().step_by(FRAME).map(|at| at..at + PIECE);
            for piece in pieces.take_while(|piece| piece.end <= run.end) {
                let from = piece.start as i64 + before.min(after);
                let to = piece.end as i64 + before.max(after);
                found.extend(Anchor::find(spoken, piece, recording, from..to));
            }
        }
        found
    }

    pub(super) fn summary(self, spoken: &[i16], due: i64) -> Hearing {
        let mut delays: Vec<i64> = self.heard.iter().map(|frame| frame.delay() - due).collect();
        delays.sort_unstable();
        let ms = |delay: Option<&i64>| delay.map_or(f64::NAN, |&delay| delay as f64 / PER_MS);
        let energy = (self.spoken_energy * self.heard_energy).sqrt();
        Hearing {
            frames: self.frames,
            share: self.heard.len() as f64 / self.frames as f64,
            similarity: if energy > 0.0 {
                self.product / energy
            } else {
                0.0
            },
            gap_ms: millis(self.longest_gap * FRAME),
            least_delay_ms: ms(delays.first()),
            delay_ms: ms(delays.get(delays.len() / 2)),
            most_delay_ms: ms(delays.last()),
            explained: self.explained(spoken),
        }
    }

    /// Where all sound of `spoken`, including soft and lost sound, belongs: it has the delay of the
    /// nearest heard frame.
    fn explained(&self, spoken: &[i16]) -> Vec<Range<usize>> {
        const AUDIBLE_RMS: f64 = 20.0;
        let frames = spoken.chunks(FRAME).enumerate();
        let audible = frames.filter(|(_, frame)| rms(frame) > AUDIBLE_RMS);
        let placed = audible.filter_map(|(index, frame)| {
            let at = index * FRAME;
            let next = self.heard.partition_point(|heard| heard.spoken < at);
            let around = self.heard[next.saturating_sub(1)..].iter().take(2);
            let nearest = around.min_by_key(|heard| heard.spoken.abs_diff(at))?;
            let heard = (at as i64 + nearest.delay()).max(0) as usize;
            Some(heard.saturating_sub(TAIL)..heard + frame.len() + TAIL)
        });
        placed.collect()
    }
}

/// For each frame, whether it is speech that has to arrive. Soft sound after a pause is not, since
/// a gate may cut it.
pub(super) fn due_frames(spoken: &[i16]) -> Vec<bool> {
    let mut open_for = 0;
    let frames = spoken.chunks_exact(FRAME).map(rms);
    let due = frames.map(|level| {
        if level > OPENS_RMS || (open_for > 0 && level > CLOSES_RMS) {
            open_for = HOLD_FRAMES;
        }
        let open = open_for > 0;
        open_for = open_for.saturating_sub(1);
        open && level > SPEECH_RMS
    });
    due.collect()
}

/// Sums over a frame and what was heard of it.
#[derive(Clone, Copy)]
struct Products {
    cross: f64,
    spoken: f64,
    heard: f64,
}

impl Products {
    fn of(spoken: &[i16], heard: &[i16]) -> Self {
        let sum = |a: &[i16], b: &[i16]| -> f64 {
            let products = a.iter().zip(b).map(|(&a, &b)| i64::from(a) * i64::from(b));
            products.sum::<i64>() as f64
        };
        Self {
            cross: sum(spoken, heard),
            spoken: sum(spoken, spoken),
            heard: sum(heard, heard),
        }
    }

    fn similarity(self) -> f64 {
        let energy = (self.spoken * self.heard).sqrt();
        if energy > 0.0 {
            self.cross / energy
        } else {
            0.0
        }
    }
}

/// Finds a frame that was spoken at `at`, at `from` of the recording or later, where the parts
/// around it put it: those closest to it, and all that are near. (A part in which the delay changes
/// has the delay of most of it, and may begin well before the frames that share it.)
fn find(
    frame: &[i16],
    at: usize,
    recording: &[i16],
    anchors: &[Anchor],
    from: usize,
) -> Option<(Anchor, Products)> {
    let closest = anchors.partition_point(|anchor| anchor.spoken <= at);
    let closest = closest.saturating_sub(2)..(closest + 2).min(anchors.len());
    let near = |anchor: &Anchor| anchor.spoken.abs_diff(at) <= 2 * PART;
    let around = anchors.iter().enumerate();
    let around = around.filter(|(index, anchor)| closest.contains(index) || near(anchor));
    let places: BTreeSet<i64> = around
        .flat_map(|(_, anchor)| {
            let expected = at as i64 + anchor.delay();
            expected - DRIFT..=expected + DRIFT
        })
        .collect();
    // Of places that are as similar, the first: it leaves room for the frames that follow.
    let compared = places.into_iter().rev().filter_map(|place| {
        let heard = usize::try_from(place).ok().filter(|&place| place >= from)?;
        let window = recording.get(heard..heard + frame.len())?;
        let between = between_samples(recording.get(heard..=heard + frame.len()).unwrap_or(&[]));
        let products = [window, &between].map(|window| Products::of(frame, window));
        let [whole, half] = products.map(Products::similarity);
        let nearest = products[usize::from(half > whole)];
        Some((Anchor { spoken: at, heard }, nearest))
    });
    compared
        .filter(|(_, products)| products.similarity() >= FRAME_HEARD)
        .max_by(|a, b| a.1.similarity().total_cmp(&b.1.similarity()))
}

/// A sound half a sample later: a resampler shifts by parts of a sample, which makes a hiss at
/// 2 kHz unlike itself.
fn between_samples(sound: &[i16]) -> Vec<i16> {
    let pairs = sound.windows(2);
    pairs.map(|pair| pair[0].midpoint(pair[1])).collect()
}
