//! Who counts in a mix, and from which edge of a frame to which.

use super::Accumulator;
use crate::audio::format::{FrameDuration, SampleRate};
use crate::audio::frame::FRAME_SAMPLES_MAX;
use crate::audio::level::SILENT_FROM;

/// For so long a talker still counts who has become silent: longer than the closure of a plosive,
/// so that one word takes a talker into the mean once. It is also the silence after which a
/// talkspurt that broke off is over.
const HOLD_MS: u32 = 100;

/// What one talker's frame is to the mix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Part {
    /// The talker counts at both edges of the frame.
    Staying,
    /// The talker begins to count: the frame fades in.
    Starting,
    /// The talker counts no more after this frame: it fades out.
    Ending,
    /// The talker counts at neither edge: the frame is heard only where nobody counts.
    Quiet,
    /// As `Quiet`, with every sample zero: there is nothing to hear.
    Blank,
    /// There is no frame, but the talker counted until now: those who stay get back their share
    /// over the frame.
    Gone,
}

/// Whether one talker counts, followed from frame to frame.
///
/// A talker counts from the first frame that is louder than [`SILENT_FROM`], and until no frame has
/// been for 100 ms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct TalkerState {
    counts: bool,
    silent_frames: u32,
    hold_frames: u32,
}

impl TalkerState {
    /// A talker who has not said anything yet, in frames of that duration.
    pub const fn new(frame: FrameDuration) -> Self {
        Self {
            counts: false,
            silent_frames: 0,
            hold_frames: frame.frames_in_ms(HOLD_MS),
        }
    }

    /// Takes the talker's next frame, of this level on the wire. `last` says that none follows it
    /// for now.
    pub fn frame(&mut self, samples: &[i16], level: u8, last: bool) -> Part {
        let silent = level >= SILENT_FROM;
        self.silent_frames = if silent {
            self.silent_frames.saturating_add(1)
        } else {
            0
        };
        let held = self.counts && self.silent_frames < self.hold_frames;
        let counts = (!silent || held) && !last;
        match (core::mem::replace(&mut self.counts, counts), counts) {
            (true, true) => Part::Staying,
            (false, true) => Part::Starting,
            (true, false) => Part::Ending,
            (false, false) if samples.iter().any(|&sample| sample != 0) => Part::Quiet,
            (false, false) => Part::Blank,
        }
    }

    /// Takes a frame period in which the talker has no frame. Returns [`Part::Gone`] if that is
    /// news.
    pub fn no_frame(&mut self) -> Option<Part> {
        core::mem::take(&mut self.counts).then_some(Part::Gone)
    }

    /// Whether the talker counts at the end of the latest frame.
    pub const fn counts(&self) -> bool {
        self.counts
    }
}

/// Everyone's frames of one period, summed by what they are to the mix.
///
/// Two (sum, count) pairs follow from it: those who counted before the frame ([`Part::Staying`] and
/// [`Part::Ending`], and the number of those [`Part::Gone`]), and those who count after it
/// ([`Part::Staying`] and [`Part::Starting`]). Each sum merges exactly, and so do both pairs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Talkers<const N: usize = FRAME_SAMPLES_MAX> {
    pub(super) rate: SampleRate,
    pub(super) staying: Accumulator<N>,
    pub(super) starting: Accumulator<N>,
    pub(super) ending: Accumulator<N>,
    pub(super) quiet: Accumulator<N>,
    pub(super) gone: u16,
    /// All of them.
    added: u16,
}

impl<const N: usize> Talkers<N> {
    /// Nobody, in frames of `len` samples at `rate`. Panics if `len` exceeds `N`.
    pub const fn new(rate: SampleRate, len: usize) -> Self {
        Self {
            rate,
            staying: Accumulator::new(len),
            starting: Accumulator::new(len),
            ending: Accumulator::new(len),
            quiet: Accumulator::new(len),
            gone: 0,
            added: 0,
        }
    }

    /// Forgets everyone and keeps the length.
    pub fn clear(&mut self) {
        self.staying.clear();
        self.starting.clear();
        self.ending.clear();
        self.quiet.clear();
        (self.gone, self.added) = (0, 0);
    }

    /// Adds one talker; those who are [`Part::Gone`] have no samples.
    ///
    /// Panics if the frame has another length, or if 65,535 were added already.
    pub fn add(&mut self, part: Part, samples: &[i16]) {
        self.count_in(1);
        match part {
            Part::Staying => self.staying.add(samples),
            Part::Starting => self.starting.add(samples),
            Part::Ending => self.ending.add(samples),
            Part::Quiet => self.quiet.add(samples),
            // There is nothing to add.
            Part::Blank => {}
            Part::Gone => self.gone += 1,
        }
    }

    /// Adds another's talkers, as from another server's half of the room.
    ///
    /// Panics if its frames have another length, or if together they are more than 65,535.
    pub fn merge(&mut self, other: &Self) {
        self.count_in(other.added);
        self.staying.merge(&other.staying);
        self.starting.merge(&other.starting);
        self.ending.merge(&other.ending);
        self.quiet.merge(&other.quiet);
        self.gone += other.gone;
    }

    /// How many have a frame.
    pub const fn present(&self) -> u16 {
        self.added - self.gone
    }

    /// Samples in a frame.
    pub(super) fn frame_samples(&self) -> usize {
        self.staying.sum().len()
    }

    /// As many as one i32 sum can hold, so that those of several parts can be summed, too.
    fn count_in(&mut self, more: u16) {
        let Some(added) = self.added.checked_add(more) else {
            panic!("more talkers than an i32 sum can hold")
        };
        self.added = added;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::level::{half_db, rms};

    const LOUD: &[i16] = &[1_000; 80];
    const SILENT: &[i16] = &[1; 80];

    fn say(state: &mut TalkerState, samples: &[i16], last: bool) -> Part {
        state.frame(samples, half_db(rms(samples)), last)
    }

    #[test]
    fn a_talker_counts_from_the_first_sound_to_the_last_frame() {
        let mut state = TalkerState::new(FrameDuration::Ms20);
        assert_eq!(say(&mut state, &[0; 80], false), Part::Blank);
        assert_eq!(say(&mut state, SILENT, false), Part::Quiet);
        assert!(!state.counts());
        assert_eq!(say(&mut state, LOUD, false), Part::Starting);
        assert!(state.counts());
        assert_eq!(say(&mut state, LOUD, false), Part::Staying);
        assert_eq!(say(&mut state, LOUD, true), Part::Ending);
        assert!(!state.counts());
        assert_eq!(state.no_frame(), None, "the end was told");
        assert_eq!(say(&mut state, LOUD, true), Part::Quiet, "one frame alone");
    }

    #[test]
    fn whoever_vanishes_is_gone_once() {
        let mut state = TalkerState::new(FrameDuration::Ms20);
        say(&mut state, LOUD, false);
        assert_eq!(state.no_frame(), Some(Part::Gone));
        assert_eq!(state.no_frame(), None);
        assert_eq!(say(&mut state, LOUD, false), Part::Starting);
    }

    #[test]
    fn a_talker_who_falls_silent_counts_for_100_ms_more() {
        for (frame, frames) in [
            (FrameDuration::Ms5, 20),
            (FrameDuration::Ms10, 10),
            (FrameDuration::Ms20, 5),
        ] {
            let mut state = TalkerState::new(frame);
            say(&mut state, LOUD, false);
            for _ in 0..2 {
                for _ in 1..frames {
                    assert_eq!(say(&mut state, SILENT, false), Part::Staying, "{frame:?}");
                }
                // Any sound in between makes it begin anew.
                assert_eq!(say(&mut state, LOUD, false), Part::Staying);
            }
            for _ in 1..frames {
                say(&mut state, &[0; 80], false);
            }
            assert_eq!(say(&mut state, &[0; 80], false), Part::Ending);
            assert_eq!(say(&mut state, &[0; 80], false), Part::Blank);
        }
    }

    #[test]
    fn silence_ends_at_71_db_below_full_scale() {
        let mut state = TalkerState::new(FrameDuration::Ms20);
        assert_eq!(SILENT_FROM, 142);
        assert_eq!(say(&mut state, &[9; 80], false), Part::Quiet);
        assert_eq!(say(&mut state, &[-10; 80], false), Part::Starting);
    }

    #[test]
    #[should_panic(expected = "more talkers")]
    fn the_parts_together_hold_what_one_sum_can() {
        let mut talkers = Talkers::<1>::new(SampleRate::Hz16000, 1);
        for _ in 0..u16::MAX {
            talkers.add(Part::Blank, &[0]);
        }
        talkers.add(Part::Staying, &[0]);
    }
}
