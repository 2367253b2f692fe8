//! Packets on a byte stream: each is followed by its CRC-32, the two are COBS-encoded, and a zero
//! ends them.

use super::cobs::cobs_encode;
use super::crc::{CRC_BYTES, crc32};
use crate::time::{Duration, Instant};

/// The longest packet that hosts take, in bytes, before CRC and COBS.
pub const PACKET_MAX: usize = 1_280;

/// The longest packet as it stands in a stream, in bytes: with its CRC, COBS overhead and the zero
/// that ends it.
pub const ENCODED_MAX: usize = encoded_len_max(PACKET_MAX);

/// The longest packet in a stream with the zero that may go before it, in bytes.
pub const TRANSMIT_MAX: usize = ENCODED_MAX + 1;

/// Returns the most bytes that a packet of `packet_bytes` takes in a stream.
pub const fn encoded_len_max(packet_bytes: usize) -> usize {
    let checked = packet_bytes + CRC_BYTES;
    // A code byte at the start and one after each 254 bytes without a zero, and the zero at the
    // end.
    checked + checked / 254 + 1 + 1
}

/// Returns the longest packet for which [`encoded_len_max`] is no more than `encoded_bytes`.
pub const fn packet_len_max(encoded_bytes: usize) -> usize {
    let checked = encoded_bytes.saturating_sub(2);
    // Each 254th byte takes one more.
    (checked - (checked + 1) / 255).saturating_sub(CRC_BYTES)
}

/// Encloses the packet in the first `packet_bytes` bytes of `buffer` for a stream, in place.
/// Returns the bytes that it takes there, or `None` if `buffer` is too small: [`encoded_len_max`]
/// bytes always suffice.
pub fn enclose(buffer: &mut [u8], packet_bytes: usize) -> Option<usize> {
    let (packet, rest) = buffer.split_at_mut_checked(packet_bytes)?;
    let crc = rest.first_chunk_mut::<CRC_BYTES>()?;
    *crc = crc32(packet).to_le_bytes();
    cobs_encode(buffer, packet_bytes + CRC_BYTES)
}

/// A stream that was silent for this long may hold noise that no zero has ended yet. Shorter than
/// the gaps between the packets of a silent session, longer than those between frames of voice.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells the writer of a stream when to write a zero first.
///
/// Noise on a serial line where nothing is sent sticks to the packet that comes next, and costs it.
/// In a talkspurt that is one frame, but a lone Pong may be all that keeps a session alive.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Separator {
    /// A packet that begins at this time or later follows a pause.
    due_at: Instant,
}

impl Separator {
    /// For a stream on which nothing was written yet: its first packet may follow noise, too.
    pub const fn new() -> Self {
        Self {
            due_at: Instant::ZERO,
        }
    }

    /// Returns whether a zero goes before a packet that begins at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        now >= self.due_at
    }

    /// Says that a packet begins at `now`; true if a zero goes before it.
    pub fn begin(&mut self, now: Instant) -> bool {
        let due = self.is_due(now);
        self.due_at = now + PAUSE;
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_packet_is_the_one_that_still_fits() {
        for packet in 1..=2 * PACKET_MAX {
            let encoded = encoded_len_max(packet);
            let longest = packet_len_max(encoded);
            assert!(encoded_len_max(longest) <= encoded && encoded_len_max(longest + 1) > encoded);
            assert!(packet_len_max(encoded - 1) < packet);
        }
    }

    #[test]
    fn a_zero_goes_before_the_first_packet_and_after_each_pause() {
        let mut separator = Separator::new();
        let at = Instant::from_micros;
        let due = [0, 20_000, 119_999, 219_998, 319_998, 319_999, 9_000_000]
            .map(|micros| separator.begin(at(micros)));
        assert_eq!(due, [true, false, false, false, true, false, true]);
    }
}
