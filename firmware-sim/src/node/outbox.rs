//! What waits for the serial port: the packet that is on its way, and voice behind it.

use embedded_io::{Write, WriteReady};
use heapless::Vec;
use talkspurt_core::carrier::stream::Separator;
use talkspurt_core::time::Instant;

/// Bytes that stand before each queued packet: its length.
const LENGTH_BYTES: usize = 2;

/// Packets for the port. Control packets stay with the session until there is room for one, and go before voice; voice
/// waits here in `QUEUE` bytes, and the oldest of it is dropped when that is full.
#[derive(Clone, Debug)]
pub struct Outbox<const ENCODED: usize, const QUEUE: usize> {
    current: Vec<u8, ENCODED>,
    sent: usize,
    /// The oldest first. Most often one packet waits, so taking it moves nothing.
    voice: Vec<u8, QUEUE>,
    dropped: u32,
    separator: Separator,
    /// A zero goes before the current packet.
    zero_due: bool,
}

/// What a call of [`Outbox::transmit`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Transmitted {
    /// Bytes that the port took.
    pub bytes: usize,
    /// Packets of which it took the last byte.
    pub packets: u32,
    /// Whether nothing is left.
    pub drained: bool,
    /// The port reported an error; what was to be written is tried again.
    pub failed: bool,
}

impl<const ENCODED: usize, const QUEUE: usize> Outbox<ENCODED, QUEUE> {
    const HOLDS_A_PACKET: () = assert!(QUEUE >= 2 * LENGTH_BYTES && QUEUE <= u16::MAX as usize);

    /// An empty one.
    #[inline]
    pub const fn new() -> Self {
        let () = Self::HOLDS_A_PACKET;
        Self {
            current: Vec::new(),
            sent: 0,
            voice: Vec::new(),
            dropped: 0,
            separator: Separator::new(),
            zero_due: false,
        }
    }

    /// Queues a voice packet behind those that wait, at the price of the oldest of them.
    pub fn push_voice(&mut self, packet: &[u8]) {
        let needed = packet.len() + LENGTH_BYTES;
        if needed > QUEUE || packet.len() > ENCODED {
            self.dropped = self.dropped.wrapping_add(1);
            return;
        }
        while QUEUE - self.voice.len() < needed {
            self.voice.drain(..self.oldest_end());
            self.dropped = self.dropped.wrapping_add(1);
        }
        // There is room for both: it was made just above.
        let _ = self
            .voice
            .extend_from_slice(&(packet.len() as u16).to_le_bytes());
        let _ = self.voice.extend_from_slice(packet);
    }

    /// Forgets the voice that waits; a packet on its way is finished.
    pub fn clear_voice(&mut self) {
        self.voice.clear();
    }

    /// Whether voice waits.
    pub fn has_voice(&self) -> bool {
        !self.voice.is_empty()
    }

    /// Voice packets dropped so far.
    pub const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Writes as much as the port takes without waiting; `control` gives the session's packets.
    pub fn transmit<P: Write + WriteReady>(
        &mut self,
        now: Instant,
        port: &mut P,
        mut control: impl FnMut(&mut [u8]) -> Option<usize>,
    ) -> Transmitted {
        let mut done = Transmitted::default();
        loop {
            if self.sent == self.current.len() {
                if !self.load_next(&mut control) {
                    done.drained = true;
                    return done;
                }
                self.zero_due = self.separator.begin(now);
            }
            let rest = if self.zero_due {
                &[0]
            } else {
                &self.current[self.sent..]
            };
            let ready = port.write_ready();
            let written = match ready {
                Ok(true) => port.write(rest),
                Ok(false) => return done,
                Err(error) => Err(error),
            };
            match written {
                Ok(0) => return done,
                Ok(count) if self.zero_due => {
                    self.zero_due = false;
                    done.bytes += count;
                }
                Ok(count) => {
                    self.sent += count.min(self.current.len() - self.sent);
                    done.bytes += count;
                    done.packets += u32::from(self.sent == self.current.len());
                }
                Err(_) => {
                    done.failed = true;
                    return done;
                }
            }
        }
    }

    /// Makes the next packet the current one: control first, then voice.
    fn load_next(&mut self, control: &mut impl FnMut(&mut [u8]) -> Option<usize>) -> bool {
        self.sent = 0;
        self.current.clear();
        // It fits: that is its capacity.
        let _ = self.current.resize(ENCODED, 0);
        if let Some(length) = control(&mut self.current) {
            self.current.truncate(length);
            return true;
        }
        self.current.clear();
        let end = self.oldest_end();
        if end == 0 {
            return false;
        }
        // A queued packet is never longer than the buffer: push_voice looked.
        let _ = self
            .current
            .extend_from_slice(&self.voice[LENGTH_BYTES..end]);
        self.voice.drain(..end);
        true
    }

    /// Where the oldest packet ends; 0 when there is none.
    fn oldest_end(&self) -> usize {
        match self.voice.first_chunk::<LENGTH_BYTES>() {
            Some(length) => LENGTH_BYTES + usize::from(u16::from_le_bytes(*length)),
            None => 0,
        }
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

    fn port(room: usize) -> Port {
        Port {
            room,
            taken: std::vec::Vec::new(),
        }
    }

    const NOW: Instant = Instant::ZERO;

    /// One that has just sent something.
    fn outbox<const QUEUE: usize>() -> Outbox<8, QUEUE> {
        let mut outbox = Outbox::new();
        outbox.separator.begin(NOW);
        outbox
    }

    #[test]
    fn a_full_queue_drops_the_oldest_voice_and_never_control() {
        let mut outbox = outbox::<16>();
        for number in 1..=5 {
            outbox.push_voice(&[number; 3]);
        }
        assert_eq!(outbox.dropped(), 2, "three packets of 3 + 2 bytes fit 16");
        let mut control = [7, 8].into_iter();
        let mut port = port(100);
        let done = outbox.transmit(NOW, &mut port, |out| {
            let byte = control.next()?;
            out[..2].fill(byte);
            Some(2)
        });
        assert_eq!(port.taken, [7, 7, 8, 8, 3, 3, 3, 4, 4, 4, 5, 5, 5]);
        assert_eq!(
            done,
            Transmitted {
                bytes: 13,
                packets: 5,
                drained: true,
                failed: false
            }
        );
    }

    #[test]
    fn a_packet_on_its_way_is_finished_before_any_other() {
        let mut outbox = outbox::<32>();
        outbox.push_voice(&[1; 4]);
        outbox.push_voice(&[2; 4]);
        let mut first = port(3);
        assert_eq!(
            outbox.transmit(NOW, &mut first, |_| None),
            Transmitted {
                bytes: 3,
                packets: 0,
                drained: false,
                failed: false
            }
        );
        outbox.clear_voice();
        outbox.push_voice(&[3; 4]);
        let mut control = Some(1);
        let mut second = port(100);
        outbox.transmit(NOW, &mut second, |out| {
            out[0] = 9;
            control.take()
        });
        assert_eq!(second.taken, [1, 9, 3, 3, 3, 3]);
    }

    #[test]
    fn what_can_never_fit_is_dropped_and_counted() {
        let mut outbox = outbox::<32>();
        outbox.push_voice(&[1; 9]);
        assert!(!outbox.has_voice());
        assert_eq!(outbox.dropped(), 1);
    }

    #[test]
    fn after_a_pause_a_zero_goes_before_the_packet() {
        let mut outbox = outbox::<32>();
        let mut say = |ms: u64, room| {
            let mut control = Some(7);
            let mut port = port(room);
            let done = outbox.transmit(Instant::from_micros(ms * 1_000), &mut port, |out| {
                out[0] = control.take()?;
                Some(1)
            });
            assert_eq!(done.bytes, port.taken.len());
            (port.taken, done.packets)
        };
        assert_eq!(say(20, 9), ([7].to_vec(), 1));
        assert_eq!(say(500, 9), ([0, 7].to_vec(), 1));
        assert_eq!(say(1_000, 1), ([0].to_vec(), 0), "no room for the packet");
        assert_eq!(say(1_010, 9), ([7, 7].to_vec(), 2));
    }
}
