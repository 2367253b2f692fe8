//! Voice as datagrams beside the stream: each packet travels on its own, so it may be lost, arrive
//! twice, or be overtaken by a later one.

use std::collections::BTreeMap;

use fastrand::Rng;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ServerPacket, parse};

use crate::loss::PacketLoss;

/// What a network does to datagrams beside delaying them. With a jitter of more than the time
/// between two packets, later ones overtake earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagrams {
    /// How many in a thousand are lost.
    pub loss_per_mille: u32,
    /// How many are lost in a row, on average. With 1, losses know nothing of each other.
    pub burst_packets: u32,
    /// How many in a thousand of those that arrive do so twice.
    pub duplicates_per_mille: u32,
}

impl Datagrams {
    /// Datagrams of which none is lost or duplicated.
    pub const WHOLE: Self = Self {
        loss_per_mille: 0,
        burst_packets: 1,
        duplicates_per_mille: 0,
    };
}

/// What became of the datagrams of one direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DatagramCounts {
    /// Datagrams that were written.
    pub sent: u64,
    /// Those that the network lost.
    pub lost: u64,
    /// Those that it made two of.
    pub duplicated: u64,
    /// Those that arrived after a later one.
    pub overtaken: u64,
}

/// The datagrams on their way in one direction.
#[derive(Debug)]
pub struct DatagramQueue {
    rng: Rng,
    /// Duplicates have a generator of their own: they change nothing for other packets.
    duplicates_rng: Rng,
    loss: PacketLoss,
    /// By the time of arrival, and by number where that is equal.
    on_the_way: BTreeMap<(Instant, u64), Datagram>,
    on_the_way_bytes: usize,
    /// The highest number that has arrived.
    newest: u64,
    counts: DatagramCounts,
}

#[derive(Debug)]
struct Datagram {
    bytes: Vec<u8>,
    is_copy: bool,
}

impl DatagramQueue {
    /// Creates an empty queue. The same seed and the same datagrams give the same arrivals.
    pub fn new(seed: u64) -> Self {
        Self {
            rng: Rng::with_seed(seed),
            duplicates_rng: Rng::with_seed(!seed),
            loss: PacketLoss::default(),
            on_the_way: BTreeMap::new(),
            on_the_way_bytes: 0,
            newest: 0,
            counts: DatagramCounts::default(),
        }
    }

    /// Returns how many bytes are on their way.
    pub fn bytes(&self) -> usize {
        self.on_the_way_bytes
    }

    /// Returns what became of those that were sent.
    pub fn counts(&self) -> DatagramCounts {
        self.counts
    }

    /// Sends a datagram that arrives at `earliest` or up to `jitter` later, unless it is lost.
    pub fn send(&mut self, earliest: Instant, jitter: Duration, bytes: &[u8], fate: Datagrams) {
        self.counts.sent += 1;
        let share = f64::from(fate.loss_per_mille) / 1_000.0;
        let is_lost = self
            .loss
            .next(&mut self.rng, share, fate.burst_packets.into());
        let at = earliest + up_to(&mut self.rng, jitter);
        if is_lost {
            self.counts.lost += 1;
            return;
        }
        self.insert(at, bytes, false);
        if self.duplicates_rng.u32(0..1_000) < fate.duplicates_per_mille {
            self.counts.duplicated += 1;
            // A copy is never first: it must not bring what would have been late.
            let at = at + up_to(&mut self.duplicates_rng, jitter);
            self.insert(at, bytes, true);
        }
    }

    /// Counts a datagram that never was on its way.
    pub fn lose(&mut self) {
        self.counts.sent += 1;
        self.counts.lost += 1;
    }

    /// Loses what would arrive before `end`.
    pub fn lose_until(&mut self, end: Instant) {
        let later = self.on_the_way.split_off(&(end, 0));
        for datagram in std::mem::replace(&mut self.on_the_way, later).into_values() {
            self.on_the_way_bytes -= datagram.bytes.len();
            self.counts.lost += u64::from(!datagram.is_copy);
        }
    }

    /// Returns when the next one arrives.
    pub fn next_arrival(&self) -> Option<Instant> {
        let (first, _) = self.on_the_way.first_key_value()?;
        Some(first.0)
    }

    /// Takes the next one.
    pub fn pop(&mut self) -> Option<Vec<u8>> {
        let ((_, number), datagram) = self.on_the_way.pop_first()?;
        self.on_the_way_bytes -= datagram.bytes.len();
        self.counts.overtaken += u64::from(!datagram.is_copy && number < self.newest);
        self.newest = self.newest.max(number);
        Some(datagram.bytes)
    }

    fn insert(&mut self, at: Instant, bytes: &[u8], is_copy: bool) {
        // A copy stands right behind its original where both arrive at once.
        let number = self.counts.sent * 2 + u64::from(is_copy);
        self.on_the_way_bytes += bytes.len();
        let bytes = bytes.to_vec();
        let datagram = Datagram { bytes, is_copy };
        self.on_the_way.insert((at, number), datagram);
    }
}

/// Returns whether these bytes of a stream, a packet with the zero that ends it, are voice.
pub fn is_voice(encoded: &[u8]) -> bool {
    let mut deframer: Deframer = Deframer::new();
    let Feed::Packet(packet) = deframer.feed(encoded).0 else {
        return false;
    };
    // Both sides number and write it alike.
    matches!(parse(packet), Ok(ServerPacket::Voice(_)))
}

fn up_to(rng: &mut Rng, most: Duration) -> Duration {
    Duration::from_micros(rng.u64(0..=most.as_micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    /// Sends a datagram each 20 ms, and returns what arrives, in order: numbers of packets.
    fn carried(count: u8, jitter: Duration, fate: Datagrams) -> (Vec<u8>, DatagramCounts) {
        let mut queue = DatagramQueue::new(1);
        for number in 0..count {
            let sent_at = Instant::ZERO + MS(20) * u32::from(number);
            queue.send(sent_at, jitter, &[number], fate);
        }
        let arrived = std::iter::from_fn(|| queue.pop()).map(|it| it[0]).collect();
        assert_eq!(queue.bytes(), 0);
        (arrived, queue.counts())
    }

    #[test]
    fn jitter_within_the_time_between_two_packets_keeps_their_order() {
        let all: Vec<u8> = (0..200).collect();
        let (arrived, counts) = carried(200, MS(19), Datagrams::WHOLE);
        assert_eq!((arrived, counts.overtaken), (all.clone(), 0));
        let (mut arrived, counts) = carried(200, MS(100), Datagrams::WHOLE);
        assert!(counts.overtaken > 50, "{counts:?}");
        assert!(!arrived.is_sorted());
        arrived.sort_unstable();
        assert_eq!(arrived, all);
    }

    #[test]
    fn copies_follow_and_change_nothing_for_others() {
        let lossy = Datagrams {
            loss_per_mille: 200,
            ..Datagrams::WHOLE
        };
        let doubled = Datagrams {
            duplicates_per_mille: 500,
            ..lossy
        };
        let (without, alone) = carried(200, MS(50), lossy);
        let (with, counts) = carried(200, MS(50), doubled);
        let mut seen = std::collections::BTreeSet::new();
        let firsts: Vec<u8> = with.iter().copied().filter(|it| seen.insert(*it)).collect();
        assert_eq!(firsts, without);
        assert_eq!(with.len(), without.len() + counts.duplicated as usize);
        assert_eq!((counts.lost, counts.sent), (alone.lost, 200));
        assert!(counts.lost > 20 && counts.duplicated > 50, "{counts:?}");
    }
}
