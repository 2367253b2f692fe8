//! Resampling at a fixed ratio, by FFT: the best quality for a file, whose clock is ours.

use crate::sample::{ROOM_RATE_HZ, to_i16};
use rubato::{
    Fft, FixedSync, Resampler, ResamplerConstructionError, WindowFunction,
    audioadapter_buffers::direct::SequentialSlice,
};
use std::collections::VecDeque;

/// Length of the filter, in samples at 48 kHz: 21 ms. It is flat to 7.5 kHz, and nothing above 8
/// kHz passes (measured; the tests sweep it). Rubato's own choice for simple ratios is far shorter
/// and loses the band above 6 kHz.
const FILTER_SAMPLES_AT_48_KHZ: u64 = 1_024;
/// Its least length at lower rates, where it has less to suppress.
const FILTER_SAMPLES_MIN: u64 = 1_024;

/// From a file's rate to the room's.
pub(super) struct ToRoomRate {
    fft: Fft<f32>,
    /// Samples taken, but too few for the filter yet.
    pending: Vec<f32>,
    output: Vec<f32>,
    rate_hz: u64,
    taken: u64,
    made: u64,
    /// Samples still to drop at the start: the filter's delay.
    delay: usize,
}

impl ToRoomRate {
    pub(super) fn new(rate_hz: u32) -> Result<Self, ResamplerConstructionError> {
        let filter = u64::from(rate_hz) * FILTER_SAMPLES_AT_48_KHZ / 48_000;
        let fft = Fft::new_custom(
            rate_hz as usize,
            ROOM_RATE_HZ as usize,
            filter.max(FILTER_SAMPLES_MIN) as usize,
            1,
            1,
            WindowFunction::BlackmanHarris2,
            FixedSync::Input,
        )?;
        let (output, delay) = (vec![0.0; fft.output_frames_max()], fft.output_delay());
        Ok(Self {
            fft,
            pending: Vec::new(),
            output,
            rate_hz: u64::from(rate_hz),
            taken: 0,
            made: 0,
            delay,
        })
    }

    /// Takes samples and appends the converted ones to `ready`.
    pub(super) fn push(&mut self, samples: &[f32], ready: &mut VecDeque<i16>) {
        self.taken += samples.len() as u64;
        self.pending.extend_from_slice(samples);
        while self.pending.len() >= self.fft.input_frames_next() {
            self.step(u64::MAX, ready);
        }
    }

    /// Ends the input and appends what is left in the filter. The whole output is as long as the
    /// input, rounded.
    pub(super) fn finish(&mut self, ready: &mut VecDeque<i16>) {
        let whole = (self.taken * u64::from(ROOM_RATE_HZ) + self.rate_hz / 2) / self.rate_hz;
        while self.made < whole {
            self.pending.resize(self.fft.input_frames_next(), 0.0);
            self.step(whole, ready);
        }
    }

    /// Converts one block. The output never exceeds `whole` samples in all.
    fn step(&mut self, whole: u64, ready: &mut VecDeque<i16>) {
        let block = self.fft.input_frames_next();
        let made = resample_block(&mut self.fft, &self.pending[..block], &mut self.output);
        self.pending.drain(..block);
        let fresh = self.delay.min(made)..made;
        self.delay -= fresh.start;
        for &sample in &self.output[fresh] {
            if self.made < whole {
                ready.push_back(to_i16(sample));
                self.made += 1;
            }
        }
    }
}

/// Converts a block of one channel, and returns how many samples that makes. Does not allocate.
///
/// # Panics
/// When the block is shorter than the resampler asks for, or `output` too short for the result.
pub fn resample_block(
    resampler: &mut impl Resampler<f32>,
    block: &[f32],
    output: &mut [f32],
) -> usize {
    let capacity = output.len();
    let source =
        SequentialSlice::new(block, 1, block.len()).expect("one channel fits its own length");
    let mut target =
        SequentialSlice::new_mut(output, 1, capacity).expect("one channel fits its own length");
    resampler
        .process_into_buffer(&source, &mut target, None)
        .expect("the buffers are long enough")
        .1
}
