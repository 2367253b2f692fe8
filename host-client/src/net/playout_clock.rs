//! When a device is given its next frame.
//!
//! The server sends a room's frames evenly, at a phase of its own. A clock with another phase would
//! keep each of them waiting, half a frame on average. So each talkspurt sets the clock anew: its
//! first frame is played when it comes, later by what frames have been late before. While it runs,
//! a frame that comes late is waited for as long as the device has sound, and moves the clock; and
//! as all come early the clock goes after them, slowly, as each step bends the pitch.

use std::time::{Duration, Instant};

/// What is waited for before a talkspurt's first frame is played, before anything is known.
const ALLOWANCE_START: Duration = Duration::from_millis(2);
/// Of the frames that come last, this much is left. It covers that packets are read a little later
/// than they come.
const LEFT: Duration = Duration::from_micros(500);
/// The phase is judged over such windows.
const WINDOW_FRAMES_MS: u32 = 1_000;
/// While voice is heard, the clock is set back by so much a window at most: a pitch that is 0.02 %
/// higher. In a pause it is set back at once.
const STEP_MAX: Duration = Duration::from_micros(200);
/// A clock that is behind by more was stopped: what it has missed is not played.
const STALL: Duration = Duration::from_millis(60);

/// Says when frames are due. Time is an argument.
#[derive(Debug)]
pub(super) struct PlayoutClock {
    frame: Duration,
    due: Instant,
    /// Whether a talkspurt runs.
    is_hearing: bool,
    /// When packets came last.
    arrived_at: Option<Instant>,
    /// How long after its first frame has come a talkspurt begins.
    allowance: Duration,
    window_frames: u32,
    /// The least time by which frames of this window came before they were due.
    least_early: Duration,
    /// By how much the clock may be set back: frames of the last window came earlier by that.
    spare: Duration,
}

/// How the voice stands that is to be played.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hearing {
    /// A talkspurt is being played, or waits for that.
    pub(super) is_active: bool,
    /// Its next frame has come.
    pub(super) is_next_here: bool,
    /// For how long the device still has sound.
    pub(super) slack: Duration,
}

impl PlayoutClock {
    /// The first frame is due at `start`.
    pub(super) fn new(start: Instant, frame_ms: u8) -> Self {
        Self {
            frame: Duration::from_millis(frame_ms.into()),
            due: start,
            is_hearing: false,
            arrived_at: None,
            allowance: ALLOWANCE_START,
            window_frames: 0,
            least_early: Duration::MAX,
            spare: Duration::ZERO,
        }
    }

    /// Goes on with frames of another duration.
    pub(super) fn set_frame_ms(&mut self, frame_ms: u8) {
        self.frame = Duration::from_millis(frame_ms.into());
        self.restart_window();
    }

    /// Voice packets have come.
    pub(super) fn arrived(&mut self, now: Instant) {
        self.arrived_at = Some(now);
    }

    /// Returns how many frames were missed while nothing ran: they are not to be heard.
    pub(super) fn take_missed(&mut self, now: Instant) -> u32 {
        let behind = now.saturating_duration_since(self.due);
        if behind < STALL {
            return 0;
        }
        let missed = (behind.as_micros() / self.frame.as_micros()) as u32;
        self.due += self.frame * missed;
        self.restart_window();
        missed
    }

    /// Returns when the next frame is to be played; it may be later than `now`, or change with the
    /// next packet.
    pub(super) fn next_due(&mut self, now: Instant, hearing: Hearing) -> Instant {
        let begins = hearing.is_active && !self.is_hearing;
        self.is_hearing = hearing.is_active;
        if begins {
            self.due = now + self.allowance;
            self.spare = Duration::ZERO;
            self.restart_window();
        }
        if self.is_hearing && !hearing.is_next_here {
            self.due + hearing.slack
        } else {
            self.due
        }
    }

    /// A frame was played at `now`. `waiting_frames` wait behind it; `was_here` says that it came
    /// from a packet, `is_pause` that nobody talks in it.
    pub(super) fn played(&mut self, was_here: bool, waiting_frames: u16, is_pause: bool) {
        let due = self.due;
        self.due += self.frame;
        let Some(arrived_at) = self.arrived_at.filter(|_| self.is_hearing && was_here) else {
            return;
        };
        // The packets behind it came a frame apart.
        let came_at = arrived_at.checked_sub(self.frame * u32::from(waiting_frames));
        let Some(came_at) = came_at else { return };
        if came_at > due {
            let late = came_at - due + LEFT;
            self.due += late;
            self.allowance = (self.allowance + late).min(self.frame);
            self.spare = Duration::ZERO;
            self.restart_window();
            return;
        }
        self.least_early = self.least_early.min(due - came_at);
        self.window_frames += 1;
        let window_ms = self.window_frames * self.frame.as_millis() as u32;
        if window_ms >= WINDOW_FRAMES_MS {
            self.spare = self.least_early.saturating_sub(LEFT);
            self.restart_window();
            self.set_back(STEP_MAX);
        }
        if is_pause {
            self.set_back(Duration::MAX);
        }
    }

    fn set_back(&mut self, step_max: Duration) {
        let step = self.spare.min(step_max);
        self.due -= step;
        self.allowance = self.allowance.saturating_sub(step);
        self.spare -= step;
    }

    fn restart_window(&mut self) {
        self.window_frames = 0;
        self.least_early = Duration::MAX;
    }
}

#[cfg(test)]
mod tests;
