//! Measures how much of what was spoken was heard, in order and within a bound of delay, how long
//! the gaps are, and what was heard besides.
//!
//! Speech is searched twice. The first search takes parts that are long enough to be found anywhere
//! within the bound; those found in order give the delay. The second goes frame by frame at these
//! delays: a frame counts as heard only there.

mod bounds;
mod frames;

use std::fmt;
use std::ops::Range;
use std::time::Instant;

use crate::recording::{Recording, rms, speech_parts};
use crate::wav::{millis, samples};

pub use bounds::Bounds;
use frames::{Anchor, Frames, in_order};

/// The unit that is heard or not: a frame of 20 ms.
const FRAME: usize = samples(20);
/// The length of a part that gives the delay: long enough not to be mistaken for other speech.
const PART: usize = samples(200);
/// Frames above this RMS are speech, if a gate lets them pass.
const SPEECH_RMS: f64 = 300.0;
/// A part below this similarity gives no delay: it is missing, or its delay changes in the middle.
const PART_FOUND: f64 = 0.9;
/// Delays are counted from moments that two processes report; those agree within this.
const EARLY: i64 = samples(200) as i64;
const PER_MS: f64 = samples(1) as f64;

/// How one talker was heard in a recording.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hearing {
    /// How many frames contain speech.
    pub frames: usize,
    /// The share of them that was heard in order and within the bound of delay.
    pub share: f64,
    /// The cosine between these frames and what was heard of them: 1 without noise.
    pub similarity: f64,
    /// The longest stretch of speech that was not heard.
    pub gap_ms: f64,
    /// The least delay of a frame.
    pub least_delay_ms: f64,
    /// The median delay.
    pub delay_ms: f64,
    /// The greatest delay of a frame.
    pub most_delay_ms: f64,
    /// The stretches of the recording that this speech explains, including its gaps.
    explained: Vec<Range<usize>>,
}

impl Hearing {
    /// How many frames of speech were not heard.
    pub fn missed_frames(&self) -> usize {
        ((1.0 - self.share) * self.frames as f64).round() as usize
    }
}

impl fmt::Display for Hearing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.1} % of {} frames heard, similarity {:.4}, longest gap {:.0} ms, \
             delay {:.0} to {:.0} ms",
            self.share * 100.0,
            self.frames,
            self.similarity,
            self.gap_ms,
            self.least_delay_ms,
            self.most_delay_ms
        )
    }
}

/// Looks for the speech in `spoken` where it is due: its first sample at sample `due` of the
/// recording or up to `latest` samples later. `None` if `spoken` has no speech.
pub fn hear(spoken: &[i16], recording: &Recording<'_>, due: i64, latest: usize) -> Option<Hearing> {
    let parts = speech_parts(spoken, SPEECH_RMS, PART);
    let found = parts.into_iter().filter_map(|part| {
        let from = due + part.start as i64 - EARLY;
        let to = due + (part.end + latest) as i64;
        Anchor::find(spoken, part, recording, from..to)
    });
    let mut anchors = in_order(&found.collect::<Vec<_>>());
    let mut heard = Frames::compare(spoken, recording.samples(), &anchors);
    if !anchors.is_empty() {
        let bounds = due - EARLY..due + latest as i64;
        anchors.extend(heard.refine(spoken, recording, bounds));
        anchors.extend(heard.between(spoken, recording));
        anchors.sort_by_key(|anchor| anchor.spoken);
        heard = Frames::compare(spoken, recording.samples(), &anchors);
    }
    (heard.frames > 0).then(|| heard.summary(spoken, due))
}

/// Like [`hear`], for a recording whose beginning is unknown in the talker's time: looks where
/// `spoken` as a whole fits best, and up to `spread` samples around that. Delays are counted from
/// the least possible one.
pub fn hear_anywhere(spoken: &[i16], recording: &Recording<'_>, spread: usize) -> Option<Hearing> {
    let place = recording.find(spoken).map_or(0, |found| found.offset);
    let due = place as i64 - spread as i64;
    hear(spoken, recording, due, 2 * spread)
}

/// Returns where the first sample of someone who joined at `talker` is due in the recording of
/// someone who joined at `listener`, as if nothing took time.
pub fn due(talker: Instant, listener: Instant) -> i64 {
    let ahead = talker.saturating_duration_since(listener).as_secs_f64();
    let behind = listener.saturating_duration_since(talker).as_secs_f64();
    ((ahead - behind) * 1_000.0 * PER_MS).round() as i64
}

/// Returns how many milliseconds of `heard` are loud although none of `talkers` was speaking.
pub fn added_ms<'a>(heard: &[i16], talkers: impl IntoIterator<Item = &'a Hearing>) -> f64 {
    let mut explained = vec![false; heard.len().div_ceil(FRAME)];
    for range in talkers.into_iter().flat_map(|talker| &talker.explained) {
        let frames = range.start / FRAME..range.end.div_ceil(FRAME).min(explained.len());
        explained[frames].fill(true);
    }
    let frames = heard.chunks(FRAME).zip(explained);
    let added = frames.filter(|(frame, explained)| !explained && rms(frame) > SPEECH_RMS);
    millis(added.count() * FRAME)
}

#[cfg(test)]
mod tests;
