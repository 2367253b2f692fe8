//! When each of many is to be looked at next.

use std::collections::BTreeSet;

use talkspurt_core::time::Instant;

/// A time for each index that has one.
#[derive(Debug, Default)]
pub struct Schedule {
    in_order: BTreeSet<(Instant, usize)>,
    by_index: Vec<Option<Instant>>,
}

impl Schedule {
    /// Sets when an index is due, in the place of what was set before.
    pub fn set(&mut self, index: usize, at: Option<Instant>) {
        if self.by_index.len() <= index {
            self.by_index.resize(index + 1, None);
        }
        let before = std::mem::replace(&mut self.by_index[index], at);
        if before == at {
            return;
        }
        if let Some(before) = before {
            self.in_order.remove(&(before, index));
        }
        if let Some(at) = at {
            self.in_order.insert((at, index));
        }
    }

    /// Returns when the next one is due.
    pub fn next(&self) -> Option<Instant> {
        self.in_order.first().map(|(at, _)| *at)
    }

    /// Takes out all that are due, in order of their indices.
    pub fn take_due(&mut self, now: Instant) -> BTreeSet<usize> {
        let mut due = BTreeSet::new();
        while let Some(&(at, index)) = self.in_order.first().filter(|(at, _)| *at <= now) {
            self.in_order.remove(&(at, index));
            self.by_index[index] = None;
            due.insert(index);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_who_are_due_come_in_order_of_index_and_once() {
        let at = Instant::from_micros;
        let mut schedule = Schedule::default();
        schedule.set(3, Some(at(10)));
        schedule.set(1, Some(at(20)));
        schedule.set(2, Some(at(30)));
        schedule.set(0, Some(at(5)));
        schedule.set(0, None);
        schedule.set(3, Some(at(15)));
        assert_eq!(schedule.next(), Some(at(15)));
        assert_eq!(schedule.take_due(at(14)), [].into());
        assert_eq!(schedule.take_due(at(20)), [1, 3].into());
        assert_eq!(schedule.take_due(at(20)), [].into());
        schedule.set(1, Some(at(40)));
        assert_eq!(schedule.take_due(at(50)), [1, 2].into());
        assert_eq!(schedule.next(), None);
    }
}
