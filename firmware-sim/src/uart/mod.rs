//! A simulated UART: it moves bytes at its baud rate, through buffers as small as real ones, and
//! loses what a real UART would lose.
//!
//! ```text
//! receive:  line --baud rate--> FIFO (16) --interrupt--> ring (512) --read--> node
//!                                 |
//!                                 full: overrun, the byte is lost
//! transmit: node --write--> ring (512) --baud rate--> line
//! ```
//!
//! There is no flow control, as on the three wires of a typical board: a transmitter cannot know
//! whether anybody listens, and a receiver that is not emptied in time loses bytes.
//! [`Uart::service`] plays both the hardware and the interrupt handler; the node's side is
//! `embedded-io`, used without blocking.

mod line;

use core::convert::Infallible;

use embedded_io::{ErrorType, Read, ReadReady, Write, WriteReady};
use heapless::Deque;
use talkspurt_core::time::Instant;

pub use line::{Line, PortLine, PtyLine};

/// One start bit, eight data bits, one stop bit.
pub const BITS_PER_BYTE: u64 = 10;
/// Depth of the hardware's receive FIFO: 16 bytes as in the 16550 and the PL011 of many
/// microcontrollers.
pub const FIFO_BYTES: usize = 16;
/// Size of the driver's ring in each direction: 44 ms at 115,200 baud, or two and a half ADPCM
/// packets.
pub const RING_BYTES: usize = 512;

/// A UART on a [`Line`].
#[derive(Debug)]
pub struct Uart<L> {
    line: L,
    pace: Pace,
    receive_fifo: Deque<u8, FIFO_BYTES>,
    receive_ring: Deque<u8, RING_BYTES>,
    transmit_ring: Deque<u8, RING_BYTES>,
    counters: Counters,
}

/// Bytes passed and lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received from the line, including lost ones.
    pub received_bytes: u64,
    /// Bytes sent to the line, whether or not anybody listened.
    pub transmitted_bytes: u64,
    /// Received bytes lost because the FIFO was full.
    pub overrun_bytes: u64,
    /// Transmitted bytes that nobody received.
    pub unheard_bytes: u64,
}

impl<L: Line> Uart<L> {
    /// Creates an idle UART at `baud` bits per second, powered up at `now`.
    ///
    /// # Panics
    /// When `baud` is zero, which is a bug of the caller.
    #[must_use]
    pub fn new(line: L, baud: u32, now: Instant) -> Self {
        assert!(baud > 0, "a UART has a baud rate");
        Self {
            line,
            pace: Pace {
                baud: u64::from(baud),
                served: now,
                carry: 0,
            },
            receive_fifo: Deque::new(),
            receive_ring: Deque::new(),
            transmit_ring: Deque::new(),
            counters: Counters::default(),
        }
    }

    /// Moves as many bytes each way as the time since the last call allows. Call it as often as an
    /// interrupt would come, about every millisecond: the bytes of a longer time may overrun the
    /// FIFO, as in hardware whose interrupts are blocked.
    pub fn service(&mut self, now: Instant) {
        let due = self.pace.due_bytes(now);
        self.interrupt();
        self.receive(due);
        self.transmit(due);
    }

    /// Returns the counts so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Returns the line.
    pub fn line_mut(&mut self) -> &mut L {
        &mut self.line
    }

    /// Returns whether everything written has been sent.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.transmit_ring.is_empty()
    }

    fn receive(&mut self, mut due: u64) {
        let mut chunk = [0; 64];
        while due > 0 {
            let wanted = chunk.len().min(usize::try_from(due).unwrap_or(usize::MAX));
            let count = self.line.receive(&mut chunk[..wanted]).min(wanted);
            if count == 0 {
                return;
            }
            due -= count as u64;
            self.counters.received_bytes += count as u64;
            for &byte in &chunk[..count] {
                if self.receive_fifo.push_back(byte).is_err() {
                    self.counters.overrun_bytes += 1;
                }
                self.interrupt();
            }
        }
    }

    /// Plays the interrupt handler: empties the FIFO into the ring while that has room.
    fn interrupt(&mut self) {
        while !self.receive_ring.is_full() {
            let Some(byte) = self.receive_fifo.pop_front() else {
                return;
            };
            // There is room: it was just checked.
            let _ = self.receive_ring.push_back(byte);
        }
    }

    fn transmit(&mut self, due: u64) {
        let mut due = usize::try_from(due).unwrap_or(usize::MAX);
        while due > 0 {
            let (head, _) = self.transmit_ring.as_slices();
            let count = head.len().min(due);
            if count == 0 {
                return;
            }
            let heard = self.line.transmit(&head[..count]).min(count);
            self.counters.transmitted_bytes += count as u64;
            self.counters.unheard_bytes += (count - heard) as u64;
            for _ in 0..count {
                self.transmit_ring.pop_front();
            }
            due -= count;
        }
    }
}

/// Turns time into bytes without losing the fractions.
#[derive(Clone, Copy, Debug)]
struct Pace {
    baud: u64,
    served: Instant,
    /// Bits times microseconds per second that do not make a whole byte yet.
    carry: u64,
}

impl Pace {
    const PER_BYTE: u64 = BITS_PER_BYTE * 1_000_000;

    fn due_bytes(&mut self, now: Instant) -> u64 {
        let elapsed = now.duration_since(self.served).as_micros();
        self.served = self.served.max(now);
        let owed = elapsed.saturating_mul(self.baud).saturating_add(self.carry);
        self.carry = owed % Self::PER_BYTE;
        owed / Self::PER_BYTE
    }
}

impl<L> ErrorType for Uart<L> {
    type Error = Infallible;
}

/// Reads from the ring. Returns `Ok(0)` instead of blocking when it is empty.
impl<L> Read for Uart<L> {
    fn read(&mut self, buf: &mut [u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for slot in buf {
            let Some(byte) = self.receive_ring.pop_front() else {
                break;
            };
            *slot = byte;
            count += 1;
        }
        Ok(count)
    }
}

impl<L> ReadReady for Uart<L> {
    fn read_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.receive_ring.is_empty())
    }
}

/// Writes as much as the ring has room for. Returns `Ok(0)` instead of blocking when it is full.
impl<L> Write for Uart<L> {
    fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
        let mut count = 0;
        for &byte in buf {
            if self.transmit_ring.push_back(byte).is_err() {
                break;
            }
            count += 1;
        }
        Ok(count)
    }

    /// Does nothing: bytes leave by [`Uart::service`], not by waiting.
    fn flush(&mut self) -> Result<(), Infallible> {
        Ok(())
    }
}

impl<L> WriteReady for Uart<L> {
    fn write_ready(&mut self) -> Result<bool, Infallible> {
        Ok(!self.transmit_ring.is_full())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    /// A line whose far end always sends and always listens, unless told otherwise.
    #[derive(Debug, Default)]
    struct Memory {
        to_give: VecDeque<u8>,
        heard: Vec<u8>,
        deaf: bool,
    }

    impl Line for Memory {
        fn receive(&mut self, buf: &mut [u8]) -> usize {
            let count = buf.len().min(self.to_give.len());
            for (slot, byte) in buf.iter_mut().zip(self.to_give.drain(..count)) {
                *slot = byte;
            }
            count
        }

        fn transmit(&mut self, bytes: &[u8]) -> usize {
            if self.deaf {
                return 0;
            }
            self.heard.extend(bytes);
            bytes.len()
        }
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1000)
    }

    fn uart(baud: u32) -> Uart<Memory> {
        Uart::new(Memory::default(), baud, at_ms(0))
    }

    #[test]
    fn one_second_at_115200_baud_is_11520_bytes_each_way() {
        let mut uart = uart(115_200);
        uart.line.to_give = (0..20_000u32).map(|n| n as u8).collect();
        let mut read: Vec<u8> = Vec::new();
        for ms in 1..=1000 {
            while uart.write_ready().unwrap() {
                uart.write(&[0x55; 64]).unwrap();
            }
            uart.service(at_ms(ms));
            let mut buf = [0; 64];
            while uart.read_ready().unwrap() {
                let count = uart.read(&mut buf).unwrap();
                read.extend(&buf[..count]);
            }
        }
        assert_eq!(read.len(), 11_520);
        assert!(
            read.iter().zip(0u32..).all(|(&byte, n)| byte == n as u8),
            "in order, without gaps"
        );
        assert_eq!(uart.line.heard.len(), 11_520);
        let expected = Counters {
            received_bytes: 11_520,
            transmitted_bytes: 11_520,
            ..Counters::default()
        };
        assert_eq!(uart.counters(), expected);
    }

    #[test]
    fn fractions_of_a_byte_are_not_lost_at_any_calling_rhythm() {
        for step_us in [1, 7, 87, 1000, 9999] {
            let mut pace = Pace {
                baud: 9600,
                served: Instant::from_micros(0),
                carry: 0,
            };
            let mut total = 0;
            let mut now = 0;
            while now < 10_000_000 {
                now = (now + step_us).min(10_000_000);
                total += pace.due_bytes(Instant::from_micros(now));
            }
            assert_eq!(total, 9600);
        }
    }

    #[test]
    fn a_node_that_does_not_read_loses_exactly_what_ring_and_fifo_cannot_hold() {
        let mut uart = uart(115_200);
        uart.line.to_give = (0..1000u32).map(|n| n as u8).collect();
        for ms in 1..=200 {
            uart.service(at_ms(ms));
        }
        assert_eq!(uart.counters().received_bytes, 1000);
        assert_eq!(
            uart.counters().overrun_bytes,
            1000 - (RING_BYTES + FIFO_BYTES) as u64
        );
        let mut buf = [0; 2000];
        assert_eq!(uart.read(&mut buf).unwrap(), RING_BYTES);
        uart.service(at_ms(200));
        assert_eq!(uart.read(&mut buf[RING_BYTES..]).unwrap(), FIFO_BYTES);
        assert!(
            buf[..RING_BYTES + FIFO_BYTES]
                .iter()
                .zip(0u32..)
                .all(|(&byte, n)| byte == n as u8),
            "the oldest are kept"
        );
        assert_eq!(uart.read(&mut buf).unwrap(), 0);
    }

    #[test]
    fn a_full_ring_takes_no_more_and_never_blocks() {
        let mut uart = uart(115_200);
        assert_eq!(uart.write(&[1; 600]).unwrap(), RING_BYTES);
        assert!(!uart.write_ready().unwrap());
        assert_eq!(uart.write(&[2]).unwrap(), 0);
        uart.service(at_ms(1));
        assert_eq!(uart.line.heard.len(), 11);
        assert_eq!(uart.write(&[2; 600]).unwrap(), 11);
    }

    #[test]
    fn unheard_bytes_are_still_sent() {
        let mut uart = uart(115_200);
        uart.line.deaf = true;
        assert_eq!(uart.write(&[1; 100]).unwrap(), 100);
        for ms in 1..=10 {
            uart.service(at_ms(ms));
        }
        assert!(uart.is_drained());
        assert_eq!(uart.counters().unheard_bytes, 100);
    }

    #[test]
    fn an_idle_line_saves_up_no_credit() {
        let mut uart = uart(115_200);
        uart.service(at_ms(60_000));
        uart.line.to_give = [7; 5000].into();
        assert_eq!(uart.write(&[1; 400]).unwrap(), 400);
        uart.service(at_ms(60_001));
        assert_eq!(uart.counters().received_bytes, 11);
        assert_eq!(uart.line.heard.len(), 11);
    }
}
