//! Packets out of a byte stream in any chunking.

use heapless::Vec;

use super::cobs::{cobs_decode, find_zero};
use super::crc::{CRC_BYTES, crc32};
use super::stream::ENCODED_MAX;

/// Collects bytes until a zero ends a packet, and checks it. `N` is the longest encoded packet that
/// it takes, in bytes.
///
/// After any damage it is in step again at the next zero: at worst the packet around the damage and
/// the one after it are lost.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Deframer<const N: usize = ENCODED_MAX> {
    buffer: Vec<u8, N>,
    /// More bytes came since the last zero than the buffer holds.
    is_too_long: bool,
    /// Bytes since the last zero that have not been reported as dropped.
    unreported_bytes: u32,
    /// The buffer holds a packet that was given out; it goes when the next byte comes.
    given_out: bool,
    dropped_bytes: u64,
}

/// What a chunk of bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Feed<'a> {
    /// No packet is complete yet.
    NeedMore,
    /// A packet, without COBS and CRC.
    Packet(&'a [u8]),
    /// Bytes that are no packet.
    Bad {
        /// How many were dropped: without the zero that ended them, and without those that were
        /// reported before.
        dropped_bytes: u32,
        /// What is wrong with them.
        reason: BadReason,
    },
}

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum BadReason {
    /// More bytes than the longest packet has, and nothing has ended them yet.
    Unended,
    /// More bytes than the longest packet has.
    TooLong,
    /// Not COBS, or too short for a packet and its CRC.
    Encoding,
    /// The CRC does not match.
    Crc,
}

impl<const N: usize> Deframer<N> {
    /// Creates the receiving end of a new stream.
    pub const fn new() -> Self {
        Self {
            buffer: Vec::new(),
            is_too_long: false,
            unreported_bytes: 0,
            given_out: false,
            dropped_bytes: 0,
        }
    }

    /// Takes bytes up to the end of one packet. Returns what came of them, and the bytes that are
    /// left: feed those next, until there are none.
    #[inline(never)]
    pub fn feed<'a, 'b>(&'a mut self, chunk: &'b [u8]) -> (Feed<'a>, &'b [u8]) {
        let mut chunk = chunk;
        loop {
            if self.given_out {
                self.clear();
            }
            let Some(end) = find_zero(chunk) else {
                self.collect(chunk);
                let is_news = self.is_too_long && self.unreported_bytes > 0;
                let feed = if is_news {
                    self.drop_bytes(BadReason::Unended)
                } else {
                    Feed::NeedMore
                };
                return (feed, &[]);
            };
            let (head, rest) = (&chunk[..end], &chunk[end + 1..]);
            self.collect(head);
            if self.buffer.is_empty() {
                // Zeros between packets mean nothing, however many they are: a sender may begin
                // with one to flush a line, and a line that is held low reads as zeros.
                chunk = rest;
                continue;
            }
            return (self.finish(), rest);
        }
    }

    /// Returns how many bytes were dropped so far.
    pub const fn dropped_bytes(&self) -> u64 {
        self.dropped_bytes
    }

    /// Forgets what it has collected of a packet, as when the stream is another one; those bytes
    /// count as dropped.
    pub fn reset(&mut self) {
        self.drop_bytes(BadReason::Unended);
        self.clear();
    }

    fn clear(&mut self) {
        self.buffer.clear();
        (self.is_too_long, self.given_out) = (false, false);
    }

    // Inlined, it costs a Cortex-M0 90 bytes more.
    #[inline(never)]
    fn collect(&mut self, bytes: &[u8]) {
        let fitting = bytes.len().min(N - self.buffer.len());
        // It fits: its length was just taken from the room that is left.
        let _ = self.buffer.extend_from_slice(&bytes[..fitting]);
        self.is_too_long |= fitting < bytes.len();
        self.unreported_bytes = self.unreported_bytes.saturating_add(bytes.len() as u32);
    }

    fn finish(&mut self) -> Feed<'_> {
        self.given_out = true;
        if self.is_too_long {
            return self.drop_bytes(BadReason::TooLong);
        }
        match check(&mut self.buffer) {
            Ok(len) => {
                self.unreported_bytes = 0;
                Feed::Packet(&self.buffer[..len])
            }
            Err(reason) => self.drop_bytes(reason),
        }
    }

    fn drop_bytes(&mut self, reason: BadReason) -> Feed<'static> {
        let dropped_bytes = core::mem::take(&mut self.unreported_bytes);
        self.dropped_bytes += u64::from(dropped_bytes);
        Feed::Bad {
            dropped_bytes,
            reason,
        }
    }
}

/// Decodes in place and checks the CRC; gives the packet's length.
fn check(buffer: &mut [u8]) -> Result<usize, BadReason> {
    let decoded_len = cobs_decode(buffer).ok_or(BadReason::Encoding)?;
    let decoded = buffer.get(..decoded_len).ok_or(BadReason::Encoding)?;
    let (packet, crc) = decoded
        .split_last_chunk::<CRC_BYTES>()
        .filter(|(packet, _)| !packet.is_empty())
        .ok_or(BadReason::Encoding)?;
    if crc32(packet) == u32::from_le_bytes(*crc) {
        Ok(packet.len())
    } else {
        Err(BadReason::Crc)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::write_to_stream;
    use crate::wire::ClientPacket;

    fn encoded(packets: &[ClientPacket<'_>]) -> std::vec::Vec<u8> {
        let mut stream = std::vec::Vec::new();
        for packet in packets {
            let mut out = [0; ENCODED_MAX];
            let len = write_to_stream(packet, &mut out).unwrap();
            stream.extend_from_slice(&out[..len]);
        }
        stream
    }

    fn drain(
        deframer: &mut Deframer,
        mut chunk: &[u8],
    ) -> std::vec::Vec<Result<std::vec::Vec<u8>, BadReason>> {
        let mut found = std::vec::Vec::new();
        loop {
            let (feed, rest) = deframer.feed(chunk);
            match feed {
                Feed::NeedMore => return found,
                Feed::Packet(packet) => found.push(Ok(packet.to_vec())),
                Feed::Bad { reason, .. } => found.push(Err(reason)),
            }
            chunk = rest;
        }
    }

    #[test]
    fn one_byte_at_a_time_is_as_good_as_all_at_once() {
        let stream = encoded(&[
            ClientPacket::Ping(1),
            ClientPacket::RosterRequest,
            ClientPacket::Ping(3),
        ]);
        let mut whole = Deframer::new();
        let mut bytewise = Deframer::new();
        let found: std::vec::Vec<_> = stream
            .iter()
            .flat_map(|b| drain(&mut bytewise, &[*b]))
            .collect();
        assert_eq!(found, drain(&mut whole, &stream));
        assert_eq!(
            found,
            [Ok(std::vec![5, 1]), Ok(std::vec![8]), Ok(std::vec![5, 3])]
        );
    }

    #[test]
    fn every_single_byte_error_is_found_and_the_next_packet_survives() {
        let first = encoded(&[ClientPacket::Ping(0x1234_5678)]);
        for at in 0..first.len() - 1 {
            for flip in 1..=u8::MAX {
                let mut stream = encoded(&[ClientPacket::Ping(0x1234_5678), ClientPacket::Ping(2)]);
                stream[at] ^= flip;
                let found = drain(&mut Deframer::new(), &stream);
                assert!(found[0].is_err(), "byte {at} ^ {flip:#x}");
                assert_eq!(found.last(), Some(&Ok(std::vec![5, 2])));
            }
        }
    }

    #[test]
    fn too_long_is_dropped_counted_and_over_at_the_zero() {
        let mut deframer = Deframer::<8>::new();
        let (dropped_bytes, reason) = (21, BadReason::TooLong);
        let bad = Feed::Bad {
            dropped_bytes,
            reason,
        };
        let stream = [&[1; 21][..], &[0, 7]].concat();
        assert_eq!(deframer.feed(&stream), (bad, &[7][..]));
        assert_eq!(deframer.dropped_bytes(), 21);
    }

    const LONGEST: usize = 20;

    fn reported(deframer: &mut Deframer<LONGEST>, bytes: &[u8]) -> Option<(u32, BadReason)> {
        match deframer.feed(bytes) {
            (
                Feed::Bad {
                    dropped_bytes,
                    reason,
                },
                [],
            ) => Some((dropped_bytes, reason)),
            (Feed::NeedMore, []) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_are_damage_once_they_are_more_than_a_packet_has_and_are_counted_once() {
        let mut deframer = Deframer::new();
        assert_eq!(reported(&mut deframer, &[7; LONGEST]), None);
        let unended = (LONGEST as u32 + 1, BadReason::Unended);
        assert_eq!(reported(&mut deframer, &[7]), Some(unended));
        assert_eq!(
            reported(&mut deframer, &[7; 3]),
            Some((3, BadReason::Unended))
        );
        assert_eq!(reported(&mut deframer, &[]), None);
        assert_eq!(deframer.dropped_bytes(), LONGEST as u64 + 4);
        let ended = Some((2, BadReason::TooLong));
        assert_eq!(reported(&mut deframer, &[7, 7, 0]), ended);
        assert_eq!(reported(&mut deframer, &[7; 5]), None, "another packet");
        let ended = Some((5, BadReason::Encoding));
        assert_eq!(reported(&mut deframer, &[0]), ended);
        assert_eq!(deframer.dropped_bytes(), LONGEST as u64 + 11);
    }

    #[test]
    fn zeros_are_no_damage() {
        let mut deframer = Deframer::new();
        for chunk in [&[0; 500][..], &[0, 7, 7], &[7, 7]] {
            assert_eq!(reported(&mut deframer, chunk), None);
        }
        assert_eq!(
            reported(&mut deframer, &[0]),
            Some((4, BadReason::Encoding))
        );
        assert_eq!(deframer.dropped_bytes(), 4);
    }

    #[test]
    fn another_stream_does_not_bring_the_rest_of_a_packet() {
        let mut deframer = Deframer::new();
        let unended = Some((21, BadReason::Unended));
        assert_eq!(reported(&mut deframer, &[7; LONGEST + 1]), unended);
        deframer.reset();
        assert_eq!(deframer.dropped_bytes(), 21, "each is counted once");
        assert_eq!(reported(&mut deframer, &[7; LONGEST]), None);
        deframer.reset();
        assert_eq!(reported(&mut deframer, &[0]), None, "nothing was left");
    }

    #[test]
    fn zeros_between_packets_mean_nothing() {
        let mut stream = std::vec![0, 0, 0];
        stream.extend(encoded(&[ClientPacket::Ping(1)]));
        stream.extend([0, 0]);
        assert_eq!(drain(&mut Deframer::new(), &stream), [Ok(std::vec![5, 1])]);
    }

    #[test]
    fn reset_forgets_a_half_packet() {
        let mut deframer = Deframer::<ENCODED_MAX>::new();
        deframer.feed(&[5, 5, 5]);
        deframer.reset();
        assert_eq!(deframer.dropped_bytes(), 3);
        deframer.feed(&[5; ENCODED_MAX + 10]);
        deframer.reset();
        assert_eq!(deframer.dropped_bytes(), 3 + ENCODED_MAX as u64 + 10);
        assert_eq!(
            drain(&mut deframer, &encoded(&[ClientPacket::Ping(1)])),
            [Ok(std::vec![5, 1])]
        );
    }
}
