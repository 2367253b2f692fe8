//! The packet being sent to the serial port.

use embedded_io::{Write, WriteReady};
use heapless::Vec;

/// Writes packets to a port that may take only a part of them at a time.
#[derive(Clone, Debug)]
pub struct Writer<const ENCODED: usize> {
    packet: Vec<u8, ENCODED>,
    sent_bytes: usize,
    /// Whether nothing was left after the last write.
    pub drained: bool,
}

impl<const ENCODED: usize> Writer<ENCODED> {
    /// Creates a writer without a packet.
    #[inline]
    pub const fn new() -> Self {
        Self {
            packet: Vec::new(),
            sent_bytes: 0,
            drained: true,
        }
    }

    /// Writes as much as the port takes without blocking. `next` provides the packets. Returns the
    /// bytes that the port took. An error of the port is counted in `errors`; what it has stopped
    /// is tried again at the next call.
    pub fn write<P: Write + WriteReady>(
        &mut self,
        port: &mut P,
        mut next: impl FnMut(&mut [u8]) -> Option<usize>,
        errors: &mut u32,
    ) -> usize {
        let mut taken_bytes = 0;
        loop {
            self.drained = self.sent_bytes == self.packet.len() && !self.load(&mut next);
            if self.drained {
                return taken_bytes;
            }
            let written = match port.write_ready() {
                Ok(true) => port.write(&self.packet[self.sent_bytes..]),
                Ok(false) => return taken_bytes,
                Err(error) => Err(error),
            };
            match written {
                Ok(0) => return taken_bytes,
                Ok(count) => {
                    self.sent_bytes = (self.sent_bytes + count).min(self.packet.len());
                    taken_bytes += count;
                }
                Err(_) => {
                    *errors = errors.wrapping_add(1);
                    return taken_bytes;
                }
            }
        }
    }

    /// Loads the next packet. Returns false if there is none.
    fn load(&mut self, next: &mut impl FnMut(&mut [u8]) -> Option<usize>) -> bool {
        self.sent_bytes = 0;
        // It fits: `ENCODED` is its capacity.
        let _ = self.packet.resize(ENCODED, 0);
        let len = next(&mut self.packet);
        self.packet.truncate(len.unwrap_or(0));
        len.is_some()
    }
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use core::convert::Infallible;

    use embedded_io::ErrorType;

    use super::*;

    /// A port that takes `room` bytes and then no more.
    struct Port {
        room: usize,
        taken: std::vec::Vec<u8>,
    }

    impl ErrorType for Port {
        type Error = Infallible;
    }

    impl Write for Port {
        fn write(&mut self, buf: &[u8]) -> Result<usize, Infallible> {
            assert!(self.room > 0, "a write without room would block");
            let count = buf.len().min(self.room);
            self.room -= count;
            self.taken.extend(&buf[..count]);
            Ok(count)
        }

        fn flush(&mut self) -> Result<(), Infallible> {
            panic!("flushing waits, and the loop must not");
        }
    }

    impl WriteReady for Port {
        fn write_ready(&mut self) -> Result<bool, Infallible> {
            Ok(self.room > 0)
        }
    }

    #[test]
    fn a_partly_written_packet_is_finished_before_the_next() {
        let mut writer = Writer::<8>::new();
        let mut numbers = 1..=3;
        let mut write = |room| {
            let mut port = Port {
                room,
                taken: std::vec::Vec::new(),
            };
            let next = |out: &mut [u8]| {
                let number = numbers.next()?;
                out[..4].fill(number);
                Some(4)
            };
            let taken_bytes = writer.write(&mut port, next, &mut 0);
            assert_eq!(taken_bytes, port.taken.len());
            (port.taken, numbers.len(), writer.drained)
        };
        assert_eq!(write(3), ([1; 3].to_vec(), 2, false));
        assert_eq!(write(2), ([1, 2].to_vec(), 1, false));
        assert_eq!(write(9), ([2, 2, 2, 3, 3, 3, 3].to_vec(), 0, true));
    }
}
