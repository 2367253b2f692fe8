//! Voice packets to frames for a speaker (or a mixer): jitter buffer, decoder, concealment.
//!
//! [`Downlink::push`] takes packets as they come; [`Downlink::pop`] gives a frame each frame
//! period, always: what was said, what stands in for it, or silence.

use heapless::Vec;

use crate::audio::codec::{AnyCodec, Codec, CodecError, PAYLOAD_MAX};
use crate::audio::conceal::Concealment;
use crate::audio::fade::{FULL_Q15, fade};
use crate::audio::format::AudioFormat;
use crate::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use crate::audio::jitter::{JitterBuffer, JitterConfig, JitterStats, Pop, PushOutcome, Shrink};
use crate::audio::level::SILENCE;
use crate::time::{Duration, Instant};
use crate::voice::catch_up::{CatchUp, LeaveOut};
use crate::voice::shorten::{QUIET_HALF_DB, QuietFrames};
use crate::wire::Voice;

/// What [`Downlink::pop`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Playout {
    /// A frame that was received, bit for bit as it was decoded; blended with what stood in for it
    /// where voice resumes, or with the next one to shorten the delay. While the delay is being
    /// made shorter by time compression, a frame of what that gives.
    Frame {
        /// It was the last of its talkspurt. If the next one follows at once on a compressed end,
        /// nobody says so.
        terminator: bool,
    },
    /// What stands in for a frame that is not there.
    Concealed,
    /// What was heard last, fading: the last frame of a talkspurt that was cut off.
    Faded,
    /// Silence: nobody talks.
    Silence,
}

/// What [`Downlink::pop_payload`] wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum PayloadPlayout<'a> {
    /// A payload, as it was received: decode it.
    Payload {
        /// The frame in the session's codec.
        bytes: &'a [u8],
        /// It was the last of its talkspurt.
        terminator: bool,
    },
    /// A frame is not there in the midst of a talkspurt: have the decoder conceal it.
    Missing,
    /// Nobody talks. If no terminator came before, the talkspurt was cut off: fade what was heard
    /// last.
    Silence,
}

/// What a packet brings. (The length in 16 bits, which leaves room for the level.)
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct Received<const PAYLOAD: usize> {
    level: u8,
    payload: Vec<u8, PAYLOAD, u16>,
}

/// One stream's way from the wire. `SLOTS` packets (a power of two) of `PAYLOAD` bytes wait at
/// most; a frame has `FRAME` samples at most.
///
/// Surplus delay is taken out of quiet frames, and where there is none out of speech: by blending
/// frames into one ([`LeaveOut`], the default), or by time compression
/// ([`Compress`](crate::voice::catch_up::Compress)).
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Downlink<
    const SLOTS: usize,
    const PAYLOAD: usize = PAYLOAD_MAX,
    const FRAME: usize = FRAME_SAMPLES_MAX,
    C = AnyCodec,
    K = LeaveOut,
> {
    jitter: JitterBuffer<Received<PAYLOAD>, SLOTS>,
    concealment: Concealment<FRAME>,
    catch_up: K,
    state: State<C>,
}

/// All but the sound, which is too large to be made in one place and moved to another.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct State<C> {
    decoder: C,
    format: AudioFormat,
    /// How loud the last frame played was, as its packet says.
    level: u8,
    quiet_frames: QuietFrames,
    /// All that waited was dropped in mid-word: what was heard last is to fade.
    cut: bool,
}

impl<C> State<C> {
    const fn new(decoder: C, format: AudioFormat) -> Self {
        Self {
            decoder,
            format,
            level: SILENCE,
            quiet_frames: QuietFrames::NEW,
            cut: false,
        }
    }
}

impl<const SLOTS: usize, const PAYLOAD: usize, const FRAME: usize, C: Codec, K: CatchUp>
    Downlink<SLOTS, PAYLOAD, FRAME, C, K>
{
    /// A stream that has brought nothing yet. Panics if a frame of `format` exceeds `FRAME`
    /// samples.
    #[inline(always)]
    pub fn new(decoder: C, format: AudioFormat, jitter: JitterConfig) -> Self {
        assert!(
            format.frame_samples() <= FRAME,
            "frame longer than its buffer"
        );
        Self {
            jitter: JitterBuffer::new(jitter),
            concealment: Concealment::new(),
            catch_up: K::new(format.rate),
            state: State::new(decoder, format),
        }
    }

    /// Begins another stream, as [`Downlink::new`] does, in place: a microcontroller has no room
    /// for a second downlink.
    #[inline(never)]
    pub fn restart(&mut self, decoder: C, format: AudioFormat, jitter: JitterConfig) {
        self.jitter.restart(jitter);
        self.concealment.reset();
        if let Some(waiting) = self.catch_up.waiting() {
            waiting.restart(format.rate);
        }
        self.state = State::new(decoder, format);
    }

    /// Takes a voice packet that arrived at `now`.
    ///
    /// # Errors
    /// A payload that is no frame of this session; it is dropped.
    pub fn push(&mut self, now: Instant, voice: &Voice<'_>) -> Result<PushOutcome, CodecError> {
        let ends_without_frame = voice.terminator && voice.payload.is_empty();
        if !ends_without_frame {
            self.state
                .decoder
                .check(voice.payload, self.frame_samples())?;
        }
        let received = Received {
            level: voice.level,
            payload: Vec::from_slice(voice.payload).map_err(|_| CodecError::BufferTooSmall)?,
        };
        Ok(self
            .jitter
            .push(now, voice.seq, voice.timestamp, voice.terminator, received))
    }

    /// Writes the frame that is due now into `out`, which takes the session's frame length. Call it
    /// once a frame period.
    pub fn pop(&mut self, out: &mut Frame<FRAME>) -> Playout {
        match self.pop_shortened(out) {
            Some(playout) => playout,
            None => self.pop_frame(out),
        }
    }

    /// The next frame of what is made shorter, if anything is. `None` without a place for that.
    #[inline(always)]
    fn pop_shortened(&mut self, out: &mut Frame<FRAME>) -> Option<Playout> {
        let len = self.catch_up.waiting()?.len();
        let frame_samples = self.frame_samples();
        let mut playout = Playout::Frame { terminator: false };
        if len < frame_samples || self.jitter.is_next_here() {
            playout = self.pop_frame(out);
            // What follows on a concealed frame has to be blended into it first.
            let is_received = matches!(playout, Playout::Frame { .. });
            let is_late = is_received && self.jitter.shrink_due() == Shrink::Now;
            let waiting = self.catch_up.waiting()?;
            if len == 0 && !is_late {
                waiting.pass(frame_samples);
                return Some(playout);
            }
            if playout == Playout::Silence && len > frame_samples {
                out.copy_from_slice(waiting.first(frame_samples));
                waiting.pop(frame_samples);
                return Some(Playout::Frame { terminator: false });
            }
            waiting.push(out);
            if playout == Playout::Silence {
                // Behind the end of a talkspurt.
                out.copy_from_slice(waiting.first(frame_samples));
                waiting.clear();
                return Some(Playout::Frame { terminator: true });
            }
            if is_received {
                self.take_surplus(out);
            }
        }
        let waiting = self.catch_up.waiting()?;
        waiting.shorten(waiting.len() - frame_samples);
        out.set_len(frame_samples);
        out.copy_from_slice(waiting.first(frame_samples));
        waiting.pop(frame_samples);
        let is_last = waiting.len() == 0 && !self.jitter.is_active();
        Some(match playout {
            Playout::Frame { .. } => Playout::Frame {
                terminator: is_last,
            },
            playout => playout,
        })
    }

    /// Takes frames that are surplus, as many as a stretch is taken out of.
    fn take_surplus(&mut self, out: &mut Frame<FRAME>) {
        while let Some(waiting) = self.catch_up.waiting()
            && waiting.is_short()
            && self.jitter.shrink_due() != Shrink::No
        {
            let Some(Received { payload, level }) = self.jitter.skip_into() else {
                return;
            };
            self.state.level = self.state.level.min(level);
            if self.decode(&payload, out) {
                self.concealment.played(out);
                if let Some(waiting) = self.catch_up.waiting() {
                    waiting.push(out);
                }
            }
        }
    }

    /// The next frame, or what stands in for it.
    #[inline(never)]
    fn pop_frame(&mut self, out: &mut Frame<FRAME>) -> Playout {
        out.set_len(self.frame_samples());
        let rate = self.state.format.rate;
        let was_cut = core::mem::take(&mut self.state.cut);
        match self.jitter.pop() {
            Pop::Item(received, terminator) if self.decode(&received.payload, out) => {
                if self.jitter.has_resumed() || was_cut {
                    self.concealment.resume(rate, out);
                }
                self.state.level = received.level;
                self.shorten_delay(received.level, out);
                self.concealment.played(out);
                if terminator {
                    // What comes next must not bring an old sound back.
                    self.fall_silent();
                }
                Playout::Frame { terminator }
            }
            // A talkspurt that was cut off, by an empty packet or by `clear`, fades instead of
            // clicking.
            Pop::Item(..) => self.fade_out(out),
            Pop::Silence if was_cut => self.fade_out(out),
            Pop::Silence => {
                self.fall_silent();
                out.silence_all();
                Playout::Silence
            }
            Pop::Missing | Pop::Underrun => {
                if self.state.decoder.conceal(out) {
                    self.concealment.played(out);
                } else {
                    self.concealment.conceal(rate, out);
                }
                Playout::Concealed
            }
        }
    }

    /// Writes the payload that is due now to the start of `buffer`, for a decoder elsewhere: call
    /// it once a frame period, in place of [`Downlink::pop`]. Where the delay is to get shorter and
    /// no pause comes, a single payload is left out, whether it is quiet or not: only its decoder
    /// could tell.
    ///
    /// Panics if the payload does not fit; `PAYLOAD` bytes always suffice.
    pub fn pop_payload<'a>(&mut self, buffer: &'a mut [u8]) -> PayloadPlayout<'a> {
        match self.jitter.pop() {
            Pop::Item(Received { payload, .. }, terminator) if !payload.is_empty() => {
                if self.jitter.shrink_due() == Shrink::Now {
                    self.jitter.skip_into();
                }
                let bytes = &mut buffer[..payload.len()];
                bytes.copy_from_slice(&payload);
                PayloadPlayout::Payload { bytes, terminator }
            }
            Pop::Missing | Pop::Underrun => PayloadPlayout::Missing,
            Pop::Item(..) | Pop::Silence => PayloadPlayout::Silence,
        }
    }

    /// How much decoded sound waits to be played, as it is being compressed.
    pub fn held_back(&self) -> Duration {
        let held_samples = self.catch_up.held_samples().max(0) as u64;
        Duration::from_micros(held_samples * 1_000_000 / u64::from(self.state.format.rate.hz()))
    }

    /// Whether a talkspurt is in progress, or has still to fade.
    pub fn is_active(&self) -> bool {
        self.state.cut || self.jitter.is_active() || self.catch_up.held_samples() > 0
    }

    /// Whether [`Downlink::pop`] now would not have to stand in for a frame that is still to come.
    pub fn is_next_here(&self) -> bool {
        self.jitter.is_next_here() || self.catch_up.held_samples() >= self.frame_samples() as isize
    }

    /// The level on the wire of the last frame that was played: also that of what conceals the next
    /// or fades.
    pub const fn level(&self) -> u8 {
        self.state.level
    }

    /// Frames waiting now.
    pub const fn depth_frames(&self) -> u16 {
        self.jitter.depth_frames()
    }

    /// The margin now aimed at, in frames.
    pub const fn target_frames(&self) -> u16 {
        self.jitter.target_frames()
    }

    /// What the jitter buffer has seen.
    pub const fn stats(&self) -> &JitterStats {
        self.jitter.stats()
    }

    /// Samples in a frame.
    pub const fn frame_samples(&self) -> usize {
        self.state.format.frame_samples()
    }

    /// Drops all that waits, as when the talker is muted or leaves; but not what is being
    /// compressed, which is heard first: less than 30 ms. In mid-word what was heard last fades in
    /// the next frame: to silence, or under the beginning of voice that follows at once.
    pub fn clear(&mut self) {
        self.state.cut |= self.jitter.is_active() && self.concealment.is_audible();
        self.jitter.clear();
    }

    fn decode(&mut self, payload: &[u8], out: &mut Frame<FRAME>) -> bool {
        !payload.is_empty() && self.state.decoder.decode(payload, out).is_ok()
    }

    /// Blends the next frame into this one when the jitter buffer asks for it, in a pause rather
    /// than in a vowel.
    fn shorten_delay(&mut self, level: u8, out: &mut Frame<FRAME>) {
        let quiet = self.state.quiet_frames.is_quiet(level, QUIET_HALF_DB);
        let due = match self.jitter.shrink_due() {
            Shrink::No => false,
            Shrink::WhenQuiet => quiet,
            Shrink::Now => quiet || self.catch_up.waiting().is_none(),
        };
        if !due {
            return;
        }
        let Some(Received { payload, level }) = self.jitter.skip_into() else {
            return;
        };
        self.state.level = self.state.level.min(level);
        let next = self.concealment.oldest_mut(out.len());
        if !payload.is_empty() && self.state.decoder.decode(&payload, next).is_ok() {
            fade(out, next.iter(), 0, FULL_Q15);
        }
    }

    fn fade_out(&mut self, out: &mut Frame<FRAME>) -> Playout {
        let playout = if self.concealment.is_audible() {
            Playout::Faded
        } else {
            Playout::Silence
        };
        self.concealment.fade_out(self.state.format.rate, out);
        self.fall_silent();
        playout
    }

    fn fall_silent(&mut self) {
        self.state.quiet_frames = QuietFrames::NEW;
        self.concealment.reset();
        self.state.decoder.reset();
    }
}
