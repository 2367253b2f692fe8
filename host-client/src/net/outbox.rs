//! Bytes on their way to a socket that may not take them.
//!
//! TCP delivers everything or nothing, so a stalled connection piles up. Voice that waited too long is worth nothing: the
//! oldest is dropped, whole packets at a time. Control packets are few and always kept: a server that lets them pile up is left.

use std::{collections::VecDeque, io};

/// Voice packets that may wait: a second at 5 ms frames, four at 20 ms. What is older would only come late.
const VOICE_PACKETS_MAX: usize = 200;

/// Control packets that may wait. A client sends a Ping every third of the idle timeout, an answer to each of the server's, and what
/// keys are pressed for: so many wait only for a server that goes on asking and does not read.
const CONTROL_PACKETS_MAX: usize = 64;

/// Packets not yet given to the socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    packets: VecDeque<Packet>,
    /// Bytes of the first packet that the socket has taken already.
    taken: usize,
    voice_packets: usize,
    dropped_voice: u64,
    bytes_sent: u64,
}

#[derive(Debug)]
struct Packet {
    bytes: Vec<u8>,
    is_voice: bool,
}

impl Outbox {
    /// Adds a control packet.
    pub(super) fn push_control(&mut self, bytes: &[u8]) {
        self.packets.push_back(Packet {
            bytes: bytes.to_vec(),
            is_voice: false,
        });
    }

    /// Adds a voice packet; the oldest one makes room if too many wait.
    pub(super) fn push_voice(&mut self, bytes: &[u8]) {
        if self.voice_packets >= VOICE_PACKETS_MAX {
            // The first one may be half sent; it has to be completed.
            let begun = usize::from(self.taken > 0);
            if let Some(oldest) = self
                .packets
                .iter()
                .skip(begun)
                .position(|packet| packet.is_voice)
            {
                self.packets.remove(oldest + begun);
                self.voice_packets -= 1;
                self.dropped_voice += 1;
            }
        }
        self.packets.push_back(Packet {
            bytes: bytes.to_vec(),
            is_voice: true,
        });
        self.voice_packets += 1;
    }

    /// Gives the socket as much as it takes. `write` answers `WouldBlock` when it takes no more.
    pub(super) fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while let Some(first) = self.packets.front() {
            match write(&first.bytes[self.taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.bytes_sent += count as u64;
                    self.taken += count;
                    if self.taken >= first.bytes.len() {
                        self.taken = 0;
                        self.voice_packets -= usize::from(first.is_voice);
                        self.packets.pop_front();
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.packets.is_empty()
    }

    /// Whether more control packets wait than a server that reads would leave.
    pub(super) fn is_stuck(&self) -> bool {
        self.packets.len() - self.voice_packets > CONTROL_PACKETS_MAX
    }

    /// Voice packets dropped so far.
    pub(super) fn dropped_voice(&self) -> u64 {
        self.dropped_voice
    }

    /// Bytes that the socket took so far.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stalled_socket_costs_old_voice_and_nothing_else() {
        let mut outbox = Outbox::default();
        outbox.push_control(b"hello.");
        for number in 0..350u16 {
            outbox.push_voice(&[(number % 256) as u8, 250]);
        }
        outbox.push_control(b"bye.");
        assert_eq!(outbox.dropped_voice(), 150);
        // One byte at a time, then nothing, then all.
        let mut sent = Vec::new();
        outbox
            .flush(|bytes| {
                if sent.len() == 7 {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    sent.push(bytes[0]);
                    Ok(1)
                }
            })
            .unwrap();
        assert_eq!(sent, *b"hello.\x96", "half of voice packet 150");
        outbox.push_voice(&[200, 250]);
        assert_eq!(outbox.dropped_voice(), 151);
        outbox
            .flush(|bytes| {
                sent.extend_from_slice(bytes);
                Ok(bytes.len())
            })
            .unwrap();
        assert!(outbox.is_empty());
        assert_eq!(
            sent[6..10],
            [150, 250, 152, 250],
            "the one half sent was completed, the one behind it dropped"
        );
        assert_eq!(sent[sent.len() - 6..], *b"bye.\xc8\xfa");
        assert_eq!(outbox.bytes_sent(), sent.len() as u64);
    }

    #[test]
    fn control_packets_that_nobody_reads_are_noticed_and_voice_is_not_counted() {
        let mut outbox = Outbox::default();
        (0..64).for_each(|_| outbox.push_control(b"pong"));
        (0..300).for_each(|_| outbox.push_voice(b"voice"));
        assert!(!outbox.is_stuck());
        outbox.push_control(b"pong");
        assert!(outbox.is_stuck());
        let mut room = 1;
        outbox
            .flush(|bytes| match std::mem::take(&mut room) {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(bytes.len()),
            })
            .unwrap();
        assert!(!outbox.is_stuck(), "one has gone");
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let mut outbox = Outbox::default();
        outbox.push_control(b"x");
        assert!(outbox.flush(|_| Ok(0)).is_err());
        assert!(
            outbox
                .flush(|_| Err(io::ErrorKind::BrokenPipe.into()))
                .is_err()
        );
    }
}
