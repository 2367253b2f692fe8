//! One direction of a byte stream with weather on it: bytes arrive in order, but late, in bursts,
//! slowly, or damaged.

use std::collections::VecDeque;

use fastrand::Rng;
use talkspurt_core::time::{Duration, Instant};

use crate::weather::Weather;

/// Bytes that have arrived.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// The bytes as they arrived.
    pub bytes: Vec<u8>,
    /// The bytes as they were sent: the same number, with other values where there was damage.
    pub as_sent: Vec<u8>,
}

/// The bytes on their way in one direction.
#[derive(Debug)]
pub struct Pipe {
    weather: Weather,
    rng: Rng,
    on_the_way: VecDeque<(Instant, Arrived)>,
    on_the_way_bytes: usize,
    damaged_bytes: u64,
    line_free_at: Instant,
    last_arrival: Instant,
}

impl Pipe {
    /// Creates an empty pipe. The same seed and the same writes give the same arrivals.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            rng: Rng::with_seed(seed),
            on_the_way: VecDeque::new(),
            on_the_way_bytes: 0,
            damaged_bytes: 0,
            line_free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
        }
    }

    /// Changes the weather for what is written from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Sends as many of the bytes as there is room for, and returns their number.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        if taken == 0 {
            return 0;
        }
        let as_sent = bytes[..taken].to_vec();
        let mut bytes = as_sent.clone();
        self.damage(&mut bytes);
        self.last_arrival = self.arrival(now, taken as u64).max(self.last_arrival);
        self.on_the_way_bytes += taken;
        self.on_the_way
            .push_back((self.last_arrival, Arrived { bytes, as_sent }));
        taken
    }

    /// Returns how many bytes may be written now.
    pub fn room(&self) -> usize {
        self.weather
            .buffer_bytes
            .saturating_sub(self.on_the_way_bytes)
    }

    /// Takes the bytes that have arrived.
    pub fn read(&mut self, now: Instant) -> Arrived {
        let mut arrived = Arrived::default();
        while let Some((_, next)) = self.on_the_way.pop_front_if(|(at, _)| *at <= now) {
            self.on_the_way_bytes -= next.bytes.len();
            arrived.bytes.extend(next.bytes);
            arrived.as_sent.extend(next.as_sent);
        }
        arrived
    }

    /// Returns how many bytes it has damaged.
    pub fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// Returns when the next bytes arrive.
    pub fn next_arrival(&self) -> Option<Instant> {
        self.on_the_way.front().map(|(at, _)| *at)
    }

    fn arrival(&mut self, now: Instant, bytes: u64) -> Instant {
        let Weather {
            delay,
            jitter,
            stalls_per_mille,
            stall_max,
            bytes_per_second,
            ..
        } = self.weather;
        let departs = now.max(self.line_free_at);
        let transfer = bytes_per_second.map_or(Duration::ZERO, |rate| {
            Duration::from_micros(bytes * 1_000_000 / rate)
        });
        self.line_free_at = departs + transfer;
        let stalled = self.rng.u32(0..1_000) < stalls_per_mille;
        let stall = if stalled {
            self.up_to(stall_max)
        } else {
            Duration::ZERO
        };
        self.line_free_at + delay + self.up_to(jitter) + stall
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(0..=most.as_micros()))
    }

    fn damage(&mut self, bytes: &mut [u8]) {
        if self.weather.damage_per_million == 0 {
            return;
        }
        for byte in bytes {
            if self.rng.u32(0..1_000_000) < self.weather.damage_per_million {
                *byte ^= self.rng.u8(1..);
                self.damaged_bytes += 1;
            }
        }
    }
}
