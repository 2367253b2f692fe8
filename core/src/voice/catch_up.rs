//! How delay is taken back: that of a pre-roll, or of a stall of the network. A host's voice waits
//! for its frame and is made shorter, so that the delay is gone soon and no word is cut.

use crate::audio::format::{AudioFormat, SampleRate};
use crate::audio::time_compression::TimeCompressor;

/// A stretch is taken out of this much sound: the longest pitch period is looked for in 21 ms, and
/// its cross-fade takes as long as it. As long as there is a delay, that much is kept back.
const BLOCK_MS: usize = 30;

/// Samples that an uplink or a downlink needs to make voice in this format shorter: a block that is
/// not whole yet, and the frame that makes it so.
pub const fn catch_up_samples(format: AudioFormat) -> usize {
    format.rate.samples_in_ms(BLOCK_MS) + format.frame_samples()
}

/// How an uplink or a downlink takes delay back.
pub trait CatchUp: sealed::Sealed {
    /// The longest frame that it takes, in samples.
    const FRAME_SAMPLES_MAX: usize;

    /// Before anything was said.
    fn new(rate: SampleRate) -> Self;

    /// Where sound waits to be made shorter; `None` if only quiet frames are left out.
    fn waiting(&mut self) -> Option<&mut Waiting>;

    /// By how many samples more waits there than the frames to come will bring.
    fn held_samples(&self) -> isize;
}

/// By leaving out quiet frames alone, which takes no memory: what a node has.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct LeaveOut;

impl CatchUp for LeaveOut {
    const FRAME_SAMPLES_MAX: usize = usize::MAX;

    #[inline(always)]
    fn new(_: SampleRate) -> Self {
        Self
    }

    #[inline(always)]
    fn waiting(&mut self) -> Option<&mut Waiting> {
        None
    }

    #[inline(always)]
    fn held_samples(&self) -> isize {
        0
    }
}

/// Also by time compression in the midst of speech, in so many samples ([`catch_up_samples`]): what
/// a host has.
pub type Compress<const SAMPLES: usize> = Waiting<[i16; SAMPLES]>;

impl<const SAMPLES: usize> CatchUp for Compress<SAMPLES> {
    // A block of 30 ms, and a frame of at most 20 ms on top of it.
    const FRAME_SAMPLES_MAX: usize = SAMPLES * 2 / 5;

    fn new(rate: SampleRate) -> Self {
        Self {
            len: 0,
            skipped: 0,
            compressor: TimeCompressor::new(rate),
            samples: [0; SAMPLES],
        }
    }

    fn waiting(&mut self) -> Option<&mut Waiting> {
        Some(self)
    }

    fn held_samples(&self) -> isize {
        self.ahead()
    }
}

mod sealed {
    /// Nobody takes delay back in another way.
    pub trait Sealed {}

    impl Sealed for super::LeaveOut {}

    impl<const SAMPLES: usize> Sealed for super::Compress<SAMPLES> {}
}

/// Sound on its way to the encoder or to the ear, in one piece.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Waiting<S: ?Sized = [i16]> {
    len: usize,
    /// Samples of the next frame that are left out: they lie before the voice.
    skipped: usize,
    compressor: TimeCompressor,
    samples: S,
}

impl<S: ?Sized> Waiting<S> {
    /// By how many samples more waits here than the frames to come will bring.
    pub(super) const fn ahead(&self) -> isize {
        self.len as isize - self.skipped as isize
    }
}

impl Waiting {
    /// Empty, for another session.
    pub(super) const fn restart(&mut self, rate: SampleRate) {
        self.clear();
        self.compressor = TimeCompressor::new(rate);
    }

    /// Empty, for a talkspurt that begins with so much sound from before the frame that opened the
    /// gate. What is not voice of that is left out.
    pub(super) const fn begin(&mut self, pre_roll_samples: usize, voice_ms: u16) {
        let rate = self.compressor.rate();
        self.restart(rate);
        self.skipped = pre_roll_samples.saturating_sub(rate.samples_in_ms(voice_ms as usize));
    }

    pub(super) const fn clear(&mut self) {
        self.len = 0;
        self.skipped = 0;
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// How much sound is kept back while there is so much delay: it comes no later for that.
    pub(super) fn kept_back(&self, delay_samples: usize, frame_samples: usize) -> usize {
        let block = self.compressor.rate().samples_in_ms(BLOCK_MS);
        // A frame comes on top of less than a frame and what is kept back.
        let room = self.samples.len().saturating_sub(2 * frame_samples);
        delay_samples
            .min(block.saturating_sub(frame_samples))
            .min(room)
    }

    /// Takes the next frame.
    pub(super) fn push(&mut self, frame: &[i16]) {
        let frame = &frame[core::mem::take(&mut self.skipped)..];
        self.samples[self.len..self.len + frame.len()].copy_from_slice(frame);
        self.len += frame.len();
        self.compressor.advance(frame.len());
    }

    /// Takes all of the next frame, which is not the one that the voice begins in.
    pub(super) const fn skip_nothing(&mut self) {
        self.skipped = 0;
    }

    /// Says that so much sound was played that did not wait here.
    pub(super) fn pass(&mut self, samples: usize) {
        self.compressor.advance(samples);
    }

    /// Whether there is less than a stretch is best taken out of.
    pub(super) const fn is_short(&self) -> bool {
        self.len < self.compressor.rate().samples_in_ms(BLOCK_MS)
    }

    /// Makes what waits shorter by up to so many samples, if it is time. Returns whether it did.
    pub(super) fn shorten(&mut self, most: usize) -> bool {
        let waiting = &mut self.samples[..self.len];
        let left = self.compressor.compress(waiting, most);
        core::mem::replace(&mut self.len, left) > left
    }

    /// The frame that is first in turn. There must be one.
    pub(super) fn first(&self, frame_samples: usize) -> &[i16] {
        &self.samples[..frame_samples]
    }

    /// Forgets that frame.
    pub(super) fn pop(&mut self, frame_samples: usize) {
        self.samples.copy_within(frame_samples..self.len, 0);
        self.len -= frame_samples;
    }
}
