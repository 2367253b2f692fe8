//! The jitter buffer's decisions under loss, delay, reordering and duplication.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::jitter::{JitterBuffer, JitterConfig, Pop, PushOutcome, Shrink};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};

use crate::Out;
use crate::sound::Numbers;

const STEPS: u32 = 600;

pub fn run(out: &mut Out<'_>) {
    for (seed, target_frames) in [(1, 0), (2, 2), (3, 5)] {
        let config = JitterConfig {
            // Windows short enough for the delay to shrink and the margin to decay within the run.
            shrink_window_frames: 20,
            ..JitterConfig::default_for(FrameDuration::Ms20, target_frames)
        };
        let mut buffer = JitterBuffer::<u16, 16>::new(config);
        let mut numbers = Numbers::new(seed);
        // Packets in transit: the step at which each arrives, by its sequence number.
        let mut arrives = [u32::MAX; 64];
        for step in 0..STEPS {
            let talks = step % 100 < 70;
            if talks {
                send(step, &mut numbers, &mut arrives);
            }
            for (at, &arrival) in arrives.iter().enumerate() {
                if arrival == step {
                    let number = newest_with(at, step);
                    push(&mut buffer, step, number, out);
                    if numbers.below(20) == 0 {
                        push(&mut buffer, step, number, out);
                    }
                }
            }
            pop(&mut buffer, out);
        }
        let stats = buffer.stats();
        for count in [
            stats.late,
            stats.lost,
            stats.duplicate,
            stats.concealed,
            stats.skipped,
        ] {
            out(&count.to_le_bytes());
        }
    }
}

/// One in twelve is lost; the others come after 0 to 3 steps, and in bursts now and then.
fn send(step: u32, numbers: &mut Numbers, arrives: &mut [u32; 64]) {
    let burst = if step % 90 > 80 { 90 - step % 90 } else { 0 };
    let delay = numbers.below(4) + burst;
    let lost = numbers.below(12) == 0;
    arrives[step as usize % 64] = if lost { u32::MAX } else { step + delay };
}

/// The number of the packet that is noted at place `at`, at this step.
const fn newest_with(at: usize, step: u32) -> u32 {
    step - (step.wrapping_sub(at as u32) % 64)
}

fn push(buffer: &mut JitterBuffer<u16, 16>, step: u32, number: u32, out: &mut Out<'_>) {
    let now = Instant::ZERO + Duration::from_millis(20) * step;
    let (seq, timestamp) = (Seq(number as u16), Timestamp(8 * number));
    let terminator = number % 100 == 69;
    out(
        &match buffer.push(now, seq, timestamp, terminator, number as u16) {
            PushOutcome::Queued => [b'q', 0],
            PushOutcome::QueuedAfterDropping(dropped) => [b'd', dropped as u8],
            PushOutcome::Late => [b'l', 0],
            PushOutcome::Duplicate => [b'2', 0],
        },
    );
}

fn pop(buffer: &mut JitterBuffer<u16, 16>, out: &mut Out<'_>) {
    match buffer.pop() {
        Pop::Item(item, last) => {
            out(&[b'I', u8::from(last)]);
            out(&item.to_le_bytes());
            if buffer.shrink_due() != Shrink::No
                && let Some(item) = buffer.skip_into()
            {
                out(b"K");
                out(&item.to_le_bytes());
            }
        }
        Pop::Missing => out(b"M"),
        Pop::Underrun => out(b"U"),
        Pop::Silence => out(b"S"),
    }
    out(&[buffer.depth_frames() as u8, buffer.target_frames() as u8]);
}
