//! Moving on over items that are not played: lost ones, and those that are too old.

use super::JitterBuffer;
use crate::seq::Seq;

/// Delay that a pause does not drop: this part of the longest stall, 60 ms by default.
const KEPT_PARTS: u16 = 4;

impl<T, const SLOTS: usize> JitterBuffer<T, SLOTS> {
    /// Advances past the oldest items until `seq` has a slot; gives how many were dropped.
    pub(super) fn make_room_for(&mut self, seq: Seq) -> u16 {
        let mut dropped = 0;
        while seq.distance(self.state.next) >= SLOTS as i16 {
            if self.state.queued == 0 {
                self.jump(seq.distance(self.state.next).unsigned_abs());
                break;
            }
            dropped += self.drop_next();
        }
        self.state.stats.overflowed = self.state.stats.overflowed.wrapping_add(u32::from(dropped));
        dropped
    }

    /// Moves on over the next item; gives 1 if it was there.
    fn drop_next(&mut self) -> u16 {
        self.state.gap = true;
        if self.take_next().is_some() {
            return 1;
        }
        self.count_lost(1);
        0
    }

    /// Drops the oldest items until only the margin and `tolerated` more are left. The next one is
    /// there then.
    pub(super) fn drop_surplus(&mut self, tolerated: u16) {
        let keep = self.state.margin.target_frames().saturating_add(tolerated);
        while self.state.queued > keep {
            self.state.stats.skipped = self
                .state
                .stats
                .skipped
                .wrapping_add(u32::from(self.drop_next()));
            self.jump(self.free_from(self.state.next));
        }
    }

    /// Drops what a long stall has brought at once, and what the rest of it brings.
    pub(super) fn drop_backlog(&mut self) {
        if self.state.queued > self.state.backlog_over {
            self.state.margin.forget(&self.state.config);
            // The end of what is here whole is worth hearing: it delays nothing that is to come.
            let tolerated = if self.goes_on() {
                1
            } else {
                self.state.config.stall_max_frames
            };
            self.drop_surplus(tolerated.saturating_add(self.state.margin.early_frames()));
            // What the rest of it brings is as old.
            self.state.backlog_over = self.state.queued;
        } else {
            self.state.backlog_over = self.stall_max_frames();
        }
    }

    /// A buffer that is full has a stall behind it, too; and what a wide margin or a pre-roll is
    /// for is no stall.
    #[inline(never)]
    pub(super) fn stall_max_frames(&self) -> u16 {
        let margin_frames = self.state.margin.target_frames().saturating_mul(2);
        let most = self.state.config.stall_max_frames.max(margin_frames);
        let most = most.saturating_add(self.state.margin.early_frames());
        most.min(SLOTS as u16 - 1).max(margin_frames)
    }

    /// Delay that a pause does not drop, and what is early behind it.
    pub(super) fn kept_in_pause_frames(&self) -> u16 {
        self.state.config.stall_max_frames / KEPT_PARTS
            + self.state.coming.map_or(0, |it| it.early_frames)
    }

    /// Whether the beginning of another word would be dropped where this one ends, as
    /// [`Self::end_after_terminator`] does.
    pub(super) fn next_word_would_lose(&self) -> bool {
        let kept_frames = self.state.margin.target_frames();
        // One comes for each that is popped: what waits now will wait then.
        self.state.terminators > 0
            && self.state.queued > kept_frames.saturating_add(self.kept_in_pause_frames())
            && self.goes_on()
    }

    /// Whether the newest item is no terminator: more is on its way.
    #[inline(never)]
    pub(super) fn goes_on(&self) -> bool {
        let newest = (0..SLOTS as u16)
            .rev()
            .find_map(|n| self.slots[Self::index(self.state.next.plus(n))].as_ref());
        newest.is_some_and(|newest| !newest.terminator)
    }

    /// Moves on over items that underruns have concealed and that prove to be lost, as later ones
    /// are there. Of an item that is to be waited for a frame longer, one underrun is kept.
    pub(super) fn jump_what_was_concealed(&mut self) {
        let kept = u16::from(self.state.margin.is_short(&self.state.config));
        while self.state.underruns_in_a_row > kept
            && self.slots[Self::index(self.state.next)].is_none()
        {
            self.state.underruns_in_a_row -= 1;
            self.jump(1);
            self.state.given_up |= 1;
        }
    }

    /// Whether the item that is due is not there and is to be waited for, as others came late: the
    /// delay is one frame longer from then on, whether this one comes or not.
    pub(super) fn waits_longer(&self) -> bool {
        self.state.underruns_in_a_row == 0
            && self.slots[Self::index(self.state.next)].is_none()
            && self.state.margin.is_short(&self.state.config)
    }

    /// Moves on to the earliest item if more are missing before it than are worth concealing.
    pub(super) fn jump_long_gap(&mut self) {
        let gap = self.free_from(self.state.next);
        if gap > self.state.config.conceal_max_frames {
            self.jump(gap);
        }
    }

    /// Moves on over so many items that are not there.
    fn jump(&mut self, items: u16) {
        self.state.gap = true;
        self.count_lost(items);
        self.state.advance(items);
    }
}
