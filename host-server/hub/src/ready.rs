//! Links that have output, in the order in which it came to be.

use std::collections::VecDeque;

use crate::ids::LinkId;

/// The queues. A link stands in each at most once, which the link itself takes care of.
#[derive(Debug, Default)]
pub struct Ready {
    /// Those for which there is anything but voice, or that are to be closed.
    pub control: VecDeque<LinkId>,
    /// Those for which there is voice.
    pub voice: VecDeque<LinkId>,
}

impl Ready {
    /// Moves all that `other` has behind what is here.
    #[inline]
    pub fn append(&mut self, other: &mut Self) {
        append(&mut self.control, &mut other.control);
        append(&mut self.voice, &mut other.voice);
    }

    /// Returns whether nobody has output.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.voice.is_empty()
    }
}

#[inline]
fn append(queue: &mut VecDeque<LinkId>, more: &mut VecDeque<LinkId>) {
    // Usually one of them is empty.
    if queue.is_empty() && !more.is_empty() {
        std::mem::swap(queue, more);
    } else if !more.is_empty() {
        queue.append(more);
    }
}
