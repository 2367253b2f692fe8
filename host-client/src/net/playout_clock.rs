//! When a device is given its next frame.
//!
//! The server sends a room's frames evenly, at a phase of its own. A clock with another phase would
//! keep each of them waiting, half a frame on average. So each talkspurt sets the clock anew: its
//! first frame is played when it comes, later by what frames have been late before. While it runs,
//! a frame that comes late is waited for as long as the device has sound, and moves the clock; and
//! as all come early the clock goes after them, slowly, as each step bends the pitch.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// By how much frames are taken to come more or less early, before anything is known.
const SPREAD_START: Duration = Duration::from_micros(1_500);
/// Of the frames that come last, this much is left. It covers that packets are read a little later
/// than they come.
const LEFT: Duration = Duration::from_micros(500);
/// The phase is judged over such windows.
const WINDOW_MS: u32 = 1_000;
/// While voice is heard, the clock is set back by so much a window at most: a pitch that is 0.02 %
/// higher. In a pause it is set back by a quarter of each frame.
const STEP_MAX: Duration = Duration::from_micros(200);
/// So many packets are remembered: more never wait for long.
const ARRIVALS_MAX: usize = 32;
/// A clock that is behind by more was stopped: what it has missed is not played.
const STALL: Duration = Duration::from_millis(60);

/// Says when frames are due. Time is an argument.
#[derive(Debug)]
pub(super) struct PlayoutClock {
    frame: Duration,
    due: Instant,
    /// Whether a talkspurt runs.
    is_hearing: bool,
    /// When the latest packets came, newest first.
    arrivals: VecDeque<Instant>,
    window: Window,
    /// By how much frames of the window before came more or less early.
    spread_before: Duration,
    /// By how much the clock may be set back: all frames of the last window came earlier by that.
    spare: Duration,
}

/// How early frames came of late, in microseconds before they were due.
#[derive(Debug)]
struct Window {
    frames: u32,
    least_us: i64,
    most_us: i64,
}

impl Window {
    const EMPTY: Self = Self {
        frames: 0,
        least_us: i64::MAX,
        most_us: i64::MIN,
    };

    fn note(&mut self, early_us: i64) {
        self.frames += 1;
        self.least_us = self.least_us.min(early_us);
        self.most_us = self.most_us.max(early_us);
    }

    /// The clock was set back by so much: what came before it counts as less early.
    fn set_back(&mut self, step: Duration) {
        if self.frames > 0 {
            self.least_us -= step.as_micros() as i64;
            self.most_us -= step.as_micros() as i64;
        }
    }

    fn spread(&self) -> Duration {
        match self.frames {
            0 => Duration::ZERO,
            _ => Duration::from_micros(self.most_us.abs_diff(self.least_us)),
        }
    }
}

/// How the voice stands that is to be played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearing {
    /// A talkspurt is being played, or waits for that.
    pub(super) is_active: bool,
    /// Its next frame has come.
    pub(super) is_next_here: bool,
    /// For how long from now the device still has sound.
    pub(super) slack: Duration,
    /// So many of its frames wait.
    pub(super) waiting_frames: u16,
}

/// What was played in a frame period.
#[derive(Debug, Clone, Copy)]
pub(super) struct Played {
    /// A frame that had come in a packet.
    pub(super) is_received: bool,
    /// Nobody talks in it.
    pub(super) is_pause: bool,
    /// So many frames wait behind it.
    pub(super) waiting_frames: u16,
    /// So many are to wait in any network.
    pub(super) margin_frames: u16,
}

impl PlayoutClock {
    /// The first frame is due at `start`.
    pub(super) fn new(start: Instant, frame_ms: u8) -> Self {
        Self {
            frame: Duration::from_millis(frame_ms.into()),
            due: start,
            is_hearing: false,
            arrivals: VecDeque::with_capacity(ARRIVALS_MAX),
            window: Window::EMPTY,
            spread_before: SPREAD_START,
            spare: Duration::ZERO,
        }
    }

    /// Goes on with frames of another duration.
    pub(super) fn set_frame_ms(&mut self, frame_ms: u8) {
        self.frame = Duration::from_millis(frame_ms.into());
        self.window = Window::EMPTY;
    }

    /// So many voice packets have come.
    pub(super) fn arrived(&mut self, now: Instant, packets: u32) {
        for _ in 0..packets.min(ARRIVALS_MAX as u32) {
            self.arrivals.truncate(ARRIVALS_MAX - 1);
            self.arrivals.push_front(now);
        }
    }

    /// Returns how many frames were missed while nothing ran: they are not to be heard.
    pub(super) fn take_missed(&mut self, now: Instant) -> u32 {
        let behind = now.saturating_duration_since(self.due);
        if behind < STALL {
            return 0;
        }
        let missed = (behind.as_micros() / self.frame.as_micros()) as u32;
        self.due += self.frame * missed;
        self.window = Window::EMPTY;
        missed
    }

    /// Returns when the next frame is to be played; it may be later than `now`, or change with the
    /// next packet.
    pub(super) fn next_due(&mut self, now: Instant, hearing: Hearing) -> Instant {
        let begins = hearing.is_active && !self.is_hearing;
        self.is_hearing = hearing.is_active;
        if begins {
            // The first one may have come earlier than others will.
            self.end_window();
            self.due = now + self.spread_before + LEFT;
            self.spread_before = self.spread_before * 3 / 4;
            self.spare = Duration::ZERO;
            self.arrivals.truncate(hearing.waiting_frames.into());
        }
        if self.is_hearing && !hearing.is_next_here {
            // A clock that waits is not one that was stopped.
            self.due.max(now + hearing.slack.min(STALL / 2))
        } else {
            self.due
        }
    }

    /// The frame that was due has been played.
    pub(super) fn played(&mut self, played: Played) {
        let due = self.due;
        self.due += self.frame;
        let came_at = self
            .arrivals
            .get(usize::from(played.waiting_frames))
            .copied();
        let Some(came_at) = came_at.filter(|_| self.is_hearing && played.is_received) else {
            return;
        };
        let late = came_at.saturating_duration_since(due);
        let early = due.saturating_duration_since(came_at);
        self.window
            .note(early.as_micros() as i64 - late.as_micros() as i64);
        if late > Duration::ZERO {
            self.due += late + LEFT;
            self.spare = Duration::ZERO;
            self.end_window();
        } else if self.window.frames >= WINDOW_MS / self.frame.as_millis() as u32 {
            let least = Duration::from_micros(self.window.least_us.unsigned_abs());
            let margin = self.frame * u32::from(played.margin_frames);
            self.spare = least.saturating_sub(LEFT + margin);
            self.spread_before = Duration::ZERO;
            self.end_window();
            self.set_back(STEP_MAX);
        }
        if played.is_pause {
            self.set_back(self.frame / 4);
        }
    }

    /// Keeps of a window how much its frames differed.
    fn end_window(&mut self) {
        let spread = self.spread_before.max(self.window.spread());
        self.spread_before = spread.min(self.frame);
        self.window = Window::EMPTY;
    }

    fn set_back(&mut self, step_max: Duration) {
        let step = self.spare.min(step_max);
        self.due -= step;
        self.spare -= step;
        self.window.set_back(step);
    }
}

#[cfg(test)]
mod tests;
