//! A UART between the loop and its interrupt: two lock-free queues, each filled on one side and
//! emptied on the other.
//!
//! ```text
//! line -> Hardware -> Isr -> queue -> QueuedUart::read  -> loop
//! line <- Hardware <- Isr <- queue <- QueuedUart::write <- loop
//! ```
//!
//! A chip provides its registers ([`Hardware`]) and its interrupt ([`InterruptLine`]).
//! [`Queues::split`] returns the loop's side and the handler's side. The queues need only plain
//! loads and stores, which is all that a Cortex-M0+ has.

use core::convert::Infallible;
use core::sync::atomic::{AtomicU32, Ordering};

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::spsc::{Consumer, Producer, Queue};

/// Bytes in each queue, plus one: 44 ms at 115,200 baud, or two ADPCM packets and a half.
pub const QUEUE_BYTES: usize = 512;

/// A UART's registers, as its interrupt handler needs them. The UART has been started, with its
/// receive interrupt on: 8 bits, no parity, 1 stop bit.
pub trait Hardware {
    /// Takes the next byte that has arrived, and acknowledges its interrupt. Damaged bytes may be
    /// dropped or returned: the packet's CRC fails either way.
    fn receive(&mut self) -> Option<u8>;

    /// Returns whether there is room for a byte to send.
    fn has_room(&mut self) -> bool;

    /// Sends a byte, for which there is room, and acknowledges the interrupt for that room.
    fn send(&mut self, byte: u8);

    /// Turns the interrupt for room to send on or off. It is off at first, and this is called only
    /// to change it. Room that appears just before it is turned on should also interrupt; otherwise
    /// the remaining bytes wait for the next write.
    fn interrupt_on_room(&mut self, on: bool);
}

/// A UART's interrupt, as the loop needs it.
pub trait InterruptLine {
    /// Makes the handler run soon, as the hardware would, because there is something to send.
    fn pend(&self);

    /// Waits for the handler while `is_waiting` returns true. Only callers that did not ask whether
    /// the port is ready get here; the node's loop always asks.
    ///
    /// Spins by default. A chip may sleep instead: it must then call `is_waiting` with interrupts
    /// off, so that the interrupt that ends the wait cannot slip in between call and sleep.
    fn wait_while(&self, is_waiting: impl Fn() -> bool) {
        while is_waiting() {
            core::hint::spin_loop();
        }
    }
}

/// The memory of a queued UART: two queues of `N - 1` bytes. A power of two is fastest.
#[derive(Debug, Default)]
pub struct Queues<const N: usize = QUEUE_BYTES> {
    received: Queue<u8, N>,
    to_send: Queue<u8, N>,
    overrun_bytes: AtomicU32,
}

/// The loop's side. Reading and writing block unless the port has said that it is ready.
pub struct QueuedUart<'a, I> {
    received: Consumer<'a, u8>,
    to_send: Producer<'a, u8>,
    overrun_bytes: &'a AtomicU32,
    interrupt: I,
}

/// The interrupt's side.
pub struct Isr<'a, H> {
    hardware: H,
    received: Producer<'a, u8>,
    to_send: Consumer<'a, u8>,
    overrun_bytes: &'a AtomicU32,
    interrupts_on_room: bool,
}

impl<const N: usize> Queues<N> {
    /// Creates empty queues.
    pub const fn new() -> Self {
        Self {
            received: Queue::new(),
            to_send: Queue::new(),
            overrun_bytes: AtomicU32::new(0),
        }
    }

    /// Connects the loop's side, which is returned first, with the interrupt's side.
    pub const fn split<H: Hardware, I: InterruptLine>(
        &mut self,
        hardware: H,
        interrupt: I,
    ) -> (QueuedUart<'_, I>, Isr<'_, H>) {
        let (received_in, received_out) = self.received.split_const();
        let (to_send_in, to_send_out) = self.to_send.split_const();
        let uart = QueuedUart {
            received: received_out,
            to_send: to_send_in,
            overrun_bytes: &self.overrun_bytes,
            interrupt,
        };
        let isr = Isr {
            hardware,
            received: received_in,
            to_send: to_send_out,
            overrun_bytes: &self.overrun_bytes,
            interrupts_on_room: false,
        };
        (uart, isr)
    }
}

impl<H: Hardware> Isr<'_, H> {
    /// Does all the work of the interrupt handler: [`Self::receive`] and [`Self::send`]. Chips with
    /// an interrupt for each call them separately.
    #[inline]
    pub fn serve(&mut self) {
        self.receive();
        self.send();
    }

    /// Fetches the bytes that have arrived.
    #[inline]
    pub fn receive(&mut self) {
        while let Some(byte) = self.hardware.receive() {
            if self.received.enqueue(byte).is_err() {
                // Only the handler writes this. The packet fails its CRC, and the node counts that.
                let lost = self.overrun_bytes.load(Ordering::Relaxed).wrapping_add(1);
                self.overrun_bytes.store(lost, Ordering::Relaxed);
            }
        }
    }

    /// Sends as much as there is room for, and asks for an interrupt if bytes are left.
    #[inline]
    pub fn send(&mut self) {
        while self.hardware.has_room() {
            let Some(byte) = self.to_send.dequeue() else {
                return self.interrupt_on_room(false);
            };
            self.hardware.send(byte);
        }
        self.interrupt_on_room(true);
    }

    /// Returns the hardware, to handle other causes of its interrupt.
    pub const fn hardware_mut(&mut self) -> &mut H {
        &mut self.hardware
    }

    #[inline]
    fn interrupt_on_room(&mut self, on: bool) {
        if self.interrupts_on_room != on {
            self.interrupts_on_room = on;
            self.hardware.interrupt_on_room(on);
        }
    }
}

impl<I> QueuedUart<'_, I> {
    /// Returns how many bytes wait to be read.
    pub fn received_bytes(&self) -> usize {
        self.received.len()
    }

    /// Returns whether all that was written has gone to the hardware.
    pub fn is_drained(&self) -> bool {
        self.to_send.is_empty()
    }

    /// Returns how many received bytes were lost because the loop did not read them in time. Wraps.
    pub fn overrun_bytes(&self) -> u32 {
        self.overrun_bytes.load(Ordering::Relaxed)
    }
}

impl<I> ErrorType for QueuedUart<'_, I> {
    type Error = Infallible;
}

impl<I> ReadReady for QueuedUart<'_, I> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.received.ready())
    }
}

impl<I: InterruptLine> Read for QueuedUart<'_, I> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.interrupt.wait_while(|| !self.received.ready());
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

impl<I> WriteReady for QueuedUart<'_, I> {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.to_send.ready())
    }
}

impl<I: InterruptLine> Write for QueuedUart<'_, I> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        self.interrupt.wait_while(|| !self.to_send.ready());
        let taken = |&&byte: &&u8| self.to_send.enqueue(byte).is_ok();
        let count = buf.iter().take_while(taken).count();
        self.interrupt.pend();
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        self.interrupt.wait_while(|| !self.to_send.is_empty());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::collections::VecDeque;

    use super::*;

    /// A UART with a FIFO for a given number of bytes to send.
    struct Fifo {
        arrived: VecDeque<u8>,
        fifo: Vec<u8>,
        room: usize,
        interrupts_on_room: bool,
    }

    impl Hardware for Fifo {
        fn receive(&mut self) -> Option<u8> {
            self.arrived.pop_front()
        }

        fn has_room(&mut self) -> bool {
            self.fifo.len() < self.room
        }

        fn send(&mut self, byte: u8) {
            self.fifo.push(byte);
        }

        fn interrupt_on_room(&mut self, on: bool) {
            assert_ne!(self.interrupts_on_room, on, "called at changes only");
            self.interrupts_on_room = on;
        }
    }

    /// Counts the requests for the handler, and runs it while a caller waits.
    #[derive(Default)]
    struct Line<'a> {
        pended: Cell<u32>,
        isr: RefCell<Option<Isr<'a, Fifo>>>,
    }

    impl InterruptLine for Line<'_> {
        fn pend(&self) {
            self.pended.set(self.pended.get() + 1);
        }

        fn wait_while(&self, is_waiting: impl Fn() -> bool) {
            while is_waiting() {
                self.isr.borrow_mut().as_mut().unwrap().serve();
            }
        }
    }

    fn connected<'a>(
        queues: &'a mut Queues,
        arrived: &[u8],
        room: usize,
    ) -> (QueuedUart<'a, Line<'a>>, Isr<'a, Fifo>) {
        let hardware = Fifo {
            arrived: arrived.iter().copied().collect(),
            fifo: Vec::new(),
            room,
            interrupts_on_room: false,
        };
        queues.split(hardware, Line::default())
    }

    #[test]
    fn received_bytes_wait_in_order() {
        let mut queues = Queues::new();
        let (mut port, mut isr) = connected(&mut queues, &[1, 2, 3], 0);
        assert_eq!(port.read_ready(), Ok(false));
        isr.serve();
        assert_eq!((port.read_ready(), port.received_bytes()), (Ok(true), 3));
        let mut buf = [0; 2];
        assert_eq!((port.read(&mut buf), buf), (Ok(2), [1, 2]));
        assert_eq!((port.read(&mut buf), buf[0]), (Ok(1), 3));
        assert_eq!(port.read_ready(), Ok(false));
    }

    #[test]
    fn a_full_queue_drops_new_bytes_and_counts_them() {
        let mut queues = Queues::new();
        let (mut port, mut isr) = connected(&mut queues, &[7; 600], 0);
        isr.serve();
        let mut buf = [0; 600];
        assert_eq!(port.read(&mut buf), Ok(QUEUE_BYTES - 1));
        assert_eq!(port.overrun_bytes(), 600 - (QUEUE_BYTES as u32 - 1));
    }

    #[test]
    fn the_interrupt_sends_what_fits_and_comes_again_for_the_rest() {
        let mut queues = Queues::new();
        let (mut port, mut isr) = connected(&mut queues, &[], 32);
        assert_eq!(port.write(&[5; 40]), Ok(40));
        assert_eq!((port.interrupt.pended.get(), port.is_drained()), (1, false));
        isr.serve();
        assert_eq!(
            (isr.hardware.fifo.len(), isr.hardware.interrupts_on_room),
            (32, true)
        );
        isr.hardware.fifo.clear();
        isr.serve();
        assert_eq!(
            (isr.hardware.fifo.len(), isr.hardware.interrupts_on_room),
            (8, false)
        );
        assert_eq!((port.flush(), port.is_drained()), (Ok(()), true));
        isr.serve();
    }

    #[test]
    fn nothing_to_read_or_write_is_not_waited_for() {
        let mut queues = Queues::new();
        let (mut port, _isr) = connected(&mut queues, &[], 0);
        assert_eq!((port.read(&mut []), port.write(&[])), (Ok(0), Ok(0)));
        assert_eq!(port.interrupt.pended.get(), 0);
    }

    #[test]
    fn a_port_that_is_full_takes_a_part_and_then_is_not_ready() {
        let mut queues = Queues::new();
        let (mut port, _isr) = connected(&mut queues, &[], 0);
        assert_eq!(port.write(&[1; 600]), Ok(QUEUE_BYTES - 1));
        assert_eq!(port.write_ready(), Ok(false));
    }

    #[test]
    fn a_caller_that_did_not_ask_waits_for_the_interrupt() {
        let mut queues = Queues::new();
        let (mut port, isr) = connected(&mut queues, &[9], 600);
        port.interrupt.isr.replace(Some(isr));
        let mut buf = [0; 2];
        assert_eq!((port.read(&mut buf), buf[0]), (Ok(1), 9));
        assert_eq!(port.write_all(&[1; 600]), Ok(()));
        assert_eq!((port.flush(), port.is_drained()), (Ok(()), true));
    }
}
