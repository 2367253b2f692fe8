//! Frames from a microphone to voice packets: level, gate with pre-roll, encoder.
//!
//! Call [`Uplink::push`] with each frame, then [`Uplink::poll_voice`] until it returns `None`.

use crate::audio::codec::{AnyCodec, Codec, CodecError};
use crate::audio::format::AudioFormat;
use crate::audio::gate::{Gate, GateConfig, GateConfigError, GateDecision, GateLevels};
use crate::audio::level::{LevelMeter, SILENCE, half_db};
use crate::seq::{Seq, Timestamp};
use crate::time::Duration;
use crate::voice::catch_up::CatchUp;
use crate::voice::history::History;
use crate::voice::shorten::{PAUSE_HALF_DB, QuietFrames};
use crate::wire::Voice;

pub use crate::voice::catch_up::catch_up_samples;

/// The pre-roll by default, in milliseconds: a plosive and the start of its vowel.
pub const PRE_ROLL_DEFAULT_MS: u32 = 60;

/// The longest pre-roll that a server keeps room for, in milliseconds. Send no more.
pub const PRE_ROLL_MAX_MS: u16 = 200;

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
            gate: GateConfig::DEFAULT,
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
    /// Frames of pre-roll: each puts off what comes after it by its length, until that is taken
    /// back.
    pub frames_pre_roll: u32,
    /// Talkspurts begun.
    pub talkspurts: u32,
    /// Frames that were to be sent but not polled in time.
    pub frames_overrun: u32,
}

/// One microphone's way to the wire. `HISTORY` is how many samples it keeps: the pre-roll and one
/// frame.
///
/// A pre-roll puts off all that comes after it. Its delay is taken back where it is quiet, frame by
/// frame, and with `CATCH_UP` ([`catch_up_samples`]; none by default) also in the midst of speech:
/// by time compression, so that it is gone after four times its length.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Uplink<
    const HISTORY: usize = HISTORY_SAMPLES_DEFAULT,
    C = AnyCodec,
    const CATCH_UP: usize = 0,
> {
    state: State<C>,
    history: History<HISTORY>,
    catch_up: CatchUp<CATCH_UP>,
}

/// The length of a unit of a timestamp.
const UNIT_MICROS: u64 = 2_500;

/// Of four frames one is left out at most: a pause between two words, or before a plosive, remains
/// one.
const KEPT_FRAMES_LEAST: u8 = 3;

/// All but the sound, which is too large to be made in one place and moved to another.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct State<C> {
    pre_roll_frames: u16,
    /// How long a frame is, in units of a timestamp.
    frame_units: u32,
    gate: Gate,
    encoder: C,
    /// Frames at the new end of the history that are to be sent.
    unsent_frames: u16,
    /// The newest of them ends the talkspurt.
    closing: bool,
    /// The oldest of them is quiet, and is left out to take back the pre-roll's delay.
    leaves_out: bool,
    /// Frames since one was left out.
    kept_frames: u8,
    quiet_frames: QuietFrames,
    /// The talkspurt before the unsent frames ends with an empty packet of this time.
    empty_terminator_due: Option<Timestamp>,
    last_seq: Option<Seq>,
    /// That of the next packet.
    timestamp: Timestamp,
    /// When the frame that was pushed last started; the first starts a frame after the session.
    clock: Timestamp,
    muted: bool,
    meter: LevelMeter,
    level_rms: u16,
    stats: UplinkStats,
}

impl<const HISTORY: usize, C: Codec, const CATCH_UP: usize> Uplink<HISTORY, C, CATCH_UP> {
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
            history: History::new(config.format.frame_samples()),
            catch_up: CatchUp::new(config.format.rate),
            state: State::new(config),
        }
    }

    /// Begins another session, as [`Uplink::new`] does, in place: a microcontroller has no room for
    /// a second uplink.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn restart(&mut self, config: UplinkConfig<C>) -> Result<(), GateConfigError> {
        config.gate.check()?;
        self.history.restart(config.format.frame_samples());
        self.catch_up.restart(config.format.rate);
        self.state = State::new(config);
        Ok(())
    }

    /// Takes the next frame. Panics if it has not the session's length.
    pub fn push(&mut self, frame: &[i16]) -> GateDecision {
        let Self {
            state,
            history,
            catch_up,
        } = self;
        state.stats.frames_captured = state.stats.frames_captured.wrapping_add(1);
        let levels = state.meter.measure(frame);
        state.level_rms = levels.rms();
        state.clock = state.clock.plus(state.frame_units);
        if state.muted {
            state.gate.listen(&levels);
            return GateDecision::Closed;
        }
        if state.closing {
            // The last talkspurt's end was not polled: its frames are no longer distinguishable
            // from this one's.
            state.lose_unsent(state.unsent_frames);
            state.closing = false;
            state.end_without_frame();
            // Most of what is kept has been sent: it must not be sent again as pre-roll.
            history.clear();
            catch_up.clear();
        }
        let decision = state.gate.push(&levels);
        let kept_before = history.frames;
        history.push(frame);
        match decision {
            GateDecision::Closed => {}
            GateDecision::Opened => {
                catch_up.begin();
                let since_rise = state.frames_in_ms(state.gate.pre_roll_ms());
                let pre_roll = kept_before.min(state.pre_roll_frames).min(since_rise);
                state.begin_talkspurt(pre_roll.min(history.frames - 1));
            }
            GateDecision::Open => state.unsent_frames += 1,
            GateDecision::Closing => {
                state.unsent_frames += 1;
                state.closing = true;
            }
        }
        state.lose_unsent(state.unsent_frames.saturating_sub(history.frames));
        decision
    }

    /// Takes a frame that was encoded, and found worth sending, elsewhere: neither gate nor
    /// pre-roll has a say. Returns its voice packet; `None` while muted. Poll what was pushed as
    /// samples first.
    pub fn push_encoded<'a>(&mut self, frame: EncodedFrame<'a>) -> Option<Voice<'a>> {
        let Self { state, history, .. } = self;
        state.stats.frames_captured = state.stats.frames_captured.wrapping_add(1);
        state.timestamp = frame.timestamp.plus(state.frame_units);
        if state.muted {
            return None;
        }
        // What was kept before it is no pre-roll of what comes after it.
        history.clear();
        let is_first = !state.gate.is_open();
        state.stats.talkspurts = state.stats.talkspurts.wrapping_add(u32::from(is_first));
        state.stats.frames_sent = state.stats.frames_sent.wrapping_add(1);
        if frame.terminator {
            state.gate.close();
        } else {
            state.gate.open();
        }
        Some(state.voice(
            frame.timestamp,
            frame.level,
            frame.terminator,
            frame.payload,
        ))
    }

    /// Returns the next voice packet, its payload in `buffer`; `None` when all is sent that can be.
    /// A payload takes at most [`PAYLOAD_MAX`](crate::audio::codec::PAYLOAD_MAX) bytes, or
    /// [`ADPCM_PAYLOAD_MAX`](crate::audio::codec::ADPCM_PAYLOAD_MAX) in that codec.
    ///
    /// As long as a talkspurt runs ahead of its time because of its pre-roll, a frame that is quiet
    /// waits for the one after it, and the two are blended into one.
    pub fn poll_voice<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Voice<'a>> {
        if let Some(timestamp) = self.state.empty_terminator_due.take() {
            return Some(self.state.voice(timestamp, SILENCE, true, &[]));
        }
        if CATCH_UP > 0 {
            self.poll_shortened(buffer)
        } else {
            self.poll_frame(buffer)
        }
    }

    /// The oldest unsent frame, as it is.
    fn poll_frame<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Voice<'a>> {
        let Self { state, history, .. } = self;
        let delay_samples = state.delay_samples(0, history.frame_samples);
        let (age_frames, is_blended) = state.take_unsent(history, delay_samples)?;
        let terminator = state.closing && age_frames == 0;
        if terminator {
            state.closing = false;
            history.clear_after_next_read();
        }
        let frame = history.frame(age_frames);
        let is_newest = age_frames == 0 && !is_blended;
        Some(state.emit(frame, is_newest, terminator, buffer))
    }

    /// The next frame of what all unsent frames are made into.
    fn poll_shortened<'a>(&mut self, buffer: &'a mut [u8]) -> Option<Voice<'a>> {
        let Self {
            state,
            history,
            catch_up,
        } = self;
        let frame_samples = history.frame_samples;
        loop {
            let delay_samples = match state.closing {
                true => 0,
                false => state.delay_samples(catch_up.len(), frame_samples),
            };
            let enough = frame_samples + catch_up.kept_back(delay_samples, frame_samples);
            if catch_up.len() >= enough {
                break;
            }
            let (age_frames, _) = state.take_unsent(history, delay_samples)?;
            catch_up.push(history.frame(age_frames));
            if catch_up.len() >= enough {
                catch_up.shorten(delay_samples);
            }
        }
        let is_last = state.unsent_frames == 0 && catch_up.len() < 2 * frame_samples;
        let terminator = state.closing && is_last;
        let is_newest = is_last && catch_up.len() == frame_samples;
        let voice = state.emit(catch_up.first(frame_samples), is_newest, terminator, buffer);
        catch_up.pop(frame_samples);
        if terminator {
            // What is left of a delay is less than a frame, in the silence that closed the gate.
            catch_up.clear();
            state.closing = false;
            history.clear_after_next_read();
        }
        Some(voice)
    }

    /// Ends a running talkspurt (an empty terminator follows) and forgets what was said: as before
    /// leaving.
    #[inline(never)]
    pub fn finish(&mut self) {
        let Self {
            state,
            history,
            catch_up,
        } = self;
        if state.gate.is_open() || state.closing {
            state.end_without_frame();
        }
        state.gate.close();
        state.closing = false;
        state.leaves_out = false;
        state.unsent_frames = 0;
        history.clear();
        catch_up.clear();
    }

    /// Says that a frame period brought no frame, as the microphone is gone or has lost samples: a
    /// running talkspurt ends as [`Uplink::finish`] ends it, and the clock goes on.
    pub fn miss_frame(&mut self) {
        self.finish();
        self.state.clock = self.state.clock.plus(self.state.frame_units);
    }

    /// Says that the next frame begins later by so much than a frame after the last one. Between
    /// talkspurts only.
    pub(crate) const fn shift_clock(&mut self, later: Duration) {
        // To the nearest unit: the error is below that of the clocks of sound cards.
        let units = (later.as_micros() + UNIT_MICROS / 2) / UNIT_MICROS;
        self.state.clock = self.state.clock.plus(units as u32);
    }

    /// Mutes: nothing is sent, and nothing said while muted is sent later.
    pub fn set_muted(&mut self, muted: bool) {
        if muted && !self.state.muted {
            self.finish();
        }
        self.state.muted = muted;
    }

    /// Changes the gate's thresholds.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn set_gate(&mut self, gate: GateConfig) -> Result<(), GateConfigError> {
        self.state.gate.set_config(gate)
    }

    /// The gate's thresholds as they are now.
    pub const fn gate_config(&self) -> &GateConfig {
        self.state.gate.config()
    }

    /// The levels that the gate goes by now; `None` if it is always open.
    pub fn gate_levels(&self) -> Option<GateLevels> {
        self.state.gate.levels()
    }

    /// Whether a talkspurt is running.
    pub const fn is_talking(&self) -> bool {
        self.state.gate.is_open()
    }

    /// Checks whether `payload` is a frame of this session.
    pub(crate) fn check(&self, payload: &[u8]) -> Result<(), CodecError> {
        let encoder = &self.state.encoder;
        encoder.check(payload, self.history.frame_samples)
    }

    /// Returns the number of the last packet, if there was one.
    pub const fn last_seq(&self) -> Option<Seq> {
        self.state.last_seq
    }

    /// The level of the last frame, without offset, rumble and hum: RMS, 0..=32768.
    pub const fn level_rms(&self) -> u16 {
        self.state.level_rms
    }

    /// What it has done so far.
    pub const fn stats(&self) -> &UplinkStats {
        &self.state.stats
    }
}

impl<C: Codec> State<C> {
    /// The packet of a frame. The level of the one that was pushed last is known.
    fn emit<'a>(
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
    fn new(config: UplinkConfig<C>) -> Self {
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
    fn frames_in_ms(&self, ms: u16) -> u16 {
        (u32::from(ms) * 2).div_ceil(5 * self.frame_units) as u16
    }

    /// The frame pushed last opened the gate: it is sent behind the pre-roll, which runs ahead of
    /// its time from here.
    fn begin_talkspurt(&mut self, pre_roll_frames: u16) {
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
    fn delay_samples(&self, waiting_samples: usize, frame_samples: usize) -> usize {
        let unit_samples = frame_samples / self.frame_units as usize;
        let ahead_units = self.timestamp.distance(self.clock) - self.frame_units as i32;
        let unsent_samples = usize::from(self.unsent_frames) * frame_samples;
        let ahead_samples = ahead_units as isize * unit_samples as isize;
        let delay_samples = ahead_samples + (waiting_samples + unsent_samples) as isize;
        delay_samples.max(0) as usize
    }

    /// Takes the next unsent frame: how old it is, and whether a quiet one was blended into it.
    /// `None` if the only one left is to be blended into the one after it.
    fn take_unsent<const HISTORY: usize>(
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
    fn leaves_out(&mut self, age_frames: u16, is_late: bool) -> bool {
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
    fn end_without_frame(&mut self) {
        if self.empty_terminator_due.is_none() {
            self.empty_terminator_due = Some(self.next_timestamp());
        }
    }

    /// Returns the time of the next packet; the one after it is a frame later.
    fn next_timestamp(&mut self) -> Timestamp {
        let timestamp = self.timestamp;
        self.timestamp = timestamp.plus(self.frame_units);
        timestamp
    }

    fn voice<'a>(
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

    fn lose_unsent(&mut self, frames: u16) {
        self.unsent_frames -= frames;
        self.leaves_out &= frames == 0;
        self.stats.frames_overrun = self.stats.frames_overrun.wrapping_add(u32::from(frames));
    }
}
