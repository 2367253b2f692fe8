//! What is due when: a queue ordered by time. Each room has one for its members' links; the lobby
//! has one for its links, and the shard one for its rooms.
//!
//! A deadline that has moved leaves its old entry behind; whoever pops one asks the thing itself
//! whether it is still meant. So a packet that puts off a deadline costs nothing. Old entries are
//! taken out together once they outnumber the others, so that links that come and go leave nothing
//! behind, however long their timeout.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use talkspurt_core::time::Instant;

/// The timers of a room; where several are due at once, the first of them goes first: voice does
/// not wait for housekeeping.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The room mixes its next frame.
    Tick,
    /// The room tells what its participants do.
    Round,
    /// A member's link has to be looked at.
    Link,
}

/// Old entries that may lie about beyond as many as are meant.
const OLD_MAX: usize = 16;

/// The queue of deadlines for things that `K` names.
#[derive(Debug)]
pub struct Deadlines<K>(BinaryHeap<Reverse<(Instant, K)>>);

impl<K: Ord> Default for Deadlines<K> {
    /// Nothing is due.
    fn default() -> Self {
        Self(BinaryHeap::new())
    }
}

impl<K: Copy + Ord> Deadlines<K> {
    /// Adds one. Where there are far more than `meant_max`, takes out those that `is_meant` denies.
    pub fn push(
        &mut self,
        at: Instant,
        key: K,
        meant_max: usize,
        is_meant: impl Fn(Instant, K) -> bool,
    ) {
        self.0.push(Reverse((at, key)));
        if self.len() > 2 * meant_max + OLD_MAX {
            self.0.retain(|Reverse((at, key))| is_meant(*at, *key));
        }
    }

    /// Returns how many there are, old ones among them.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the earliest of all.
    pub fn earliest(&self) -> Option<Instant> {
        self.0.peek().map(|Reverse((at, _))| *at)
    }

    /// Takes the earliest if it has come.
    pub fn pop_due(&mut self, now: Instant) -> Option<(Instant, K)> {
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
    fn comes_in_order_of_time_and_then_of_what_it_is_for() {
        let at = Instant::from_micros;
        let mut deadlines = Deadlines::default();
        for (micros, key) in [(30, 'a'), (10, 'b'), (20, 'b'), (20, 'a')] {
            deadlines.push(at(micros), key, 9, |_, _| true);
        }
        assert_eq!(deadlines.earliest(), Some(at(10)));
        let in_order: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(at(20))).collect();
        assert_eq!(in_order, [(at(10), 'b'), (at(20), 'a'), (at(20), 'b')]);
        assert_eq!(deadlines.earliest(), Some(at(30)));
    }

    #[test]
    fn only_those_that_are_meant_are_kept() {
        let at = Instant::from_micros;
        let mut deadlines = Deadlines::default();
        assert!(deadlines.is_empty());
        assert_eq!(2 * 42 + OLD_MAX, 100);
        for micros in 0..100 {
            deadlines.push(at(micros), 'a', 42, |_, _| false);
        }
        assert_eq!(deadlines.len(), 100, "far more is more");
        deadlines.push(at(100), 'a', 42, |when, _| when >= at(98));
        assert_eq!((deadlines.len(), deadlines.is_empty()), (3, false));
        assert_eq!(deadlines.earliest(), Some(at(98)));
    }
}
