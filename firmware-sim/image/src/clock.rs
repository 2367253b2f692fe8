//! Microseconds since power-up, from a free-running SysTick.
//!
//! SysTick raises no interrupts: it counts down 24 bits and restarts. Each reading adds the cycles
//! since the last reading. Counting ticks instead would fall behind whenever two of them are
//! handled as one.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use talkspurt_core::time::Instant;

use crate::board::{Board, ThisBoard};

/// SysTick has this many bits (Armv7-M reference manual, B3.3).
const COUNTER_MASK: u32 = 0x00ff_ffff;

/// The time. It must be read at least every 2^24 cycles (0.3 s at 50 MHz), which a loop that wakes
/// each millisecond does.
pub struct Clock {
    systick: SYST,
    counter: u32,
    /// Cycles that do not make a whole microsecond yet.
    rest_cycles: u32,
    now: Instant,
    /// Cycles spent asleep, in units of 1024.
    slept_1024: u32,
    slept_rest_cycles: u32,
}

impl Clock {
    /// Starts SysTick, with the time at zero.
    pub fn start(mut systick: SYST) -> Self {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(COUNTER_MASK);
        systick.clear_current();
        systick.enable_counter();
        Self {
            counter: SYST::get_current(),
            systick,
            rest_cycles: 0,
            now: Instant::ZERO,
            slept_1024: 0,
            slept_rest_cycles: 0,
        }
    }

    /// Returns the time since the start.
    pub fn now(&mut self) -> Instant {
        let cycles = self.cycles() + self.rest_cycles;
        self.rest_cycles = cycles % ThisBoard::CYCLES_PER_US;
        let micros = u64::from(cycles / ThisBoard::CYCLES_PER_US);
        self.now = Instant::from_micros(self.now.as_micros() + micros);
        crate::log::set_time(self.now);
        self.now
    }

    /// Runs `sleep`, and measures its time in images that log.
    #[inline]
    pub fn count_sleep(&mut self, sleep: impl FnOnce()) {
        if !cfg!(feature = "log") {
            return sleep();
        }
        let before = SYST::get_current();
        sleep();
        let cycles = before.wrapping_sub(SYST::get_current()) & COUNTER_MASK;
        self.slept_rest_cycles += cycles;
        self.slept_1024 += self.slept_rest_cycles >> 10;
        self.slept_rest_cycles &= (1 << 10) - 1;
    }

    /// Returns the milliseconds spent asleep, as far as they were measured. Wraps after a day and a
    /// half at 32 MHz.
    pub const fn slept_ms(&self) -> u32 {
        (self.slept_1024 as u64 * 1_024 / (ThisBoard::CYCLES_PER_US as u64 * 1_000)) as u32
    }

    /// Returns the cycles since the last reading.
    fn cycles(&mut self) -> u32 {
        let counter = SYST::get_current();
        let passed = self.counter.wrapping_sub(counter) & COUNTER_MASK;
        self.counter = counter;
        passed
    }

    /// Stops SysTick and returns it.
    pub fn stop(mut self) -> SYST {
        self.systick.disable_counter();
        self.systick
    }
}
