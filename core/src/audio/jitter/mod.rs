//! The jitter buffer: puts items in order and says what is due at each pop.
//!
//! It knows nothing of audio or of packets: an item is whatever the caller pushes, one a frame. The caller says when each arrives,
//! and pops once a frame period.
//!
//! # How the delay follows the network
//! - It starts with a margin of `target_frames` (0: the first item is due at the next pop).
//! - An underrun (nothing there in the midst of a talkspurt) makes one pop of concealment, loses nothing, and so moves the
//!   playout one frame later; the margin for the next talkspurt grows by one frame. If the item then proves to be lost, the
//!   playout moves back: it was concealed already.
//! - When more items lie waiting than the margin asks for, through a whole window, one is to be dropped
//!   ([`JitterBuffer::shrink_due`]): the more there are, the shorter the window. Delay never only grows.
//! - A long time without underruns takes the margin back, frame by frame. Where a talkspurt ends, the part of the margin that a
//!   network which was calm for 5 s did not touch goes at once, and so does every item beyond the margin and a short pre-roll,
//!   unless what waits ends as well. Before that, items go out of the quiet end of the talkspurt, so that the next one keeps its
//!   beginning.
//! - A stall of more than `stall_max_frames` is not played late: when its items come, all but the newest are dropped. If these are
//!   the end of a talkspurt, as many are kept as such a stall may have.
//!
//! Some functions are kept from being inlined: that saves a Cortex-M0 150 bytes of flash, as
//! `cargo xtask firmware measure` counts them.

use crate::seq::Seq;
use crate::time::Instant;

use crate::audio::jitter::margin::Margin;
pub use crate::audio::jitter::report::{JitterConfig, JitterStats, Pop, PushOutcome, Shrink};

mod margin;
mod report;
mod skip;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
enum Phase {
    /// Between talkspurts.
    Idle,
    /// The first items are there; pops so far in which they waited.
    Filling(u16),
    /// Pops give items.
    Playing,
}

#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Slot<T> {
    timestamp_frames: u32,
    terminator: bool,
    item: T,
}

/// Up to `SLOTS` items (a power of two) of one stream. `T` is the item: an encoded payload, say.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JitterBuffer<T, const SLOTS: usize> {
    config: JitterConfig,
    slots: [Option<Slot<T>>; SLOTS],
    queued: u16,
    /// Terminators among the queued items.
    terminators: u16,
    /// More queued items than this are the backlog of a stall.
    backlog_over: u16,
    phase: Phase,
    /// The item that is due next.
    next: Seq,
    /// The timestamp of the last item that was popped; tells, between talkspurts, what is late. `None` before the first.
    played_timestamp: Option<u32>,
    margin: Margin,
    underruns_in_a_row: u16,
    /// Something between the last item that was popped and the next one is not played.
    gap: bool,
    /// There was such a gap before the item that was popped last.
    resumed: bool,
    stats: JitterStats,
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
            config,
            slots: [const { None }; SLOTS],
            queued: 0,
            terminators: 0,
            backlog_over: 0,
            phase: Phase::Idle,
            next: Seq(0),
            played_timestamp: None,
            margin: Margin::new(&config),
            underruns_in_a_row: 0,
            gap: false,
            resumed: false,
            stats: JitterStats {
                late: 0,
                lost: 0,
                duplicate: 0,
                overflowed: 0,
                concealed: 0,
                skipped: 0,
            },
        }
    }

    /// Begins anew under `config`, as [`JitterBuffer::new`] does, in place: a microcontroller has no room for a second buffer.
    #[inline(never)]
    pub fn restart(&mut self, config: JitterConfig) {
        self.slots.fill_with(|| None);
        // Named one by one, so that a field which is added later cannot be forgotten here.
        let Self {
            config: own_config,
            slots: _,
            queued,
            terminators,
            backlog_over,
            phase,
            next,
            played_timestamp,
            margin,
            underruns_in_a_row,
            gap,
            resumed,
            stats,
        } = self;
        *own_config = config;
        *queued = 0;
        *terminators = 0;
        *backlog_over = 0;
        *phase = Phase::Idle;
        *next = Seq(0);
        *played_timestamp = None;
        *margin = Margin::new(&config);
        *underruns_in_a_row = 0;
        (*gap, *resumed) = (false, false);
        *stats = JitterStats::default();
    }

    /// Takes an item that arrived at `_now`: its sequence number, the frame period that it belongs
    /// to, and whether it is the talkspurt's last. Today's rules count frame periods; the time is
    /// for those that measure how regularly items arrive.
    pub fn push(
        &mut self,
        _now: Instant,
        seq: Seq,
        timestamp_frames: u32,
        terminator: bool,
        item: T,
    ) -> PushOutcome {
        // Before an item is played, a straggler of the last talkspurt can be told by its timestamp only.
        if self.phase != Phase::Playing && self.is_from_the_past(timestamp_frames) {
            self.stats.late = self.stats.late.wrapping_add(1);
            return PushOutcome::Late;
        }
        if self.phase == Phase::Idle {
            self.start_talkspurt(seq);
        }
        if matches!(self.phase, Phase::Filling(_))
            && seq.distance(self.next) < 0
            && self.fits_before_first(seq)
        {
            // Reordered at the very start: nothing has been played yet, so it is not late.
            self.next = seq;
        }
        if seq.distance(self.next) < 0 {
            self.stats.late = self.stats.late.wrapping_add(1);
            return PushOutcome::Late;
        }
        let dropped = self.make_room_for(seq);
        let slot = &mut self.slots[Self::index(seq)];
        if slot.is_some() {
            self.stats.duplicate = self.stats.duplicate.wrapping_add(1);
            return PushOutcome::Duplicate;
        }
        *slot = Some(Slot {
            timestamp_frames,
            terminator,
            item,
        });
        self.queued += 1;
        self.terminators += u16::from(terminator);
        if dropped == 0 {
            PushOutcome::Queued
        } else {
            PushOutcome::QueuedAfterDropping(dropped)
        }
    }

    /// Gives what is due. Call it once a frame period.
    #[inline(never)]
    pub fn pop(&mut self) -> Pop<T> {
        match self.phase {
            Phase::Idle => return Pop::Silence,
            Phase::Filling(waited) => {
                let target_frames = self.margin.target_frames();
                if self.queued <= target_frames && waited < target_frames && self.terminators == 0 {
                    self.phase = Phase::Filling(waited + 1);
                    return Pop::Silence;
                }
                self.phase = Phase::Playing;
            }
            Phase::Playing => {}
        }
        if self.queued == 0 {
            return self.underrun();
        }
        self.jump_what_was_concealed();
        self.jump_long_gap();
        self.drop_backlog();
        // Behind a terminator nothing more has to come: what waits then says nothing of the network.
        let is_ending = self.terminators > 0;
        match self.take_next() {
            Some(slot) => {
                if !is_ending {
                    self.margin.taken(self.queued, &self.config);
                }
                self.played(slot)
            }
            None => {
                self.gap = true;
                self.count_lost(1);
                self.stats.concealed = self.stats.concealed.wrapping_add(1);
                Pop::Missing
            }
        }
    }

    /// Whether the caller should now [`JitterBuffer::skip_into`] the next item to shorten the delay.
    pub fn shrink_due(&self) -> Shrink {
        let next_is_droppable =
            matches!(&self.slots[Self::index(self.next)], Some(slot) if !slot.terminator);
        if self.phase != Phase::Playing || !next_is_droppable {
            return Shrink::No;
        }
        match self.margin.shrink_due() {
            Shrink::No if self.next_word_would_lose() => Shrink::WhenQuiet,
            due => due,
        }
    }

    /// Takes one item more within the same frame period, to be blended with the one just popped: the delay gets one frame shorter.
    /// `None` unless [`JitterBuffer::shrink_due`].
    pub fn skip_into(&mut self) -> Option<T> {
        if self.shrink_due() == Shrink::No {
            return None;
        }
        let slot = self.take_next()?;
        self.stats.skipped = self.stats.skipped.wrapping_add(1);
        self.margin.restart_window();
        match self.played(slot) {
            Pop::Item(item, _) => Some(item),
            _ => None,
        }
    }

    /// Whether the item that was popped last does not follow on what was popped before it: something was concealed or dropped.
    pub const fn has_resumed(&self) -> bool {
        self.resumed
    }

    /// Whether a talkspurt is in progress (or its first items are waiting).
    pub fn is_active(&self) -> bool {
        self.phase != Phase::Idle
    }

    /// Items waiting now, in frames.
    pub const fn depth_frames(&self) -> u16 {
        self.queued
    }

    /// The margin now aimed at, in frames.
    pub const fn target_frames(&self) -> u16 {
        self.margin.target_frames()
    }

    /// What has happened so far.
    pub const fn stats(&self) -> &JitterStats {
        &self.stats
    }

    /// Drops all that waits and ends the talkspurt, as when a talker is muted or leaves.
    pub fn clear(&mut self) {
        self.slots.fill_with(|| None);
        self.queued = 0;
        self.terminators = 0;
        self.gap = false;
        self.end_talkspurt();
    }

    const fn index(seq: Seq) -> usize {
        seq.0 as usize & (SLOTS - 1)
    }

    fn is_from_the_past(&self, timestamp_frames: u32) -> bool {
        self.played_timestamp
            .is_some_and(|played| timestamp_frames.wrapping_sub(played).cast_signed() <= 0)
    }

    fn start_talkspurt(&mut self, seq: Seq) {
        self.phase = Phase::Filling(0);
        self.next = seq;
        self.underruns_in_a_row = 0;
        // After a gap the talkspurt goes on; otherwise it begins, maybe with a pre-roll of half a second.
        let stall_max_frames = self.stall_max_frames();
        self.backlog_over = if self.gap {
            stall_max_frames
        } else {
            let most = self.config.stall_max_frames.max(stall_max_frames);
            most.saturating_mul(2)
        };
        self.margin.restart_window();
    }

    fn end_talkspurt(&mut self) {
        self.phase = Phase::Idle;
        self.margin.restart_window();
    }

    /// While filling: whether the span from `seq` to the newest item still fits the buffer: nothing lies where the items from
    /// `seq` up to the first one belong.
    fn fits_before_first(&self, seq: Seq) -> bool {
        self.free_from(seq) >= self.next.distance(seq).unsigned_abs()
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
        let slot = self.slots[Self::index(self.next)].take();
        self.next = self.next.next();
        if let Some(slot) = &slot {
            self.queued -= 1;
            self.terminators -= u16::from(slot.terminator);
        }
        slot
    }

    fn played(&mut self, slot: Slot<T>) -> Pop<T> {
        self.played_timestamp = Some(slot.timestamp_frames);
        self.underruns_in_a_row = 0;
        self.resumed = core::mem::take(&mut self.gap);
        if slot.terminator {
            self.end_after_terminator();
        }
        Pop::Item(slot.item, slot.terminator)
    }

    /// The next talkspurt may be waiting already: it begins at the earliest item that is left.
    #[inline(never)]
    fn end_after_terminator(&mut self) {
        self.end_talkspurt();
        self.margin.pause(&self.config);
        // The next words must not lose their beginning to the delay of a pre-roll; and words with
        // nothing behind them delay nothing.
        if self.goes_on() {
            self.drop_surplus(self.pre_roll_frames());
        }
        if self.queued > 0 {
            self.start_talkspurt(self.next.plus(self.free_from(self.next)));
        }
    }

    fn underrun(&mut self) -> Pop<T> {
        self.underruns_in_a_row = self.underruns_in_a_row.saturating_add(1);
        self.gap = true;
        if self.underruns_in_a_row > self.config.conceal_max_frames {
            self.end_talkspurt();
            return Pop::Silence;
        }
        self.margin
            .underrun(self.underruns_in_a_row == 1, &self.config, SLOTS as u16);
        self.stats.concealed = self.stats.concealed.wrapping_add(1);
        Pop::Underrun
    }

    #[inline(never)]
    fn count_lost(&mut self, items: u16) {
        self.stats.lost = self.stats.lost.wrapping_add(u32::from(items));
    }
}
