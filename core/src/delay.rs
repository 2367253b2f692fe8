//! How long voice waits: from the arrival of a frame to the moment it is played or mixed, and when
//! to tell the other side.
//!
//! A delay is known as a mean over some 320 ms of frames, as each frame waits for as long as it came
//! early. Delays are bounded by [`DELAY_MAX`].

use heapless::Deque;

use crate::audio::format::FrameDuration;
use crate::time::{Duration, Instant};

/// Longer delays count as this long, whoever reports them.
pub const DELAY_MAX: Duration = Duration::from_millis(DELAY_MS_MAX as u64);

/// The same in milliseconds.
pub const DELAY_MS_MAX: u16 = 5_000;

/// Two reports lie so far apart at least.
pub const REPORT_EVERY: Duration = Duration::from_millis(500);

/// A change by less is not reported.
const REPORTED_MS: u16 = 3;

/// A mean that follows its samples, each by a share that depends on the frame's duration.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct MeanDelay {
    micros: Option<i32>,
    shift: u8,
}

impl MeanDelay {
    /// Knows nothing yet. A sample is to come each frame.
    pub const fn new(frame: FrameDuration) -> Self {
        let shift = match frame {
            FrameDuration::Ms20 => 4,
            FrameDuration::Ms10 => 5,
            FrameDuration::Ms5 => 6,
        };
        Self {
            micros: None,
            shift,
        }
    }

    /// Takes the delay of a frame.
    pub fn add(&mut self, delay: Duration) {
        let sample = delay.min(DELAY_MAX).as_micros() as i32;
        let mean = self.micros.unwrap_or(sample);
        // Rounded, so that a mean of equal samples stays where it is, and comes to within half a
        // step of what others settle at.
        let half = 1 << self.shift >> 1;
        self.micros = Some(mean + ((sample - mean + half) >> self.shift));
    }

    /// Returns the mean, if there was a sample.
    pub fn get(&self) -> Option<Duration> {
        let micros = self.micros?.unsigned_abs();
        Some(Duration::from_micros(micros.into()))
    }
}

/// How long frames wait between their arrival and their turn. `FRAMES` arrivals are remembered: as
/// many as frames may wait.
#[derive(Clone, Debug)]
pub struct Waits<const FRAMES: usize> {
    /// When the frames came that wait, the oldest first.
    arrivals: Deque<Instant, FRAMES>,
    mean: MeanDelay,
}

/// How it stands, without each of the arrivals.
#[cfg(feature = "defmt")]
impl<const FRAMES: usize> defmt::Format for Waits<FRAMES> {
    fn format(&self, f: defmt::Formatter<'_>) {
        let waiting = self.arrivals.len();
        defmt::write!(f, "Waits {{ waiting: {}, mean: {} }}", waiting, self.mean)
    }
}

impl<const FRAMES: usize> Waits<FRAMES> {
    /// Nothing has come yet.
    pub const fn new(frame: FrameDuration) -> Self {
        Self {
            arrivals: Deque::new(),
            mean: MeanDelay::new(frame),
        }
    }

    /// Takes note that a frame has come.
    pub fn arrived(&mut self, now: Instant) {
        if self.arrivals.is_full() {
            self.arrivals.pop_front();
        }
        let _ = self.arrivals.push_back(now);
    }

    /// Takes note that no more than so many wait: what was before them was passed over.
    pub fn passed(&mut self, waiting: usize) {
        while self.arrivals.len() > waiting {
            self.arrivals.pop_front();
        }
    }

    /// Takes note that it was a frame's turn, and that so many wait behind it. What follows on its
    /// turn takes `more`.
    ///
    /// Frames that came together, as a pre-roll does, were said one after the other: only the last
    /// of them tells how long all have taken.
    pub fn taken(&mut self, now: Instant, waiting: usize, more: Duration) {
        while self.arrivals.len() > waiting + 1 {
            self.arrivals.pop_front();
        }
        if self.arrivals.len() <= waiting {
            // Nothing of what came had its turn: it was concealed.
            return;
        }
        let arrived = self.arrivals.pop_front();
        if let Some(at) = arrived
            && self.arrivals.front() != Some(&at)
        {
            self.mean.add(now.duration_since(at) + more);
        }
    }

    /// Returns how long frames wait, if any had its turn.
    pub fn mean(&self) -> Option<Duration> {
        self.mean.get()
    }
}

/// What of a delay the other side was told, and when.
#[derive(Clone, Copy, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Reports {
    told_ms: u16,
    next_at: Instant,
}

impl Reports {
    /// Nothing was told yet.
    pub const fn new() -> Self {
        Self {
            told_ms: 0,
            next_at: Instant::ZERO,
        }
    }

    /// Returns what to tell now: `delay` in milliseconds, or 0 if it is not known any more. `None`
    /// if that is about what was told last, or the last report was less than [`REPORT_EVERY`] ago.
    pub fn due(&mut self, now: Instant, delay: Option<Duration>) -> Option<u16> {
        let delay_ms = delay.map_or(0, millis);
        let is_news = (delay_ms == 0) != (self.told_ms == 0)
            || delay_ms.abs_diff(self.told_ms) >= REPORTED_MS;
        if !is_news || now < self.next_at {
            return None;
        }
        self.told_ms = delay_ms;
        self.next_at = now + REPORT_EVERY;
        Some(delay_ms)
    }
}

/// To the nearest millisecond; at least 1, as 0 stands for a delay that is not known.
fn millis(delay: Duration) -> u16 {
    let millis = (delay.min(DELAY_MAX).as_micros() + 500) / 1_000;
    (millis as u16).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + MS(1_000 + ms)
    }

    #[test]
    fn a_mean_follows_within_a_second_and_is_exact_in_the_end() {
        for (frame, frames) in [
            (FrameDuration::Ms20, 50),
            (FrameDuration::Ms10, 100),
            (FrameDuration::Ms5, 200),
        ] {
            let mut mean = MeanDelay::new(frame);
            assert_eq!(mean.get(), None);
            mean.add(MS(60));
            assert_eq!(
                mean.get(),
                Some(MS(60)),
                "the first one is all that is known"
            );
            for _ in 0..frames {
                mean.add(MS(10));
            }
            let micros = mean.get().unwrap().as_micros();
            assert!((10_000..13_000).contains(&micros), "{frame:?}: {micros}");
            for _ in 0..20 * frames {
                mean.add(MS(10));
            }
            let micros = mean.get().unwrap().as_micros();
            assert!(micros.abs_diff(10_000) <= 32, "{frame:?}: {micros}");
        }
    }

    #[test]
    fn what_no_voice_can_take_is_bounded() {
        let mut mean = MeanDelay::new(FrameDuration::Ms20);
        mean.add(Duration::from_micros(u64::MAX));
        assert_eq!(mean.get(), Some(DELAY_MAX));
        let far = Some(Duration::from_micros(u64::MAX));
        assert_eq!(Reports::default().due(at(0), far), Some(DELAY_MS_MAX));
    }

    #[test]
    fn a_frame_waits_from_its_own_arrival_to_its_turn() {
        let mut waits = Waits::<8>::new(FrameDuration::Ms20);
        (0..2).for_each(|n| waits.arrived(at(20 * n)));
        waits.taken(at(50), 1, MS(4));
        assert_eq!(waits.mean(), Some(MS(54)));
        waits.arrived(at(40));
        waits.taken(at(70), 1, MS(4));
        assert_eq!(waits.mean(), Some(MS(54)));
    }

    #[test]
    fn of_a_pre_roll_the_last_frame_tells_how_long_all_took() {
        let mut waits = Waits::<8>::new(FrameDuration::Ms20);
        (0..4).for_each(|_| waits.arrived(at(0)));
        for left in (1..4).rev() {
            waits.taken(at(20 * (4 - left)), left as usize, Duration::ZERO);
            assert_eq!(waits.mean(), None);
        }
        waits.taken(at(80), 0, Duration::ZERO);
        assert_eq!(waits.mean(), Some(MS(80)));
    }

    #[test]
    fn what_was_concealed_or_dropped_is_not_counted() {
        let mut waits = Waits::<4>::new(FrameDuration::Ms20);
        waits.taken(at(0), 0, Duration::ZERO);
        waits.arrived(at(0));
        // It still waits: another stands in for one that is lost.
        waits.taken(at(90), 1, Duration::ZERO);
        assert_eq!(waits.mean(), None);
        // Two more come, and two are dropped.
        (1..3).for_each(|n| waits.arrived(at(100 * n)));
        waits.taken(at(210), 0, Duration::ZERO);
        assert_eq!(waits.mean(), Some(MS(10)));
        // More than can be remembered.
        (0..9).for_each(|n| waits.arrived(at(300 + n)));
        waits.taken(at(320), 8, Duration::ZERO);
        assert_eq!(waits.mean(), Some(MS(10)));
    }

    #[test]
    fn what_was_passed_over_says_nothing_of_what_comes_later() {
        let mut waits = Waits::<8>::new(FrameDuration::Ms20);
        (0..3).for_each(|n| waits.arrived(at(20 * n)));
        waits.passed(0);
        waits.arrived(at(5_000));
        waits.taken(at(5_010), 0, Duration::ZERO);
        assert_eq!(waits.mean(), Some(MS(10)));
    }

    #[test]
    fn reports_are_rare_and_about_changes() {
        let mut reports = Reports::default();
        assert_eq!(reports.due(at(0), None), None);
        assert_eq!(reports.due(at(0), Some(MS(40))), Some(40));
        assert_eq!(reports.due(at(499), Some(MS(90))), None);
        assert_eq!(reports.due(at(500), Some(MS(42))), None);
        assert_eq!(reports.due(at(500), Some(MS(43))), Some(43));
        assert_eq!(reports.due(at(2_000), Some(MS(40))), Some(40));
        assert_eq!(reports.due(at(2_499), None), None);
        assert_eq!(reports.due(at(2_500), None), Some(0));
        assert_eq!(reports.due(at(9_000), Some(Duration::ZERO)), Some(1));
    }
}
