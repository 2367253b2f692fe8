//! How many items should wait behind the one that is played, and whether more do.
//!
//! What is measured is when items come, in frames before their turn: by how many items wait behind
//! the one that is taken. The least and the most of the last 1.5 s are remembered in parts. What
//! lies between them is the jitter, and the margin; what lies below the least was not needed by any
//! item, and is surplus.

use super::report::{JitterConfig, Shrink};

/// The window has so many parts; one more is remembered, as the newest is not whole.
const PARTS: u16 = 4;

/// A surplus frame is taken out in so many frames: time compression makes voice at most 1.35 times
/// as fast, and leaving out every fourth frame is no faster.
const POPS_PER_SURPLUS: u16 = 4;

/// More that wait are not told apart.
const FRAMES_MAX: u16 = 126;

/// A single surplus frame waits for a quiet moment through so many windows.
const QUIET_WINDOWS: u16 = 3;

/// For so many pops a talkspurt is young: 400 ms in frames of 20 ms. A pre-roll of 200 ms has come
/// by then, even on a line that carries little more than voice.
const YOUNG_POPS: u8 = 20;

/// How many items waited in a part of the window; 126 stand for more. A negative number waited for
/// an item: it came later than its turn by so much.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Part {
    least: i8,
    most: i8,
}

impl Part {
    const EMPTY: Self = Self {
        least: i8::MAX,
        most: i8::MIN,
    };
}

/// The margin now aimed at, and the surplus.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Margin {
    target_frames: u16,
    shrink: Shrink,
    /// Items that wait because they came before their time: what is left of the pre-roll.
    early_frames: u16,
    /// By so much an item that came in the window was early at most.
    window_most_early: u16,
    /// Pops in which items may still show that the talkspurt is early.
    young_pops: u8,
    /// Parts of the window over whose items `window_most_early` is.
    window_parts: u8,
    /// Of the part that runs; the least of its items was not touched for so long.
    part_pops: u16,
    /// Of this talkspurt, the newest first.
    parts: [Part; PARTS as usize + 1],
    /// The jitter of those before it, and how long ago it was.
    past_jitter_frames: u16,
    past_pops: u16,
    /// For so long a quiet moment was waited for.
    quiet_due_pops: u16,
}

impl Margin {
    pub(super) const fn new(config: &JitterConfig) -> Self {
        Self {
            target_frames: config.target_frames,
            shrink: Shrink::No,
            early_frames: 0,
            window_most_early: 0,
            young_pops: 0,
            window_parts: 0,
            part_pops: 0,
            parts: [Part::EMPTY; PARTS as usize + 1],
            past_jitter_frames: 0,
            past_pops: 0,
            quiet_due_pops: 0,
        }
    }

    pub(super) const fn target_frames(&self) -> u16 {
        self.target_frames
    }

    pub(super) const fn early_frames(&self) -> u16 {
        self.early_frames
    }

    /// Whether an item is to be dropped.
    pub(super) const fn shrink_due(&self) -> Shrink {
        self.shrink
    }

    /// A talkspurt begins, so many of whose items are early: they delay nothing, and are no margin,
    /// as the sender takes its lead back.
    pub(super) const fn begin(&mut self, early_frames: u16) {
        self.early_frames = early_frames;
        self.young_pops = YOUNG_POPS;
    }

    /// An item that is early by so much has come. On a slow line a pre-roll takes its time to come,
    /// and shows only then.
    pub(super) fn arrived(&mut self, early_frames: u16) {
        self.window_most_early = self.window_most_early.max(early_frames);
        if self.young_pops > 0 {
            self.early_frames = self.early_frames.max(early_frames);
        }
    }

    /// An item came so much later than its turn; after 0, it is missed in its turn. What waits is
    /// no surplus now.
    #[inline(never)]
    pub(super) fn late(&mut self, frames: u16, config: &JitterConfig) {
        self.note(-few(frames));
        self.judge(config);
    }

    /// An item that was waited for has come: what is played is later by so much from now on, and
    /// this item comes just in time.
    pub(super) fn waited(&mut self, frames: u16, config: &JitterConfig) {
        self.shift(-few(frames));
        self.late(0, config);
    }

    /// Whether an item of the window came later than its turn as it is now, so that one like it
    /// would be missed, and the delay may still grow: it does not for what no margin would help.
    pub(super) fn is_short(&self, config: &JitterConfig) -> bool {
        self.target_frames < config.target_max_frames && self.parts.iter().any(|it| it.least < 0)
    }

    /// An item was taken in its turn, and so many wait behind it.
    pub(super) fn taken(&mut self, all_waiting_frames: u16, config: &JitterConfig) {
        let waiting_frames = all_waiting_frames.saturating_sub(self.early_frames);
        self.young_pops = self.young_pops.saturating_sub(1);
        if self.part_pops >= part_frames(config) {
            self.end_part();
        }
        self.note(few(waiting_frames));
        self.part_pops += 1;
        self.past_pops = self.past_pops.saturating_add(1);
        self.judge(config);
        self.quiet_due_pops = match self.shrink {
            Shrink::WhenQuiet => self.quiet_due_pops.saturating_add(1),
            _ => 0,
        };
        if self.quiet_due_pops > config.shrink_window_frames.saturating_mul(QUIET_WINDOWS) {
            self.shrink = Shrink::Now;
        }
    }

    /// One item more was taken: fewer wait from now on.
    #[inline(never)]
    pub(super) fn skipped(&mut self, config: &JitterConfig) {
        self.shift(1);
        self.judge(config);
    }

    /// What comes is the backlog of an outage, which is no jitter: begins to measure anew.
    pub(super) fn forget(&mut self, config: &JitterConfig) {
        self.parts = [Part::EMPTY; PARTS as usize + 1];
        self.part_pops = 0;
        self.past_jitter_frames = 0;
        self.judge(config);
    }

    /// A talkspurt begins or ends. Each waits for the margin anew, so what waited in one says
    /// nothing of what is to wait in the next; but their jitter is the same network's.
    #[inline(never)]
    pub(super) fn settle(&mut self, config: &JitterConfig) {
        let (jitter_frames, pops) = self.judge(config);
        // The older jitter is forgotten soon, and would take this one with it.
        let is_old = self.past_pops > config.shrink_window_frames / 2;
        if jitter_frames > 0 && is_old || jitter_frames >= self.past_jitter_frames {
            (self.past_jitter_frames, self.past_pops) = (jitter_frames, pops);
        }
        self.parts = [Part::EMPTY; PARTS as usize + 1];
        self.part_pops = 0;
        self.judge(config);
    }

    /// A talkspurt comes so many frames after what was said before it.
    pub(super) fn pause(&mut self, frames: u16, config: &JitterConfig) {
        self.past_pops = self.past_pops.saturating_add(frames);
        self.judge(config);
    }

    #[inline(never)]
    fn shift(&mut self, frames: i8) {
        for part in self.parts.iter_mut().filter(|it| it.least != i8::MAX) {
            part.least = part.least.saturating_sub(frames).min(FRAMES_MAX as i8);
            part.most = part.most.saturating_sub(frames);
        }
    }

    #[inline(never)]
    fn note(&mut self, waiting_frames: i8) {
        let part = &mut self.parts[0];
        part.most = part.most.max(waiting_frames);
        if waiting_frames < part.least {
            part.least = waiting_frames;
            self.part_pops = 0;
        }
    }

    fn end_part(&mut self) {
        self.parts.rotate_right(1);
        self.parts[0] = Part::EMPTY;
        self.part_pops = 0;
        self.window_parts += 1;
        if u16::from(self.window_parts) >= PARTS {
            self.early_frames = self.early_frames.min(self.window_most_early);
            self.window_most_early = 0;
            self.window_parts = 0;
        }
    }

    /// The more surplus frames there are, the longer it takes to take them out, and the sooner that
    /// begins. A single one waits longer for a quiet moment, as the next item may come close before
    /// its turn. Returns the jitter of this talkspurt, and how long ago it was.
    fn judge(&mut self, config: &JitterConfig) -> (u16, u16) {
        let (mut least, mut most, mut pops) = (i8::MAX, i8::MIN, self.part_pops);
        let (mut jitter, part_frames) = ((0, 0), part_frames(config));
        self.shrink = Shrink::No;
        for part in self.parts.iter().filter(|it| it.least != i8::MAX) {
            least = least.min(part.least);
            most = most.max(part.most);
            let jitter_frames = i16::from(most).abs_diff(least.into());
            if jitter_frames > jitter.0 {
                jitter = (jitter_frames, pops);
            }
            let surplus = u16::from(least.max(0).cast_unsigned());
            let surplus = surplus.saturating_sub(config.target_frames);
            let sooner = surplus.saturating_mul(POPS_PER_SURPLUS);
            let due = config.shrink_window_frames.saturating_sub(sooner);
            let due = due.max(part_frames);
            if surplus > 1 && pops >= due {
                self.shrink = Shrink::Now;
            } else if surplus > 0 && pops >= due - due / 4 && self.shrink == Shrink::No {
                self.shrink = Shrink::WhenQuiet;
            }
            pops = pops.saturating_add(part_frames);
        }
        if self.past_pops >= config.shrink_window_frames {
            self.past_jitter_frames = 0;
        }
        let jitter_frames = self
            .past_jitter_frames
            .max(jitter.0)
            .min(config.target_max_frames);
        self.target_frames = jitter_frames.max(config.target_frames);
        jitter
    }
}

/// As a part counts them.
fn few(frames: u16) -> i8 {
    frames.min(FRAMES_MAX) as i8
}

fn part_frames(config: &JitterConfig) -> u16 {
    (config.shrink_window_frames / PARTS).max(1)
}
