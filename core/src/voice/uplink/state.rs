//! All of an uplink but its sound: what is to be sent, and when it is due.

use super::config::{UplinkConfig, UplinkStats};
use crate::audio::codec::Codec;
use crate::audio::gate::Gate;
use crate::audio::level::{LevelMeter, half_db};
use crate::seq::{Seq, Timestamp};
use crate::voice::history::History;
use crate::voice::shorten::{PAUSE_HALF_DB, QuietFrames};
use crate::wire::Voice;

/// Of four frames one is left out at most: a pause between two words, or before a plosive, remains
/// one.
const KEPT_FRAMES_LEAST: u8 = 3;

/// All but the sound, which is too large to be made in one place and moved to another.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct State<C> {
    pub(super) pre_roll_frames: u16,
    /// How long a frame is, in units of a timestamp.
    pub(super) frame_units: u32,
    pub(super) gate: Gate,
    pub(super) encoder: C,
    /// Frames at the new end of the history that are to be sent.
    pub(super) unsent_frames: u16,
    /// The newest of them ends the talkspurt.
    pub(super) closing: bool,
    /// The oldest of them is quiet, and is left out to take back the pre-roll's delay.
    pub(super) leaves_out: bool,
    /// Frames since one was left out.
    pub(super) kept_frames: u8,
    pub(super) quiet_frames: QuietFrames,
    /// The talkspurt before the unsent frames ends with an empty packet of this time.
    pub(super) empty_terminator_due: Option<Timestamp>,
    pub(super) last_seq: Option<Seq>,
    /// That of the next packet.
    pub(super) timestamp: Timestamp,
    /// When the frame that was pushed last started; the first starts a frame after the session.
    pub(super) clock: Timestamp,
    pub(super) muted: bool,
    pub(super) meter: LevelMeter,
    pub(super) level_rms: u16,
    pub(super) stats: UplinkStats,
}

impl<C: Codec> State<C> {
    /// The packet of a frame. The level of the one that was pushed last is known.
    pub(super) fn emit<'a>(
        &mut self,
        frame: &[i16],
        is_newest: bool,
        terminator: bool,
        buffer: &'a mut [u8],
    ) -> Voice<'a> {
        self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
        let len = self.encoder.encode(frame, buffer).unwrap_or(0);
        let level_rms = match is_newest {
            true => self.level_rms,
            false => self.meter.clone().rms(frame),
        };
        let timestamp = self.next_timestamp();
        self.voice(timestamp, half_db(level_rms), terminator, &buffer[..len])
    }
}

impl<C> State<C> {
    #[inline]
    pub(super) fn new(config: UplinkConfig<C>) -> Self {
        Self {
            pre_roll_frames: config.pre_roll_frames,
            frame_units: config.format.frame.units(),
            gate: Gate::checked(config.gate),
            encoder: config.codec,
            unsent_frames: 0,
            closing: false,
            leaves_out: false,
            kept_frames: 0,
            quiet_frames: QuietFrames::NEW,
            empty_terminator_due: None,
            last_seq: None,
            timestamp: Timestamp(0),
            clock: Timestamp(0),
            muted: false,
            meter: LevelMeter::new(config.format.rate),
            level_rms: 0,
            stats: UplinkStats::default(),
        }
    }

    /// Frames that cover so many milliseconds. A unit of a timestamp is 2.5 ms.
    pub(super) fn frames_in_ms(&self, ms: u16) -> u16 {
        (u32::from(ms) * 2).div_ceil(5 * self.frame_units) as u16
    }

    /// The frame pushed last opened the gate: it is sent behind the pre-roll, which runs ahead of
    /// its time from here.
    pub(super) fn begin_talkspurt(&mut self, pre_roll_frames: u16) {
        self.stats.talkspurts = self.stats.talkspurts.wrapping_add(1);
        if self.clock.distance(self.timestamp) > 0 {
            self.timestamp = self.clock;
        }
        self.unsent_frames = pre_roll_frames + 1;
        let pre_roll = u32::from(pre_roll_frames);
        self.stats.frames_pre_roll = self.stats.frames_pre_roll.wrapping_add(pre_roll);
        self.quiet_frames = QuietFrames::NEW;
        self.kept_frames = KEPT_FRAMES_LEAST;
    }

    /// By how much the sound that is pushed now is to be heard later than without any pre-roll, if
    /// that many samples wait beside the unsent frames.
    pub(super) fn delay_samples(&self, waiting_samples: isize, frame_samples: usize) -> usize {
        let unit_samples = frame_samples / self.frame_units as usize;
        let ahead_units = self.timestamp.distance(self.clock) - self.frame_units as i32;
        let unsent_samples = usize::from(self.unsent_frames) * frame_samples;
        let ahead_samples = (ahead_units as isize).saturating_mul(unit_samples as isize);
        let here_samples = waiting_samples + unsent_samples as isize;
        let delay_samples = ahead_samples.saturating_add(here_samples);
        delay_samples.max(0) as usize
    }

    /// Whether the next packet would be late if it were sent with the frame that is pushed next.
    pub(super) fn is_due(&self) -> bool {
        self.timestamp.distance(self.clock) <= 0
    }

    /// Takes the next unsent frame: how old it is, and whether a quiet one was blended into it.
    /// `None` if the only one left is to be blended into the one after it.
    pub(super) fn take_unsent<const HISTORY: usize>(
        &mut self,
        history: &mut History<HISTORY>,
        delay_samples: usize,
    ) -> Option<(u16, bool)> {
        let mut age_frames = self.unsent_frames.checked_sub(1)?;
        let is_blended = self.leaves_out(age_frames, delay_samples >= history.frame_samples);
        if is_blended {
            age_frames = age_frames.checked_sub(1)?;
            history.blend_into(age_frames);
            self.leaves_out = false;
        }
        self.unsent_frames = age_frames;
        Some((age_frames, is_blended))
    }

    /// Whether the oldest unsent frame is left out. Each frame is judged when it is the newest:
    /// what lies before the one that opened the gate never is.
    pub(super) fn leaves_out(&mut self, age_frames: u16, is_late: bool) -> bool {
        if age_frames == 0 && !self.leaves_out {
            self.leaves_out = is_late
                && self
                    .quiet_frames
                    .is_quiet(half_db(self.level_rms), PAUSE_HALF_DB)
                && self.kept_frames >= KEPT_FRAMES_LEAST
                && !self.closing;
            self.kept_frames = match self.leaves_out {
                true => 0,
                false => self.kept_frames.saturating_add(1),
            };
        }
        self.leaves_out
    }

    /// Ends the talkspurt with an empty packet. If one is due already, no other went after it.
    pub(super) fn end_without_frame(&mut self) {
        if self.empty_terminator_due.is_none() {
            self.empty_terminator_due = Some(self.next_timestamp());
        }
    }

    /// Returns the time of the next packet; the one after it is a frame later.
    pub(super) fn next_timestamp(&mut self) -> Timestamp {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.plus(self.frame_units);
        timestamp
    }

    pub(super) fn voice<'a>(
        &mut self,
        timestamp: Timestamp,
        level: u8,
        terminator: bool,
        payload: &'a [u8],
    ) -> Voice<'a> {
        let seq = self.last_seq.map_or(Seq(0), Seq::next);
        self.last_seq = Some(seq);
        Voice {
            seq,
            timestamp,
            level,
            stream: 0,
            terminator,
            payload,
        }
    }

    pub(super) fn lose_unsent(&mut self, frames: u16) {
        self.unsent_frames -= frames;
        self.leaves_out &= frames == 0;
        self.stats.frames_overrun = self.stats.frames_overrun.wrapping_add(u32::from(frames));
    }
}
