//! What a jitter buffer remembers beside the items.

use super::margin::Margin;
use super::pace::Pace;
use super::report::{JitterConfig, JitterStats};
use crate::seq::{Seq, Timestamp};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) enum Phase {
    /// Between talkspurts.
    Idle,
    /// The first items are there; pops so far in which they waited.
    Filling(u16),
    /// Pops give items.
    Playing,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Slot<T> {
    pub(super) timestamp: Timestamp,
    pub(super) terminator: bool,
    pub(super) item: T,
}

/// The newest item of all.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Newest {
    pub(super) seq: Seq,
    pub(super) timestamp: Timestamp,
    pub(super) terminator: bool,
}

/// A talkspurt of which nothing was played yet.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Coming {
    /// The item that came first.
    pub(super) first: Seq,
    /// By so much the newest of its items is early now.
    pub(super) early_frames: u16,
}

/// All but the items, which are too large to be made in one place and moved to another.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct State {
    pub(super) config: JitterConfig,
    pub(super) queued: u16,
    /// Terminators among the queued items.
    pub(super) terminators: u16,
    /// More queued items than this are the backlog of a stall.
    pub(super) backlog_over: u16,
    pub(super) phase: Phase,
    /// The item that is due next.
    pub(super) next: Seq,
    /// The timestamp of the last item that was popped or dropped. Whatever is not later is over.
    pub(super) played: Option<Timestamp>,
    pub(super) newest: Option<Newest>,
    pub(super) pace: Pace,
    /// The talkspurt of the newest item, unless that is the rest of one that was played already.
    pub(super) coming: Option<Coming>,
    pub(super) margin: Margin,
    pub(super) underruns_in_a_row: u16,
    /// Which of the 32 items before `next` were concealed, as later ones had overtaken them: lost
    /// or late. The lowest bit is the one right before it.
    pub(super) given_up: u32,
    /// Something between the last item that was popped and the next one is not played.
    pub(super) gap: bool,
    /// There was such a gap before the item that was popped last.
    pub(super) resumed: bool,
    pub(super) stats: JitterStats,
}

impl State {
    /// Moves on by so many items.
    pub(super) fn advance(&mut self, items: u16) {
        self.next = self.next.plus(items);
        self.given_up = self.given_up.checked_shl(items.into()).unwrap_or(0);
    }

    /// How late an item is that was given up, in items; `None` if it was not.
    pub(super) fn take_given_up(&mut self, seq: Seq) -> Option<u16> {
        let late = self.next.distance(seq).max(0).cast_unsigned();
        let bit = 1u32.checked_shl(u32::from(late).checked_sub(1)?)?;
        let was_given_up = self.given_up & bit != 0;
        self.given_up &= !bit;
        was_given_up.then_some(late)
    }

    // If it is not inlined, the compiler builds the slots on the stack and moves them from there: a
    // node has no room for that.
    #[inline(always)]
    pub(super) const fn new(config: JitterConfig) -> Self {
        Self {
            config,
            queued: 0,
            terminators: 0,
            backlog_over: 0,
            phase: Phase::Idle,
            next: Seq(0),
            played: None,
            newest: None,
            pace: Pace::NEW,
            coming: None,
            margin: Margin::new(&config),
            underruns_in_a_row: 0,
            given_up: 0,
            gap: false,
            resumed: false,
            stats: JitterStats::NONE,
        }
    }
}
