//! Frames from a microphone to voice packets: level, gate with pre-roll, encoder.
//!
//! Call [`Uplink::push`] with each frame, then [`Uplink::poll_voice`] until it returns `None`.

use crate::audio::codec::{AnyCodec, Codec, CodecError};
use crate::audio::format::AudioFormat;
use crate::audio::gate::{Gate, GateConfig, GateConfigError, GateDecision};
use crate::audio::level::{LevelMeter, SILENCE, half_db, rms};
use crate::seq::{Seq, Timestamp};
use crate::wire::Voice;

/// The pre-roll by default, in milliseconds: a plosive and the start of its vowel.
pub const PRE_ROLL_DEFAULT_MS: u32 = 60;

/// Samples that an uplink keeps for the default pre-roll and the frame being sent, in the default
/// format.
pub const HISTORY_SAMPLES_DEFAULT: usize =
    history_samples(AudioFormat::DEFAULT, PRE_ROLL_DEFAULT_MS as usize);

/// Samples that an uplink keeps for a pre-roll of so many milliseconds and the frame being sent.
pub const fn history_samples(format: AudioFormat, pre_roll_ms: usize) -> usize {
    format.rate.samples_in_ms(pre_roll_ms) + format.frame_samples()
}

/// How voice is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct UplinkConfig<C = AnyCodec> {
    /// The session's codec, which has heard nothing yet.
    pub codec: C,
    /// The session's format. The history must hold a frame of it.
    pub format: AudioFormat,
    /// When voice is sent.
    pub gate: GateConfig,
    /// Frames from before the gate opened that are sent first. What exceeds the history is not
    /// kept.
    pub pre_roll_frames: u16,
}

impl<C> UplinkConfig<C> {
    /// The default gate and pre-roll.
    pub const fn default_for(codec: C, format: AudioFormat) -> Self {
        Self {
            codec,
            format,
            gate: GateConfig::default_for(format.frame),
            pre_roll_frames: format.frame.frames_in_ms(PRE_ROLL_DEFAULT_MS) as u16,
        }
    }
}

/// A frame that a codec outside the uplink has encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct EncodedFrame<'a> {
    /// When the frame starts on the session's clock: a frame after the one before it in the same
    /// talkspurt, and later than all before it. By it the other side tells pauses.
    pub timestamp: Timestamp,
    /// How loud it is, as [`half_db`] has it.
    pub level: u8,
    /// The frame in the session's codec.
    pub payload: &'a [u8],
    /// Whether it is the last of its talkspurt.
    pub terminator: bool,
}

/// What an uplink has done. All counts wrap.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct UplinkStats {
    /// Frames pushed.
    pub frames_captured: u32,
    /// Frames sent, pre-roll among them.
    pub frames_sent: u32,
    /// Talkspurts begun.
    pub talkspurts: u32,
    /// Frames that were to be sent but not polled in time.
    pub frames_overrun: u32,
}

/// One microphone's way to the wire. `HISTORY` is how many samples it keeps: the pre-roll and one
/// frame.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Uplink<const HISTORY: usize = HISTORY_SAMPLES_DEFAULT, C = AnyCodec> {
    pre_roll_frames: u16,
    /// How long a frame is, in units of a timestamp.
    frame_units: u8,
    gate: Gate,
    encoder: C,
    history: History<HISTORY>,
    /// Frames at the new end of the history that are to be sent.
    unsent_frames: u16,
    /// The newest of them ends the talkspurt.
    closing: bool,
    /// The talkspurt before the unsent frames ends with an empty packet of this time.
    empty_terminator_due: Option<Timestamp>,
    /// Those of the next packet.
    seq: Seq,
    timestamp: Timestamp,
    /// When the frame that was pushed last started; the first starts a frame after the session.
    clock: Timestamp,
    has_spoken: bool,
    muted: bool,
    meter: LevelMeter,
    level_rms: u16,
    stats: UplinkStats,
}

impl<const HISTORY: usize, C: Codec> Uplink<HISTORY, C> {
    /// An uplink whose gate is closed.
    ///
    /// # Errors
    /// As [`GateConfig::check`].
    pub fn new(config: UplinkConfig<C>) -> Result<Self, GateConfigError> {
        config.gate.check()?;
        Ok(Self::checked(config))
    }

    /// An uplink with the default gate and pre-roll. It cannot fail, so it can be made in the place
    /// where it is to be.
    #[inline]
    pub fn default_for(codec: C, format: AudioFormat) -> Self {
        Self::checked(UplinkConfig::default_for(codec, format))
    }

    #[inline]
    fn checked(config: UplinkConfig<C>) -> Self {
        Self {
            pre_roll_frames: config.pre_roll_frames,
            frame_units: config.format.frame.units() as u8,
            gate: Gate::checked(config.gate),
            encoder: config.codec,
            history: History::new(config.format.frame_samples()),
            unsent_frames: 0,
            closing: false,
            empty_terminator_due: None,
            seq: Seq(0),
            timestamp: Timestamp(0),
            clock: Timestamp(0),
            has_spoken: false,
            muted: false,
            meter: LevelMeter::new(config.format.rate),
            level_rms: 0,
            stats: UplinkStats::default(),
        }
    }

    /// Begins another session, as [`Uplink::new`] does, in place: a microcontroller has no room for
    /// a second uplink.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn restart(&mut self, config: UplinkConfig<C>) -> Result<(), GateConfigError> {
        let new_gate = Gate::new(config.gate)?;
        // Named one by one, so that a field which is added later cannot be forgotten here.
        let Self {
            pre_roll_frames,
            frame_units,
            gate,
            encoder,
            history,
            unsent_frames,
            closing,
            empty_terminator_due,
            seq,
            timestamp,
            clock,
            has_spoken,
            muted,
            meter,
            level_rms,
            stats,
        } = self;
        *pre_roll_frames = config.pre_roll_frames;
        *frame_units = config.format.frame.units() as u8;
        *gate = new_gate;
        *encoder = config.codec;
        history.restart(config.format.frame_samples());
        *unsent_frames = 0;
        *closing = false;
        *empty_terminator_due = None;
        *seq = Seq(0);
        (*timestamp, *clock) = (Timestamp(0), Timestamp(0));
        (*has_spoken, *muted) = (false, false);
        *meter = LevelMeter::new(config.format.rate);
        *level_rms = 0;
        *stats = UplinkStats::default();
        Ok(())
    }

    /// Takes the next frame. Panics if it has not the session's length.
    pub fn push(&mut self, frame: &[i16]) -> GateDecision {
        self.stats.frames_captured = self.stats.frames_captured.wrapping_add(1);
        self.level_rms = self.meter.rms(frame);
        self.clock = self.clock.plus(self.frame_units.into());
        if self.muted {
            return GateDecision::Closed;
        }
        if self.closing {
            // The last talkspurt's end was not polled: its frames are no longer distinguishable
            // from this one's.
            self.lose_unsent(self.unsent_frames);
            self.closing = false;
            self.end_without_frame();
            // Most of what is kept has been sent: it must not be sent again as pre-roll.
            self.history.clear();
        }
        let decision = self.gate.push(self.level_rms);
        let kept_before = self.history.frames;
        self.history.push(frame);
        match decision {
            GateDecision::Closed => {}
            GateDecision::Opened => {
                self.stats.talkspurts = self.stats.talkspurts.wrapping_add(1);
                // The pre-roll runs ahead of its time from here.
                if self.clock.distance(self.timestamp) > 0 {
                    self.timestamp = self.clock;
                }
                self.unsent_frames = 1 + kept_before
                    .min(self.pre_roll_frames)
                    .min(self.history.frames - 1);
            }
            GateDecision::Open => self.unsent_frames += 1,
            GateDecision::Closing => {
                self.unsent_frames += 1;
                self.closing = true;
            }
        }
        self.lose_unsent(self.unsent_frames.saturating_sub(self.history.frames));
        decision
    }

    /// Takes a frame that was encoded, and found worth sending, elsewhere: neither gate nor
    /// pre-roll has a say. Returns its voice packet; `None` while muted. Poll what was pushed as
    /// samples first.
    pub fn push_encoded<'a>(&mut self, frame: EncodedFrame<'a>) -> Option<Voice<'a>> {
        self.stats.frames_captured = self.stats.frames_captured.wrapping_add(1);
        self.timestamp = frame.timestamp.plus(self.frame_units.into());
        if self.muted {
            return None;
        }
        // What was kept before it is no pre-roll of what comes after it.
        self.history.clear();
        let is_first = !self.gate.is_open();
        self.stats.talkspurts = self.stats.talkspurts.wrapping_add(u32::from(is_first));
        self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
        if frame.terminator {
            self.gate.close();
        } else {
            self.gate.open();
        }
        Some(self.voice(
            frame.timestamp,
            frame.level,
            frame.terminator,
            frame.payload,
        ))
    }

    /// Returns the next voice packet, its payload in `buffer`; `None` when all is sent. A payload
    /// takes at most [`PAYLOAD_MAX`](crate::audio::codec::PAYLOAD_MAX) bytes, or
    /// [`ADPCM_PAYLOAD_MAX`](crate::audio::codec::ADPCM_PAYLOAD_MAX) in that codec.
    pub fn poll_voice<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Voice<'a>> {
        if let Some(timestamp) = self.empty_terminator_due.take() {
            return Some(self.voice(timestamp, SILENCE, true, &[]));
        }
        let age_frames = self.unsent_frames.checked_sub(1)?;
        self.unsent_frames = age_frames;
        let terminator = self.closing && age_frames == 0;
        if terminator {
            self.closing = false;
            self.history.clear_after_next_read();
        }
        self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
        let frame = self.history.frame(age_frames);
        let len = self.encoder.encode(frame, buffer).unwrap_or(0);
        let level = half_db(rms(frame));
        let timestamp = self.next_timestamp();
        Some(self.voice(timestamp, level, terminator, &buffer[..len]))
    }

    /// Ends a running talkspurt (an empty terminator follows) and forgets what was said: as before
    /// leaving.
    #[inline(never)]
    pub fn finish(&mut self) {
        if self.gate.is_open() || self.closing {
            self.end_without_frame();
        }
        self.gate.close();
        self.closing = false;
        self.unsent_frames = 0;
        self.history.clear();
    }

    /// Mutes: nothing is sent, and nothing said while muted is sent later.
    pub fn set_muted(&mut self, muted: bool) {
        if muted && !self.muted {
            self.finish();
        }
        self.muted = muted;
    }

    /// Changes the gate's thresholds.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn set_gate(&mut self, gate: GateConfig) -> Result<(), GateConfigError> {
        self.gate.set_config(gate)
    }

    /// The gate's thresholds as they are now.
    pub const fn gate_config(&self) -> &GateConfig {
        self.gate.config()
    }

    /// Whether a talkspurt is running.
    pub const fn is_talking(&self) -> bool {
        self.gate.is_open()
    }

    /// Checks whether `payload` is a frame of this session.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), CodecError> {
        self.encoder.check(payload, self.history.frame_samples)
    }

    /// Returns the number of the last packet, if there was one.
    pub fn last_seq(&self) -> Option<Seq> {
        self.has_spoken.then(|| self.seq.plus(u16::MAX))
    }

    /// The level of the last frame, without offset, rumble and hum: RMS, 0..=32768.
    pub const fn level_rms(&self) -> u16 {
        self.level_rms
    }

    /// What it has done so far.
    pub const fn stats(&self) -> &UplinkStats {
        &self.stats
    }

    /// Ends the talkspurt with an empty packet. If one is due already, no other went after it.
    fn end_without_frame(&mut self) {
        if self.empty_terminator_due.is_none() {
            self.empty_terminator_due = Some(self.next_timestamp());
        }
    }

    /// Returns the time of the next packet; the one after it is a frame later.
    fn next_timestamp(&mut self) -> Timestamp {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.plus(self.frame_units.into());
        timestamp
    }

    fn voice<'a>(
        &mut self,
        timestamp: Timestamp,
        level: u8,
        terminator: bool,
        payload: &'a [u8],
    ) -> Voice<'a> {
        let seq = self.seq;
        self.seq = seq.next();
        self.has_spoken = true;
        Voice {
            seq,
            timestamp,
            level,
            stream: 0,
            terminator,
            payload,
        }
    }

    fn lose_unsent(&mut self, frames: u16) {
        self.unsent_frames -= frames;
        self.stats.frames_overrun = self.stats.frames_overrun.wrapping_add(u32::from(frames));
    }
}

/// The latest frames, in a ring of samples.
#[derive(Clone, Debug)]
struct History<const SAMPLES: usize> {
    samples: [i16; SAMPLES],
    frame_samples: usize,
    /// Frames that the ring can hold.
    capacity: usize,
    /// Frames in it.
    frames: u16,
    /// The slot of the next frame.
    write: usize,
    clear_on_push: bool,
}

impl<const SAMPLES: usize> History<SAMPLES> {
    #[inline(always)]
    fn new(frame_samples: usize) -> Self {
        let capacity = SAMPLES / frame_samples;
        Self {
            samples: [0; SAMPLES],
            frame_samples,
            capacity,
            frames: 0,
            write: 0,
            clear_on_push: false,
        }
    }

    /// Empty, and in slots of another length. What lies in the samples is written over before it is
    /// read.
    fn restart(&mut self, frame_samples: usize) {
        self.frame_samples = frame_samples;
        self.capacity = SAMPLES / frame_samples;
        self.write = 0;
        self.clear();
    }

    fn push(&mut self, frame: &[i16]) {
        if core::mem::take(&mut self.clear_on_push) {
            self.clear();
        }
        let start = self.write * self.frame_samples;
        self.samples[start..start + self.frame_samples].copy_from_slice(frame);
        self.write = (self.write + 1) % self.capacity;
        self.frames = (self.frames + 1).min(self.capacity as u16);
    }

    /// The frame of `age` frames ago; 0 is the newest. There must be as many.
    fn frame(&self, age: u16) -> &[i16] {
        let slot = (self.write + self.capacity - 1 - usize::from(age)) % self.capacity;
        &self.samples[slot * self.frame_samples..][..self.frame_samples]
    }

    fn clear(&mut self) {
        self.frames = 0;
        self.clear_on_push = false;
    }

    /// What was sent with a talkspurt must not be sent again as the pre-roll of the next.
    fn clear_after_next_read(&mut self) {
        self.clear_on_push = true;
    }
}
