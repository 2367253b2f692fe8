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
    pub fn append(&mut self, other: &mut Self) {
        self.control.append(&mut other.control);
        self.voice.append(&mut other.voice);
    }

    /// Returns whether nobody has output.
    pub fn is_empty(&self) -> bool {
        self.control.is_empty() && self.voice.is_empty()
    }
}
