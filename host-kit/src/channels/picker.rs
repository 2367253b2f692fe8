//! Runs in audio callbacks: after [`ChannelPicker::new`] nothing here allocates, blocks or logs.

use super::{CHANNELS_MAX, InputChannel};

/// How often energies are compared. A millisecond or two of an onset may be missed.
const CHECK_MS: u32 = 5;
/// A change of channel is faded over this time, so that it does not click.
const FADE_MS: u32 = 5;
/// Time constant of "now": two pitch periods of a low voice.
const FAST_MS: f32 = 20.0;
/// Time constant of "lately": a few syllables.
const SLOW_MS: f32 = 500.0;
/// Energy below this frequency is hum or a DC offset. It is half the lower limit of a telephone.
const HIGH_PASS_HZ: f32 = 150.0;
/// Another channel takes over when its energy was this many times higher lately: 6 dB.
const SLOW_RATIO: f32 = 4.0;
/// It takes over at once when its energy is this many times higher now (12 dB) and the current
/// channel has fallen silent.
const FAST_RATIO: f32 = 16.0;
/// "Fallen silent" means that the other channel is now louder than this share of the current one's
/// recent energy.
const FAST_SHARE: f32 = 0.25;

/// Turns interleaved frames of samples into one channel, a frame at a time.
#[derive(Debug, Clone)]
pub struct ChannelPicker {
    choice: InputChannel,
    channels: Box<[Channel]>,
    current: usize,
    previous: usize,
    fade_left: u32,
    fade_frames: u32,
    since_check: u32,
    check_frames: u32,
    high_pass: f32,
}

/// Energies of one channel.
#[derive(Debug, Clone, Default)]
struct Channel {
    last: f32,
    high: f32,
    /// Energy of the frames since the last check.
    energy: f32,
    fast: f32,
    slow: f32,
}

impl ChannelPicker {
    /// Creates a picker for frames of `channels` samples, `rate_hz` of them a second. A number
    /// beyond the last channel means the last one; see [`InputChannel::check`].
    #[must_use]
    pub fn new(choice: InputChannel, channels: u16, rate_hz: u32) -> Self {
        let channels = usize::from(channels.clamp(1, CHANNELS_MAX));
        let current = match choice {
            InputChannel::Number(number) => usize::from(number).clamp(1, channels) - 1,
            InputChannel::Voice | InputChannel::Mix => 0,
        };
        let frames = |ms: u32| (u64::from(rate_hz) * u64::from(ms) / 1_000).max(1) as u32;
        Self {
            choice,
            channels: vec![Channel::default(); channels].into_boxed_slice(),
            current,
            previous: current,
            fade_left: 0,
            fade_frames: frames(FADE_MS),
            since_check: 0,
            check_frames: frames(CHECK_MS),
            high_pass: 1.0 / (1.0 + std::f32::consts::TAU * HIGH_PASS_HZ / rate_hz.max(1) as f32),
        }
    }

    /// Returns the samples in a frame.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels.len()
    }

    /// Returns one sample of a frame, which has one sample for each channel.
    pub fn pick(&mut self, mut frame: impl Iterator<Item = f32>) -> f32 {
        match self.choice {
            InputChannel::Number(_) => frame.nth(self.current).unwrap_or(0.0),
            InputChannel::Mix => frame.sum::<f32>() / self.channels.len() as f32,
            InputChannel::Voice if self.channels.len() == 1 => frame.next().unwrap_or(0.0),
            InputChannel::Voice => self.follow(frame),
        }
    }

    fn follow(&mut self, frame: impl Iterator<Item = f32>) -> f32 {
        let (mut now, mut before) = (0.0, 0.0);
        for (number, (channel, sample)) in self.channels.iter_mut().zip(frame).enumerate() {
            channel.observe(sample, self.high_pass);
            if number == self.current {
                now = sample;
            }
            if number == self.previous {
                before = sample;
            }
        }
        let sample = if self.fade_left == 0 {
            now
        } else {
            let share = self.fade_left as f32 / self.fade_frames as f32;
            self.fade_left -= 1;
            now + (before - now) * share
        };
        self.since_check += 1;
        if self.since_check == self.check_frames {
            self.since_check = 0;
            self.check();
        }
        sample
    }

    /// Compares the channels, and starts a change if another one carries the voice.
    fn check(&mut self) {
        for channel in &mut self.channels {
            channel.settle(self.check_frames);
        }
        if self.fade_left > 0 {
            return;
        }
        let heard = &self.channels[self.current];
        let loudest = |of: fn(&Channel) -> f32| {
            let mut best = self.current;
            for (number, channel) in self.channels.iter().enumerate() {
                if of(channel) > of(&self.channels[best]) {
                    best = number;
                }
            }
            best
        };
        let (now, lately) = (loudest(|c| c.fast), loudest(|c| c.slow));
        let takes_over = &self.channels[now];
        let next = if takes_over.fast > FAST_RATIO * heard.fast
            && takes_over.fast > FAST_SHARE * heard.slow
        {
            now
        } else if self.channels[lately].slow > SLOW_RATIO * heard.slow {
            lately
        } else {
            return;
        };
        self.previous = self.current;
        self.current = next;
        self.fade_left = self.fade_frames;
    }
}

impl Channel {
    fn observe(&mut self, sample: f32, high_pass: f32) {
        let sample = if sample.is_finite() {
            sample.clamp(-1.0, 1.0)
        } else {
            0.0
        };
        self.high = high_pass * (self.high + sample - self.last);
        self.last = sample;
        self.energy += self.high * self.high;
    }

    fn settle(&mut self, frames: u32) {
        /// Far below the steps of 24 bits. Smaller numbers are slow to compute with.
        const NOTHING: f32 = 1e-18;
        let mean = self.energy / frames as f32;
        self.energy = 0.0;
        let step = CHECK_MS as f32;
        self.fast += (mean - self.fast) * (step / FAST_MS);
        self.slow += (mean - self.slow) * (step / SLOW_MS);
        for value in [&mut self.fast, &mut self.slow, &mut self.high] {
            if value.abs() < NOTHING {
                *value = 0.0;
            }
        }
    }
}
