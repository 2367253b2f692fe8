//! Where samples come from and go to.

use crate::{AudioFormat, Instant};

/// A microphone: an I2S or ADC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call waits. `now` is the time that the loop was called with; hardware that is paced by its
/// own clock ignores it.
pub trait SampleSource {
    /// Gives frames of this format from now on: the node has joined. Called again at each later
    /// joining; the format may differ then, and a running source with the right format goes on.
    fn start(&mut self, now: Instant, format: AudioFormat);

    /// Fills `frame` if a whole one has been recorded, and returns whether it did. Called until it
    /// returns `false`.
    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool;

    /// Returns when the next frame will be there, if the source knows; `None` if an interrupt will
    /// wake the loop.
    fn next_frame_at(&self) -> Option<Instant> {
        None
    }
}

/// A speaker: an I2S or DAC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call waits. It is given a frame whenever it is ready for one: voice, concealment or silence.
pub trait SampleSink {
    /// Takes frames of this format from now on: the node has joined. Called again at each later
    /// joining, as [`SampleSource::start`] is.
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
