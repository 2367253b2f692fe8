//! Concealment: what is played in place of sound that is missing.
//!
//! The last pitch period of what was played is repeated, as in ITU-T G.711 Appendix I, but without
//! that one's delay of 3.75 ms: its beginning is bent to follow on the last sample.
//! It fades in a straight line and is silent after 60 ms. Where sound comes back, the repetition
//! goes on for a moment and is cross-faded into it.

use super::fade::{FULL_Q15, Fade};
use super::format::{FrameDuration, SampleRate};
use super::pitch;

/// After so long there is silence: what was said then is anyone's guess.
const AUDIBLE_MS: usize = 60;

/// For so long a repetition is bent towards the sample before it. In PESQ, bending for longer does
/// more harm than good; without it, a consonant would click.
const BEND_MS: usize = 1;

/// For so long sound is cross-faded in that comes back at once, ...
const RESUME_MIN_MS: usize = 2;

/// ... and for a millisecond more in so many that were concealed, ...
const RESUME_PARTS: usize = 20;

/// ... but for no more than this, which is a frame at least and too short to lose a consonant.
const RESUME_MAX_MS: usize = FrameDuration::Ms5 as usize;

/// Remembers the sound of two of the longest frames that are played, so as to conceal another. Less
/// than 38 ms (23 for the search, and 15 for the longest period) find no deep voice.
///
/// Aligned to 64 bytes, as a [`Frame`](super::frame::Frame) is.
#[derive(Clone, Debug)]
#[repr(C, align(64))]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Concealment<const FRAME: usize> {
    /// What was played before the gap. What was concealed joins it behind the gap, as it was before
    /// its fade.
    history: [[i16; FRAME]; 2],
    /// The period that is repeated: of the gap that is being concealed.
    period_samples: u16,
    /// So much of the gap was concealed.
    concealed_samples: u16,
}

impl<const FRAME: usize> Default for Concealment<FRAME> {
    fn default() -> Self {
        Self::new()
    }
}

impl<const FRAME: usize> Concealment<FRAME> {
    /// Remembers silence.
    // If it is not inlined, the compiler builds the history on the stack and moves it from there: a
    // node has no room for that.
    #[inline(always)]
    pub const fn new() -> Self {
        Self {
            history: [const { [0; FRAME] }; 2],
            period_samples: 0,
            concealed_samples: 0,
        }
    }

    /// Forgets all sound: silence is played.
    pub fn reset(&mut self) {
        self.history.as_flattened_mut().fill(0);
        self.period_samples = 0;
        self.concealed_samples = 0;
    }

    /// Takes note of a frame that is played.
    pub fn played(&mut self, frame: &[i16]) {
        if self.concealed_samples > 0 {
            self.append_repetition();
        }
        self.make_room(frame.len()).copy_from_slice(frame);
        self.period_samples = 0;
        self.concealed_samples = 0;
    }

    /// The oldest part of what is remembered, which the next frame of `len` samples replaces. Its
    /// place is free if one is played next.
    pub fn oldest_mut(&mut self, len: usize) -> &mut [i16] {
        &mut self.history.as_flattened_mut()[..len]
    }

    /// Whether concealment would have something to repeat.
    pub fn is_audible(&self) -> bool {
        self.history[1].iter().any(|&sample| sample != 0)
    }

    /// Fills a frame that is missing.
    pub fn conceal(&mut self, rate: SampleRate, out: &mut [i16]) {
        let to_q15 = self.gain_q15(rate, out.len());
        self.fade_to(to_q15, rate, out);
        if to_q15 == 0 {
            self.history.as_flattened_mut().fill(0);
        }
    }

    /// Fills the last frame of sound that is cut off: it fades to silence.
    pub fn fade_out(&mut self, rate: SampleRate, out: &mut [i16]) {
        self.fade_to(0, rate, out);
        self.reset();
    }

    /// Cross-fades a frame that does not follow on what was played, or is the first after what was
    /// concealed. Follow it by [`Concealment::played`].
    pub fn resume(&mut self, rate: SampleRate, frame: &mut [i16]) {
        let most = rate.samples_in_ms(RESUME_MAX_MS).min(frame.len());
        let samples = match usize::from(self.concealed_samples) {
            0 => most,
            gap => (rate.samples_in_ms(RESUME_MIN_MS) + gap / RESUME_PARTS).min(most),
        };
        self.begin(rate);
        let mut gain = Fade::new(
            self.gain_q15(rate, 0),
            self.gain_q15(rate, samples),
            samples,
        );
        let mut cross = Fade::new(FULL_Q15, 0, samples);
        self.repeat(&mut frame[..samples], |sample, repeated| {
            *sample = cross.next(*sample, gain.next(0, repeated));
        });
    }

    /// Fills a frame with the repetition, which fades from where it is.
    #[inline(never)]
    fn fade_to(&mut self, to_q15: i32, rate: SampleRate, out: &mut [i16]) {
        self.begin(rate);
        let mut gain = Fade::new(self.gain_q15(rate, 0), to_q15, out.len());
        self.repeat(out, |sample, repeated| *sample = gain.next(0, repeated));
        self.concealed_samples = self.concealed_samples.saturating_add(out.len() as u16);
    }

    /// Where a gap begins: finds the period that is repeated, and bends its beginning to follow on
    /// the last sample.
    fn begin(&mut self, rate: SampleRate) {
        if self.period_samples > 0 {
            return;
        }
        let history = self.history.as_flattened_mut();
        let period = pitch::period(history, rate, FRAME - 1);
        self.period_samples = period as u16;
        let (before, last) = history.split_at_mut(2 * FRAME - period);
        let bend = last[period - 1].saturating_sub(before[before.len() - 1]);
        let bent = &mut last[..rate.samples_in_ms(BEND_MS).min(period)];
        let mut weight = Fade::new(FULL_Q15, 0, bent.len());
        for sample in bent {
            *sample = sample.saturating_add(weight.next(0, bend));
        }
    }

    /// Hands the repetition, from where it is, to `blend`, sample by sample.
    fn repeat(&self, out: &mut [i16], mut blend: impl FnMut(&mut i16, i16)) {
        let history = self.history.as_flattened();
        let period = usize::from(self.period_samples);
        let last = &history[history.len() - period..];
        let (mut rest, mut phase) = (out, usize::from(self.concealed_samples) % period);
        while !rest.is_empty() {
            let (now, later) = rest.split_at_mut((period - phase).min(rest.len()));
            for (sample, &repeated) in now.iter_mut().zip(&last[phase..]) {
                blend(sample, repeated);
            }
            (rest, phase) = (later, 0);
        }
    }

    /// Makes the repetition the end of the history, up to where it is.
    #[inline(never)]
    fn append_repetition(&mut self) {
        let (period, gap) = (
            usize::from(self.period_samples),
            usize::from(self.concealed_samples),
        );
        // Of a long gap, whole periods are left out.
        let most = 2 * FRAME - period;
        let gap = gap - gap.saturating_sub(most).next_multiple_of(period);
        let mut at = 2 * FRAME - gap;
        self.make_room(gap);
        let history = self.history.as_flattened_mut();
        while at < 2 * FRAME {
            let len = period.min(2 * FRAME - at);
            history.copy_within(at - period..at - period + len, at);
            at += len;
        }
    }

    /// The end of the history, for `len` samples that are to come.
    fn make_room(&mut self, len: usize) -> &mut [i16] {
        let history = self.history.as_flattened_mut();
        history.copy_within(len.., 0);
        let from = history.len() - len;
        &mut history[from..]
    }

    /// How loud the repetition is after so many samples more.
    const fn gain_q15(&self, rate: SampleRate, more: usize) -> i32 {
        let audible = rate.samples_in_ms(AUDIBLE_MS);
        let left = audible.saturating_sub(self.concealed_samples as usize + more);
        (left as i32 * FULL_Q15) / audible as i32
    }
}
