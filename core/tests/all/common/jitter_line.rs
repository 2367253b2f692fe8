//! A jitter buffer whose items identify their packets.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome};
use talkspurt_core::seq::Seq;
use talkspurt_core::time::Instant;

pub const SLOTS: usize = 64;

/// A buffer whose items are packet numbers; each packet's timestamp is its number too.
pub struct Line {
    pub buffer: JitterBuffer<u32, SLOTS>,
}

impl Line {
    pub fn new(target_frames: u16) -> Self {
        Self::with(JitterConfig::default_for(
            FrameDuration::Ms20,
            target_frames,
        ))
    }

    pub fn with(config: JitterConfig) -> Self {
        Self {
            buffer: JitterBuffer::new(config),
        }
    }

    pub fn push(&mut self, number: u32) -> PushOutcome {
        self.buffer
            .push(Instant::ZERO, Seq(number as u16), number, false, number)
    }

    pub fn push_last(&mut self, number: u32) -> PushOutcome {
        self.buffer
            .push(Instant::ZERO, Seq(number as u16), number, true, number)
    }

    pub fn pop(&mut self) -> Pop<u32> {
        self.buffer.pop()
    }

    /// Pushes and pops in step, as on a network without jitter.
    pub fn run(&mut self, numbers: std::ops::Range<u32>) {
        for number in numbers {
            assert_eq!(self.push(number), PushOutcome::Queued);
            assert!(matches!(self.pop(), Pop::Item(..)), "{number}");
        }
    }
}

pub fn item(number: u32) -> Pop<u32> {
    Pop::Item(number, false)
}

pub fn last(number: u32) -> Pop<u32> {
    Pop::Item(number, true)
}
