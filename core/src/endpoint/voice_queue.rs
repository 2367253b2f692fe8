//! Voice packets that wait for the carrier, bounded in bytes, number and age.

use heapless::Vec;

use crate::time::{Duration, Instant};
use crate::wire::{ClientPacket, Voice, encode};

/// Voice that has waited for longer is dropped: what is heard later than that disturbs a
/// conversation.
pub(super) const VOICE_AGE_MAX: Duration = Duration::from_millis(300);

/// What stands before each packet: its length, and when it was queued in milliseconds, which wrap.
const HEADER_BYTES: usize = 2 + 4;

/// A voice packet has at most so many bytes around its payload.
const AROUND_PAYLOAD_BYTES: usize = 12;

/// Packets, the oldest first, in `BYTES` bytes.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct VoiceQueue<const BYTES: usize> {
    /// Most often one packet waits, so taking it moves nothing.
    bytes: Vec<u8, BYTES>,
    packets: u16,
    packets_max: u16,
    dropped: u32,
}

impl<const BYTES: usize> VoiceQueue<BYTES> {
    const COUNTED_IN_16_BITS: () = assert!(BYTES <= u16::MAX as usize);

    pub(super) const fn new() -> Self {
        let () = Self::COUNTED_IN_16_BITS;
        Self {
            bytes: Vec::new(),
            packets: 0,
            packets_max: u16::MAX,
            dropped: 0,
        }
    }

    /// Empties the queue, and lets `packets_max` packets wait from now on.
    pub(super) fn restart(&mut self, packets_max: u16) {
        self.clear();
        self.packets_max = packets_max;
    }

    /// Queues a packet; the oldest ones make room for it.
    pub(super) fn push(&mut self, now: Instant, voice: Voice<'_>) {
        let needed = HEADER_BYTES + voice.payload.len() + AROUND_PAYLOAD_BYTES;
        if needed > BYTES {
            self.dropped = self.dropped.wrapping_add(1);
            return;
        }
        while BYTES - self.bytes.len() < needed || self.packets >= self.packets_max {
            self.drop_oldest();
        }
        let start = self.bytes.len();
        // There is room for all of it: it was made just above.
        let _ = self.bytes.resize(start + needed, 0);
        let (header, packet) = self.bytes[start..].split_at_mut(HEADER_BYTES);
        let len = encode(&ClientPacket::Voice(voice), packet).unwrap_or(0);
        header[..2].copy_from_slice(&(len as u16).to_le_bytes());
        header[2..].copy_from_slice(&millis(now).to_le_bytes());
        self.bytes.truncate(start + HEADER_BYTES + len);
        self.packets += 1;
    }

    /// Moves the oldest packet that is still worth hearing to the start of `out`. Returns its
    /// length.
    pub(super) fn pop(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        loop {
            let (len, queued_at) = self.first()?;
            if u64::from(millis(now).wrapping_sub(queued_at)) >= VOICE_AGE_MAX.as_millis() {
                self.drop_oldest();
                continue;
            }
            let packet = &self.bytes[HEADER_BYTES..HEADER_BYTES + len];
            out.get_mut(..len)?.copy_from_slice(packet);
            self.remove_first(len);
            return Some(len);
        }
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.packets = 0;
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.packets == 0
    }

    /// Packets dropped so far because nothing took them in time.
    pub(super) const fn dropped(&self) -> u32 {
        self.dropped
    }

    /// Length and age of the oldest packet.
    fn first(&self) -> Option<(usize, u32)> {
        let [low, high, queued_at @ ..] = self.bytes.first_chunk::<HEADER_BYTES>()?;
        let len = usize::from(u16::from_le_bytes([*low, *high]));
        Some((len, u32::from_le_bytes(*queued_at)))
    }

    fn drop_oldest(&mut self) {
        if let Some((len, _)) = self.first() {
            self.remove_first(len);
            self.dropped = self.dropped.wrapping_add(1);
        }
    }

    fn remove_first(&mut self, len: usize) {
        self.bytes.drain(..HEADER_BYTES + len);
        self.packets -= 1;
    }
}

/// Wraps after 49 days; a difference within the age of a packet is exact.
const fn millis(now: Instant) -> u32 {
    (now.as_micros() / 1_000) as u32
}
