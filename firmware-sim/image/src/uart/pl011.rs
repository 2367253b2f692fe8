//! Arm's PL011 UART, with FIFOs of 16 bytes (Arm DDI 0183G, chapter 3).

use talkspurt_node_driver::uart::Hardware;
use volatile_register::{RO, RW, WO};

/// Its registers, as they lie in memory.
#[repr(C)]
#[allow(missing_docs)]
pub struct Registers {
    pub data: RW<u32>,
    pub receive_status: RW<u32>,
    reserved_08: [u32; 4],
    pub flags: RO<u32>,
    reserved_1c: [u32; 2],
    pub baud_whole: RW<u32>,
    pub baud_64ths: RW<u32>,
    pub line_control: RW<u32>,
    pub control: RW<u32>,
    pub fifo_levels: RW<u32>,
    pub interrupt_mask: RW<u32>,
    raw_interrupts: RO<u32>,
    masked_interrupts: RO<u32>,
    interrupt_clear: WO<u32>,
}

const FLAG_RECEIVE_EMPTY: u32 = 1 << 4;
const FLAG_SEND_FULL: u32 = 1 << 5;
const LINE_8_BITS: u32 = 0b11 << 5;
const LINE_FIFO: u32 = 1 << 4;
const CONTROL_ON: u32 = 1 << 0 | 1 << 8 | 1 << 9;
const INTERRUPT_RECEIVE: u32 = 1 << 4;
const INTERRUPT_SEND: u32 = 1 << 5;
/// The FIFO has bytes, but fewer than its level, and the line was quiet for 32 bits.
const INTERRUPT_RECEIVE_TIMEOUT: u32 = 1 << 6;
const RECEIVE_INTERRUPTS: u32 = INTERRUPT_RECEIVE | INTERRUPT_RECEIVE_TIMEOUT;
/// Interrupt at half full, each way.
const FIFO_LEVELS: u32 = 0b010_010;

/// The UART at the given registers.
pub struct Pl011(&'static Registers);

impl Pl011 {
    /// Starts the UART at `baud` from a clock of `clock_hz`, with the receive interrupt on: 8 bits,
    /// no parity, 1 stop bit.
    #[allow(unsafe_code)]
    pub fn start(registers: &'static Registers, baud: u32, clock_hz: u32) -> Self {
        // The divisor is clock / (16 * baud) in 64ths.
        let divisor_64ths = (clock_hz * 4).div_ceil(baud).max(64);
        // SAFETY: a divisor within the hardware's range, and words of known bits, in the order that
        // the manual requires.
        unsafe {
            registers.control.write(0);
            registers.baud_whole.write(divisor_64ths / 64);
            registers.baud_64ths.write(divisor_64ths % 64);
            registers.line_control.write(LINE_8_BITS | LINE_FIFO);
            registers.fifo_levels.write(FIFO_LEVELS);
            registers.interrupt_mask.write(RECEIVE_INTERRUPTS);
            registers.control.write(CONTROL_ON);
        }
        Self(registers)
    }
}

impl Hardware for Pl011 {
    #[inline]
    fn receive(&mut self) -> Option<u8> {
        // Emptying the FIFO clears the interrupts, including the timeout.
        (self.0.flags.read() & FLAG_RECEIVE_EMPTY == 0).then(|| self.0.data.read() as u8)
    }

    #[inline]
    fn has_room(&mut self) -> bool {
        self.0.flags.read() & FLAG_SEND_FULL == 0
    }

    #[inline]
    #[allow(unsafe_code)]
    fn send(&mut self, byte: u8) {
        // SAFETY: any byte may be sent; no effect on memory. Filling the FIFO clears the interrupt.
        unsafe { self.0.data.write(byte.into()) };
    }

    #[allow(unsafe_code)]
    fn interrupt_on_room(&mut self, on: bool) {
        let send_interrupt = if on { INTERRUPT_SEND } else { 0 };
        // SAFETY: a mask of known bits.
        unsafe {
            self.0
                .interrupt_mask
                .write(RECEIVE_INTERRUPTS | send_interrupt);
        }
    }
}
