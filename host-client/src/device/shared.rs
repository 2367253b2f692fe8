//! State shared by a callback and the session, in atomics.

use super::wake::Waker;
use std::{
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed},
    time::{Duration, Instant},
};

/// Counters of one opened stream, written by its callbacks and read by the session and the
/// supervisor.
///
/// Everything is `Relaxed`: no value guards another one, and each is only a number to steer or
/// judge by.
#[derive(Debug)]
pub(super) struct Shared {
    epoch: Instant,
    /// Samples per second and channel.
    pub(super) rate_hz: u32,
    callbacks: AtomicU32,
    last_frames: AtomicU32,
    last_at_us: AtomicU64,
    largest_frames: AtomicU32,
    shortfalls: AtomicU32,
    errors: AtomicU32,
    fatal: AtomicBool,
    hardware_delay_us: AtomicU32,
    /// The session plays nothing: an empty ring is no shortfall.
    resting: AtomicBool,
    waker: Option<Waker>,
    /// Wake the session when the ring holds as much.
    wake_at_samples: AtomicU32,
}

impl Shared {
    pub(super) fn new(rate_hz: u32, epoch: Instant, waker: Option<Waker>) -> Self {
        Self {
            resting: AtomicBool::new(true),
            waker,
            wake_at_samples: AtomicU32::new(u32::MAX),
            epoch,
            rate_hz,
            callbacks: AtomicU32::new(0),
            last_frames: AtomicU32::new(0),
            last_at_us: AtomicU64::new(0),
            largest_frames: AtomicU32::new(0),
            shortfalls: AtomicU32::new(0),
            errors: AtomicU32::new(0),
            fatal: AtomicBool::new(false),
            hardware_delay_us: AtomicU32::new(0),
        }
    }

    /// Notes a data callback of `frames` sample frames.
    pub(super) fn note_callback(&self, frames: usize, now: Instant) {
        let frames = u32::try_from(frames).unwrap_or(u32::MAX);
        self.callbacks.fetch_add(1, Relaxed);
        self.last_frames.store(frames, Relaxed);
        self.last_at_us
            .store((now - self.epoch).as_micros() as u64, Relaxed);
        self.largest_frames.fetch_max(frames, Relaxed);
    }

    /// Notes that the ring was too empty for a speaker, or too full for a microphone.
    pub(super) fn note_shortfall(&self) {
        self.shortfalls.fetch_add(1, Relaxed);
    }

    /// Says whether the session plays nothing.
    pub(super) fn set_resting(&self, resting: bool) {
        self.resting.store(resting, Relaxed);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.resting.load(Relaxed)
    }

    /// Asks the callback to wake the session once, when the ring holds so many samples. Look at the
    /// ring afterwards: the callback may have come before this.
    pub(super) fn wake_at(&self, samples: usize) {
        let samples = u32::try_from(samples).unwrap_or(u32::MAX);
        self.wake_at_samples.store(samples, Relaxed);
    }

    /// Wakes the session if it waits for as many samples as the ring holds.
    pub(super) fn note_held(&self, samples: usize) {
        if samples < self.wake_at_samples.load(Relaxed) as usize {
            return;
        }
        self.wake_at_samples.store(u32::MAX, Relaxed);
        if let Some(waker) = &self.waker {
            waker.wake();
        }
    }

    /// Notes an error callback. `fatal` means that the stream will not recover by itself.
    pub(super) fn note_error(&self, fatal: bool) {
        self.errors.fetch_add(1, Relaxed);
        if fatal {
            self.fatal.store(true, Relaxed);
        }
    }

    /// How long ago the stream was opened.
    pub(super) fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    /// Notes how long a sample takes between this callback and the air, beside what the callback
    /// moves.
    pub(super) fn note_hardware_delay(&self, delay: Duration) {
        self.hardware_delay_us.store(
            u32::try_from(delay.as_micros()).unwrap_or(u32::MAX),
            Relaxed,
        );
    }

    pub(super) fn callbacks(&self) -> u32 {
        self.callbacks.load(Relaxed)
    }

    pub(super) fn shortfalls(&self) -> u32 {
        self.shortfalls.load(Relaxed)
    }

    pub(super) fn errors(&self) -> u32 {
        self.errors.load(Relaxed)
    }

    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Relaxed)
    }

    pub(super) fn hardware_delay_s(&self) -> f64 {
        f64::from(self.hardware_delay_us.load(Relaxed)) / 1e6
    }

    /// Takes the size of the largest callback since the last call, in sample frames.
    pub(super) fn take_largest(&self) -> u32 {
        self.largest_frames.swap(0, Relaxed)
    }

    /// Returns how many samples the device went through since its last callback, from 0 to the size
    /// of that callback.
    ///
    /// Callbacks change the ring's fill in steps. With this added (or subtracted) it changes as
    /// evenly as time.
    pub(super) fn since_callback(&self, now: Instant) -> f64 {
        let now_us = (now - self.epoch).as_micros() as f64;
        let elapsed_us = (now_us - self.last_at_us.load(Relaxed) as f64).max(0.0);
        (elapsed_us * f64::from(self.rate_hz) / 1e6).min(f64::from(self.last_frames.load(Relaxed)))
    }

    /// Returns the size of the last callback, in sample frames.
    pub(super) fn last_frames(&self) -> u32 {
        self.last_frames.load(Relaxed)
    }
}
