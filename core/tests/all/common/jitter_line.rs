//! A jitter buffer whose items identify their packets.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};

pub const SLOTS: usize = 64;

/// A buffer of frames of 20 ms whose items are packet numbers.
pub struct Line {
    pub buffer: JitterBuffer<u32, SLOTS>,
    /// Each pop is a frame later.
    now: Instant,
}

impl Line {
    /// Without pre-roll: what waits, waits because of the network.
    pub fn new(target_frames: u16) -> Self {
        Self::with(JitterConfig {
            pre_roll_max_frames: 0,
            ..JitterConfig::default_for(FrameDuration::Ms20, target_frames)
        })
    }

    pub fn with(config: JitterConfig) -> Self {
        Self {
            buffer: JitterBuffer::new(config),
            now: Instant::ZERO,
        }
    }

    pub fn push(&mut self, number: u32) -> PushOutcome {
        self.push_at(number, frame_time(number), false)
    }

    pub fn push_last(&mut self, number: u32) -> PushOutcome {
        self.push_at(number, frame_time(number), true)
    }

    /// Pushes an item with another timestamp than its number says.
    pub fn push_at(&mut self, number: u32, timestamp: u32, terminator: bool) -> PushOutcome {
        let (seq, timestamp) = (Seq(number as u16), Timestamp(timestamp));
        self.buffer
            .push(self.now, seq, timestamp, terminator, number)
    }

    /// Pushes an item that comes at that time.
    pub fn push_after(&mut self, number: u32, at: Duration) {
        let (seq, timestamp) = (Seq(number as u16), Timestamp(frame_time(number)));
        let now = Instant::ZERO + at;
        self.buffer.push(now, seq, timestamp, false, number);
    }

    pub fn pop(&mut self) -> Pop<u32> {
        self.now += Duration::from_millis(20);
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

/// The timestamp of the frame of that number, as if there were no pauses.
pub const fn frame_time(number: u32) -> u32 {
    number.wrapping_mul(8)
}

pub fn item(number: u32) -> Pop<u32> {
    Pop::Item(number, false)
}

pub fn last(number: u32) -> Pop<u32> {
    Pop::Item(number, true)
}
