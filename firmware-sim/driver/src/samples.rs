//! Sources and destinations of samples.

use crate::{AudioFormat, Instant};

/// A microphone: an I2S or ADC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call blocks. `now` is the time that the loop was called with. Hardware with its own clock
/// ignores it.
pub trait SampleSource {
    /// Starts giving frames of this format: the node has joined. Called again at each later
    /// joining. The format may differ then; a running source with the right format continues.
    fn start(&mut self, now: Instant, format: AudioFormat);

    /// Fills `frame` if a whole one has been recorded, and returns whether it did. The loop calls
    /// it until it returns `false`.
    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool;

    /// Returns when the next frame will be ready, if the source knows; `None` if an interrupt will
    /// wake the loop.
    fn next_frame_at(&self) -> Option<Instant> {
        None
    }
}

/// A speaker: an I2S or DAC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call blocks. It gets a frame whenever it is ready for one: voice, concealment or silence.
pub trait SampleSink {
    /// Starts taking frames of this format: the node has joined. Called again at each later
    /// joining, like [`SampleSource::start`].
    fn start(&mut self, now: Instant, format: AudioFormat);

    /// Returns whether there is room for a frame.
    fn is_ready(&mut self, now: Instant) -> bool;

    /// Plays a frame. Called only after [`Self::is_ready`] returned `true`.
    fn play(&mut self, frame: &[i16]);

    /// Returns when there will be room, if the sink knows; `None` if an interrupt will wake the
    /// loop.
    fn next_frame_at(&self) -> Option<Instant> {
        None
    }
}
