//! Frames from a microphone to voice packets: level, gate with pre-roll, encoder.
//!
//! Call [`Uplink::push`] with each frame, then [`Uplink::poll_voice`] until it returns `None`.

mod config;
mod state;

use crate::audio::codec::{AnyCodec, Codec, CodecError};
use crate::audio::format::AudioFormat;
use crate::audio::gate::{GateConfig, GateConfigError, GateDecision, GateLevels};
use crate::audio::level::SILENCE;
use crate::seq::Seq;
use crate::time::Duration;
use crate::voice::catch_up::Waiting;
use crate::voice::history::History;
use crate::wire::Voice;
use state::State;

pub use crate::voice::catch_up::{CatchUp, Compress, LeaveOut, catch_up_samples};
pub use config::{EncodedFrame, UplinkConfig, UplinkStats};

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

/// One microphone's way to the wire. `HISTORY` is how many samples it keeps: the pre-roll and one
/// frame.
///
/// A pre-roll puts off all that comes after it. Its delay is taken back where it is quiet, frame by
/// frame ([`LeaveOut`], the default), or also in the midst of speech ([`Compress`]), so that it is
/// gone after four times its length.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Uplink<const HISTORY: usize = HISTORY_SAMPLES_DEFAULT, C = AnyCodec, K = LeaveOut> {
    state: State<C>,
    history: History<HISTORY>,
    catch_up: K,
}

/// The length of a unit of a timestamp.
const UNIT_MICROS: u64 = 2_500;

impl<const HISTORY: usize, C: Codec, K: CatchUp> Uplink<HISTORY, C, K> {
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
            catch_up: K::new(config.format.rate),
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
        if let Some(waiting) = self.catch_up.waiting() {
            waiting.restart(config.format.rate);
        }
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
            if let Some(waiting) = catch_up.waiting() {
                waiting.clear();
            }
        }
        let decision = state.gate.push(&levels);
        let kept_before = history.frames;
        history.push(frame);
        match decision {
            GateDecision::Closed => {}
            GateDecision::Opened => {
                let since_rise = state.frames_in_ms(state.gate.pre_roll_ms());
                let pre_roll = kept_before.min(state.pre_roll_frames).min(since_rise);
                let pre_roll = pre_roll.min(history.frames - 1);
                state.begin_talkspurt(pre_roll);
                if let Some(waiting) = catch_up.waiting() {
                    let pre_roll_samples = usize::from(pre_roll) * history.frame_samples;
                    waiting.begin(pre_roll_samples, state.gate.pre_roll_ms());
                }
            }
            GateDecision::Open => state.unsent_frames += 1,
            GateDecision::Closing => {
                state.unsent_frames += 1;
                state.closing = true;
            }
        }
        let lost_frames = state.unsent_frames.saturating_sub(history.frames);
        state.lose_unsent(lost_frames);
        if lost_frames > 0
            && let Some(waiting) = catch_up.waiting()
        {
            waiting.skip_nothing();
        }
        decision
    }

    /// Takes a frame that was encoded, and found worth sending, elsewhere: neither gate nor
    /// pre-roll has a say. Returns its voice packet; `None` while muted. Poll what was pushed as
    /// samples first.
    pub fn push_encoded<'a>(&mut self, frame: EncodedFrame<'a>) -> Option<Voice<'a>> {
        let Self {
            state,
            history,
            catch_up,
        } = self;
        state.stats.frames_captured = state.stats.frames_captured.wrapping_add(1);
        state.timestamp = frame.timestamp.plus(state.frame_units);
        if state.muted {
            return None;
        }
        // What was kept before it is no pre-roll of what comes after it.
        history.clear();
        if let Some(waiting) = catch_up.waiting() {
            waiting.clear();
            state.unsent_frames = 0;
            state.leaves_out = false;
        }
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
        let Self {
            state,
            history,
            catch_up,
        } = self;
        match catch_up.waiting() {
            None => Self::poll_frame(state, history, buffer),
            Some(waiting) => Self::poll_shortened(state, history, waiting, buffer),
        }
    }

    /// The oldest unsent frame, as it is.
    fn poll_frame<'a>(
        state: &mut State<C>,
        history: &mut History<HISTORY>,
        buffer: &'a mut [u8],
    ) -> Option<Voice<'a>> {
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
    fn poll_shortened<'a>(
        state: &mut State<C>,
        history: &mut History<HISTORY>,
        waiting: &mut Waiting,
        buffer: &'a mut [u8],
    ) -> Option<Voice<'a>> {
        let frame_samples = history.frame_samples;
        let mut is_newest = false;
        loop {
            let delay_samples = match state.closing {
                true => 0,
                false => state.delay_samples(waiting.ahead(), frame_samples),
            };
            let enough = frame_samples + waiting.kept_back(delay_samples, frame_samples);
            if waiting.len() >= enough {
                break;
            }
            let Some((age_frames, is_blended)) = state.take_unsent(history, delay_samples) else {
                // A quiet frame waits for the one after it. What is kept back is sent meanwhile,
                // unless packets run ahead: the listener must not miss one.
                if state.is_due() && waiting.len() >= frame_samples {
                    break;
                }
                return None;
            };
            waiting.push(history.frame(age_frames));
            is_newest = age_frames == 0 && !is_blended && waiting.len() == frame_samples;
            // The quiet frame that is blended into this one has taken back its length already.
            let blended_samples = usize::from(is_blended) * frame_samples;
            if waiting.len() >= enough {
                is_newest &= !waiting.shorten(delay_samples.saturating_sub(blended_samples));
            }
        }
        let is_last = state.unsent_frames == 0 && waiting.len() < 2 * frame_samples;
        let terminator = state.closing && is_last;
        let voice = state.emit(waiting.first(frame_samples), is_newest, terminator, buffer);
        waiting.pop(frame_samples);
        if terminator {
            // What is left of a delay is less than a frame, in the silence that closed the gate.
            waiting.clear();
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
        if let Some(waiting) = catch_up.waiting() {
            waiting.clear();
        }
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

    /// How much sound was pushed that is to be sent and waits here for more of it.
    pub fn held_back(&self) -> Duration {
        let frame_samples = self.history.frame_samples;
        let unsent_samples = usize::from(self.state.unsent_frames) * frame_samples;
        let held_samples = unsent_samples as isize + self.catch_up.held_samples();
        let frame_micros = u64::from(self.state.frame_units) * UNIT_MICROS;
        let micros = held_samples.max(0) as u64 * frame_micros / frame_samples as u64;
        Duration::from_micros(micros)
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
