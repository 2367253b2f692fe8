//! Microphone and speaker between the loop and the DMA's interrupt: a queue of samples each way.
//!
//! The converters run from power-up on, whether the node is in a room or not: their interrupt also
//! wakes the loop.

use heapless::spsc::{Consumer, Producer, Queue};
use talkspurt_node_driver::{AudioFormat, Instant, SampleSink, SampleSource};

use crate::samples::{BLOCK_SAMPLES, BLOCK_STEPS, FromAdc, STEPS_PER_SAMPLE, ToPwm};

/// Samples in each queue, plus one: 64 ms, three frames of 20 ms. A power of two, as a Cortex-M0+
/// divides slowly.
pub const QUEUE_SAMPLES: usize = 1_024;

/// The speaker is ready for a frame when at most this many samples wait: 5 ms. The loop has that
/// long until they are played.
const AHEAD_SAMPLES: usize = BLOCK_SAMPLES;

/// A queue of samples between the loop and the interrupt.
pub type SampleQueue = Queue<i16, QUEUE_SAMPLES>;

/// The loop's side of the microphone.
pub struct Microphone {
    recorded: Consumer<'static, i16>,
}

/// The interrupt's side of the microphone.
pub struct MicrophoneIsr {
    from_adc: FromAdc,
    recorded: Producer<'static, i16>,
}

/// Creates the two sides of a microphone.
pub fn microphone(queue: &'static mut SampleQueue) -> (Microphone, MicrophoneIsr) {
    let (producer, consumer) = queue.split_const();
    let isr = MicrophoneIsr {
        from_adc: FromAdc::default(),
        recorded: producer,
    };
    (Microphone { recorded: consumer }, isr)
}

impl MicrophoneIsr {
    /// Takes a block of the ADC's readings. They are lost if the loop does not fetch them, as
    /// outside of a room.
    pub fn take(&mut self, readings: &[u16; BLOCK_STEPS]) {
        let (samples, []) = readings.as_chunks::<STEPS_PER_SAMPLE>() else {
            unreachable!("a block is whole samples");
        };
        for readings in samples {
            // Computed even if there is no room: the bias must be right when the loop starts to
            // fetch.
            let sample = self.from_adc.sample(readings);
            let _ = self.recorded.enqueue(sample);
        }
    }
}

impl SampleSource for Microphone {
    /// Drops earlier samples: they would be heard late.
    fn start(&mut self, _now: Instant, _format: AudioFormat) {
        for _ in 0..self.recorded.len() {
            self.recorded.dequeue();
        }
    }

    fn capture(&mut self, _now: Instant, frame: &mut [i16]) -> bool {
        if self.recorded.len() < frame.len() {
            return false;
        }
        for sample in frame {
            *sample = self.recorded.dequeue().unwrap_or(0);
        }
        true
    }
}

/// The loop's side of the speaker.
pub struct Speaker {
    to_play: Producer<'static, i16>,
}

/// The interrupt's side of the speaker, for a PWM of this period.
pub struct SpeakerIsr<const PERIOD: u32> {
    to_pwm: ToPwm<PERIOD>,
    to_play: Consumer<'static, i16>,
}

/// Creates the two sides of a speaker.
pub fn speaker<const PERIOD: u32>(
    queue: &'static mut SampleQueue,
) -> (Speaker, SpeakerIsr<PERIOD>) {
    let (producer, consumer) = queue.split_const();
    let isr = SpeakerIsr {
        to_pwm: ToPwm::new(),
        to_play: consumer,
    };
    (Speaker { to_play: producer }, isr)
}

impl<const PERIOD: u32> SpeakerIsr<PERIOD> {
    /// Fills a block with duties, with silence where the loop has given nothing. `word` turns a
    /// duty into what the DMA carries.
    pub fn fill<W>(&mut self, block: &mut [W; BLOCK_STEPS], word: impl Fn(u16) -> W) {
        let (samples, []) = block.as_chunks_mut::<STEPS_PER_SAMPLE>() else {
            unreachable!("a block is whole samples");
        };
        for words in samples {
            let sample = self.to_play.dequeue().unwrap_or(0);
            for (slot, duty) in words.iter_mut().zip(self.to_pwm.duties(sample)) {
                *slot = word(duty);
            }
        }
    }
}

impl SampleSink for Speaker {
    /// Does nothing: it already runs in its only format, and frames of any duration fit.
    fn start(&mut self, _now: Instant, _format: AudioFormat) {}

    fn is_ready(&mut self, _now: Instant) -> bool {
        self.to_play.len() <= AHEAD_SAMPLES
    }

    fn play(&mut self, frame: &[i16]) {
        for &sample in frame {
            // There is room: it was ready.
            let _ = self.to_play.enqueue(sample);
        }
    }
}

const _: () =
    assert!(QUEUE_SAMPLES > AHEAD_SAMPLES + talkspurt_core::audio::frame::FRAME_SAMPLES_MAX);

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::format::{FrameDuration, SampleRate};

    use super::*;

    const PERIOD: u32 = 1 << 16;
    const NOW: Instant = Instant::ZERO;
    const FORMAT: AudioFormat = AudioFormat {
        rate: SampleRate::Hz16000,
        frame: FrameDuration::Ms20,
    };

    fn queue() -> &'static mut SampleQueue {
        Box::leak(Box::new(SampleQueue::new()))
    }

    /// A block in which the microphone idles, with one loud sample at its start.
    fn block_with_a_click(reading: u16) -> [u16; BLOCK_STEPS] {
        let mut block = [2_048; BLOCK_STEPS];
        block[..STEPS_PER_SAMPLE].fill(reading);
        block
    }

    #[test]
    fn a_frame_is_there_once_its_blocks_are() {
        let (mut microphone, mut isr) = microphone(queue());
        let mut frame = [0; 320];
        for reading in [2_058, 2_068, 2_078] {
            isr.take(&block_with_a_click(reading));
            assert!(!microphone.capture(NOW, &mut frame));
        }
        isr.take(&block_with_a_click(2_088));
        assert!(microphone.capture(NOW, &mut frame));
        assert!(!microphone.capture(NOW, &mut frame));
        // In order: each click louder than the one before.
        let clicks = [0, 80, 160, 240].map(|at| frame[at]);
        assert!(clicks.is_sorted() && clicks[0] > 100, "{clicks:?}");
    }

    #[test]
    fn short_frames_come_one_a_block() {
        let (mut microphone, mut isr) = microphone(queue());
        isr.take(&[2_048; BLOCK_STEPS]);
        assert!(microphone.capture(NOW, &mut [0; 80]));
        assert!(!microphone.capture(NOW, &mut [0; 80]));
    }

    #[test]
    fn sound_from_before_joining_is_dropped() {
        let (mut microphone, mut isr) = microphone(queue());
        for _ in 0..100 {
            isr.take(&[2_048; BLOCK_STEPS]);
        }
        microphone.start(NOW, FORMAT);
        isr.take(&block_with_a_click(3_000));
        let mut frame = [0; 80];
        assert!(microphone.capture(NOW, &mut frame));
        assert!(frame[0] > 10_000, "the click, and nothing before it");
        assert!(!microphone.capture(NOW, &mut frame));
    }

    #[test]
    fn a_loop_that_does_not_fetch_loses_samples_and_nothing_else() {
        let (mut microphone, mut isr) = microphone(queue());
        for _ in 0..1_000 {
            isr.take(&[2_048; BLOCK_STEPS]);
        }
        let mut frames = 0;
        while microphone.capture(NOW, &mut [0; 320]) {
            frames += 1;
        }
        assert_eq!(frames, 3);
    }

    #[test]
    fn the_speaker_wants_a_frame_before_it_runs_dry_and_is_silent_when_it_has() {
        let (mut speaker, mut isr) = speaker::<PERIOD>(queue());
        let mut block = [0_u16; BLOCK_STEPS];
        isr.fill(&mut block, |duty| duty);
        assert_eq!(block, [1 << 15; BLOCK_STEPS]);
        assert!(speaker.is_ready(NOW));
        speaker.play(&[1_000; 320]);
        assert!(!speaker.is_ready(NOW));
        for blocks_left in [3, 2, 1] {
            isr.fill(&mut block, |duty| duty);
            assert_eq!(speaker.is_ready(NOW), blocks_left == 1);
            assert_eq!(block[BLOCK_STEPS - 1], (1 << 15) + 1_000);
        }
        isr.fill(&mut block, |duty| duty);
        isr.fill(&mut block, |duty| duty);
        assert_eq!(block[BLOCK_STEPS - 1], 1 << 15);
    }

    #[test]
    fn frames_of_any_duration_are_played_without_a_gap() {
        for frame in [80, 160, 320] {
            let (mut speaker, mut isr) = speaker::<PERIOD>(queue());
            let mut block = [0_u16; BLOCK_STEPS];
            let mut next = 0_i16;
            let mut expected = 0_i16;
            for _ in 0..200 {
                // As the loop does: until it is not ready, at most four times.
                for _ in 0..4 {
                    if speaker.is_ready(NOW) {
                        let samples: Vec<i16> = (0..frame).map(|n| next + n).collect();
                        next += frame;
                        speaker.play(&samples);
                    }
                }
                isr.fill(&mut block, |duty| duty);
                for sample in block.chunks(STEPS_PER_SAMPLE) {
                    assert_eq!(i32::from(sample[3]) - (1 << 15), i32::from(expected));
                    expected += 1;
                }
            }
        }
    }
}
