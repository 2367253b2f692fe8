//! Bytes on their way to a socket that may not take them.
//!
//! TCP delivers everything or nothing, so a stalled connection piles up. Voice that has waited for [`VOICE_AGE_MAX`] is worth
//! nothing and is dropped, whole packets at a time. Control packets are few and always kept: a server that lets them pile up is left.

use std::{collections::VecDeque, io};
use talkspurt_core::{
    carrier::stream::Separator,
    time::{Duration, Instant},
};

/// Voice that has waited longer than this is dropped: what is heard later than that disturbs a conversation.
pub(super) const VOICE_AGE_MAX: Duration = Duration::from_millis(300);

/// Control packets that may wait. A client sends a Ping every third of the idle timeout, or every second while nobody answers, an
/// answer to each of the server's, and what keys are pressed for: so many wait only for a server that goes on asking and does not read.
const CONTROL_PACKETS_MAX: usize = 64;

/// Packets not yet given to the socket.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    now: Instant,
    packets: VecDeque<Packet>,
    /// Bytes of the first packet that the socket has taken already.
    taken: usize,
    /// A zero goes before the first packet.
    zero_due: bool,
    separator: Separator,
    voice_packets: usize,
    voice_packets_max: Option<usize>,
    voice_at: Option<Instant>,
    dropped_voice: u64,
    bytes_sent: u64,
}

#[derive(Debug)]
struct Packet {
    /// As it stands in the stream, behind a zero that is sent only after a pause.
    bytes: Vec<u8>,
    is_voice: bool,
    since: Instant,
}

impl Outbox {
    /// Lets time pass: drops voice that has waited too long. What is added counts from `now`.
    pub(super) fn advance(&mut self, now: Instant) {
        self.now = now;
        let mut begun = self.taken > 0;
        let (mut kept, mut voice_kept) = (0, 0);
        self.packets.retain(|packet| {
            // A packet that is half sent has to be completed.
            let keep = std::mem::take(&mut begun)
                || !packet.is_voice
                || now.duration_since(packet.since) < VOICE_AGE_MAX;
            kept += usize::from(keep);
            voice_kept += usize::from(keep && packet.is_voice);
            keep
        });
        self.dropped_voice += (self.voice_packets - voice_kept) as u64;
        self.voice_packets = voice_kept;
    }

    /// Sets how many voice packets may wait, whatever their age.
    pub(super) fn set_voice_packets_max(&mut self, max: usize) {
        self.voice_packets_max = Some(max);
    }

    /// Adds a control packet.
    pub(super) fn push_control(&mut self, bytes: &[u8]) {
        self.push(bytes, false);
    }

    /// Adds a voice packet; the oldest one makes room if too many wait.
    pub(super) fn push_voice(&mut self, bytes: &[u8]) {
        self.voice_at = Some(self.now);
        if self
            .voice_packets_max
            .is_some_and(|max| self.voice_packets >= max)
        {
            let begun = usize::from(self.taken > 0);
            let mut droppable = self.packets.iter().skip(begun);
            if let Some(oldest) = droppable.position(|packet| packet.is_voice) {
                self.packets.remove(oldest + begun);
                self.voice_packets -= 1;
                self.dropped_voice += 1;
            }
        }
        self.push(bytes, true);
        self.voice_packets += 1;
    }

    /// Gives the socket as much as it takes. `write` answers `WouldBlock` when it takes no more.
    pub(super) fn flush(
        &mut self,
        mut write: impl FnMut(&[u8]) -> io::Result<usize>,
    ) -> io::Result<()> {
        while let Some(first) = self.packets.front() {
            if self.taken == 0 {
                self.zero_due |= self.separator.begin(self.now);
            }
            let skipped = usize::from(!self.zero_due);
            match write(&first.bytes[skipped + self.taken..]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.bytes_sent += count as u64;
                    self.taken += count;
                    if skipped + self.taken >= first.bytes.len() {
                        self.taken = 0;
                        self.zero_due = false;
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

    /// When voice was added last.
    pub(super) fn voice_at(&self) -> Option<Instant> {
        self.voice_at
    }

    /// Voice packets dropped so far.
    pub(super) fn dropped_voice(&self) -> u64 {
        self.dropped_voice
    }

    /// Bytes that the socket took so far.
    pub(super) fn bytes_sent(&self) -> u64 {
        self.bytes_sent
    }

    fn push(&mut self, packet: &[u8], is_voice: bool) {
        self.packets.push_back(Packet {
            bytes: [&[0], packet].concat(),
            is_voice,
            since: self.now,
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    /// Says nothing of a pause before its first packet.
    fn outbox() -> Outbox {
        let mut outbox = Outbox::default();
        outbox.separator.begin(at(0));
        outbox
    }

    fn flush_all(outbox: &mut Outbox) -> Vec<u8> {
        let mut sent = Vec::new();
        outbox
            .flush(|bytes| {
                sent.extend_from_slice(bytes);
                Ok(bytes.len())
            })
            .unwrap();
        sent
    }

    /// Writes `room` bytes and no more.
    fn flush_some(outbox: &mut Outbox, mut room: usize) -> Vec<u8> {
        let mut sent = Vec::new();
        let write = |bytes: &[u8]| {
            let count = bytes.len().min(room);
            sent.extend_from_slice(&bytes[..count]);
            room -= count;
            match count {
                0 => Err(io::ErrorKind::WouldBlock.into()),
                _ => Ok(count),
            }
        };
        outbox.flush(write).unwrap();
        sent
    }

    #[test]
    fn a_stalled_socket_costs_old_voice_and_nothing_else() {
        let mut outbox = outbox();
        outbox.push_control(b"hello.");
        for number in 0..50u8 {
            outbox.advance(at(20 * u64::from(number)));
            outbox.push_voice(&[number, 250]);
        }
        outbox.push_control(b"bye.");
        assert_eq!(outbox.dropped_voice(), 35, "15 of 20 ms are 300 ms");
        let mut sent = flush_some(&mut outbox, 8);
        outbox.advance(at(1_020));
        assert_eq!(outbox.dropped_voice(), 36);
        sent.extend(flush_all(&mut outbox));
        assert!(outbox.is_empty());
        let mut expected = b"\0hello.\x23\xfa".to_vec();
        (37..50).for_each(|number| expected.extend([number, 250]));
        expected.extend(b"bye.");
        assert_eq!(
            sent, expected,
            "the hello was completed, and voice 35, which was half sent"
        );
        assert_eq!(outbox.bytes_sent(), sent.len() as u64);
    }

    /// Packets of PCM16 voice at 20 ms take 672 bytes: 269 kbit/s.
    #[test]
    fn on_a_slow_uplink_voice_is_never_late_by_more_than_it_may_wait() {
        let mut outbox = outbox();
        let mut packet = [1; 672];
        let (mut sent, mut arrived) = (Vec::new(), Vec::new());
        let mut run = |outbox: &mut Outbox, ms: std::ops::Range<u64>, bytes_per_ms: usize| {
            for now in ms {
                outbox.advance(at(now));
                if now % 20 == 0 {
                    packet[..8].copy_from_slice(&(now + 1_000_000).to_le_bytes());
                    outbox.push_voice(&packet);
                }
                sent.extend(flush_some(outbox, bytes_per_ms));
                while sent.len() >= packet.len() {
                    let whole: Vec<u8> = sent.drain(..packet.len()).collect();
                    let (spoken_at, rest) = whole.split_first_chunk::<8>().unwrap();
                    assert!(rest.iter().all(|byte| *byte == 1), "a packet was torn");
                    let spoken_at = u64::from_le_bytes(*spoken_at) - 1_000_000;
                    arrived.push((spoken_at, now - spoken_at));
                }
            }
            std::mem::take(&mut arrived)
        };
        // 200 kbit/s for a quarter of a minute.
        let slow = run(&mut outbox, 20..15_000, 25);
        let latest = slow.iter().map(|(_, late)| late).max();
        assert!(latest.is_some_and(|late| *late < 340), "{latest:?}");
        let carried = 15_000 * 25 / 672;
        assert!(slow.len().abs_diff(carried) < 4, "the line was never idle");
        let lost = 749 - slow.len() as u64;
        assert!(outbox.dropped_voice().abs_diff(lost) <= 16);
        // The line recovers: what waits goes at once, and nothing after it is late.
        let fast = run(&mut outbox, 15_000..17_000, 1_000);
        let late = fast.iter().rfind(|(_, late)| *late > 1);
        assert!(
            late.is_some_and(|(spoken_at, _)| *spoken_at < 15_040),
            "{late:?}"
        );
        assert!(fast.len() <= 100 + 16, "{}", fast.len());
    }

    #[test]
    fn a_burst_is_bounded_too() {
        let mut outbox = outbox();
        outbox.set_voice_packets_max(3);
        (1..=5).for_each(|number| outbox.push_voice(&[number]));
        assert_eq!(outbox.dropped_voice(), 2);
        assert_eq!(outbox.voice_at(), Some(at(0)));
        assert_eq!(flush_all(&mut outbox), [3, 4, 5]);
        (1..=3).for_each(|number| outbox.push_voice(&[number, number]));
        assert_eq!(outbox.dropped_voice(), 2, "there was room again");
        // What is half sent is completed, and the next oldest goes.
        assert_eq!(flush_some(&mut outbox, 1), [1]);
        outbox.push_voice(&[4, 4]);
        assert_eq!(outbox.dropped_voice(), 3);
        assert_eq!(flush_all(&mut outbox), [1, 3, 3, 4, 4]);
    }

    #[test]
    fn after_a_pause_a_zero_goes_first_even_if_the_socket_takes_nothing_at_first() {
        let mut outbox = outbox();
        for (ms, expected) in [(50, &[7][..]), (200, &[0, 7]), (210, &[7])] {
            outbox.advance(at(ms));
            outbox.push_control(&[7]);
            assert!(flush_some(&mut outbox, 0).is_empty());
            outbox.advance(at(ms + 5));
            assert_eq!(flush_all(&mut outbox), expected, "at {ms} ms");
        }
        // Half of the pair goes alone.
        outbox.advance(at(500));
        outbox.push_control(&[7]);
        assert_eq!(flush_some(&mut outbox, 1), [0]);
        assert_eq!(flush_all(&mut outbox), [7]);
    }

    #[test]
    fn control_packets_that_nobody_reads_are_noticed_and_voice_is_not_counted() {
        let mut outbox = outbox();
        (0..64).for_each(|_| outbox.push_control(b"pong"));
        (0..300).for_each(|_| outbox.push_voice(b"voice"));
        assert!(!outbox.is_stuck());
        outbox.push_control(b"pong");
        assert!(outbox.is_stuck());
        assert_eq!(flush_some(&mut outbox, 4), b"pong");
        assert!(!outbox.is_stuck(), "one has gone");
    }

    #[test]
    fn a_broken_socket_is_an_error() {
        let mut outbox = outbox();
        outbox.push_control(b"x");
        assert!(outbox.flush(|_| Ok(0)).is_err());
        assert!(
            outbox
                .flush(|_| Err(io::ErrorKind::BrokenPipe.into()))
                .is_err()
        );
    }
}
