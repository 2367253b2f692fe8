//! The UART of Arm's Cortex-M System Design Kit: one byte each way, no FIFO (Arm DDI 0479D, section
//! 4.3).

use talkspurt_node_driver::uart::Hardware;
use volatile_register::{RO, RW, WO};

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
const INTERRUPT_SEND: u32 = 1 << 0;
const INTERRUPT_RECEIVE: u32 = 1 << 1;
/// The smallest divisor that the hardware supports (DDI 0479D, table 4-6).
const DIVISOR_MIN: u32 = 16;

/// The UART at the given registers.
pub struct Cmsdk(&'static Registers);

impl Cmsdk {
    /// Starts the UART at `baud` from a clock of `clock_hz`, with the receive interrupt on: 8 bits,
    /// no parity, 1 stop bit.
    #[allow(unsafe_code)]
    pub fn start(registers: &'static Registers, baud: u32, clock_hz: u32) -> Self {
        // SAFETY: a divisor within the hardware's range, and a control word of known bits.
        unsafe {
            registers
                .baud_divisor
                .write((clock_hz / baud).max(DIVISOR_MIN));
            registers.control.write(CONTROL_ON);
        }
        Self(registers)
    }
}

impl Hardware for Cmsdk {
    #[inline]
    #[allow(unsafe_code)]
    fn receive(&mut self) -> Option<u8> {
        if self.0.state.read() & STATE_RECEIVE_FULL == 0 {
            return None;
        }
        // SAFETY: acknowledges the interrupt of the byte that is read next.
        unsafe { self.0.interrupts.write(INTERRUPT_RECEIVE) };
        Some(self.0.data.read() as u8)
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        self.0.state.read() & STATE_SEND_FULL == 0
    }

    #[inline]
    #[allow(unsafe_code)]
    fn send(&mut self, byte: u8) {
        // SAFETY: any byte may be sent, and the interrupt for room is acknowledged; no effect on
        // memory.
        unsafe {
            self.0.interrupts.write(INTERRUPT_SEND);
            self.0.data.write(byte.into());
        }
    }

    #[allow(unsafe_code)]
    fn interrupt_on_room(&mut self, on: bool) {
        let send_interrupt = if on { CONTROL_SEND_INTERRUPT } else { 0 };
        // SAFETY: a control word of known bits, and the acknowledgement of an interrupt that is no
        // longer wanted.
        unsafe {
            self.0.control.write(CONTROL_ON | send_interrupt);
            if !on {
                self.0.interrupts.write(INTERRUPT_SEND);
            }
        }
    }
}
