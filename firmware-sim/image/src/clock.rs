//! Microseconds since power-up, from SysTick running freely.
//!
//! SysTick interrupts nothing: it counts down 24 bits and begins again, and whoever asks for the time adds what has passed since
//! the last question. A count of ticks would fall behind whenever two of them are taken as one.

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use talkspurt_core::time::Instant;

use crate::board::{Board, ThisBoard};

/// SysTick counts that many bits (Armv7-M reference manual, B3.3).
const COUNTER_MASK: u32 = 0x00ff_ffff;

/// The time. It must be asked at least every 2^24 cycles (0.3 s at 50 MHz), which a loop that wakes each millisecond does.
pub struct Clock {
    systick: SYST,
    counter: u32,
    /// Cycles that did not make a whole microsecond yet.
    rest_cycles: u32,
    now: Instant,
}

impl Clock {
    /// Starts SysTick, and the time at zero.
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
        }
    }

    /// The time since the start.
    pub fn now(&mut self) -> Instant {
        let cycles = self.cycles() + self.rest_cycles;
        self.rest_cycles = cycles % ThisBoard::CYCLES_PER_US;
        let micros = u64::from(cycles / ThisBoard::CYCLES_PER_US);
        self.now = Instant::from_micros(self.now.as_micros() + micros);
        crate::log::set_time(self.now);
        self.now
    }

    /// Cycles since the last question.
    fn cycles(&mut self) -> u32 {
        let counter = SYST::get_current();
        let passed = self.counter.wrapping_sub(counter) & COUNTER_MASK;
        self.counter = counter;
        passed
    }

    /// Gives SysTick back, stopped.
    pub fn stop(mut self) -> SYST {
        self.systick.disable_counter();
        self.systick
    }
}
