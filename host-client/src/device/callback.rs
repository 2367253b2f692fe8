//! Code that runs on the audio thread: it copies between the device's buffer and a ring.
//!
//! Nothing here allocates, locks, logs or blocks; the tests count allocations. Samples in the rings
//! are mono `f32` at the device's rate.

use super::{shared::Shared, wake::Waker};
use cpal::{FromSample, Sample};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{sync::Arc, time::Instant};
use talkspurt_host_kit::channels::{ChannelPicker, InputChannel};

/// How much a ring holds, in seconds. A session normally leaves far less in it, so a stalled
/// session loses sound only after this time.
const RING_SECS: u32 = 1;

/// The microphone's callback: writes the chosen channel to the ring.
pub(super) struct CaptureCallback {
    ring: Producer<f32>,
    pub(super) shared: Arc<Shared>,
    picker: ChannelPicker,
}

/// The speaker's callback: copies the ring to the channels.
pub(super) struct PlaybackCallback {
    ring: Consumer<f32>,
    pub(super) shared: Arc<Shared>,
    channels: usize,
    /// Whether the ring had samples at the last callback. Silence before the first sample is not a
    /// shortfall.
    playing: bool,
}

/// The session's end of one opened device: of its ring, and the state shared with its callback.
pub(super) struct Link<R> {
    pub(super) ring: R,
    pub(super) shared: Arc<Shared>,
}

pub(super) type CaptureLink = Link<Consumer<f32>>;
pub(super) type PlaybackLink = Link<Producer<f32>>;

/// Creates the two ends of a microphone's ring.
pub(super) fn capture(
    rate_hz: u32,
    channels: u16,
    channel: InputChannel,
    waker: Option<Waker>,
    now: Instant,
) -> (CaptureCallback, CaptureLink) {
    let (producer, ring) = RingBuffer::new((rate_hz * RING_SECS) as usize);
    let shared = Arc::new(Shared::new(rate_hz, now, waker));
    let callback = CaptureCallback {
        ring: producer,
        shared: shared.clone(),
        picker: ChannelPicker::new(channel, channels, rate_hz),
    };
    (callback, Link { ring, shared })
}

/// Creates the two ends of a speaker's ring.
pub(super) fn playback(
    rate_hz: u32,
    channels: u16,
    now: Instant,
) -> (PlaybackCallback, PlaybackLink) {
    let (ring, consumer) = RingBuffer::new((rate_hz * RING_SECS) as usize);
    let shared = Arc::new(Shared::new(rate_hz, now, None));
    let channels = usize::from(channels.max(1));
    let callback = PlaybackCallback {
        ring: consumer,
        shared: shared.clone(),
        channels,
        playing: false,
    };
    (callback, Link { ring, shared })
}

impl CaptureCallback {
    /// Takes what the device recorded, interleaved.
    pub(super) fn take<T: Sample>(&mut self, data: &[T], now: Instant)
    where
        f32: FromSample<T>,
    {
        let channels = self.picker.channels();
        let mut lost = false;
        for frame in data.chunks_exact(channels) {
            let samples = frame.iter().map(|&sample| f32::from_sample(sample));
            lost |= self.ring.push(self.picker.pick(samples)).is_err();
        }
        if lost {
            self.shared.note_shortfall();
        }
        self.shared.note_callback(data.len() / channels, now);
        let held = self.ring.buffer().capacity() - self.ring.slots();
        self.shared.note_held(held);
    }
}

impl PlaybackCallback {
    /// Fills the device's next buffer, interleaved, with silence where the ring has run out.
    ///
    /// The first two channels get the sound, the others (surround, subwoofer) silence.
    pub(super) fn fill<T: Sample + FromSample<f32>>(&mut self, data: &mut [T], now: Instant) {
        let mut short = false;
        for frame in data.chunks_exact_mut(self.channels) {
            let sample = self.ring.pop().unwrap_or_else(|_| {
                short = true;
                0.0
            });
            for (channel, out) in frame.iter_mut().enumerate() {
                *out = if channel < 2 {
                    T::from_sample(sample)
                } else {
                    T::EQUILIBRIUM
                };
            }
        }
        if short && self.playing && !self.shared.is_resting() {
            self.shared.note_shortfall();
        }
        self.playing = !short;
        self.shared.note_callback(data.len() / self.channels, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::allocations;

    fn round_trip<T: Sample + FromSample<f32>>(channels: u16, value: T) -> (f32, T)
    where
        f32: FromSample<T>,
    {
        let now = Instant::now();
        let (mut capture, mut heard) = capture(48_000, channels, InputChannel::Voice, None, now);
        let (mut playback, mut feed) = playback(48_000, channels, now);
        let recorded = vec![value; 480 * usize::from(channels)];
        let mut played = vec![T::EQUILIBRIUM; recorded.len()];
        let before = allocations();
        capture.take(&recorded, now);
        while let Ok(sample) = heard.ring.pop() {
            feed.ring.push(sample).expect("the rings are equally long");
        }
        playback.fill(&mut played, now);
        assert_eq!(allocations(), before, "a callback allocated");
        assert_eq!((heard.shared.callbacks(), feed.shared.callbacks()), (1, 1));
        assert_eq!(feed.shared.last_frames(), 480);
        (f32::from_sample(played[0]), played[played.len() - 1])
    }

    #[test]
    fn every_format_and_channel_count_passes_without_allocating() {
        assert_eq!(round_trip(1, 0.5f32).0, 0.5);
        assert_eq!(round_trip(2, 8_192i16), (0.25, 8_192));
        assert_eq!(round_trip(2, 1i32 << 30).0, 0.5);
        assert_eq!(round_trip(2, 192u8).0, 0.5);
        assert_eq!(round_trip(1, 49_152u16).0, 0.5);
        assert_eq!(round_trip(1, 0.25f64).0, 0.25);
        // With more than two channels only the front pair is used.
        assert_eq!(round_trip(6, 8_192i16), (0.25, 0));
    }

    #[test]
    fn a_voice_on_any_channel_is_heard_at_its_level_without_allocating() {
        let now = Instant::now();
        let voice = |n: usize| 0.25 * (n as f32 * 0.05).sin();
        for (channels, on) in [(2usize, 1usize), (8, 5)] {
            let (mut callback, mut link) =
                capture(48_000, channels as u16, InputChannel::Voice, None, now);
            let mut loudest = 0.0f32;
            for block in 0..20 {
                let mut data = vec![0.0f32; 480 * channels];
                for n in 0..480 {
                    data[n * channels + on] = voice(block * 480 + n);
                }
                let before = allocations();
                callback.take(&data, now);
                assert_eq!(allocations(), before, "a callback allocated");
                while let Ok(sample) = link.ring.pop() {
                    loudest = loudest.max(sample);
                }
            }
            assert!(loudest > 0.24, "channel {on} of {channels}: {loudest}");
        }
        let (mut callback, mut link) = capture(48_000, 2, InputChannel::Voice, None, now);
        let data: Vec<f32> = (0..480).flat_map(|n| [voice(n), -voice(n)]).collect();
        callback.take(&data, now);
        let heard: Vec<f32> = std::iter::from_fn(|| link.ring.pop().ok()).collect();
        assert_eq!(
            heard,
            (0..480).map(voice).collect::<Vec<_>>(),
            "opposite phases"
        );
        let (mut callback, mut link) = capture(48_000, 2, InputChannel::Number(2), None, now);
        callback.take(&[0.5f32, 0.125], now);
        assert_eq!(link.ring.pop(), Ok(0.125));
    }

    #[test]
    fn the_counting_allocator_counts() {
        let before = allocations();
        drop(std::hint::black_box(vec![0u8; 100]));
        assert!(allocations() > before);
    }

    #[test]
    fn running_dry_and_running_over_are_counted_and_not_fatal() {
        let now = Instant::now();
        let (mut callback, mut link) = playback(8_000, 1, now);
        let mut out = [1i16; 80];
        callback.fill(&mut out, now);
        assert_eq!(
            (out, link.shared.shortfalls()),
            ([0; 80], 0),
            "silence before the first sample is not a shortfall"
        );
        link.shared.set_resting(false);
        (0..120).for_each(|_| link.ring.push(0.5).unwrap());
        callback.fill(&mut out, now);
        callback.fill(&mut out, now);
        assert_eq!((out[39], out[40], link.shared.shortfalls()), (16_384, 0, 1));

        let (mut callback, link) = capture(8_000, 1, InputChannel::Voice, None, now);
        (0..101).for_each(|_| callback.take(&[0.0f32; 80], now));
        assert_eq!((link.shared.shortfalls(), link.ring.slots()), (1, 8_000));
    }

    #[test]
    fn a_buffer_with_a_partial_frame_does_not_panic() {
        let now = Instant::now();
        let (mut callback, link) = capture(8_000, 2, InputChannel::Voice, None, now);
        callback.take(&[0.5f32; 7], now);
        assert_eq!(link.ring.slots(), 3);
    }
}
