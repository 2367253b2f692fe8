//! The jitter buffer: puts items in order and says what is due at each pop.
//!
//! It knows nothing of audio or of packets: an item is whatever the caller pushes, one a frame. The
//! caller says when each arrives, and pops once a frame period.
//!
//! # What belongs together
//! Items of a talkspurt have timestamps that fit their sequence numbers. An item that does not fit
//! the newest one begins another talkspurt if its timestamp is later, and is a straggler if not. So
//! does one that fits, but comes behind a terminator or after a gap of more than a second.
//!
//! # How the delay follows the network
//! - It starts with a margin of `target_frames` (0: the first item is due at the next pop).
//! - An underrun (nothing there in the midst of a talkspurt) makes one pop of concealment, loses
//!   nothing, and so moves the playout one frame later. If a later item comes instead, the playout
//!   moves back, as the missing one was concealed already.
//! - If others of the last 1.5 s missed their turn, an item that is not there is waited for a frame
//!   longer, even if later ones have overtaken it: packets may come out of order.
//! - The margin is the jitter of the last 1.5 s: how far apart arrivals were, counted in frames
//!   before their turn, from the least to the most. If an item that an underrun concealed never
//!   comes, it was lost, and no margin would have helped.
//! - Items that are early by their timestamps, as a pre-roll is, are no delay: the sender takes its
//!   lead back.
//! - What none of these arrivals needed is surplus, and is to be dropped
//!   ([`JitterBuffer::shrink_due`]): where it is quiet after three quarters of the window, or else
//!   one item in four, begun when that is just enough to take everything back in 1.5 s.
//! - A pause counts as time, too. Where a talkspurt ends, every item beyond the margin and a short
//!   pre-roll goes, unless what waits ends as well. Before that, items go out of the quiet end of
//!   the talkspurt, so that the next one keeps its beginning.
//! - A stall of more than `stall_max_frames` is not played late: when its items come, all but the
//!   newest are dropped. If these are the end of a talkspurt, as many are kept as such a stall may
//!   have.
//!
//! Some functions are kept from being inlined: that saves a Cortex-M0 150 bytes of flash, as `cargo
//! xtask firmware measure` counts them.

use crate::seq::{Seq, Timestamp};
use crate::time::Instant;

use crate::audio::jitter::state::{Coming, Newest, Phase, Slot, State};

pub use crate::audio::jitter::report::{JitterConfig, JitterStats, Pop, PushOutcome, Shrink};

mod margin;
mod pace;
mod report;
mod skip;
mod state;

/// A longer gap within a talkspurt, in units of a timestamp (1 s), is a pause between two.
const GAP_MAX_UNITS: i32 = 400;

/// Up to `SLOTS` items (a power of two) of one stream. `T` is the item: an encoded payload, say.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JitterBuffer<T, const SLOTS: usize> {
    slots: [Option<Slot<T>>; SLOTS],
    state: State,
}

impl<T, const SLOTS: usize> JitterBuffer<T, SLOTS> {
    const POWER_OF_TWO: () = assert!(
        SLOTS.is_power_of_two() && SLOTS <= 1 << 14,
        "a slot is found by its sequence number, which wraps at 2^16"
    );

    /// An empty buffer.
    #[inline]
    pub const fn new(config: JitterConfig) -> Self {
        let () = Self::POWER_OF_TWO;
        Self {
            slots: [const { None }; SLOTS],
            state: State::new(Self::fitting(config)),
        }
    }

    /// Begins anew under `config`, as [`JitterBuffer::new`] does, in place: a microcontroller has
    /// no room for a second buffer.
    #[inline(never)]
    pub fn restart(&mut self, config: JitterConfig) {
        self.slots.fill_with(|| None);
        self.state = State::new(Self::fitting(config));
    }

    /// A margin of more than half of the slots would leave no room for what comes early.
    const fn fitting(mut config: JitterConfig) -> JitterConfig {
        if config.target_max_frames > SLOTS as u16 / 2 {
            config.target_max_frames = SLOTS as u16 / 2;
        }
        config
    }

    /// Takes an item that arrived at `now`: its sequence number, its time on the sender's clock,
    /// and whether it is the talkspurt's last.
    #[inline(never)]
    pub fn push(
        &mut self,
        now: Instant,
        seq: Seq,
        timestamp: Timestamp,
        terminator: bool,
        item: T,
    ) -> PushOutcome {
        if !self.is_due(now, seq, timestamp) {
            self.state.stats.late = self.state.stats.late.wrapping_add(1);
            if let Some(late) = self.state.take_given_up(seq) {
                self.state.margin.late(late, &self.state.config);
            }
            return PushOutcome::Late;
        }
        let dropped = self.make_room_for(seq);
        let slot = &mut self.slots[Self::index(seq)];
        if slot.is_some() {
            self.state.stats.duplicate = self.state.stats.duplicate.wrapping_add(1);
            return PushOutcome::Duplicate;
        }
        *slot = Some(Slot {
            timestamp,
            terminator,
            item,
        });
        let state = &mut self.state;
        state.queued += 1;
        state.terminators += u16::from(terminator);
        let is_newest = |it: Newest| timestamp.distance(it.timestamp) > 0;
        if state.newest.is_none_or(is_newest) {
            state.newest = Some(Newest {
                seq,
                timestamp,
                terminator,
            });
            let early_frames = state.pace.early_frames(now, timestamp, &state.config);
            match &mut state.coming {
                Some(coming) => coming.early_frames = early_frames,
                None => state.margin.arrived(early_frames),
            }
        }
        if dropped == 0 {
            PushOutcome::Queued
        } else {
            PushOutcome::QueuedAfterDropping(dropped)
        }
    }

    /// Returns whether the turn of an item, which may begin a talkspurt, is still to come.
    fn is_due(&mut self, now: Instant, seq: Seq, timestamp: Timestamp) -> bool {
        let state = &mut self.state;
        let is_over = |played| timestamp.distance(played) <= 0;
        if state.played.is_some_and(is_over) {
            return false;
        }
        let (mut begins, mut fits) = (true, false);
        if let Some(newest) = state.newest {
            let frames = i32::from(seq.distance(newest.seq));
            let later_units = timestamp.distance(newest.timestamp);
            fits = later_units == frames * i32::from(state.config.frame_units);
            if later_units <= 0 && !fits {
                return false;
            }
            begins =
                later_units > 0 && !(fits && !newest.terminator && later_units <= GAP_MAX_UNITS);
            if begins {
                let pause_frames = later_units / i32::from(state.config.frame_units.max(1));
                let pause_frames = pause_frames.min(u16::MAX.into()) as u16;
                state.margin.pause(pause_frames, &state.config);
            }
        }
        if begins {
            state.coming = Some(Coming {
                first: seq,
                early_frames: 0,
            });
            if !fits {
                state.pace.begin(now, timestamp, state.newest.is_none());
            }
        }
        if state.phase == Phase::Idle || (state.queued == 0 && begins) {
            let resumes = !begins && seq == state.next;
            self.start_talkspurt(seq);
            if resumes {
                // It was late by more than concealment lasts.
                self.state.margin.late(0, &self.state.config);
            }
        }
        if matches!(self.state.phase, Phase::Filling(_))
            && seq.distance(self.state.next) < 0
            && self.fits_before_first(seq)
        {
            // Reordered at the very start: nothing has been played yet, so it is not late.
            self.state.next = seq;
        }
        seq.distance(self.state.next) >= 0
    }

    /// Gives what is due. Call it once a frame period.
    #[inline(never)]
    pub fn pop(&mut self) -> Pop<T> {
        let coming = self.state.coming;
        if let Some(coming) = coming {
            let first = self.state.next.plus(self.free_from(self.state.next));
            if self.state.phase == Phase::Playing && coming.first == first {
                // The terminator before it was lost.
                self.state.gap = true;
                self.start_talkspurt(first);
            }
            let early_frames = coming.early_frames.saturating_sub(1);
            self.state.coming = Some(Coming {
                early_frames,
                ..coming
            });
        }
        match self.state.phase {
            Phase::Idle => return Pop::Silence,
            Phase::Filling(waited) => {
                let target_frames = self.state.margin.target_frames();
                let full = target_frames + coming.map_or(0, |coming| coming.early_frames);
                if self.state.queued <= full
                    && waited < target_frames
                    && self.state.terminators == 0
                {
                    self.state.phase = Phase::Filling(waited + 1);
                    return Pop::Silence;
                }
                self.state.phase = Phase::Playing;
                if let Some(coming) = coming {
                    self.state.margin.begin(coming.early_frames);
                    self.state.coming = None;
                }
                self.state.backlog_over = self.stall_max_frames();
            }
            Phase::Playing => {}
        }
        if self.state.queued == 0 {
            return self.underrun();
        }
        self.jump_what_was_concealed();
        self.jump_long_gap();
        self.drop_backlog();
        // Behind a terminator nothing more has to come: what waits then says nothing of the
        // network.
        let is_ending = self.state.terminators > 0;
        if !is_ending && self.waits_longer() {
            return self.underrun();
        }
        match self.take_next() {
            Some(slot) => {
                self.came_after_underrun();
                if !is_ending {
                    self.state
                        .margin
                        .taken(self.state.queued, &self.state.config);
                }
                self.played(slot)
            }
            None => {
                self.came_after_underrun();
                self.state.given_up |= 1;
                self.state.gap = true;
                self.count_lost(1);
                self.state.stats.concealed = self.state.stats.concealed.wrapping_add(1);
                Pop::Missing
            }
        }
    }

    /// Whether the caller should now [`JitterBuffer::skip_into`] the next item to shorten the
    /// delay.
    pub fn shrink_due(&self) -> Shrink {
        let next_is_droppable =
            matches!(&self.slots[Self::index(self.state.next)], Some(slot) if !slot.terminator);
        if self.state.phase != Phase::Playing || !next_is_droppable {
            return Shrink::No;
        }
        match self.state.margin.shrink_due() {
            Shrink::No if self.next_word_would_lose() => Shrink::WhenQuiet,
            due => due,
        }
    }

    /// Takes one item more within the same frame period, to be blended with the one just popped:
    /// the delay gets one frame shorter. `None` unless [`JitterBuffer::shrink_due`].
    pub fn skip_into(&mut self) -> Option<T> {
        if self.shrink_due() == Shrink::No {
            return None;
        }
        let slot = self.take_next()?;
        self.state.stats.skipped = self.state.stats.skipped.wrapping_add(1);
        self.state.margin.skipped(&self.state.config);
        match self.played(slot) {
            Pop::Item(item, _) => Some(item),
            _ => None,
        }
    }

    /// Whether the item that was popped last does not follow on what was popped before it:
    /// something was concealed or dropped.
    pub const fn has_resumed(&self) -> bool {
        self.state.resumed
    }

    /// Whether a talkspurt is in progress (or its first items are waiting).
    pub fn is_active(&self) -> bool {
        self.state.phase != Phase::Idle
    }

    /// Whether a [`JitterBuffer::pop`] now would give an item, or wait for the margin: it need not
    /// stand in for anything.
    pub fn is_next_here(&self) -> bool {
        match self.state.phase {
            Phase::Idle => false,
            Phase::Filling(_) => true,
            Phase::Playing => {
                self.slots[Self::index(self.state.next)].is_some()
                    || (self.state.queued > 0 && self.state.coming.is_some())
            }
        }
    }

    /// Items waiting now, in frames.
    pub const fn depth_frames(&self) -> u16 {
        self.state.queued
    }

    /// The margin now aimed at, in frames.
    pub const fn target_frames(&self) -> u16 {
        self.state.margin.target_frames()
    }

    /// What has happened so far.
    pub const fn stats(&self) -> &JitterStats {
        &self.state.stats
    }

    /// Drops all that waits and ends the talkspurt, as when a talker is muted or leaves.
    pub fn clear(&mut self) {
        self.slots.fill_with(|| None);
        self.state.queued = 0;
        self.state.terminators = 0;
        self.state.gap = false;
        // What came is over, whether it was played or not.
        self.state.played = self.state.newest.map(|newest| newest.timestamp);
        self.end_talkspurt();
    }

    const fn index(seq: Seq) -> usize {
        seq.0 as usize & (SLOTS - 1)
    }

    #[inline(never)]
    fn start_talkspurt(&mut self, seq: Seq) {
        self.state.phase = Phase::Filling(0);
        self.state.next = seq;
        self.state.given_up = 0;
        self.state.underruns_in_a_row = 0;
        self.state.margin.settle(&self.state.config);
    }

    #[inline(never)]
    fn end_talkspurt(&mut self) {
        self.state.phase = Phase::Idle;
        self.state.margin.settle(&self.state.config);
    }

    /// While filling: whether the span from `seq` to the newest item still fits the buffer: nothing
    /// lies where the items from `seq` up to the first one belong.
    fn fits_before_first(&self, seq: Seq) -> bool {
        self.free_from(seq) >= self.state.next.distance(seq).unsigned_abs()
    }

    /// Free slots from that of `seq` up to the first that is taken.
    #[inline(never)]
    fn free_from(&self, seq: Seq) -> u16 {
        (0..SLOTS as u16)
            .find(|&n| self.slots[Self::index(seq.plus(n))].is_some())
            .unwrap_or(0)
    }

    #[inline(never)]
    fn take_next(&mut self) -> Option<Slot<T>> {
        let slot = self.slots[Self::index(self.state.next)].take();
        self.state.advance(1);
        let slot = slot?;
        self.state.queued -= 1;
        self.state.terminators -= u16::from(slot.terminator);
        self.state.played = Some(slot.timestamp);
        Some(slot)
    }

    fn played(&mut self, slot: Slot<T>) -> Pop<T> {
        self.state.resumed = core::mem::take(&mut self.state.gap);
        if slot.terminator {
            self.end_after_terminator();
        }
        Pop::Item(slot.item, slot.terminator)
    }

    /// The next talkspurt may be waiting already: it begins at the earliest item that is left.
    #[inline(never)]
    fn end_after_terminator(&mut self) {
        self.end_talkspurt();
        // The next words must not lose their beginning to a little delay; and words with nothing
        // behind them delay nothing.
        if self.goes_on() {
            self.drop_surplus(self.kept_in_pause_frames());
        }
        if self.state.queued > 0 {
            self.start_talkspurt(self.state.next.plus(self.free_from(self.state.next)));
        }
    }

    /// The item that is due next has come. If there were underruns, it was late.
    fn came_after_underrun(&mut self) {
        let late_frames = core::mem::take(&mut self.state.underruns_in_a_row);
        if late_frames > 0 {
            self.state.margin.waited(late_frames, &self.state.config);
        }
    }

    fn underrun(&mut self) -> Pop<T> {
        self.state.underruns_in_a_row = self.state.underruns_in_a_row.saturating_add(1);
        self.state.gap = true;
        if self.state.underruns_in_a_row > self.state.config.conceal_max_frames {
            self.end_talkspurt();
            return Pop::Silence;
        }
        self.state.margin.late(0, &self.state.config);
        self.state.stats.concealed = self.state.stats.concealed.wrapping_add(1);
        Pop::Underrun
    }

    #[inline(never)]
    fn count_lost(&mut self, items: u16) {
        self.state.stats.lost = self.state.stats.lost.wrapping_add(u32::from(items));
    }
}
