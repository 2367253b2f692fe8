//! The receiving end of a byte stream: packets, and how many bytes were none.

use super::deframer::{BadReason, Deframer, Feed};

/// A [`Deframer`] that reports bytes which never become a packet before anything ends them.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Receiver<const N: usize> {
    deframer: Deframer<N>,
    /// Bytes since the last packet ended, and how many of them have been reported as damage.
    unended_bytes: u32,
    reported_bytes: u32,
}

/// What a chunk of bytes led to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Received<'a> {
    /// No packet is complete yet.
    NeedMore,
    /// The bytes of a packet that is intact.
    Packet(&'a [u8]),
    /// Bytes that are no packet.
    Damaged {
        /// How many, without those that were reported before.
        bytes: u32,
        /// What is wrong with them; `None` while nothing ends them, and they are already too many
        /// for a packet.
        reason: Option<BadReason>,
    },
}

impl<const N: usize> Receiver<N> {
    /// Creates the receiving end of a new stream.
    pub const fn new() -> Self {
        Self {
            deframer: Deframer::new(),
            unended_bytes: 0,
            reported_bytes: 0,
        }
    }

    /// Takes bytes up to the end of one packet. Returns what came of them, and the bytes that are
    /// left to be fed.
    pub fn feed<'a, 'b>(&'a mut self, bytes: &'b [u8]) -> (Received<'a>, &'b [u8]) {
        let (feed, rest) = self.deframer.feed(bytes);
        let received = match feed {
            Feed::Packet(packet) => {
                (self.unended_bytes, self.reported_bytes) = (0, 0);
                Received::Packet(packet)
            }
            Feed::Bad {
                dropped_bytes,
                reason,
            } => {
                let bytes = dropped_bytes.saturating_sub(self.reported_bytes);
                (self.unended_bytes, self.reported_bytes) = (0, 0);
                Received::Damaged {
                    bytes,
                    reason: Some(reason),
                }
            }
            Feed::NeedMore => {
                // Zeros are no damage, however many they are: a line that is held low reads so.
                let unended = bytes.rsplit(|byte| *byte == 0).next().unwrap_or_default();
                self.unended_bytes = self.unended_bytes.saturating_add(unended.len() as u32);
                if self.unended_bytes as usize <= N {
                    return (Received::NeedMore, rest);
                }
                let bytes = self.unended_bytes - self.reported_bytes;
                self.reported_bytes = self.unended_bytes;
                Received::Damaged {
                    bytes,
                    reason: None,
                }
            }
        };
        (received, rest)
    }

    /// Forgets the packet that has come in part, as when the stream is another one.
    pub fn reset(&mut self) {
        self.deframer.reset();
        (self.unended_bytes, self.reported_bytes) = (0, 0);
    }

    /// Returns how many bytes were dropped so far.
    pub const fn dropped_bytes(&self) -> u64 {
        // What nothing has ended is reported before the deframer counts it.
        self.deframer.dropped_bytes() + self.reported_bytes as u64
    }
}

impl<const N: usize> Default for Receiver<N> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 20;

    fn reported(receiver: &mut Receiver<LONGEST>, bytes: &[u8]) -> Option<(u32, bool)> {
        match receiver.feed(bytes) {
            (Received::Damaged { bytes, reason }, []) => Some((bytes, reason.is_some())),
            (Received::NeedMore, []) => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bytes_are_damage_once_they_are_more_than_a_packet_has_and_are_counted_once() {
        let mut receiver = Receiver::new();
        assert_eq!(reported(&mut receiver, &[7; LONGEST]), None);
        let unended = (LONGEST as u32 + 1, false);
        assert_eq!(reported(&mut receiver, &[7]), Some(unended));
        assert_eq!(reported(&mut receiver, &[7; 3]), Some((3, false)));
        assert_eq!(receiver.dropped_bytes(), LONGEST as u64 + 4);
        assert_eq!(reported(&mut receiver, &[7, 7, 0]), Some((2, true)));
        assert_eq!(reported(&mut receiver, &[7; 5]), None, "another packet");
        assert_eq!(reported(&mut receiver, &[0]), Some((5, true)));
        assert_eq!(receiver.dropped_bytes(), LONGEST as u64 + 11);
    }

    #[test]
    fn zeros_are_no_damage() {
        let mut receiver = Receiver::new();
        for chunk in [&[0; 500][..], &[0, 7, 7], &[7, 7]] {
            assert_eq!(reported(&mut receiver, chunk), None);
        }
        assert_eq!(reported(&mut receiver, &[0]), Some((4, true)));
        assert_eq!(receiver.dropped_bytes(), 4);
    }

    #[test]
    fn another_stream_does_not_bring_the_rest_of_a_packet() {
        let mut receiver = Receiver::new();
        assert_eq!(
            reported(&mut receiver, &[7; LONGEST + 1]),
            Some((21, false))
        );
        receiver.reset();
        assert_eq!(receiver.dropped_bytes(), 21, "each is counted once");
        assert_eq!(reported(&mut receiver, &[7; LONGEST]), None);
        receiver.reset();
        assert_eq!(reported(&mut receiver, &[0]), None, "nothing was left");
    }
}
