//! Links that have output, in the order in which it came to be.

use std::collections::VecDeque;

use slotmap::SecondaryMap;

use crate::ids::LinkId;

/// A queue in which each link stands at most once. It may name a link that has gone.
#[derive(Debug, Default)]
pub struct Queue {
    links: VecDeque<LinkId>,
    queued: SecondaryMap<LinkId, ()>,
}

impl Queue {
    /// Appends a link, unless it stands in the queue already.
    pub fn push(&mut self, link: LinkId) {
        if self.queued.insert(link, ()).is_none() {
            self.links.push_back(link);
        }
    }

    /// Takes the first link.
    pub fn pop(&mut self) -> Option<LinkId> {
        let link = self.links.pop_front()?;
        self.queued.remove(link);
        Some(link)
    }

    /// Returns whether no link has output.
    pub fn is_empty(&self) -> bool {
        self.links.is_empty()
    }
}

/// The queues.
#[derive(Debug, Default)]
pub struct Ready {
    /// Links for which there is anything but voice, or that are to be closed.
    pub control: Queue,
    /// Links for which there is voice.
    pub voice: Queue,
}
