//! Whether the loop keeps its deadline: each frame is served before the next one is due.
//!
//! [`Deadline`] counts the frames that were not, by the loop's own clock. A loop that does not come
//! at all cannot count: for that the board's timer calls [`tick`], and a loop that has served no
//! frame for [`HANG_MS`] is reset, as a hardware watchdog would do.

use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::peripheral::SCB;
use talkspurt_core::time::{Duration, Instant};

/// A loop that has been silent for so long hangs: a hundred frames, and less than a person waits
/// before pressing reset.
pub const HANG_MS: u32 = 2_000;

/// Milliseconds until the reset; 0 while the watch is off.
static LEFT_MS: AtomicU32 = AtomicU32::new(0);

/// Ticks since power-up. Wraps.
static TICKS: AtomicU32 = AtomicU32::new(0);

/// Ticks of the board's timer since power-up, for whoever waits for the next one. Wraps.
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

/// Turns the watch on, or says that the loop is alive.
pub fn feed() {
    LEFT_MS.store(HANG_MS, Ordering::Relaxed);
}

/// Turns the watch off.
pub fn stop_watch() {
    LEFT_MS.store(0, Ordering::Relaxed);
}

/// The late frames of one sample clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Deadline {
    missed: u32,
    worst: Duration,
}

impl Deadline {
    /// A frame that was due at `due` is served `now`; another is due each `period`.
    pub fn serve(&mut self, now: Instant, due: Instant, period: Duration) {
        let late = now.duration_since(due);
        self.worst = self.worst.max(late);
        if late >= period {
            self.missed = self.missed.wrapping_add(1);
        }
        feed();
    }

    /// Frames that were served only when the next one was due already. Wraps.
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    /// The longest that a frame has waited.
    pub const fn worst(&self) -> Duration {
        self.worst
    }
}
