//! When what is due: a queue ordered by time.
//!
//! A deadline that has moved leaves its old entry behind; whoever pops one asks the thing itself whether it is still meant. So a
//! packet that puts off a deadline costs nothing. Old entries are taken out together once they outnumber the others, so that
//! connections that come and go leave nothing behind, however long their timeout.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use talkspurt_core::time::Instant;

use crate::hub::{ConnId, RoomId};

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// A room mixes its next frame. Before connections: voice does not wait for housekeeping.
    Tick(RoomId),
    /// A room tells what its participants do.
    States(RoomId),
    /// A connection has to be looked at.
    Connection(ConnId),
}

/// The queue.
#[derive(Debug, Default)]
pub struct Deadlines(BinaryHeap<Reverse<(Instant, Due)>>);

impl Deadlines {
    /// Adds one.
    pub fn push(&mut self, at: Instant, due: Due) {
        self.0.push(Reverse((at, due)));
    }

    /// How many there are, old ones among them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// There is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes out those that are no longer meant.
    pub fn retain(&mut self, mut is_meant: impl FnMut(Instant, Due) -> bool) {
        self.0.retain(|Reverse((at, due))| is_meant(*at, *due));
    }

    /// The earliest of all.
    pub fn earliest(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest if it has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, Due)> {
        if self.earliest()? > now {
            return None;
        }
        self.0.pop().map(|Reverse(entry)| entry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_in_order_of_time_and_ticks_first() {
        let at = Instant::from_micros;
        let (tick, connection) = (
            Due::Tick(RoomId::default()),
            Due::Connection(ConnId::default()),
        );
        let mut deadlines = Deadlines::default();
        for (micros, due) in [(30, tick), (10, connection), (20, connection), (20, tick)] {
            deadlines.push(at(micros), due);
        }
        assert_eq!(deadlines.earliest(), Some(at(10)));
        let in_order: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(at(20))).collect();
        assert_eq!(
            in_order,
            [(at(10), connection), (at(20), tick), (at(20), connection)]
        );
        assert_eq!(deadlines.earliest(), Some(at(30)));
    }

    #[test]
    fn only_those_that_are_meant_are_kept() {
        let at = Instant::from_micros;
        let mut deadlines = Deadlines::default();
        assert!(deadlines.is_empty());
        for micros in 0..100 {
            deadlines.push(at(micros), Due::Connection(ConnId::default()));
        }
        deadlines.retain(|when, _| when >= at(98));
        assert_eq!((deadlines.len(), deadlines.is_empty()), (2, false));
        assert_eq!(deadlines.earliest(), Some(at(98)));
    }
}
