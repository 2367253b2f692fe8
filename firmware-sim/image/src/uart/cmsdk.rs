//! The UART of Arm's Cortex-M System Design Kit: one byte each way, no FIFO (Arm DDI 0479D, section 4.3).

use volatile_register::{RO, RW, WO};

use super::Hardware;

/// Its registers, as they lie in memory.
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub data: RW<u32>,
    pub state: RO<u32>,
    pub control: RW<u32>,
    /// Written: acknowledges the interrupts whose bits are set.
    pub interrupts: WO<u32>,
    pub baud_divisor: RW<u32>,
}

const STATE_SEND_FULL: u32 = 1 << 0;
const STATE_RECEIVE_FULL: u32 = 1 << 1;
const CONTROL_SEND: u32 = 1 << 0;
const CONTROL_RECEIVE: u32 = 1 << 1;
const CONTROL_SEND_INTERRUPT: u32 = 1 << 2;
const CONTROL_RECEIVE_INTERRUPT: u32 = 1 << 3;
const CONTROL_ON: u32 = CONTROL_SEND | CONTROL_RECEIVE | CONTROL_RECEIVE_INTERRUPT;
/// Sent, received, and the overruns of either.
const ALL_INTERRUPTS: u32 = 0b1111;
/// The hardware does not count less (DDI 0479D, table 4-6).
const DIVISOR_MIN: u32 = 16;

/// The UART at some registers.
pub struct Cmsdk(pub &'static Registers);

impl Hardware for Cmsdk {
    #[inline]
    fn receive(&mut self) -> Option<u8> {
        (self.0.state.read() & STATE_RECEIVE_FULL != 0).then(|| self.0.data.read() as u8)
    }

    #[inline]
    #[allow(unsafe_code)]
    fn send(&mut self, byte: u8) -> bool {
        if self.0.state.read() & STATE_SEND_FULL != 0 {
            return false;
        }
        // SAFETY: any byte may be sent; the register has no effect on memory.
        unsafe { self.0.data.write(byte.into()) };
        true
    }

    #[inline]
    #[allow(unsafe_code)]
    fn acknowledge(&mut self, more_to_send: bool) {
        let send_interrupt = if more_to_send {
            CONTROL_SEND_INTERRUPT
        } else {
            0
        };
        // SAFETY: only the interrupt handler touches these after the start; they have no effect on memory.
        unsafe {
            if !more_to_send {
                self.0.interrupts.write(ALL_INTERRUPTS);
            }
            self.0.control.write(CONTROL_ON | send_interrupt);
        }
    }

    #[allow(unsafe_code)]
    fn start(&mut self, baud: u32, clock_hz: u32) {
        // SAFETY: a divisor within the hardware's range, and a control word of known bits.
        unsafe {
            self.0
                .baud_divisor
                .write((clock_hz / baud).max(DIVISOR_MIN));
            self.0.control.write(CONTROL_ON);
        }
    }
}
