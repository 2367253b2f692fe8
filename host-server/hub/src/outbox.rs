//! What waits to be sent to one peer, bounded.
//!
//! Control packets (roster, Welcome, Bye) are never dropped: a consumer for whom they pile up is
//! told so by [`Overflow`] and is to be disconnected. What counts is their memory: most are shorter
//! than what is kept around them. Of voice only the newest [`VOICE_BACKLOG_MS`] wait: a peer that
//! reads too slowly loses old voice, and nobody else anything. A packet is shared by all who get
//! it, so that one encoding is stored once.

use std::collections::VecDeque;
use std::sync::Arc;

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::carrier::stream::Separator;
use talkspurt_core::time::Instant;

/// One encoded packet, as it goes onto the stream; all who get it share it, whatever their thread.
pub type SharedPacket = Arc<[u8]>;

/// Voice older than this is not worth hearing: a listener who was stalled resumes with the last 200
/// ms.
pub const VOICE_BACKLOG_MS: u32 = 200;

/// What a waiting packet takes beside its bytes: two counts (16), the allocator's rounding (16),
/// its place in a queue that has doubled (32).
pub const PACKET_OVERHEAD_BYTES: usize = 64;

/// The control packets waiting for a consumer have outgrown their bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow;

/// The bounded queue in front of one peer.
#[derive(Debug)]
pub struct Outbox {
    /// The packet of which a part has been taken, and how much of it.
    current: Option<(SharedPacket, usize)>,
    control: VecDeque<SharedPacket>,
    control_bytes: usize,
    control_bytes_max: usize,
    voice: VecDeque<SharedPacket>,
    voice_frames_max: usize,
    voice_dropped: u64,
    stalled_since: Option<Instant>,
    separator: Separator,
}

impl Outbox {
    /// An empty outbox that lets control packets wait that take `control_bytes_max` bytes of
    /// memory.
    pub fn new(frame_duration: FrameDuration, control_bytes_max: usize) -> Self {
        Self {
            current: None,
            control: VecDeque::new(),
            control_bytes: 0,
            control_bytes_max,
            voice: VecDeque::new(),
            voice_frames_max: frame_duration.frames_in_ms(VOICE_BACKLOG_MS) as usize,
            voice_dropped: 0,
            stalled_since: None,
            separator: Separator::new(),
        }
    }

    /// Appends a control packet; it goes out before any voice that waits.
    ///
    /// # Errors
    /// More wait than may; the packet is dropped.
    pub fn push_control(&mut self, packet: SharedPacket) -> Result<(), Overflow> {
        let bytes = memory_bytes(&packet);
        if self.control_bytes + bytes > self.control_bytes_max {
            return Err(Overflow);
        }
        self.control_bytes += bytes;
        self.control.push_back(packet);
        Ok(())
    }

    /// Whether half of the control packets that may wait do: no time for another roster.
    pub fn is_half_full(&self) -> bool {
        2 * self.control_bytes > self.control_bytes_max
    }

    /// Appends a voice packet; the oldest that waits makes room for it. Returns how many were
    /// dropped (0 or 1).
    pub fn push_voice(&mut self, packet: SharedPacket) -> u64 {
        let full = self.voice.len() == self.voice_frames_max;
        if full {
            self.voice.pop_front();
            self.voice_dropped += 1;
        }
        self.voice.push_back(packet);
        u64::from(full)
    }

    /// Says that what waits is written at `now`: after a pause a zero goes before the next packet,
    /// as its first byte. A pause is rare enough to copy the packet, so that the two are one write.
    pub fn separate(&mut self, now: Instant) {
        if self.current.is_none()
            && !self.is_empty()
            && self.separator.begin(now)
            && let Some(packet) = self.pop()
        {
            self.current = Some(([&[0], &*packet].concat().into(), 0));
        }
    }

    /// What to write next, as much as possible in one write: the rest of the packet that was begun,
    /// then those that wait.
    pub fn packets(&self) -> impl Iterator<Item = &[u8]> {
        let begun = self.current.iter();
        let waiting = self.control.iter().chain(&self.voice);
        begun
            .map(|(packet, written)| &packet[*written..])
            .chain(waiting.map(|packet| &packet[..]))
    }

    /// Notes that the peer took the first `count` bytes of [`packets`](Self::packets). Returns how
    /// many packets that ended.
    pub fn sent(&mut self, count: usize) -> u64 {
        if count > 0 {
            self.stalled_since = None;
        }
        let mut ended = 0;
        let mut left = count;
        while left > 0 {
            let (packet, written) = self
                .current
                .take()
                .or_else(|| self.pop().map(|packet| (packet, 0)))
                .expect("no more is sent than was there");
            let rest = packet.len() - written;
            if left < rest {
                self.current = Some((packet, written + left));
                break;
            }
            left -= rest;
            ended += 1;
        }
        ended
    }

    fn pop(&mut self) -> Option<SharedPacket> {
        match self.control.pop_front() {
            Some(packet) => {
                self.control_bytes -= memory_bytes(&packet);
                Some(packet)
            }
            None => self.voice.pop_front(),
        }
    }

    /// Notes that the peer takes no more at `now`.
    pub fn blocked(&mut self, now: Instant) {
        self.stalled_since.get_or_insert(now);
    }

    /// Since when the peer has taken nothing although something waited; `None` while it takes.
    pub fn stalled_since(&self) -> Option<Instant> {
        self.stalled_since
    }

    /// Drops the voice that waits: its listener is no longer in the room.
    pub fn drop_voice(&mut self) {
        self.voice.clear();
    }

    /// Drops all that waits, except a packet that has been begun: the stream must not break off
    /// inside one.
    pub fn clear_unsent(&mut self) {
        self.drop_voice();
        self.control.clear();
        self.control_bytes = 0;
        // A zero was put before it, and nothing of it has left.
        self.current.take_if(|(_, written)| *written == 0);
    }

    /// Nothing waits.
    pub fn is_empty(&self) -> bool {
        self.current.is_none() && self.control.is_empty() && self.voice.is_empty()
    }

    /// Voice packets dropped so far because they waited too long.
    pub fn voice_dropped(&self) -> u64 {
        self.voice_dropped
    }
}

/// As if nobody else had it.
fn memory_bytes(packet: &SharedPacket) -> usize {
    packet.len() + PACKET_OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(byte: u8, len: usize) -> SharedPacket {
        vec![byte; len].into()
    }

    fn outbox() -> Outbox {
        Outbox::new(FrameDuration::Ms20, 100 + 2 * PACKET_OVERHEAD_BYTES)
    }

    /// Writes everything, `chunk` bytes a call.
    fn drain(outbox: &mut Outbox, chunk: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !outbox.is_empty() {
            let next: Vec<u8> = outbox.packets().flatten().copied().collect();
            let count = next.len().min(chunk);
            bytes.extend_from_slice(&next[..count]);
            outbox.sent(count);
        }
        bytes
    }

    fn lengths(outbox: &Outbox) -> Vec<usize> {
        outbox.packets().map(<[u8]>::len).collect()
    }

    #[test]
    fn what_was_sent_makes_room_for_as_much_and_no_more() {
        let mut outbox = outbox();
        for byte in 0..2 {
            assert_eq!(outbox.push_control(packet(byte, 50)), Ok(()));
        }
        outbox.sent(50);
        assert_eq!(outbox.push_control(packet(2, 50)), Ok(()));
        assert_eq!(outbox.push_control(packet(3, 1)), Err(Overflow));
    }

    #[test]
    fn control_overtakes_voice_but_never_a_packet_that_was_begun() {
        let mut outbox = outbox();
        outbox.push_voice(packet(1, 4));
        outbox.push_voice(packet(2, 4));
        assert_eq!(outbox.sent(1), 0, "a quarter of a packet is no packet");
        outbox.push_control(packet(3, 2)).unwrap();
        assert_eq!(drain(&mut outbox, 3), [1, 1, 1, 3, 3, 2, 2, 2, 2]);
        assert!(outbox.is_empty());
    }

    #[test]
    fn packets_that_wait_go_on_where_a_write_has_stopped() {
        let mut outbox = Outbox::new(FrameDuration::Ms20, 10_000);
        outbox.push_voice(packet(9, 40));
        for len in 1..=20 {
            outbox.push_control(packet(len as u8, len)).unwrap();
        }
        let all: Vec<_> = (1..=20).chain([40]).collect();
        assert_eq!(lengths(&outbox), all, "voice after all control packets");
        assert_eq!(outbox.sent(1 + 2 + 3 + 1), 3);
        assert_eq!(lengths(&outbox), [&[3], &all[4..]].concat());
        assert_eq!(outbox.sent(3), 1, "the one that was begun");
        assert_eq!(outbox.sent((5..=20).sum()), 16);
        assert_eq!((lengths(&outbox), outbox.sent(0)), (vec![40], 0));
        assert_eq!((outbox.sent(40), outbox.is_empty()), (1, true));
    }

    #[test]
    #[should_panic(expected = "no more is sent than was there")]
    fn what_was_not_there_cannot_be_sent() {
        let mut outbox = outbox();
        outbox.push_voice(packet(1, 4));
        outbox.sent(5);
    }

    #[test]
    fn old_voice_makes_room_for_new() {
        let mut outbox = outbox();
        let dropped: u64 = (0..13).map(|n| outbox.push_voice(packet(n, 1))).sum();
        assert_eq!(
            (dropped, outbox.voice_dropped()),
            (3, 3),
            "200 ms are ten frames of 20 ms"
        );
        assert_eq!(drain(&mut outbox, 1), (3..13).collect::<Vec<u8>>());
    }

    #[test]
    fn control_is_bounded_by_its_memory_and_never_dropped() {
        let mut outbox = outbox();
        outbox.push_control(packet(1, 60)).unwrap();
        assert_eq!(outbox.push_control(packet(2, 41)), Err(Overflow));
        outbox.push_control(packet(3, 40)).unwrap();
        assert_eq!(outbox.push_control(packet(4, 0)), Err(Overflow));
        assert_eq!(drain(&mut outbox, 64).len(), 100);
        outbox.push_control(packet(5, 100)).unwrap();
    }

    #[test]
    fn a_stall_lasts_until_a_byte_is_taken() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let mut outbox = outbox();
        outbox.push_voice(packet(1, 4));
        outbox.blocked(at(10));
        outbox.blocked(at(20));
        outbox.sent(0);
        assert_eq!(outbox.stalled_since(), Some(at(10)));
        outbox.sent(1);
        assert_eq!(outbox.stalled_since(), None);
    }

    #[test]
    fn clearing_finishes_the_packet_that_was_begun() {
        let mut outbox = outbox();
        outbox.push_voice(packet(1, 4));
        outbox.sent(1);
        outbox.push_voice(packet(2, 4));
        outbox.push_control(packet(3, 4)).unwrap();
        outbox.clear_unsent();
        outbox.push_control(packet(4, 1)).unwrap();
        assert_eq!(drain(&mut outbox, 9), [1, 1, 1, 4]);
    }

    #[test]
    fn what_was_cleared_takes_no_room() {
        let mut outbox = outbox();
        while outbox.push_control(packet(1, 4)).is_ok() {}
        outbox.clear_unsent();
        assert_eq!(outbox.push_control(packet(2, 4)), Ok(()));
    }

    #[test]
    fn after_a_pause_a_zero_goes_before_the_packet_and_is_no_packet_of_its_own() {
        let mut outbox = outbox();
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        for (ms, expected) in [(0, vec![0, 1, 2]), (20, vec![1, 2]), (500, vec![0, 1, 2])] {
            outbox.separate(at(ms));
            outbox.push_control(packet(1, 1)).unwrap();
            outbox.push_control(packet(2, 1)).unwrap();
            outbox.separate(at(ms));
            let bytes: Vec<u8> = outbox.packets().flatten().copied().collect();
            assert_eq!(bytes, expected);
            assert_eq!(outbox.sent(bytes.len()), 2, "two packets");
            assert!(outbox.is_empty());
        }
        outbox.push_control(packet(1, 1)).unwrap();
        outbox.separate(at(1_000));
        outbox.clear_unsent();
        assert!(outbox.is_empty(), "a packet that has not begun is no loss");
    }

    #[test]
    fn a_packet_is_stored_once_however_many_get_it() {
        let shared = packet(7, 50);
        let mut boxes = [outbox(), outbox()];
        for outbox in &mut boxes {
            outbox.push_voice(Arc::clone(&shared));
        }
        assert_eq!(Arc::strong_count(&shared), 3);
    }
}
