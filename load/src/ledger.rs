//! Which marked frames were sent, who has heard which, and how much later.
//!
//! In a room one marker at a time is on its way: a number is used again only after [`SERIALS`]
//! others.

use talkspurt_core::time::Instant;

use crate::marker::{Mark, SERIALS};
use crate::plan::Plan;

/// The books of all rooms.
#[derive(Debug)]
pub struct Ledger {
    plan: Plan,
    rooms: Vec<Room>,
    /// What they come to so far.
    pub found: Found,
    /// When the first mark was sent.
    since: Option<Instant>,
}

/// What the books come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Found {
    /// From sending to hearing, in milliseconds: one for each listener of each marker, by the
    /// second in which they were sent, counted from the first.
    pub delays_ms_by_second: Vec<Vec<f64>>,
    /// As many as there should be: every other member of the room for every marker.
    pub expected: u64,
    /// Markers heard in a room in which they were not said.
    pub crossed: u64,
    /// Markers that came back to whoever sent them.
    pub own_heard: u64,
    /// Markers heard again by the same listener, as when a frame is repeated for one that is
    /// missing.
    pub repeated: u64,
}

#[derive(Debug, Default)]
struct Room {
    next_serial: u8,
    sent: [Option<Sent>; SERIALS as usize],
}

#[derive(Debug)]
struct Sent {
    talker: usize,
    at: Instant,
    /// By place in the room.
    heard: Vec<bool>,
}

impl Ledger {
    /// Empty books.
    pub fn new(plan: Plan) -> Self {
        let rooms = (0..plan.rooms()).map(|_| Room::default()).collect();
        Self {
            plan,
            rooms,
            found: Found::default(),
            since: None,
        }
    }

    /// The mark for the next marked frame of a talker, who sends it at `at`.
    pub fn send(&mut self, talker: usize, at: Instant) -> Mark {
        self.since.get_or_insert(at);
        let room = self.plan.room_of(talker);
        let members = self.plan.members(room).len();
        let books = &mut self.rooms[room];
        let serial = books.next_serial;
        books.next_serial = (serial + 1) % SERIALS;
        books.sent[usize::from(serial)] = Some(Sent {
            talker,
            at,
            heard: vec![false; members],
        });
        self.found.expected += members as u64 - 1;
        Mark {
            room: room as u16,
            serial,
        }
    }

    /// Somebody has heard a mark at `at`.
    pub fn hear(&mut self, listener: usize, mark: Mark, at: Instant) {
        let room = self.plan.room_of(listener);
        let place = listener - self.plan.members(room).start;
        let sent = match self.rooms[room].sent.get_mut(usize::from(mark.serial)) {
            Some(Some(sent)) if usize::from(mark.room) == room => sent,
            _ => return self.found.crossed += 1,
        };
        if sent.talker == listener {
            self.found.own_heard += 1;
        } else if std::mem::replace(&mut sent.heard[place], true) {
            self.found.repeated += 1;
        } else {
            let delay_ms = at.duration_since(sent.at).as_micros() as f64 / 1_000.0;
            let since = self.since.unwrap_or(sent.at);
            let second = (sent.at.duration_since(since).as_millis() / 1_000) as usize;
            let by_second = &mut self.found.delays_ms_by_second;
            by_second.resize(by_second.len().max(second + 1), Vec::new());
            by_second[second].push(delay_ms);
        }
    }
}

impl Found {
    /// Adds another round's.
    pub fn add(&mut self, other: &Self) {
        let seconds = other.delays_ms_by_second.len();
        let mine = &mut self.delays_ms_by_second;
        mine.resize(mine.len().max(seconds), Vec::new());
        for (mine, others) in mine.iter_mut().zip(&other.delays_ms_by_second) {
            mine.extend_from_slice(others);
        }
        self.expected += other.expected;
        self.crossed += other.crossed;
        self.own_heard += other.own_heard;
        self.repeated += other.repeated;
    }

    /// The delays of all seconds.
    pub fn delays_ms(&self) -> Vec<f64> {
        self.delays_ms_by_second.concat()
    }

    /// The share of expected hearings that came about; `None` where none were expected.
    pub fn share_delivered(&self) -> Option<f64> {
        let heard: usize = self.delays_ms_by_second.iter().map(Vec::len).sum();
        (self.expected > 0).then(|| heard as f64 / self.expected as f64)
    }
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::audio::format::AudioFormat;

    use super::*;

    fn ledger() -> Ledger {
        Ledger::new(Plan {
            rooms_named: "load",
            participants: 6,
            room_size: 3,
            talkers: 3,
            codec: CodecId::Pcm16,
            format: AudioFormat::DEFAULT,
            seed: 1,
        })
    }

    fn at_ms(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn every_other_member_counts_once() {
        let mut ledger = ledger();
        let mark = ledger.send(4, at_ms(100));
        assert_eq!(mark, Mark { room: 1, serial: 0 });
        ledger.hear(3, mark, at_ms(121));
        ledger.hear(3, mark, at_ms(141));
        ledger.hear(5, mark, at_ms(112));
        let found = ledger.found;
        assert_eq!(found.delays_ms(), [21.0, 12.0]);
        assert_eq!((found.expected, found.repeated), (2, 1));
        assert_eq!(found.share_delivered(), Some(1.0));
    }

    #[test]
    fn delays_are_kept_by_the_second_of_sending_over_all_rounds() {
        let round = |delays_ms: [u64; 3]| {
            let mut ledger = ledger();
            for (sent_ms, delay_ms) in [5_000, 5_900, 7_100].into_iter().zip(delays_ms) {
                let mark = ledger.send(4, at_ms(sent_ms));
                ledger.hear(3, mark, at_ms(sent_ms + delay_ms));
            }
            ledger.found
        };
        let mut found = Found::default();
        found.add(&round([10, 2_000, 30]));
        found.add(&round([11, 12, 13]));
        let expected = [vec![10.0, 2_000.0, 11.0, 12.0], vec![], vec![30.0, 13.0]];
        assert_eq!(found.delays_ms_by_second, expected);
    }

    #[test]
    fn what_must_never_be_heard_is_noticed() {
        let mut ledger = ledger();
        let mark = ledger.send(4, at_ms(0));
        ledger.hear(4, mark, at_ms(1));
        ledger.hear(1, mark, at_ms(1));
        ledger.hear(3, Mark { serial: 9, ..mark }, at_ms(1));
        let found = ledger.found;
        assert_eq!((found.own_heard, found.crossed), (1, 2));
        assert_eq!(found.share_delivered(), Some(0.0));
    }

    #[test]
    fn numbers_come_round() {
        let mut ledger = ledger();
        let serials: Vec<u8> = (0..=SERIALS)
            .map(|_| ledger.send(0, at_ms(0)).serial)
            .collect();
        assert_eq!(serials.first(), serials.last());
    }
}
