//! A serial port between the loop and an interrupt: two queues, filled and emptied on either side without locks.
//!
//! ```text
//! line -> hardware -> Isr -> queue (512) -> QueuedUart::read  -> loop
//! line <- hardware <- Isr <- queue (512) <- QueuedUart::write <- loop
//! ```

pub mod cmsdk;
mod isr;
pub mod pl011;

use core::convert::Infallible;

use cortex_m::asm::wfi;
use cortex_m::interrupt::free;
use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::spsc::{Consumer, Producer, Queue};

pub use isr::{Isr, IsrCell, overrun_bytes};

/// Bytes in each queue, and one: 44 ms at 115,200 baud, two ADPCM packets and a half. As the host's simulated UART has it.
pub const QUEUE_BYTES: usize = 512;

/// A queue of bytes between the loop and the interrupt.
pub type ByteQueue = Queue<u8, QUEUE_BYTES>;

/// A UART's registers, as the interrupt handler and the start need them.
pub trait Hardware {
    /// Takes a byte that has arrived, and acknowledges its interrupt.
    fn receive(&mut self) -> Option<u8>;

    /// Whether there is room for a byte to be sent.
    fn has_room(&mut self) -> bool;

    /// Sends a byte, for which there is room, and acknowledges the interrupt that said so.
    fn send(&mut self, byte: u8);

    /// Whether to interrupt when there is room again.
    fn interrupt_on_room(&mut self, on: bool);

    /// Starts at `baud` from a clock of `clock_hz`, with the receive interrupt on: 8 bits, no parity, 1 stop bit.
    fn start(&mut self, baud: u32, clock_hz: u32);
}

/// The loop's side of a serial port. Reading and writing wait, asleep, unless the port was asked whether it is ready.
pub struct QueuedUart {
    received: Consumer<'static, u8>,
    to_send: Producer<'static, u8>,
    serve: fn(),
}

impl QueuedUart {
    /// The loop's side of two queues; `serve` calls the interrupt handler soon.
    pub const fn new(
        received: Consumer<'static, u8>,
        to_send: Producer<'static, u8>,
        serve: fn(),
    ) -> Self {
        Self {
            received,
            to_send,
            serve,
        }
    }

    /// Bytes that wait to be read.
    pub fn received_bytes(&self) -> usize {
        self.received.len()
    }

    /// Whether all that was written has gone to the hardware.
    pub fn is_drained(&self) -> bool {
        self.to_send.is_empty()
    }

    /// Sleeps until the next interrupt while `wait` holds. The question is asked with interrupts off, so that the one that
    /// answers it cannot slip by between question and sleep; a pending interrupt wakes the core all the same.
    fn sleep_while(&mut self, wait: impl Fn(&Self) -> bool) {
        while free(|_| {
            let sleep = wait(self);
            if sleep {
                wfi();
            }
            sleep
        }) {}
    }
}

impl ErrorType for QueuedUart {
    type Error = Infallible;
}

impl ReadReady for QueuedUart {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.received.ready())
    }
}

impl Read for QueuedUart {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.sleep_while(|port| !port.received.ready());
        let mut count = 0;
        for slot in buf {
            let Some(byte) = self.received.dequeue() else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl WriteReady for QueuedUart {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.to_send.ready())
    }
}

impl Write for QueuedUart {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.sleep_while(|port| !port.to_send.ready());
        let count = buf
            .iter()
            .take_while(|&&byte| self.to_send.enqueue(byte).is_ok())
            .count();
        (self.serve)();
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.sleep_while(|port| !port.to_send.is_empty());
        Ok(())
    }
}
