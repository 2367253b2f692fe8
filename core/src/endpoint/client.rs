//! A client: session, voice both ways, and what waits for the carrier.

use super::config::{ClientConfig, ClientConfigError, VoiceConfig};
use super::stats::ClientStats;
use super::voice_queue::{VoiceQueue, WAITING_MS_MAX};
use crate::audio::codec::{AnyCodec, Codec, CodecError};
use crate::audio::format::AudioFormat;
use crate::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use crate::audio::gate::{GateConfig, GateConfigError, GateDecision};
use crate::audio::jitter::JitterStats;
use crate::carrier::deframer::{BadReason, Deframer, Feed};
use crate::carrier::stream::{self, Separator, encoded_len_max};
use crate::session::{ClientEvent, ClientSession, SessionParams, tolerated_garbage};
use crate::time::{Duration, Instant, earlier};
use crate::token_bucket::TokenBucket;
use crate::voice::downlink::{Downlink, PayloadPlayout, Playout};
use crate::voice::uplink::{CatchUp, EncodedFrame, LeaveOut, Uplink};
use crate::wire::{Nonce, PACKET_BYTES_LEAST, Reason, encode, parse};

mod delay;
mod state;
mod tick_shift;

/// How long leaving may take: what was said last goes first, unless the carrier does not take it.
const LEAVE_TIME_MAX: Duration = Duration::from_millis(500);

/// A packet for the carrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub struct Transmit {
    /// Bytes written to the buffer.
    pub len: usize,
    /// Whether it may be dropped if the carrier does not take it in time: voice may, control
    /// packets may not.
    pub droppable: bool,
}

/// One participant's end of a session, and of those that follow it.
///
/// `PAYLOAD` is the longest voice payload in bytes, `ENCODED` the longest packet in the stream with
/// the zero that may go before it ([`stream::TRANSMIT_MAX`] for any), `SLOTS` how many packets (a
/// power of two) the jitter buffer holds, `QUEUE` how many bytes of voice may wait for the carrier,
/// `HISTORY` how many samples the uplink keeps (the pre-roll and one frame), and `FRAME` how many
/// samples a frame has at most. `C` is every codec that it has, and `K` how uplink and downlink
/// take delay back.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct Client<
    const PAYLOAD: usize,
    const ENCODED: usize,
    const SLOTS: usize,
    const QUEUE: usize,
    const HISTORY: usize,
    const FRAME: usize = FRAME_SAMPLES_MAX,
    C = AnyCodec,
    K = LeaveOut,
> {
    session: ClientSession,
    deframer: Deframer<ENCODED>,
    /// How much damage is tolerated.
    garbage: TokenBucket,
    uplink: Uplink<HISTORY, C, K>,
    downlink: Downlink<SLOTS, PAYLOAD, FRAME, C, K>,
    config: VoiceConfig,
    queue: VoiceQueue<QUEUE>,
    separator: Separator,
    /// Whether the microphone is muted.
    muted: bool,
    /// Whether voice is kept back although the microphone is not muted.
    kept_back: bool,
    /// Whether voice runs, as it does from Welcome to Bye.
    is_started: bool,
    /// Until when the last words may take to leave, once that is wanted.
    leaving_until: Option<Instant>,
    stats: ClientStats,
    /// What the jitter buffer had seen when voice was started last.
    earlier_jitter: JitterStats,
}

impl<
    const PAYLOAD: usize,
    const ENCODED: usize,
    const SLOTS: usize,
    const QUEUE: usize,
    const HISTORY: usize,
    const FRAME: usize,
    C: Codec,
    K: CatchUp,
> Client<PAYLOAD, ENCODED, SLOTS, QUEUE, HISTORY, FRAME, C, K>
{
    const ANY_CONTROL_PACKET_FITS: () = assert!(
        ENCODED > encoded_len_max(PACKET_BYTES_LEAST),
        "every side takes packets of 352 bytes"
    );

    // Life of a session

    /// Creates a client that waits for [`Client::join`].
    ///
    /// # Errors
    /// A configuration that cannot work.
    // Not inlined, its parts are built on the stack and moved from there: a node has no room.
    #[inline(always)]
    pub fn new(config: ClientConfig) -> Result<Self, ClientConfigError> {
        let () = Self::ANY_CONTROL_PACKET_FITS;
        let config = config.checked::<C>(
            PAYLOAD,
            FRAME.min(HISTORY).min(K::FRAME_SAMPLES_MAX),
            ENCODED,
        )?;
        let voice = config.voice();
        // Both restart with the codec and the format of each session.
        let format = AudioFormat {
            rate: config.request.rates[0],
            ..AudioFormat::DEFAULT
        };
        Ok(Self {
            uplink: Uplink::default_for(C::default(), format),
            downlink: Downlink::new(C::default(), format, voice.jitter(format.frame, SLOTS)),
            deframer: Deframer::new(),
            garbage: tolerated_garbage(Instant::ZERO),
            config: voice,
            queue: VoiceQueue::new(),
            separator: Separator::new(),
            muted: config.request.muted,
            session: ClientSession::new(config.request),
            kept_back: false,
            is_started: false,
            leaving_until: None,
            stats: ClientStats::default(),
            earlier_jitter: JitterStats::default(),
        })
    }

    /// Says Hello, and begins a session when the server answers within `timeout`. Call it again
    /// when a session is over, on the same stream or on another. `nonce` names the session: random,
    /// or at least never used before, even by an earlier run of the program.
    pub fn join(&mut self, now: Instant, timeout: Duration, nonce: Nonce) {
        self.leaving_until = None;
        self.garbage = tolerated_garbage(now);
        // Whatever a half-sent packet has left at the server ends before the Hello.
        self.separator = Separator::new();
        self.session.set_muted(self.muted, None);
        self.session.begin(timeout, nonce, now);
        self.follow_session();
    }

    /// Forgets the packet that has come in part. Call it before joining over another stream, which
    /// does not bring the rest of it.
    pub fn reset_stream(&mut self) {
        self.deframer.reset();
    }

    /// Leaves the room: what was said last is transmitted, then a Bye, and the session is over.
    pub fn leave(&mut self, now: Instant) {
        if self.session.params().is_some() {
            self.uplink.finish();
            self.queue_voice(now);
            self.leaving_until.get_or_insert(now + LEAVE_TIME_MAX);
        } else {
            self.session.leave(None);
        }
    }

    /// Ends the session at once, with a Bye.
    pub fn end(&mut self, reason: Reason) {
        self.session.end(reason);
        self.follow_session();
    }

    /// Takes bytes of the stream up to the end of one packet. Returns the rest: take the events,
    /// then feed that.
    pub fn handle_stream<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> &'a [u8] {
        let (feed, rest) = self.deframer.feed(bytes);
        match feed {
            Feed::NeedMore => {}
            Feed::Packet(packet) => {
                count(&mut self.stats.packets_received);
                if let Some(voice) = self.session.handle_packet(now, parse(packet)) {
                    // A payload that is no frame of this session is dropped; the next one is as
                    // good as ever.
                    let is_frame =
                        self.downlink.push(now, &voice).is_ok() && !voice.payload.is_empty();
                    count_if(is_frame, &mut self.stats.frames_received);
                }
            }
            Feed::Bad {
                dropped_bytes,
                reason,
            } => {
                match reason {
                    BadReason::Crc => count(&mut self.stats.crc_errors),
                    BadReason::Unended => {}
                    _ => count(&mut self.stats.malformed),
                }
                if !self.garbage.take(dropped_bytes, now) {
                    self.session.end(Reason::DAMAGE);
                }
            }
        }
        self.follow_session();
        rest
    }

    /// Says that time has passed.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.session.handle_timeout(now);
        self.follow_session();
        self.leave_when_all_is_said(now);
    }

    /// Returns when to call [`Client::handle_timeout`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        earlier(self.session.poll_timeout(), self.leaving_until)
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.session.poll_event()
    }

    /// Writes the next packet to `out`. Call it when the carrier has room for a packet: control
    /// packets overtake voice that waits here, but for those that say that it ends. Panics if `out`
    /// is shorter than `ENCODED`.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<Transmit> {
        assert!(out.len() >= ENCODED, "the longest packet must fit");
        self.queue.drop_stale(now);
        self.leave_when_all_is_said(now);
        // After a pause a zero goes first.
        let start = usize::from(self.separator.is_due(now));
        let packet = out.get_mut(start..)?;
        let (len, droppable) = match self.session.poll_transmit() {
            Some(control) => (encode(&control, packet).ok()?, false),
            None => (self.queue.pop(packet)?, true),
        };
        let len = stream::enclose(packet, len)?;
        out[..start].fill(0);
        self.separator.begin(now);
        count(&mut self.stats.packets_transmitted);
        Some(Transmit {
            len: start + len,
            droppable,
        })
    }

    /// Says Bye when the last words are out or have had their time.
    fn leave_when_all_is_said(&mut self, now: Instant) {
        if let Some(until) = self.leaving_until
            && (self.queue.is_empty() || now >= until)
        {
            self.leaving_until = None;
            self.session.leave(self.uplink.last_seq());
            self.follow_session();
        }
    }

    /// Starts voice with the Welcome, and stops it with the session.
    fn follow_session(&mut self) {
        let params = self.session.params();
        if params.is_some() == self.is_started {
            return;
        }
        self.is_started = params.is_some();
        match params {
            Some(params) => self.start_voice(&params),
            None => self.stop_voice(),
        }
    }

    // Voice

    /// Takes the next frame of the microphone; what is said outside a room is gone. Panics if it
    /// has not the session's length.
    pub fn push_frame(&mut self, now: Instant, frame: &[i16]) -> GateDecision {
        if self.session.params().is_none() || self.leaving_until.is_some() {
            return GateDecision::Closed;
        }
        count(&mut self.stats.frames_captured);
        let decision = self.uplink.push(frame);
        if decision == GateDecision::Opened {
            count(&mut self.stats.talkspurts);
        }
        self.queue_voice(now);
        decision
    }

    /// Sends the next frame as a codec of the caller's has encoded it: at another time, maybe, than
    /// it was captured, as a browser's encoder does. The caller gates, for what is not sent need
    /// not be encoded ([`Gate`](crate::audio::gate::Gate) and
    /// [`LevelMeter`](crate::audio::level::LevelMeter) are what [`Client::push_frame`] gates with);
    /// a pre-roll is pushed frame by frame, each with its own timestamp. All else is as for frames:
    /// a talkspurt without its last frame ends with [`Client::end_talkspurt`], a mute, or leaving.
    ///
    /// Returns whether the frame is sent: not outside a room, and not while muted.
    ///
    /// # Errors
    /// A payload that is no frame of this session; it is dropped.
    pub fn push_payload(
        &mut self,
        now: Instant,
        frame: EncodedFrame<'_>,
    ) -> Result<bool, CodecError> {
        if self.session.params().is_none() || self.leaving_until.is_some() {
            return Ok(false);
        }
        self.uplink.check(frame.payload)?;
        count(&mut self.stats.frames_captured);
        let is_first = !self.uplink.is_talking();
        let Some(voice) = self.uplink.push_encoded(frame) else {
            return Ok(false);
        };
        count_if(is_first, &mut self.stats.talkspurts);
        count(&mut self.stats.frames_sent);
        self.queue.push(now, voice);
        Ok(true)
    }

    /// Says that voice was sent at `now`. While it is, a server that falls silent is asked every
    /// second whether it is there, and counts as lost after three without an answer. Without these
    /// calls only the idle timeout finds that, as suits a serial line that may be cut for some
    /// seconds.
    pub fn expect_answers(&mut self, now: Instant) {
        self.session.voice_sent(now);
        self.follow_session();
    }

    /// Ends a running talkspurt, as when the input has ended.
    pub fn end_talkspurt(&mut self, now: Instant) {
        self.uplink.finish();
        if self.session.params().is_some() {
            self.queue_voice(now);
        }
    }

    /// Says that a frame period has brought no frame of the microphone: a running talkspurt ends,
    /// and the session's clock, by which the others tell how long a pause was, goes on.
    pub fn miss_frame(&mut self, now: Instant) {
        self.uplink.miss_frame();
        self.end_talkspurt(now);
    }

    /// Writes the frame that is due for the speaker. Call it once a frame period.
    pub fn pop_frame(&mut self, out: &mut Frame<FRAME>) -> Playout {
        let playout = self.downlink.pop(out);
        count(match playout {
            Playout::Frame { .. } => &mut self.stats.frames_played,
            Playout::Concealed | Playout::Faded => &mut self.stats.frames_concealed,
            Playout::Silence => &mut self.stats.frames_silent,
        });
        playout
    }

    /// Writes the payload that is due to the start of `buffer`, for a decoder of the caller's: call
    /// it once a frame period, in place of [`Client::pop_frame`]. Payloads come in order and as the
    /// server sent them; concealing what is missing is the decoder's affair.
    ///
    /// Panics if `buffer` is shorter than the payload; `PAYLOAD` bytes always suffice.
    pub fn pop_payload<'a>(&mut self, buffer: &'a mut [u8]) -> PayloadPlayout<'a> {
        let playout = self.downlink.pop_payload(buffer);
        count(match playout {
            PayloadPlayout::Payload { .. } => &mut self.stats.frames_played,
            PayloadPlayout::Missing => &mut self.stats.frames_concealed,
            PayloadPlayout::Silence => &mut self.stats.frames_silent,
        });
        playout
    }

    /// Mutes or unmutes the microphone, in this session and in later ones; the others are told.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.muted = muted;
        self.apply_mute(now);
    }

    /// Keeps voice back without telling the others, as while the key of push-to-talk is up.
    pub fn keep_back(&mut self, now: Instant, kept_back: bool) {
        self.kept_back = kept_back;
        self.apply_mute(now);
    }

    /// Changes the gate.
    ///
    /// # Errors
    /// As [`GateConfig::check`]; nothing is changed then.
    pub fn set_gate(&mut self, gate: GateConfig) -> Result<(), GateConfigError> {
        // Between two sessions, too: each restarts the uplink.
        self.uplink.set_gate(gate)?;
        self.config.gate = gate;
        Ok(())
    }

    /// A talkspurt that this cuts off ends at once: there may be no further frame that would end
    /// it.
    fn apply_mute(&mut self, now: Instant) {
        self.uplink.set_muted(self.is_silenced());
        if self.session.params().is_some() {
            self.queue_voice(now);
        }
        // It may overtake what was said before, in this session.
        let session = self.session.params();
        let last_seq = session.and_then(|_| self.uplink.last_seq());
        self.session.set_muted(self.muted, last_seq);
    }

    fn is_silenced(&self) -> bool {
        self.muted || self.kept_back
    }

    #[inline(never)]
    fn start_voice(&mut self, params: &SessionParams) {
        let format = params.format;
        let waiting_frames = format.frame.frames_in_ms(WAITING_MS_MAX);
        self.queue.restart(waiting_frames as u16);
        let codec = |id| C::for_session(id, format);
        // Codecs that it does not have were not offered.
        let (Some(encoder), Some(decoder)) = (codec(params.codec_up), codec(params.codec_down))
        else {
            return;
        };
        // The gate was checked for every frame duration at the start.
        let _ = self.uplink.restart(self.config.uplink(encoder, format));
        self.uplink.set_muted(self.is_silenced());
        self.earlier_jitter = self.jitter_stats();
        let jitter = self.config.jitter(format.frame, SLOTS);
        self.downlink.restart(decoder, format, jitter);
    }

    #[inline(never)]
    fn stop_voice(&mut self) {
        self.queue.clear();
        self.uplink.finish();
        self.downlink.clear();
    }

    #[inline(never)]
    fn queue_voice(&mut self, now: Instant) {
        let mut payload = [0; PAYLOAD];
        while let Some(voice) = self.uplink.poll_voice(&mut payload) {
            count_if(!voice.payload.is_empty(), &mut self.stats.frames_sent);
            self.queue.push(now, voice);
        }
    }

    // How it stands
}

fn count(counter: &mut u32) {
    count_if(true, counter);
}

fn count_if(happened: bool, counter: &mut u32) {
    *counter = counter.wrapping_add(u32::from(happened));
}
