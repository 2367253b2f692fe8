//! Arm MPS2 with the AN386 image: Cortex-M4F at 25 MHz, CMSDK peripherals (Arm DAI 0386C, tables
//! 3-1 and 3-2).
#![allow(unsafe_code)] // Addresses of registers, and the vector table.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;
use talkspurt_node_driver::uart::Isr;
use volatile_register::{RW, WO};

use super::{Board, Vector};
use crate::deadline;
use crate::uart::IsrCell;
use crate::uart::cmsdk::{Cmsdk, Registers};

/// The board.
pub struct Mps2An386;

const CLOCK_HZ: u32 = 25_000_000;
const UART0: *const Registers = 0x4000_4000 as *const Registers;
const TIMER0: *const Timer = 0x4000_0000 as *const Timer;

/// A CMSDK timer: counts down and restarts (Arm DDI 0479D, section 4.5).
#[repr(C)]
struct Timer {
    control: RW<u32>,
    value: RW<u32>,
    reload: RW<u32>,
    interrupt_clear: WO<u32>,
}

const TIMER_ON: u32 = 1 << 0;
const TIMER_INTERRUPT: u32 = 1 << 3;

static ISR: IsrCell<Cmsdk> = IsrCell::new();

impl Board for Mps2An386 {
    const NAME: &'static str = "mps2-an386";
    const CYCLES_PER_US: u32 = CLOCK_HZ / 1_000_000;
    type Uart = Cmsdk;

    fn start_clocks() {}

    fn start_uart(baud: u32) -> Cmsdk {
        // SAFETY: the UART's registers exist for as long as the board has power.
        Cmsdk::start(unsafe { &*UART0 }, baud, CLOCK_HZ)
    }

    fn start_interrupts(isr: Isr<'static, Cmsdk>) {
        // SAFETY: the UART's interrupts are still masked.
        unsafe { ISR.put(isr) };
        // SAFETY: the timer exists, and has no other user.
        unsafe {
            (*TIMER0).reload.write(CLOCK_HZ / 1_000 - 1);
            (*TIMER0).value.write(CLOCK_HZ / 1_000 - 1);
            (*TIMER0).control.write(TIMER_ON | TIMER_INTERRUPT);
        }
        for interrupt in [
            Interrupt::Uart0Receive,
            Interrupt::Uart0Send,
            Interrupt::Timer0,
        ] {
            // SAFETY: everything that the handlers use is in place.
            unsafe { NVIC::unmask(interrupt) };
        }
    }

    fn serve_uart() {
        NVIC::pend(Interrupt::Uart0Send);
    }
}

/// The interrupts in use, by their numbers.
#[derive(Clone, Copy)]
enum Interrupt {
    Uart0Receive = 0,
    Uart0Send = 1,
    Timer0 = 8,
}

// SAFETY: these are the numbers of the board's interrupts.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

unsafe extern "C" fn uart0_receive() {
    // SAFETY: this handler and the next have the priority that interrupts have after reset.
    unsafe { ISR.serve(Isr::receive) };
}

unsafe extern "C" fn uart0_send() {
    // SAFETY: as above.
    unsafe { ISR.serve(Isr::send) };
}

unsafe extern "C" fn timer0() {
    // SAFETY: acknowledges the interrupt; nothing else writes to the register.
    unsafe { (*TIMER0).interrupt_clear.write(1) };
    deadline::tick();
}

/// The vector table's part after the core's own exceptions, up to the last interrupt in use.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".vector_table.interrupts")]
static __INTERRUPTS: [Vector; 9] = {
    let mut table = [Vector::RESERVED; 9];
    table[Interrupt::Uart0Receive as usize] = Vector {
        handler: uart0_receive,
    };
    table[Interrupt::Uart0Send as usize] = Vector {
        handler: uart0_send,
    };
    table[Interrupt::Timer0 as usize] = Vector { handler: timer0 };
    table
};
