//! A serial port between the loop and an interrupt: two queues of bytes.

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::spsc::{Consumer, Producer, Queue};

/// Bytes in each queue, and one: 44 ms at 115,200 baud, two ADPCM packets and a half. The loop comes by every 5 ms.
pub const QUEUE_BYTES: usize = 512;

/// A queue of bytes between the loop and the interrupt.
pub type ByteQueue = Queue<u8, QUEUE_BYTES>;

/// A UART's registers, as the interrupt handler needs them.
pub trait Hardware {
    /// Takes the next byte that has arrived. Bytes that arrived damaged are passed over: the packet's CRC will tell.
    fn receive(&mut self) -> Option<u8>;

    /// Sends a byte, or says that there is no room for it.
    fn send(&mut self, byte: u8) -> bool;

    /// Whether to interrupt when there is room again.
    fn interrupt_on_room(&mut self, on: bool);
}

/// The loop's side. Reading and writing wait unless the port was asked whether it is ready, which the loop always does.
pub struct Port {
    received: Consumer<'static, u8>,
    to_send: Producer<'static, u8>,
    interrupt: fn(),
}

/// The interrupt's side.
pub struct PortIsr<H> {
    hardware: H,
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

/// A port on some hardware, in its two parts. `interrupt` makes the hardware's interrupt handler run soon.
pub fn port<H: Hardware>(
    hardware: H,
    received: &'static mut ByteQueue,
    to_send: &'static mut ByteQueue,
    interrupt: fn(),
) -> (Port, PortIsr<H>) {
    let (received_in, received_out) = received.split_const();
    let (to_send_in, to_send_out) = to_send.split_const();
    let port = Port {
        received: received_out,
        to_send: to_send_in,
        interrupt,
    };
    let isr = PortIsr {
        hardware,
        received: received_in,
        to_send: to_send_out,
    };
    (port, isr)
}

impl<H: Hardware> PortIsr<H> {
    /// The hardware, for whoever plays it in a test.
    #[cfg(test)]
    pub(crate) fn hardware_mut(&mut self) -> &mut H {
        &mut self.hardware
    }

    /// The body of the interrupt handler: fetches what has arrived, sends what there is room for.
    pub fn serve(&mut self) {
        while let Some(byte) = self.hardware.receive() {
            // What finds the queue full is lost; its packet fails its CRC, and the node counts that.
            let _ = self.received.enqueue(byte);
        }
        while let Some(&byte) = self.to_send.peek() {
            if !self.hardware.send(byte) {
                return self.hardware.interrupt_on_room(true);
            }
            self.to_send.dequeue();
        }
        self.hardware.interrupt_on_room(false);
    }
}

impl ErrorType for Port {
    type Error = Infallible;
}

impl ReadReady for Port {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.received.ready())
    }
}

impl Read for Port {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        while !self.received.ready() {
            core::hint::spin_loop();
        }
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

impl WriteReady for Port {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(self.to_send.ready())
    }
}

impl Write for Port {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        if buf.is_empty() {
            return Ok(0);
        }
        while !self.to_send.ready() {
            core::hint::spin_loop();
        }
        let taken = |&&byte: &&u8| self.to_send.enqueue(byte).is_ok();
        let count = buf.iter().take_while(taken).count();
        (self.interrupt)();
        Ok(count)
    }

    fn flush(&mut self) -> Result<(), Infallible> {
        while !self.to_send.is_empty() {
            core::hint::spin_loop();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A UART with a FIFO of so many bytes to be sent.
    struct Uart {
        arrived: VecDeque<u8>,
        fifo: Vec<u8>,
        room: usize,
        interrupts_on_room: bool,
    }

    impl Hardware for Uart {
        fn receive(&mut self) -> Option<u8> {
            self.arrived.pop_front()
        }

        fn send(&mut self, byte: u8) -> bool {
            let fits = self.fifo.len() < self.room;
            if fits {
                self.fifo.push(byte);
            }
            fits
        }

        fn interrupt_on_room(&mut self, on: bool) {
            self.interrupts_on_room = on;
        }
    }

    fn queue() -> &'static mut ByteQueue {
        Box::leak(Box::new(ByteQueue::new()))
    }

    fn connected(arrived: &[u8], room: usize) -> (Port, PortIsr<Uart>) {
        let uart = Uart {
            arrived: arrived.iter().copied().collect(),
            fifo: Vec::new(),
            room,
            interrupts_on_room: false,
        };
        port(uart, queue(), queue(), || ())
    }

    #[test]
    fn received_bytes_wait_in_order() {
        let (mut port, mut isr) = connected(&[1, 2, 3], 0);
        assert_eq!(port.read_ready(), Ok(false));
        isr.serve();
        assert_eq!(port.read_ready(), Ok(true));
        let mut buf = [0; 2];
        assert_eq!((port.read(&mut buf), buf), (Ok(2), [1, 2]));
        assert_eq!((port.read(&mut buf), buf[0]), (Ok(1), 3));
        assert_eq!(port.read_ready(), Ok(false));
    }

    #[test]
    fn a_full_queue_loses_what_comes_last() {
        let (mut port, mut isr) = connected(&[7; 600], 0);
        isr.serve();
        let mut buf = [0; 600];
        assert_eq!(port.read(&mut buf), Ok(QUEUE_BYTES - 1));
    }

    #[test]
    fn the_interrupt_sends_what_fits_and_comes_again_for_the_rest() {
        let (mut port, mut isr) = connected(&[], 32);
        assert_eq!(port.write(&[5; 40]), Ok(40));
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
        assert_eq!(port.flush(), Ok(()));
    }

    #[test]
    fn a_port_that_is_full_takes_a_part_and_then_is_not_ready() {
        let (mut port, _isr) = connected(&[], 0);
        assert_eq!(port.write(&[1; 600]), Ok(QUEUE_BYTES - 1));
        assert_eq!(port.write_ready(), Ok(false));
    }
}
