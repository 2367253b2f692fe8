//! One direction of a byte stream with weather on it: bytes arrive in order, but late, in bursts,
//! slowly, or damaged. Packets of voice may travel beside it as datagrams.

use std::collections::VecDeque;

use fastrand::Rng;
use talkspurt_core::time::{Duration, Instant};

use crate::datagrams::{DatagramCounts, DatagramQueue, Datagrams, is_voice};
use crate::weather::Weather;

/// Bytes that have arrived.
#[derive(Clone, Debug, Default)]
pub struct Arrived {
    /// The bytes as they arrived.
    pub bytes: Vec<u8>,
    /// The bytes as they were sent: the same number, with other values where there was damage.
    pub as_sent: Vec<u8>,
}

/// The bytes on their way in one direction.
#[derive(Debug)]
pub struct Pipe {
    weather: Weather,
    rng: Rng,
    on_the_way: VecDeque<(Instant, Arrived)>,
    on_the_way_bytes: usize,
    datagrams: DatagramQueue,
    /// The beginning of a packet that is not known yet to be voice.
    unfinished: Vec<u8>,
    /// The stream was last written to, or read from, in the midst of a packet.
    writes_packet: bool,
    reads_packet: bool,
    damaged_bytes: u64,
    line_free_at: Instant,
    last_arrival: Instant,
    /// Nothing gets through before.
    outage_ends_at: Instant,
}

impl Pipe {
    /// Creates an empty pipe. The same seed and the same writes give the same arrivals.
    pub fn new(weather: Weather, seed: u64) -> Self {
        Self {
            weather,
            rng: Rng::with_seed(seed),
            on_the_way: VecDeque::new(),
            on_the_way_bytes: 0,
            datagrams: DatagramQueue::new(seed.rotate_left(32)),
            unfinished: Vec::new(),
            writes_packet: false,
            reads_packet: false,
            damaged_bytes: 0,
            line_free_at: Instant::ZERO,
            last_arrival: Instant::ZERO,
            outage_ends_at: Instant::ZERO,
        }
    }

    /// Changes the weather for what is written from now on.
    pub fn set_weather(&mut self, weather: Weather) {
        self.weather = weather;
    }

    /// Lets nothing through before `end`: datagrams are lost, and the stream's bytes are late.
    pub fn break_until(&mut self, end: Instant) {
        self.outage_ends_at = self.outage_ends_at.max(end);
        self.last_arrival = self.last_arrival.max(end);
        for (at, _) in &mut self.on_the_way {
            *at = end.max(*at);
        }
        self.datagrams.lose_until(end);
    }

    /// Sends as many of the bytes as there is room for, and returns their number.
    pub fn write(&mut self, now: Instant, bytes: &[u8]) -> usize {
        let Some(fate) = self.weather.datagrams else {
            let unfinished = std::mem::take(&mut self.unfinished);
            self.send(now, unfinished);
            let taken = bytes.len().min(self.room());
            self.send(now, bytes[..taken].to_vec());
            return taken;
        };
        if self.room() == 0 {
            return 0;
        }
        self.write_packets(now, bytes, fate);
        bytes.len()
    }

    /// Sends voice as datagrams, and all else by the stream, packet by packet.
    fn write_packets(&mut self, now: Instant, bytes: &[u8], fate: Datagrams) {
        let mut by_stream = Vec::new();
        for piece in bytes.split_inclusive(|byte| *byte == 0) {
            self.unfinished.extend(piece);
            // The rest of a packet goes where its beginning has gone.
            if !self.writes_packet && piece.last() != Some(&0) {
                continue;
            }
            let packet = std::mem::take(&mut self.unfinished);
            if !self.writes_packet && is_voice(&packet) {
                self.send_datagram(now, &packet, fate);
            } else {
                self.writes_packet = packet.last() != Some(&0);
                by_stream.extend(packet);
            }
        }
        self.send(now, by_stream);
    }

    fn send_datagram(&mut self, now: Instant, packet: &[u8], fate: Datagrams) {
        let is_full = self.datagrams.bytes() + packet.len() > self.weather.buffer_bytes;
        if is_full || now < self.outage_ends_at {
            return self.datagrams.lose();
        }
        let Weather { delay, jitter, .. } = self.weather;
        let earliest = self.leaves_line(now, packet.len()) + delay;
        self.datagrams.send(earliest, jitter, packet, fate);
    }

    /// Sends bytes by the stream.
    fn send(&mut self, now: Instant, as_sent: Vec<u8>) {
        let Some(last) = as_sent.last() else { return };
        self.writes_packet = *last != 0;
        let mut bytes = as_sent.clone();
        self.damage(&mut bytes);
        let start = now.max(self.outage_ends_at);
        self.last_arrival = self.arrival(start, bytes.len()).max(self.last_arrival);
        self.on_the_way_bytes += bytes.len();
        self.on_the_way
            .push_back((self.last_arrival, Arrived { bytes, as_sent }));
    }

    /// Returns how many bytes may be written now.
    pub fn room(&self) -> usize {
        self.weather
            .buffer_bytes
            .saturating_sub(self.on_the_way_bytes)
    }

    /// Takes the bytes that have arrived.
    pub fn read(&mut self, now: Instant) -> Arrived {
        let mut arrived = Arrived::default();
        while let Some(at) = self.next_arrival().filter(|at| *at <= now) {
            if self.next_datagram() == Some(at) {
                let datagram = self.datagrams.pop().unwrap_or_default();
                arrived.bytes.extend(&datagram);
                arrived.as_sent.extend(datagram);
            } else if let Some((_, next)) = self.on_the_way.pop_front() {
                self.on_the_way_bytes -= next.bytes.len();
                self.reads_packet = next.as_sent.last() != Some(&0);
                arrived.bytes.extend(next.bytes);
                arrived.as_sent.extend(next.as_sent);
            }
        }
        arrived
    }

    /// Returns how many bytes it has damaged.
    pub fn damaged_bytes(&self) -> u64 {
        self.damaged_bytes
    }

    /// Returns what became of the datagrams.
    pub fn datagram_counts(&self) -> DatagramCounts {
        self.datagrams.counts()
    }

    /// Returns when the next bytes arrive.
    pub fn next_arrival(&self) -> Option<Instant> {
        let stream = self.on_the_way.front().map(|(at, _)| *at);
        [stream, self.next_datagram()].into_iter().flatten().min()
    }

    /// A datagram waits for the end of a packet of which the stream has brought a part.
    fn next_datagram(&self) -> Option<Instant> {
        let next = self.datagrams.next_arrival();
        next.filter(|_| !self.reads_packet)
    }

    /// Takes its turn on the line, and returns when the last byte has left it.
    fn leaves_line(&mut self, now: Instant, bytes: usize) -> Instant {
        let rate = self.weather.bytes_per_second;
        let transfer = rate.map_or(Duration::ZERO, |rate| {
            Duration::from_micros(bytes as u64 * 1_000_000 / rate)
        });
        self.line_free_at = now.max(self.line_free_at) + transfer;
        self.line_free_at
    }

    fn arrival(&mut self, now: Instant, bytes: usize) -> Instant {
        let Weather {
            delay,
            jitter,
            stalls_per_mille,
            stall_max,
            ..
        } = self.weather;
        let leaves = self.leaves_line(now, bytes);
        let stalled = self.rng.u32(0..1_000) < stalls_per_mille;
        let stall = if stalled {
            self.up_to(stall_max)
        } else {
            Duration::ZERO
        };
        leaves + delay + self.up_to(jitter) + stall
    }

    fn up_to(&mut self, most: Duration) -> Duration {
        Duration::from_micros(self.rng.u64(0..=most.as_micros()))
    }

    fn damage(&mut self, bytes: &mut [u8]) {
        if self.weather.damage_per_million == 0 {
            return;
        }
        for byte in bytes {
            if self.rng.u32(0..1_000_000) < self.weather.damage_per_million {
                *byte ^= self.rng.u8(1..);
                self.damaged_bytes += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use talkspurt_core::carrier::stream::ENCODED_MAX;
    use talkspurt_core::endpoint::write_to_stream;
    use talkspurt_core::seq::{Seq, Timestamp};
    use talkspurt_core::wire::{ClientPacket, Voice};

    use super::*;

    const MS: fn(u64) -> Instant = |ms| Instant::from_micros(ms * 1_000);
    const DATAGRAMS: Weather = Weather::CALM.with_datagrams(Datagrams::WHOLE);

    fn encoded(packet: &ClientPacket<'_>) -> Vec<u8> {
        let mut out = [0; ENCODED_MAX];
        let len = write_to_stream(packet, &mut out).unwrap();
        out[..len].to_vec()
    }

    fn voice(number: u16) -> Vec<u8> {
        encoded(&ClientPacket::Voice(Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &[7; 160],
        }))
    }

    fn ping(number: u32) -> Vec<u8> {
        encoded(&ClientPacket::Ping(number))
    }

    #[test]
    fn packets_are_recognised_however_they_are_cut() {
        let written = [ping(1), voice(1), vec![0, 0], voice(2), ping(2), voice(3)].concat();
        for piece_len in 1..written.len() {
            let mut pipe = Pipe::new(DATAGRAMS, 1);
            for piece in written.chunks(piece_len) {
                assert_eq!(pipe.write(MS(0), piece), piece.len());
            }
            assert_eq!(pipe.datagram_counts().sent, 3, "in pieces of {piece_len}");
            let arrived = pipe.read(MS(1));
            assert_eq!(arrived.bytes.len(), written.len());
            assert_eq!(arrived.bytes, arrived.as_sent);
        }
    }

    #[test]
    fn a_datagram_overtakes_the_stream_but_never_splits_a_packet() {
        let late_ms = Duration::from_millis(50);
        let mut pipe = Pipe::new(Weather::CALM, 1);
        let (head, tail) = (ping(1)[..2].to_vec(), ping(1)[2..].to_vec());
        pipe.write(MS(0), &head);
        assert_eq!(pipe.read(MS(1)).bytes, head);
        // What has begun on the stream ends there, and voice waits until it has.
        pipe.set_weather(Weather {
            delay: late_ms,
            ..DATAGRAMS
        });
        pipe.write(MS(1), &tail);
        pipe.set_weather(DATAGRAMS);
        pipe.write(MS(2), &voice(1));
        assert_eq!(pipe.next_arrival(), Some(MS(51)));
        assert_eq!(pipe.read(MS(51)).bytes, [tail, voice(1)].concat());
        pipe.set_weather(Weather {
            delay: late_ms,
            ..DATAGRAMS
        });
        pipe.write(MS(60), &ping(2));
        pipe.set_weather(DATAGRAMS);
        pipe.write(MS(61), &voice(2));
        assert_eq!(pipe.read(MS(62)).bytes, voice(2));
        assert_eq!(pipe.read(MS(110)).bytes, ping(2));
    }

    #[test]
    fn without_datagrams_a_packet_that_was_held_goes_on_by_the_stream() {
        let mut pipe = Pipe::new(DATAGRAMS, 1);
        let packet = voice(1);
        pipe.write(MS(0), &packet[..9]);
        pipe.set_weather(Weather::CALM);
        pipe.write(MS(5), &packet[9..]);
        assert_eq!(pipe.read(MS(6)).bytes, packet);
        assert_eq!(pipe.datagram_counts().sent, 0);
    }

    #[test]
    fn an_outage_loses_datagrams_and_delays_the_stream() {
        let mut pipe = Pipe::new(DATAGRAMS, 1);
        pipe.write(MS(0), &[voice(1), ping(1)].concat());
        pipe.break_until(MS(500));
        pipe.write(MS(100), &[voice(2), ping(2)].concat());
        pipe.write(MS(510), &voice(3));
        assert_eq!(pipe.read(MS(499)).bytes, []);
        assert_eq!(
            pipe.read(MS(600)).bytes,
            [ping(1), ping(2), voice(3)].concat()
        );
        let counts = pipe.datagram_counts();
        assert_eq!((counts.sent, counts.lost), (3, 2));
    }

    #[test]
    fn a_slow_line_loses_the_datagrams_that_it_has_no_room_for() {
        let slow = Weather {
            bytes_per_second: Some(1_000),
            buffer_bytes: 1_000,
            ..DATAGRAMS
        };
        let mut pipe = Pipe::new(slow, 1);
        for number in 0..20 {
            pipe.write(MS(0), &voice(number));
        }
        let counts = pipe.datagram_counts();
        assert_eq!(counts.sent - counts.lost, 1_000 / voice(1).len() as u64);
        // The line carries what is left at its rate.
        let [at_first, then] = [701, 2_000].map(|ms| pipe.read(MS(ms)).bytes.len());
        assert!(
            at_first <= 700 && at_first > 500 && then > 0,
            "{at_first} bytes, then {then}"
        );
    }
}
