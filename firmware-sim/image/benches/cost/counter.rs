//! Counts instructions by SysTick.

use core::arch::asm;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use talkspurt_image::board::{Board, ThisBoard};

/// Nanoseconds of virtual time in an instruction: `-icount shift=8`.
const NS_PER_INSTRUCTION: u64 = 1 << 8;
const COUNTER_MASK: u32 = 0x00ff_ffff;

/// The instruction counter, with its own cost.
pub struct Counter {
    _systick: SYST,
    overhead: u32,
}

impl Counter {
    /// Starts SysTick and tries it on 1000 instructions. If QEMU does not count, the error is the
    /// number that it measured.
    #[allow(unsafe_code)]
    pub fn start(mut systick: SYST) -> Result<Self, u32> {
        systick.set_clock_source(SystClkSource::Core);
        systick.set_reload(COUNTER_MASK);
        systick.clear_current();
        systick.enable_counter();
        let mut counter = Self {
            _systick: systick,
            overhead: 0,
        };
        counter.overhead = counter.count(|| ());
        let measured = counter.count(|| {
            // SAFETY: counts a register down.
            unsafe {
                asm!("2: subs {n}, #1", "bne 2b", n = inout(reg) 500_u32 => _, options(nomem, nostack));
            }
        });
        if (1_000..=1_004).contains(&measured) {
            Ok(counter)
        } else {
            Err(measured)
        }
    }

    /// Returns the instructions of `routine`, at most 1.3 million, give or take one.
    // Not inlined, so that a routine is compiled separately from its measurement.
    #[inline(never)]
    pub fn count<T>(&mut self, routine: impl FnOnce() -> T) -> u32 {
        let before = SYST::get_current();
        let _result = core::hint::black_box(routine());
        let after = SYST::get_current();
        let cycles = u64::from(before.wrapping_sub(after) & COUNTER_MASK);
        let ns_thousandths = cycles * 1_000_000 / u64::from(ThisBoard::CYCLES_PER_US);
        let instructions = (ns_thousandths / NS_PER_INSTRUCTION).div_ceil(1_000) as u32;
        instructions.saturating_sub(self.overhead)
    }
}
