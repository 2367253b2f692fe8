//! Checks the loop's deadline: each frame must be served before the next one is due.
//!
//! [`Deadline`] counts late frames by the loop's own clock. A loop that hangs cannot count. So the
//! board's timer calls [`tick`], and a loop that has served no frame for [`HANG_MS`] is reset, as a
//! hardware watchdog would do.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SCB;
use talkspurt_core::time::{Duration, Instant};

/// A loop that serves no frame for this long hangs: a hundred frames, and less than a person waits
/// before pressing reset.
pub const HANG_MS: u32 = 2_000;

/// Milliseconds until the reset; 0 while the watch is off.
static LEFT_MS: AtomicU32 = AtomicU32::new(0);

/// Ticks since power-up. Wraps.
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Returns the ticks of the board's timer since power-up, to wait for the next one. Wraps.
#[inline]
pub fn ticks() -> u32 {
    TICKS.load(Ordering::Relaxed)
}

/// Called by the board's timer each millisecond.
pub fn tick() {
    TICKS.store(ticks().wrapping_add(1), Ordering::Relaxed);
    match LEFT_MS.load(Ordering::Relaxed) {
        0 => {}
        1 => SCB::sys_reset(),
        left_ms => LEFT_MS.store(left_ms - 1, Ordering::Relaxed),
    }
}

/// Turns the watch on, or reports that the loop is alive.
pub fn feed() {
    LEFT_MS.store(HANG_MS, Ordering::Relaxed);
}

/// Turns the watch off.
pub fn stop_watch() {
    LEFT_MS.store(0, Ordering::Relaxed);
}

/// Counts late frames of one sample clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    missed: u32,
    worst: Duration,
}

impl Deadline {
    /// Notes that a frame due at `due` is served `now`. Another frame is due each `period`.
    pub fn serve(&mut self, now: Instant, due: Instant, period: Duration) {
        let late = now.duration_since(due);
        self.worst = self.worst.max(late);
        if late >= period {
            self.missed = self.missed.wrapping_add(1);
        }
        feed();
    }

    /// Returns how many frames were served only after the next one was due. Wraps.
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    /// Returns the longest time that a frame has waited.
    pub const fn worst(&self) -> Duration {
        self.worst
    }
}
