//! What a jitter buffer is told, and what it tells.

use crate::audio::format::FrameDuration;

/// How a jitter buffer adapts. All counts but one are in frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JitterConfig {
    /// How long a frame is, in units of a [`Timestamp`](crate::seq::Timestamp).
    pub frame_units: u16,
    /// The margin to start with, and to come back to: frames that wait behind the one being popped.
    pub target_frames: u16,
    /// The margin that jitter can drive it to; never more than half of the buffer.
    pub target_max_frames: u16,
    /// The jitter of so many of the latest items makes the margin; what none of them needed is
    /// surplus. Four frames less for each surplus frame, as it takes that long to take one out.
    pub shrink_window_frames: u16,
    /// Underruns in a row after which a talkspurt without a terminator counts as ended. Of items
    /// lost in a row as many are concealed one by one; a longer gap is jumped.
    pub conceal_max_frames: u16,
    /// The longest stall whose items are played late. When more wait at a pop (but never less than
    /// twice the margin, and pre-roll not counted), all but the newest are dropped.
    pub stall_max_frames: u16,
    /// The longest pre-roll with which a talkspurt may begin: frames that come before their time,
    /// and delay nothing. None for those who hear a server, which sends a frame a tick.
    pub pre_roll_max_frames: u16,
}

impl JitterConfig {
    /// Sensible times at this frame duration, with a starting margin of `target_frames`.
    ///
    /// A window of 1.5 s leaves time to be back at the usual delay 2 s after a disturbance, and
    /// remembers what comes late once a second; 100 ms of concealment is about a syllable, after
    /// which repeating what was heard misleads more than silence; 200 ms of margin is where talking
    /// over each other begins (ITU-T G.114 advises at most 150 ms one way for all of a path); voice
    /// that is 300 ms old only delays what is new.
    pub const fn default_for(frame: FrameDuration, target_frames: u16) -> Self {
        // Whole in frames of any duration.
        let in_100_ms = frame.frames_in_ms(100) as u16;
        Self {
            frame_units: frame.units() as u16,
            target_frames,
            target_max_frames: 2 * in_100_ms,
            shrink_window_frames: 15 * in_100_ms,
            conceal_max_frames: in_100_ms,
            stall_max_frames: 3 * in_100_ms,
            pre_roll_max_frames: 2 * in_100_ms,
        }
    }
}

/// What became of a pushed item.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PushOutcome {
    /// It waits for its turn.
    Queued,
    /// It waits for its turn, and older items were dropped to make room.
    QueuedAfterDropping(u16),
    /// Its turn is over: dropped.
    Late,
    /// It is there already: dropped.
    Duplicate,
}

/// What is due now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Pop<T> {
    /// An item, and whether it was the talkspurt's last.
    Item(T, bool),
    /// It is lost, later ones are there: conceal it.
    Missing,
    /// Nothing is there, though the talkspurt goes on: conceal; what comes late is still played.
    Underrun,
    /// Nobody talks, or the margin is still filling.
    Silence,
}

/// What has happened so far. All counts wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct JitterStats {
    /// Items that came after their turn.
    pub late: u32,
    /// Items that were not there in their turn; one that came afterwards is counted in `late` too.
    pub lost: u32,
    /// Items that came twice.
    pub duplicate: u32,
    /// Items dropped because the buffer was full.
    pub overflowed: u32,
    /// Pops that had to be concealed, for loss or underrun.
    pub concealed: u32,
    /// Items dropped to shorten the delay.
    pub skipped: u32,
}

impl JitterStats {
    /// Nothing has happened.
    pub(super) const NONE: Self = Self {
        late: 0,
        lost: 0,
        duplicate: 0,
        overflowed: 0,
        concealed: 0,
        skipped: 0,
    };

    /// Adds the counts of another buffer. They wrap.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            late: self.late.wrapping_add(other.late),
            lost: self.lost.wrapping_add(other.lost),
            duplicate: self.duplicate.wrapping_add(other.duplicate),
            overflowed: self.overflowed.wrapping_add(other.overflowed),
            concealed: self.concealed.wrapping_add(other.concealed),
            skipped: self.skipped.wrapping_add(other.skipped),
        }
    }
}

/// Whether to drop an item now, to shorten the delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Shrink {
    /// The delay is right.
    No,
    /// At the next quiet moment.
    WhenQuiet,
    /// Now: no quiet moment came in time.
    Now,
}
