//! Where samples come from and go to: the two traits that a board implements beside its serial port.

use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::Instant;

/// A microphone: an I2S or ADC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call waits. `now` is the time that the loop was called with; hardware that is paced by its own clock ignores it.
pub trait SampleSource {
    /// The node has joined: give frames of this format from now on. Called again at each later joining; the format may
    /// differ then, and a running source with the right format just goes on.
    fn start(&mut self, now: Instant, format: AudioFormat);

    /// Fills `frame` when a whole one has been recorded, and says whether it did. Called until it answers no.
    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool;

    /// When the next frame will be there, if the source knows; `None` when an interrupt will wake the loop.
    fn next_frame_at(&self) -> Option<Instant> {
        None
    }
}

/// A speaker: an I2S or DAC driver with a DMA buffer of a few frames, or a file in its place.
///
/// No call waits. It is given a frame whenever it is ready for one: voice, concealment or silence.
pub trait SampleSink {
    /// The node has joined: take frames of this format from now on. Called again at each later joining, as
    /// [`SampleSource::start`] is.
    fn start(&mut self, now: Instant, format: AudioFormat);

    /// Whether there is room for a frame.
    fn is_ready(&mut self, now: Instant) -> bool;

    /// Plays a frame; called only after [`Self::is_ready`] answered yes.
    fn play(&mut self, frame: &[i16]);

    /// When there will be room, if the sink knows; `None` when an interrupt will wake the loop.
    fn next_frame_at(&self) -> Option<Instant> {
        None
    }
}
