//! A desktop participant without the socket, the clock and the devices.
//!
//! [`Participant`] adds to the core's [`Client`](talkspurt_core::endpoint::Client) what only a
//! desktop has: the room's list as a person sees it, a source and a sink of sound, a push-to-talk
//! key, and the notice that a voice is too quiet for the gate. It is driven like the core's client.
//! After each packet, and whenever time has passed, take the events; ask for packets when the
//! socket takes some; sleep until [`Participant::poll_timeout`]. Time is an argument.

mod quiet;
mod roster;
mod snapshot;

pub use snapshot::Snapshot;

use crate::{
    audio::{Captured, Sink, Source},
    config::{JoinConfig, SoundChoice, Threshold, shifted},
    events::EventKind,
};
use quiet::QuietWatch;
use roster::Roster;
use std::collections::VecDeque;
use talkspurt_core::{
    audio::{
        codec::{AnyCodec, CodecId, PAYLOAD_MAX},
        format::AudioFormat,
        frame::{FRAME_SAMPLES_MAX, Frame},
        gate::{GateConfig, GateDecision, GateMode},
        level::LevelMeter,
    },
    carrier::stream::TRANSMIT_MAX,
    endpoint::{self, ClientConfig, DelayMeter},
    session::{ClientEvent, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest, SessionParams},
    time::{Duration, Instant},
    voice::{
        downlink::Playout,
        uplink::{Compress, catch_up_samples, history_samples},
    },
    wire::{Nonce, Reason},
};

/// Longest pre-roll that `--pre-roll` may ask for, as docs/PROTOCOL.md bounds it: many times the
/// longest word onset.
pub const PRE_ROLL_MS_MAX: u16 = 200;
/// Longest packet that [`Participant::poll_transmit`] writes, with the zero that may precede it.
pub const TRANSMIT_BYTES_MAX: usize = TRANSMIT_MAX;
/// Samples that the uplink keeps: the pre-roll and the frame being sent.
const HISTORY_SAMPLES: usize = history_samples(AudioFormat::DEFAULT, PRE_ROLL_MS_MAX as usize);
/// Samples in which the uplink takes back its pre-roll's delay.
const CATCH_UP_SAMPLES: usize = catch_up_samples(AudioFormat::DEFAULT);
/// Packets that may wait to be played: 2.5 s at 20 ms, 640 ms at 5 ms. A stalled machine catches up
/// from here.
const SLOTS: usize = 128;
/// Own voice that may wait for the socket: the longest pre-roll and the 300 ms that the core keeps,
/// as PCM16 with headers.
const QUEUE_BYTES: usize = 32 * 1024;
/// A microphone that gives nothing while the gate is open counts as silent for this long. Then the
/// talkspurt ends.
const DRY_MS_MAX: u32 = 300;
/// Below this level, nobody talks in a frame: -54 dBFS, the noise of a room.
const PAUSE_RMS_MAX: u16 = 64;
/// How long the live view shows that a voice is too quiet, unless it is heard earlier.
const TOO_QUIET_SHOWN: Duration = Duration::from_secs(15);

type Client = endpoint::Client<
    PAYLOAD_MAX,
    TRANSMIT_MAX,
    SLOTS,
    QUEUE_BYTES,
    HISTORY_SAMPLES,
    FRAME_SAMPLES_MAX,
    AnyCodec,
    Compress<CATCH_UP_SAMPLES>,
>;

/// What happened, for the driver of the participant.
#[derive(Debug, Clone, PartialEq)]
pub enum ParticipantEvent {
    /// In the room, with these parameters. A second one in a session replaces the first.
    Welcomed(SessionParams),
    /// An event for the user.
    Told(EventKind),
    /// The server refuses; [`Participant::closing_text`] says why. The session is over, and another
    /// try has to wait for so long at least.
    Rejected(Reason, Duration),
    /// The session is over. The same holds for another try.
    Closed(Reason, Duration),
}

/// A participant, over all sessions of a stay.
pub struct Participant {
    client: Box<Client>,
    /// How long voice takes, in the latest session.
    delay: DelayMeter,
    roster: Roster,
    /// Events for the user, in order.
    told: VecDeque<EventKind>,
    /// The gate that the flags ask for, as changed by keys.
    gate_of_flags: GateConfig,
    gate: GateConfig,
    /// Whether the push-to-talk key is held; `None` without push-to-talk.
    key_held: Option<bool>,
    deafened: bool,
    /// How much sound is to wait in any network.
    playout_delay_ms: u16,
    /// The format of the latest session. Outside a session silent frames have it, too.
    format: AudioFormat,
    /// Whether the list of the session was complete once.
    is_listed: bool,
    /// Consecutive frames that the source did not have.
    dry_frames: u32,
    output_meter: LevelMeter,
    output_rms: u16,
    quiet: QuietWatch,
    too_quiet_until: Option<Instant>,
}

// Life of a session
impl Participant {
    /// Creates a participant that waits for [`Participant::join`].
    #[must_use]
    pub fn new(config: &JoinConfig) -> Self {
        let codecs: &[CodecId] = match &config.codec {
            Some(codec) => std::slice::from_ref(codec),
            None => &[CodecId::Pcm16, CodecId::ImaAdpcm],
        };
        let mut request = JoinRequest::new(config.room.clone(), config.name.clone(), codecs);
        request.muted = config.muted;
        // A file's frames begin where they begin.
        request.shifts_frames = matches!(config.input, SoundChoice::Device(_));
        request.reports_delay = true;
        let mut client = ClientConfig::new(request);
        client.gate = config.gate;
        client.pre_roll_ms = config.pre_roll_ms;
        client.playout_margin_ms = config.playout_delay_ms;
        // The flags were checked against the core's own limits.
        let client = Client::new(client).expect("a checked configuration is a valid one");
        let format = AudioFormat::DEFAULT;
        let mut participant = Self {
            client: Box::new(client),
            delay: DelayMeter::new(format.frame),
            roster: Roster::default(),
            told: VecDeque::new(),
            gate_of_flags: config.gate,
            gate: config.gate,
            key_held: config.push_to_talk.then_some(false),
            deafened: false,
            playout_delay_ms: config.playout_delay_ms,
            format,
            is_listed: false,
            dry_frames: 0,
            output_meter: LevelMeter::new(format.rate),
            output_rms: 0,
            quiet: QuietWatch::new(format.frame, false),
            too_quiet_until: None,
        };
        let kept_back = participant.keeps_back();
        participant.client.keep_back(Instant::ZERO, kept_back);
        participant
    }

    /// Says Hello over a newly connected stream, with a nonce that was never used before.
    pub fn join(&mut self, now: Instant, nonce: Nonce) {
        self.roster.clear();
        self.client.reset_stream();
        self.client.join(now, HANDSHAKE_TIMEOUT_DEFAULT, nonce);
    }

    /// Leaves: transmits the last voice, then a Bye.
    pub fn leave(&mut self, now: Instant) {
        self.client.leave(now);
    }

    /// Ends the session at once, with a Bye.
    pub fn end(&mut self, reason: Reason) {
        self.client.end(reason);
    }

    /// Ends the session, unless it is already over, because the stream is gone.
    pub fn disconnected(&mut self) {
        self.client.end(Reason::CONNECTION_LOST);
        // The caller already knows what they report.
        while self.client.poll_event().is_some() {}
        self.roster.clear();
    }

    /// Takes bytes of the stream up to the end of one packet. Returns the rest: take the events,
    /// then pass the rest in.
    pub fn handle_stream<'a>(&mut self, now: Instant, bytes: &'a [u8]) -> &'a [u8] {
        let rest = self.client.handle_stream(now, bytes);
        self.client.measure_received(now, &mut self.delay);
        rest
    }

    /// Handles the passing of time.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.client.handle_timeout(now);
    }

    /// Returns when to call [`Participant::handle_timeout`] next.
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.client.poll_timeout()
    }

    /// Writes the next packet to `out`, which needs room for [`TRANSMIT_BYTES_MAX`] bytes. Returns
    /// its length.
    pub fn poll_transmit(&mut self, now: Instant, out: &mut [u8]) -> Option<usize> {
        Some(self.client.poll_transmit(now, out)?.len)
    }

    /// Takes the next event.
    pub fn poll_event(&mut self) -> Option<ParticipantEvent> {
        loop {
            if let Some(kind) = self.told.pop_front() {
                return Some(ParticipantEvent::Told(kind));
            }
            match self.client.poll_event()? {
                ClientEvent::Joined(params, _) => {
                    self.welcomed(&params);
                    return Some(ParticipantEvent::Welcomed(params));
                }
                ClientEvent::Rejected(reason, pause) => {
                    return Some(ParticipantEvent::Rejected(reason, pause));
                }
                ClientEvent::Closed(reason, pause) => {
                    return Some(ParticipantEvent::Closed(reason, pause));
                }
                event => self.follow_room(event),
            }
        }
    }

    /// Prepares the voice and the list for a session.
    fn welcomed(&mut self, params: &SessionParams) {
        self.is_listed = false;
        self.roster.clear();
        self.format = params.format;
        self.delay = DelayMeter::new(params.format.frame);
        self.dry_frames = 0;
        self.output_meter = LevelMeter::new(params.format.rate);
        self.output_rms = 0;
        self.quiet = QuietWatch::new(params.format.frame, self.may_be_too_quiet());
    }

    /// Updates the list, and reports what has changed in it.
    fn follow_room(&mut self, event: ClientEvent) {
        match event {
            ClientEvent::Listed {
                participant,
                is_first,
            } => self.roster.list(&participant, is_first),
            ClientEvent::RosterComplete => {
                let changes = self.roster.complete();
                if std::mem::replace(&mut self.is_listed, true) {
                    self.told.extend(changes);
                } else {
                    let (request, params) = (self.client.request(), self.client.params());
                    let joined = params.map(|params| self.roster.joined(request, &params));
                    self.told.extend(joined);
                }
            }
            ClientEvent::ParticipantJoined(participant) => {
                let line = self.roster.add(&participant);
                self.told.extend(line.map(EventKind::ParticipantJoined));
            }
            ClientEvent::ParticipantLeft(id, _) => self.told.extend(self.roster.remove(id)),
            ClientEvent::State(id, flags) => self.told.extend(self.roster.update(id, flags)),
            // Events of the session itself, and any added by a later core.
            _ => {}
        }
    }
}

// Voice
impl Participant {
    /// Takes one frame from the source. It is sent if in a room, and otherwise lost.
    pub fn capture(&mut self, now: Instant, source: &mut dyn Source) -> Captured {
        let mut samples = [0; FRAME_SAMPLES_MAX];
        let frame = &mut samples[..self.format.frame_samples()];
        if !self.client.is_talking() {
            source.may_drop();
        }
        let captured = source.read(frame);
        if !self.is_in_room() {
            return captured;
        }
        match captured {
            Captured::Frame => {
                self.dry_frames = 0;
                self.push(now, frame);
                self.client
                    .measure_captured(now, source.age().into(), &mut self.delay);
                self.judge_level(now);
            }
            Captured::Missing if self.client.is_talking() => {
                self.dry_frames += 1;
                if self.dry_frames * u32::from(self.format.frame.ms()) < DRY_MS_MAX {
                    self.push(now, frame);
                } else {
                    self.client.miss_frame(now);
                }
            }
            Captured::Missing => self.client.miss_frame(now),
            Captured::End => self.client.end_talkspurt(now),
        }
        captured
    }

    /// Gives the sink the frame that is due. Outside a room, or when deafened, the sink gets
    /// silence; a deafened participant's frames are skipped.
    ///
    /// Returns whether it had come in a packet.
    pub fn play(&mut self, now: Instant, sink: &mut dyn Sink) -> bool {
        let mut frame = Frame::silence(self.format.frame_samples());
        let (mut is_silent, mut is_received, mut is_heard) = (true, false, false);
        if self.is_in_room() {
            let waiting_before = self.waiting_frames();
            let playout = self.client.pop_frame(&mut frame);
            is_silent = playout == Playout::Silence;
            is_heard = !is_silent;
            // Of what is being compressed, a frame may be played while none is taken.
            let takes_one = self.waiting_frames() < waiting_before;
            is_received = takes_one && matches!(playout, Playout::Frame { .. });
            let heard_rms = self.output_meter.rms(&frame);
            self.output_rms = if is_silent { 0 } else { heard_rms };
        }
        if self.deafened {
            is_silent = true;
            frame.silence_all();
        }
        if is_silent {
            sink.write_silence(&frame);
        } else {
            sink.write(&frame);
        }
        if is_heard {
            let more = Duration::from_millis(sink.delay_ms().into());
            self.client.measure_played(now, more, &mut self.delay);
        }
        is_received
    }

    /// Passes over the frame that was due while the session was held up: it is not heard late.
    pub fn skip_playout(&mut self) {
        if self.is_in_room() {
            let mut frame = Frame::silence(self.format.frame_samples());
            self.client.pop_frame(&mut frame);
            self.client.measure_passed(&mut self.delay);
        }
    }

    /// Takes by how much the next frame of the microphone should begin later, as the server asks.
    pub fn take_tick_shift(&mut self) -> Option<Duration> {
        self.client.take_tick_shift()
    }

    /// Returns whether voice of others is being played, or waits for that.
    #[must_use]
    pub fn is_hearing(&self) -> bool {
        self.is_in_room() && self.client.is_hearing()
    }

    /// Returns whether the next frame of that voice has come.
    #[must_use]
    pub fn is_next_here(&self) -> bool {
        self.client.is_next_here()
    }

    /// Returns how many frames of that voice are to wait in any network, as was asked for.
    #[must_use]
    pub fn margin_frames(&self) -> u16 {
        self.playout_delay_ms / u16::from(self.format.frame.ms())
    }

    /// Returns whether the frame that was played last is a pause between words.
    #[must_use]
    pub fn plays_pause(&self) -> bool {
        self.output_rms < PAUSE_RMS_MAX
    }

    /// Returns how many frames of that voice wait.
    #[must_use]
    pub fn waiting_frames(&self) -> u16 {
        self.client.playout_frames().0
    }

    /// Mutes or unmutes the microphone; the others are told.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.client.set_muted(now, muted);
        self.quiet.switch(self.may_be_too_quiet());
    }

    /// Presses or releases the push-to-talk key. Does nothing without push-to-talk.
    pub fn hold_key(&mut self, now: Instant, held: bool) {
        self.key_held = self.key_held.map(|_| held);
        self.client.keep_back(now, self.keeps_back());
        self.quiet.switch(self.may_be_too_quiet());
    }

    /// Moves the threshold that opens the gate, or its margin above the noise.
    pub fn shift_gate(&mut self, db: f64) {
        self.gate = shifted(&self.gate_of_flags, &self.gate, db);
        if let Err(error) = self.client.set_gate(self.gate) {
            tracing::warn!(%error, "the gate stays as it was");
        }
        self.quiet.switch(self.may_be_too_quiet());
    }

    /// Stops or resumes listening; nobody else is told.
    pub fn set_deafened(&mut self, deafened: bool) {
        if self.deafened != deafened {
            self.deafened = deafened;
            self.told.push_back(EventKind::Deafened { deafened });
        }
    }

    /// Sends a frame unless the gate keeps it back. A talker should soon know whether the server
    /// still answers.
    fn push(&mut self, now: Instant, frame: &[i16]) {
        if self.client.push_frame(now, frame) != GateDecision::Closed {
            self.client.expect_answers(now);
        }
    }

    /// Reports that a voice is too quiet for the gate, and shows it for a while.
    fn judge_level(&mut self, now: Instant) {
        let (level_rms, is_sent) = (self.client.level_rms(), self.client.is_talking());
        if let Some(found) = self.quiet.push(level_rms, is_sent)
            && let Some(gate) = self.client.gate_levels()
        {
            self.too_quiet_until = Some(now + TOO_QUIET_SHOWN);
            self.told.push_back(EventKind::InputQuiet {
                level_dbfs: found.level_dbfs,
                gate_open_dbfs: Threshold::from_rms(gate.open_rms).dbfs(),
                try_gate_open_dbfs: found.open_dbfs(),
            });
        }
    }

    /// Returns whether voice is kept back until the push-to-talk key is held.
    fn keeps_back(&self) -> bool {
        self.key_held == Some(false)
    }

    /// Returns whether the gate may keep voice back because it is too quiet.
    fn may_be_too_quiet(&self) -> bool {
        self.gate.mode != GateMode::Off && !self.client.is_muted()
    }
}

// State
impl Participant {
    /// Returns what the server decided, while in a room.
    #[must_use]
    pub fn params(&self) -> Option<SessionParams> {
        self.client.params()
    }

    /// Returns the text of the server's Reject or Bye; empty if it had none.
    #[must_use]
    pub fn closing_text(&self) -> &str {
        self.client.closing_text()
    }

    fn is_in_room(&self) -> bool {
        self.client.params().is_some()
    }
}

#[cfg(test)]
mod tests;
