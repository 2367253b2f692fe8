//! The packet that the socket has taken in part. All others stay in the participant, where control
//! packets overtake voice and old voice is dropped.

use crate::participant::TRANSMIT_BYTES_MAX;
use std::io;
use talkspurt_core::time::Instant;

/// One packet on its way to a socket.
#[derive(Debug)]
pub(super) struct Outgoing {
    packet: [u8; TRANSMIT_BYTES_MAX],
    len: usize,
    /// Bytes of it that the socket has taken.
    taken: usize,
    /// When the socket last took something, or the packet started to wait.
    moved_at: Instant,
    bytes_sent: u64,
}

impl Default for Outgoing {
    fn default() -> Self {
        Self {
            packet: [0; TRANSMIT_BYTES_MAX],
            len: 0,
            taken: 0,
            moved_at: Instant::ZERO,
            bytes_sent: 0,
        }
    }
}

impl Outgoing {
    /// Writes this packet and those that `next` provides, as far as the socket takes them. `write`
    /// returns `WouldBlock` when it takes no more.
    pub(super) fn flush(
        &mut self,
        now: Instant,
        mut next: impl FnMut(&mut [u8]) -> Option<usize>,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        loop {
            if !self.waits() {
                let Some(len) = next(&mut self.packet) else {
                    return Ok(());
                };
                (self.len, self.taken, self.moved_at) = (len, 0, now);
            }
            match write(&self.packet[self.taken..self.len]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.bytes_sent += count as u64;
                    self.taken += count;
                    self.moved_at = now;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns whether part of a packet is still waiting.
    pub(super) fn waits(&self) -> bool {
        self.taken < self.len
    }

    /// Returns since when the socket has taken nothing of the waiting packet.
    pub(super) fn stuck_since(&self) -> Option<Instant> {
        self.waits().then_some(self.moved_at)
    }

    /// Returns how many bytes the socket has taken so far.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Flushes the next of `packets` to a socket with room for `room` bytes.
    fn flush(
        outgoing: &mut Outgoing,
        ms: u64,
        packets: &mut Vec<&[u8]>,
        mut room: usize,
    ) -> Vec<u8> {
        let mut sent = Vec::new();
        let next = |out: &mut [u8]| {
            let packet = (!packets.is_empty()).then(|| packets.remove(0))?;
            out[..packet.len()].copy_from_slice(packet);
            Some(packet.len())
        };
        let write = |bytes: &[u8]| {
            let count = bytes.len().min(room);
            sent.extend_from_slice(&bytes[..count]);
            room -= count;
            match count {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(count),
            }
        };
        outgoing.flush(at(ms), next, write).unwrap();
        sent
    }

    #[test]
    fn a_partly_sent_packet_is_completed_before_the_next() {
        let mut outgoing = Outgoing::default();
        let mut packets = vec![&b"hello."[..], b"voice.", b"bye."];
        assert_eq!(flush(&mut outgoing, 0, &mut packets, 8), b"hello.vo");
        assert_eq!(packets, [b"bye."]);
        packets = vec![b"pong."];
        assert_eq!(flush(&mut outgoing, 5, &mut packets, 0), b"");
        assert_eq!(flush(&mut outgoing, 9, &mut packets, 99), b"ice.pong.");
        assert!(!outgoing.waits());
        assert_eq!(outgoing.bytes_sent(), 17);
    }

    #[test]
    fn a_socket_is_stuck_from_when_it_took_something_last() {
        let mut outgoing = Outgoing::default();
        assert_eq!(outgoing.stuck_since(), None);
        let mut packets = vec![&b"hello."[..]];
        flush(&mut outgoing, 7, &mut packets, 0);
        assert_eq!(outgoing.stuck_since(), Some(at(7)));
        flush(&mut outgoing, 9, &mut packets, 1);
        flush(&mut outgoing, 12, &mut packets, 0);
        assert_eq!(outgoing.stuck_since(), Some(at(9)));
        flush(&mut outgoing, 15, &mut packets, 99);
        assert_eq!(outgoing.stuck_since(), None);
    }

    #[test]
    fn a_write_that_was_interrupted_is_tried_again() {
        let mut outgoing = Outgoing::default();
        let mut packets = vec![5];
        let mut tries = vec![Ok(5), Err(io::ErrorKind::Interrupted.into())];
        let next = |_: &mut [u8]| packets.pop();
        let write = |_: &[u8]| tries.pop().unwrap();
        assert!(outgoing.flush(at(0), next, write).is_ok());
        assert_eq!(outgoing.bytes_sent(), 5);
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let mut outgoing = Outgoing::default();
        let next = |_: &mut [u8]| Some(1);
        assert!(outgoing.flush(at(0), next, |_| Ok(0)).is_err());
        let broken = |_: &[u8]| Err(io::ErrorKind::BrokenPipe.into());
        assert!(outgoing.flush(at(0), next, broken).is_err());
    }
}
