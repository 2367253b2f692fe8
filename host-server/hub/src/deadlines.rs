//! What is due when: a queue ordered by time. Each room has one for its members' links; the lobby
//! has one for its links, and the shard one for its rooms.
//!
//! A deadline that moves back is not looked for in the queue: its owner is looked at early once,
//! and armed anew. So a packet that puts off a deadline costs nothing. One that moves forward
//! leaves its old entry behind. Old entries are ignored, and taken out together once they
//! outnumber the others, so that links that come and go leave nothing behind, however long their
//! timeout.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use slotmap::{Key, SecondaryMap};
use talkspurt_core::time::Instant;

/// Old entries that may lie about beyond as many as are meant.
const OLD_MAX: usize = 16;

/// The queue of deadlines, at most one for each owner `K`. Of those for the same moment, the ones
/// with the least `T` come first.
#[derive(Debug, Default)]
pub struct Deadlines<K: Key, T: Ord = ()> {
    /// Old entries among them.
    pub queue: BinaryHeap<Reverse<(Instant, T, K)>>,
    armed: SecondaryMap<K, (Instant, T)>,
}

impl<K: Key, T: Copy + Ord> Deadlines<K, T> {
    /// Has an owner looked at when `at` comes, or before.
    pub fn arm(&mut self, owner: K, at: Instant, first: T) {
        let due = (at, first);
        if self.armed.get(owner).is_some_and(|armed| *armed <= due) {
            return;
        }
        self.armed.insert(owner, due);
        self.queue.push(Reverse((at, first, owner)));
        if self.queue.len() > 2 * self.armed.len() + OLD_MAX {
            let is_meant = |&Reverse((at, first, owner)): &Reverse<(Instant, T, K)>| {
                self.armed.get(owner) == Some(&(at, first))
            };
            self.queue.retain(is_meant);
        }
    }

    /// Forgets an owner's deadline.
    pub fn disarm(&mut self, owner: K) {
        self.armed.remove(owner);
    }

    /// Returns the earliest of all, or an old one before that.
    pub fn earliest(&self) -> Option<Instant> {
        self.queue.peek().map(|Reverse((at, ..))| *at)
    }

    /// Takes the earliest if it has come. Returns whose it is, unless it is an old one.
    pub fn pop_due(&mut self, now: Instant) -> Option<K> {
        if self.earliest()? > now {
            return None;
        }
        let Reverse((at, first, owner)) = self.queue.pop()?;
        if self.armed.get(owner) != Some(&(at, first)) {
            return None;
        }
        self.disarm(owner);
        Some(owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LinkId;
    use slotmap::SlotMap;

    fn at(micros: u64) -> Instant {
        Instant::from_micros(micros)
    }

    #[test]
    fn comes_in_order_of_time_and_then_of_what_goes_first() {
        let mut owners = SlotMap::<LinkId, ()>::with_key();
        let mut deadlines = Deadlines::default();
        let [a, b, c, d] = [(30, 'a'), (10, 'b'), (20, 'b'), (20, 'a')].map(|(micros, first)| {
            let owner = owners.insert(());
            deadlines.arm(owner, at(micros), first);
            owner
        });
        assert_eq!(deadlines.earliest(), Some(at(10)));
        let in_order: Vec<_> = std::iter::from_fn(|| deadlines.pop_due(at(20))).collect();
        assert_eq!(in_order, [b, d, c]);
        assert_eq!(deadlines.earliest(), Some(at(30)));
        assert_eq!(
            (deadlines.pop_due(at(30)), deadlines.queue.is_empty()),
            (Some(a), true)
        );
    }

    #[test]
    fn an_owner_is_looked_at_once_at_its_earliest_deadline() {
        let mut owners = SlotMap::<LinkId, ()>::with_key();
        let [ann, ben] = [owners.insert(()), owners.insert(())];
        let mut deadlines = Deadlines::default();
        for micros in [20, 30, 10, 10] {
            deadlines.arm(ann, at(micros), ());
        }
        deadlines.arm(ben, at(15), ());
        deadlines.disarm(ben);
        assert_eq!(deadlines.queue.len(), 3);
        let looked: Vec<_> = (0..3).map(|_| deadlines.pop_due(at(99))).collect();
        assert_eq!(looked, [Some(ann), None, None]);
        deadlines.arm(ann, at(20), ());
        assert_eq!(deadlines.pop_due(at(20)), Some(ann));
    }

    #[test]
    fn old_entries_are_taken_out_once_they_outnumber_the_others() {
        let mut owners = SlotMap::<LinkId, ()>::with_key();
        let mut deadlines = Deadlines::default();
        let mut most = 0;
        for n in 0..1_000 {
            let owner = owners.insert(());
            deadlines.arm(owner, at(9_999 - n), ());
            if n % 100 > 0 {
                deadlines.disarm(owner);
            }
            most = most.max(deadlines.queue.len());
        }
        assert_eq!(
            most,
            2 * 11 + OLD_MAX,
            "ten that are meant, and one for a moment"
        );
        let popped = (0..most).filter_map(|_| deadlines.pop_due(at(9_999)));
        assert_eq!(popped.count(), 10);
    }
}
