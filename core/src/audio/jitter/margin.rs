//! How many items should wait behind the one that is played, and whether more do.

use super::report::{JitterConfig, Shrink};

/// Windows in which a surplus frame waits for a quiet moment before it is dropped regardless.
const OVERDUE_WINDOWS: u8 = 3;

/// A pause takes back what was not needed of the margin if nothing came late for this part of
/// the time in which it decays: 5 s by default. A Wi-Fi that stalls every few seconds needs it
/// again.
const CALM_PARTS: u16 = 2;

/// For so many pops a talkspurt is young: 400 ms in frames of 20 ms. A pre-roll of 200 ms has come
/// by then, even on a line that carries little more than voice.
const YOUNG_POPS: u8 = 20;

/// The margin now aimed at. Late items widen it, a long time without them takes it back; items that
/// wait beyond it through a whole window are surplus.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct Margin {
    target_frames: u16,
    /// Items that wait because they came before their time: what is left of the pre-roll.
    early_frames: u16,
    pops_since_late: u16,
    /// The fewest items that waited since the last late one, or since the last pause that changed
    /// the margin.
    calm_least_waiting: u16,
    window_pops: u16,
    window_least_waiting: u16,
    /// By so much an item that came in the window was early at most.
    window_most_early: u16,
    windows_overdue: u8,
    /// Pops in which items may still show that the talkspurt is early.
    young_pops: u8,
}

impl Margin {
    pub(super) const fn new(config: &JitterConfig) -> Self {
        Self {
            target_frames: config.target_frames,
            early_frames: 0,
            pops_since_late: 0,
            calm_least_waiting: u16::MAX,
            window_pops: 0,
            window_least_waiting: u16::MAX,
            window_most_early: 0,
            windows_overdue: 0,
            young_pops: 0,
        }
    }

    pub(super) const fn target_frames(&self) -> u16 {
        self.target_frames
    }

    pub(super) const fn early_frames(&self) -> u16 {
        self.early_frames
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

    /// Whether an item is to be dropped.
    pub(super) const fn shrink_due(&self) -> Shrink {
        match self.windows_overdue {
            0 => Shrink::No,
            n if n < OVERDUE_WINDOWS => Shrink::WhenQuiet,
            _ => Shrink::Now,
        }
    }

    /// Begins to watch for a surplus anew.
    #[inline(never)]
    pub(super) const fn restart_window(&mut self) {
        self.window_pops = 0;
        self.window_least_waiting = u16::MAX;
        self.windows_overdue = 0;
    }

    /// An item came later than the margin allows for.
    pub(super) fn widen(&mut self, config: &JitterConfig, slots: u16) {
        let most = config.target_max_frames.min(slots / 2);
        self.target_frames = (self.target_frames + 1).min(most.max(config.target_frames));
        self.restart_calm();
    }

    /// A talkspurt has ended. If the network was calm of late, what it did not touch of the margin
    /// is not needed.
    pub(super) fn pause(&mut self, config: &JitterConfig) {
        if self.is_calm(config) {
            self.target_frames = self.target_after_pause(config);
            self.restart_calm();
        }
    }

    /// The margin that the next pause leaves.
    pub(super) fn target_after_pause(&self, config: &JitterConfig) -> u16 {
        if self.is_calm(config) {
            self.lowered_by(self.calm_least_waiting, config)
        } else {
            self.target_frames
        }
    }

    const fn is_calm(&self, config: &JitterConfig) -> bool {
        self.pops_since_late >= config.decay_window_frames / CALM_PARTS
    }

    /// An item was taken in its turn, and so many wait behind it.
    pub(super) fn taken(&mut self, all_waiting_frames: u16, config: &JitterConfig) {
        let waiting_frames = all_waiting_frames.saturating_sub(self.early_frames);
        self.pops_since_late = self.pops_since_late.wrapping_add(1);
        self.calm_least_waiting = self.calm_least_waiting.min(waiting_frames);
        if self.pops_since_late.checked_rem(config.decay_window_frames) == Some(0) {
            self.target_frames = self.lowered_by(1, config);
        }
        self.young_pops = self.young_pops.saturating_sub(1);
        self.window_pops += 1;
        self.window_least_waiting = self.window_least_waiting.min(waiting_frames);
        self.judge_window(config);
    }

    const fn restart_calm(&mut self) {
        self.pops_since_late = 0;
        self.calm_least_waiting = u16::MAX;
    }

    /// The margin less so many frames, but no less than it began with.
    fn lowered_by(&self, frames: u16, config: &JitterConfig) -> u16 {
        let lowered = self.target_frames.saturating_sub(frames);
        lowered.max(config.target_frames)
    }

    /// The more surplus frames there are, the shorter is the window.
    fn judge_window(&mut self, config: &JitterConfig) {
        let surplus_frames = self.window_least_waiting.saturating_sub(self.target_frames);
        if self.window_pops < config.shrink_window_frames / surplus_frames.max(1) {
            return;
        }
        self.windows_overdue = if surplus_frames == 0 {
            0
        } else {
            self.windows_overdue.saturating_add(1)
        };
        self.early_frames = self.early_frames.min(self.window_most_early);
        self.window_most_early = 0;
        self.window_pops = 0;
        self.window_least_waiting = u16::MAX;
    }
}
