//! The latest frames of a microphone: what an uplink sends, and its pre-roll.

use crate::voice::shorten::{FULL_Q15, Fade};

/// The latest frames, in a ring of samples.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct History<const SAMPLES: usize> {
    samples: [i16; SAMPLES],
    pub(super) frame_samples: usize,
    /// Frames that the ring can hold.
    capacity: usize,
    /// Frames in it.
    pub(super) frames: u16,
    /// The slot of the next frame.
    write: usize,
    clear_on_push: bool,
}

impl<const SAMPLES: usize> History<SAMPLES> {
    #[inline(always)]
    pub(super) fn new(frame_samples: usize) -> Self {
        Self {
            samples: [0; SAMPLES],
            frame_samples,
            capacity: SAMPLES / frame_samples,
            frames: 0,
            write: 0,
            clear_on_push: false,
        }
    }

    /// Empty, and in slots of another length. What lies in the samples is written over before it is
    /// read.
    pub(super) fn restart(&mut self, frame_samples: usize) {
        self.frame_samples = frame_samples;
        self.capacity = SAMPLES / frame_samples;
        self.write = 0;
        self.clear();
    }

    pub(super) fn push(&mut self, frame: &[i16]) {
        if core::mem::take(&mut self.clear_on_push) {
            self.clear();
        }
        let start = self.write * self.frame_samples;
        self.samples[start..start + self.frame_samples].copy_from_slice(frame);
        self.write = (self.write + 1) % self.capacity;
        self.frames = (self.frames + 1).min(self.capacity as u16);
    }

    /// The frame of `age` frames ago; 0 is the newest. There must be as many.
    pub(super) fn frame(&self, age: u16) -> &[i16] {
        &self.samples[self.start(age)..][..self.frame_samples]
    }

    /// Blends the frame before that of `age` into it: it begins as the one, and ends as the other.
    pub(super) fn blend_into(&mut self, age: u16) {
        let (older, newer) = (self.start(age + 1), self.start(age));
        let mut fade = Fade::new(FULL_Q15, 0, self.frame_samples);
        for n in 0..self.frame_samples {
            self.samples[newer + n] = fade.next(self.samples[newer + n], self.samples[older + n]);
        }
    }

    /// Where that frame starts.
    #[inline(never)]
    fn start(&self, age: u16) -> usize {
        let slot = (self.write + self.capacity - 1 - usize::from(age)) % self.capacity;
        slot * self.frame_samples
    }

    pub(super) fn clear(&mut self) {
        self.frames = 0;
        self.clear_on_push = false;
    }

    /// What was sent with a talkspurt must not be sent again as the pre-roll of the next.
    pub(super) fn clear_after_next_read(&mut self) {
        self.clear_on_push = true;
    }
}
