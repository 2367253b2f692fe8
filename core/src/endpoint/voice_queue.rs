//! Voice packets that wait for the carrier, bounded in bytes, number and age.

use heapless::Vec;

use crate::time::{Duration, Instant};
use crate::voice::uplink::PRE_ROLL_MAX_MS;
use crate::wire::{AROUND_PAYLOAD_BYTES, ClientPacket, Voice, encode};

/// Voice that has waited for longer is dropped: what is heard later than that disturbs a
/// conversation.
const VOICE_AGE_MAX: Duration = Duration::from_millis(300);

/// Voice that may wait at most, in milliseconds, for a program that was held up and queues all of
/// it at one moment: as much as may wait by its age, and the longest pre-roll.
pub(super) const WAITING_MS_MAX: u32 = VOICE_AGE_MAX.as_millis() as u32 + PRE_ROLL_MAX_MS as u32;

/// What stands before each packet: its length, and when it was queued in milliseconds, which wrap.
const HEADER_BYTES: usize = 2 + 4;

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

    /// Drops the packets that are not worth hearing any more.
    pub(super) fn drop_stale(&mut self, now: Instant) {
        while let Some((_, queued_at)) = self.first()
            && u64::from(millis(now).wrapping_sub(queued_at)) >= VOICE_AGE_MAX.as_millis()
        {
            self.drop_oldest();
        }
    }

    /// Moves the oldest packet to the start of `out`. Returns its length.
    pub(super) fn pop(&mut self, out: &mut [u8]) -> Option<usize> {
        let (len, _) = self.first()?;
        let packet = &self.bytes[HEADER_BYTES..HEADER_BYTES + len];
        out.get_mut(..len)?.copy_from_slice(packet);
        self.remove_first(len);
        Some(len)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seq::{Seq, Timestamp};

    fn voice(payload: &[u8]) -> Voice<'_> {
        Voice {
            seq: Seq(7),
            timestamp: Timestamp(7),
            level: 7,
            stream: 0,
            terminator: false,
            payload,
        }
    }

    fn payloads<const BYTES: usize>(queue: &mut VoiceQueue<BYTES>) -> std::vec::Vec<u8> {
        let mut packet = [0; 64];
        let pop = || queue.pop(&mut packet).map(|len| packet[len - 1]);
        core::iter::from_fn(pop).collect()
    }

    #[test]
    fn a_full_queue_drops_the_oldest_and_counts_it() {
        let mut queue = VoiceQueue::<107>::new();
        for number in 1..=5 {
            queue.push(Instant::ZERO, voice(&[number; 10]));
        }
        // A packet takes 26 bytes here, and room is made for 27.
        assert_eq!((queue.dropped(), queue.is_empty()), (1, false));
        assert_eq!(payloads(&mut queue), [2, 3, 4, 5]);
        queue.restart(2);
        for number in 1..=5 {
            queue.push(Instant::ZERO, voice(&[number; 10]));
        }
        assert_eq!(queue.dropped(), 1 + 3);
        assert_eq!(payloads(&mut queue), [4, 5]);
    }

    #[test]
    fn what_can_never_fit_is_dropped_and_counted() {
        let mut queue = VoiceQueue::<27>::new();
        queue.push(Instant::ZERO, voice(&[1; 10]));
        queue.push(Instant::ZERO, voice(&[2; 11]));
        assert_eq!(queue.dropped(), 1);
        assert_eq!(payloads(&mut queue), [1]);
    }

    #[test]
    fn a_packet_with_the_longest_numbers_fits() {
        let mut queue = VoiceQueue::<300>::new();
        let longest = Voice {
            seq: Seq(u16::MAX),
            timestamp: Timestamp(u32::MAX),
            ..voice(&[1; 200])
        };
        queue.push(Instant::ZERO, longest);
        assert_eq!(queue.pop(&mut [0; 300]), Some(200 + AROUND_PAYLOAD_BYTES));
    }

    #[test]
    fn age_is_told_across_the_wrap_of_its_count() {
        let mut queue = VoiceQueue::<100>::new();
        let before_wrap = Instant::from_micros((1 << 32) * 1_000 - 1_000);
        queue.push(before_wrap, voice(&[1]));
        queue.push(before_wrap + Duration::from_millis(1), voice(&[2]));
        queue.drop_stale(before_wrap + Duration::from_millis(299));
        assert_eq!(queue.dropped(), 0);
        queue.drop_stale(before_wrap + Duration::from_millis(300));
        assert_eq!(payloads(&mut queue), [2]);
    }
}
