//! Texas Instruments (Luminary) LM3S6965 evaluation board: Cortex-M3 at 50 MHz, PL011 UART (data
//! sheet DS-LM3S6965).
#![allow(unsafe_code)] // Addresses of registers, and the vector table.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use talkspurt_node_driver::uart::Isr;
use volatile_register::{RO, RW};

use super::{Board, Vector};
use crate::deadline;
use crate::uart::IsrCell;
use crate::uart::pl011::{Pl011, Registers};

/// The board.
pub struct Lm3s6965Evb;

const CLOCK_HZ: u32 = 50_000_000;
const UART0: *const Registers = 0x4000_C000 as *const Registers;

/// System control registers (data sheet, section 5.4): addresses of single words.
const RAW_INTERRUPTS: *const RO<u32> = 0x400F_E050 as *const RO<u32>;
const RUN_CLOCK: *const RW<u32> = 0x400F_E060 as *const RW<u32>;
const CLOCK_GATES_1: *const RW<u32> = 0x400F_E104 as *const RW<u32>;
const CLOCK_GATES_2: *const RW<u32> = 0x400F_E108 as *const RW<u32>;
const PLL_LOCKED: u32 = 1 << 6;
/// 8 MHz crystal, main oscillator on, 200 MHz from the PLL divided by 4; the PLL still bypassed.
const CLOCK_50_MHZ_BYPASSED: u32 = 3 << 23 | 1 << 22 | 1 << 11 | 0xE << 6 | 1;
const CLOCK_BYPASS: u32 = 1 << 11;
const GATE_UART0: u32 = 1 << 0;
const GATE_TIMER0: u32 = 1 << 16;
const GATE_GPIO_A: u32 = 1 << 0;

/// GPIO A (section 9.5): its pins 0 and 1 can be the UART's.
const GPIO_A_ALTERNATE: *const RW<u32> = 0x4000_4420 as *const RW<u32>;
const GPIO_A_DIGITAL: *const RW<u32> = 0x4000_451C as *const RW<u32>;
const UART0_PINS: u32 = 0b11;

/// General-purpose timer 0 (section 10.5): addresses of single words.
const TIMER0_MODE: *const RW<u32> = 0x4003_0004 as *const RW<u32>;
const TIMER0_CONTROL: *const RW<u32> = 0x4003_000C as *const RW<u32>;
const TIMER0_INTERRUPT_MASK: *const RW<u32> = 0x4003_0018 as *const RW<u32>;
const TIMER0_INTERRUPT_CLEAR: *const RW<u32> = 0x4003_0024 as *const RW<u32>;
const TIMER0_RELOAD: *const RW<u32> = 0x4003_0028 as *const RW<u32>;
const TIMER_PERIODIC: u32 = 2;
const TIMER_A: u32 = 1;

static ISR: IsrCell<Pl011> = IsrCell::new();

impl Board for Lm3s6965Evb {
    const NAME: &'static str = "lm3s6965evb";
    const CYCLES_PER_US: u32 = CLOCK_HZ / 1_000_000;
    type Uart = Pl011;

    /// Follows the order in section 5.3 of the data sheet; then the peripherals get their clocks.
    fn start_clocks() {
        // SAFETY: system control registers, written once, before anything depends on the clock.
        unsafe {
            (*RUN_CLOCK).write(CLOCK_50_MHZ_BYPASSED);
            while (*RAW_INTERRUPTS).read() & PLL_LOCKED == 0 {}
            (*RUN_CLOCK).write(CLOCK_50_MHZ_BYPASSED & !CLOCK_BYPASS);
            (*CLOCK_GATES_1).write(GATE_UART0 | GATE_TIMER0);
            (*CLOCK_GATES_2).write(GATE_GPIO_A);
            (*GPIO_A_ALTERNATE).write(UART0_PINS);
            (*GPIO_A_DIGITAL).write(UART0_PINS);
        }
    }

    fn start_uart(baud: u32) -> Pl011 {
        // SAFETY: the UART's registers exist for as long as the board has power.
        Pl011::start(unsafe { &*UART0 }, baud, CLOCK_HZ)
    }

    fn start_interrupts(isr: Isr<'static, Pl011>) {
        // SAFETY: the UART's interrupt is still masked.
        unsafe { ISR.put(isr) };
        // SAFETY: the timer has its clock by now, and has no other user.
        unsafe {
            (*TIMER0_MODE).write(TIMER_PERIODIC);
            (*TIMER0_RELOAD).write(CLOCK_HZ / 1_000 - 1);
            (*TIMER0_INTERRUPT_MASK).write(TIMER_A);
            (*TIMER0_CONTROL).write(TIMER_A);
        }
        for interrupt in [Interrupt::Uart0, Interrupt::Timer0A] {
            // SAFETY: everything that the handlers use is in place.
            unsafe { NVIC::unmask(interrupt) };
        }
    }

    fn serve_uart() {
        NVIC::pend(Interrupt::Uart0);
    }
}

/// The interrupts in use, by their numbers.
#[derive(Clone, Copy)]
enum Interrupt {
    Uart0 = 5,
    Timer0A = 19,
}

// SAFETY: these are the numbers of the board's interrupts.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

unsafe extern "C" fn uart0() {
    // SAFETY: no other handler calls it.
    unsafe { ISR.serve(Isr::serve) };
}

unsafe extern "C" fn timer0a() {
    // SAFETY: acknowledges the interrupt; nothing else writes to the register.
    unsafe { (*TIMER0_INTERRUPT_CLEAR).write(TIMER_A) };
    deadline::tick();
}

/// The vector table's part after the core's own exceptions, up to the last interrupt in use.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [Vector; 20] = {
    let mut table = [Vector::RESERVED; 20];
    table[Interrupt::Uart0 as usize] = Vector { handler: uart0 };
    table[Interrupt::Timer0A as usize] = Vector { handler: timer0a };
    table
};
