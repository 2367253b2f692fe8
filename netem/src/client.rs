//! A participant on virtual time: the core's session, uplink and downlink, with a list of samples
//! for a microphone and another for a speaker. It does what a program around the core does, and
//! nothing cleverer.

use std::collections::{BTreeMap, BTreeSet};

use talkspurt_core::deframer::{Deframer, Feed};
use talkspurt_core::downlink::{Downlink, Playout};
use talkspurt_core::frame::Frame;
use talkspurt_core::jitter::JitterConfig;
use talkspurt_core::session::{ClientConfig, ClientEvent, ClientSession, SessionParams};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::{
    ByeReason, ENCODED_MAX, ParticipantFlags, ParticipantId, RejectReason, Separator,
};

use crate::person::Person;

/// How long a persistent client waits before it joins again.
const REJOIN_AFTER: Duration = Duration::from_ms(500);
/// Bytes that may wait for the stream: what a node has room for. Voice that does not fit is
/// dropped.
const OUTBOX_BYTES: usize = 8 * 1024;

/// A participant.
pub struct Client {
    /// Whom it stands for.
    pub person: Person,
    /// The roster as this client knows it, itself included.
    pub roster: BTreeMap<ParticipantId, (String, ParticipantFlags)>,
    /// About whom the roster may be wrong: those of whom a packet was lost, until the next one
    /// about them arrives. (In version 1 nothing repairs a roster otherwise.)
    pub excused: BTreeSet<ParticipantId>,
    /// What the speaker has played since the first joining, frame after frame.
    pub heard: Vec<i16>,
    /// What each of those frames was.
    pub playouts: Vec<Playout>,
    /// When the first of them was played.
    pub heard_since: Option<Instant>,
    /// Voice packets that arrived.
    pub voice_packets_in: u64,
    /// Voice packets that were sent.
    pub voice_packets_out: u64,
    /// How often it was let in.
    pub joins: u32,
    /// Why the last session ended, if it did.
    pub closed: Option<ByeReason>,
    /// Why it was refused last, if it was.
    pub rejected: Option<RejectReason>,
    /// Bytes that were no packets.
    pub dropped_bytes: u64,
    session: ClientSession,
    deframer: Deframer,
    voice: Option<Voice>,
    outbox: Vec<u8>,
    separator: Separator,
    rejoin_at: Option<Instant>,
    said_samples: usize,
    listed: bool,
}

struct Voice {
    params: SessionParams,
    uplink: Uplink,
    downlink: Downlink<64>,
    next_frame_at: Instant,
}

impl Client {
    /// One whose Hello is ready to be sent.
    pub fn new(person: Person, now: Instant) -> Self {
        let mut client = Self {
            session: ClientSession::new(person.request(), ClientConfig::default(), now),
            person,
            roster: BTreeMap::new(),
            excused: BTreeSet::new(),
            heard: Vec::new(),
            playouts: Vec::new(),
            heard_since: None,
            voice_packets_in: 0,
            voice_packets_out: 0,
            joins: 0,
            closed: None,
            rejected: None,
            dropped_bytes: 0,
            deframer: Deframer::new(),
            voice: None,
            outbox: Vec::new(),
            separator: Separator::new(),
            rejoin_at: None,
            said_samples: 0,
            listed: false,
        };
        client.settle(now);
        client
    }

    /// Returns whether it is in the room and knows who else is.
    pub fn is_in(&self) -> bool {
        self.session.params().is_some() && self.listed
    }

    /// Returns its number in the room.
    pub fn id(&self) -> Option<ParticipantId> {
        self.session.params().map(|params| params.id)
    }

    /// Returns the names on its roster.
    pub fn names(&self) -> Vec<&str> {
        self.roster
            .values()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Frames that wait to be played, and how many are kept in reserve.
    pub fn playout_depth(&self) -> (u16, u16) {
        self.voice.as_ref().map_or((0, 0), |voice| {
            (
                voice.downlink.depth_frames(),
                voice.downlink.target_frames(),
            )
        })
    }

    /// Begins to say something else.
    pub fn say(&mut self, samples: Vec<i16>) {
        self.person.says = samples;
        self.said_samples = 0;
    }

    /// Mutes or unmutes.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.session.set_muted(muted);
        if let Some(voice) = &mut self.voice {
            voice.uplink.set_muted(muted);
        }
        self.settle(now);
    }

    /// Says Bye.
    pub fn leave(&mut self, now: Instant) {
        self.person.persistent = false;
        self.session.leave();
        self.settle(now);
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let (feed, left) = self.deframer.feed(rest);
            rest = left;
            match feed {
                Feed::NeedMore => {}
                Feed::Bad { dropped_bytes, .. } => self.dropped_bytes += u64::from(dropped_bytes),
                Feed::Packet(packet) => {
                    let heard = self.session.handle_input(now, packet);
                    if let (Some(heard), Some(voice)) = (heard, &mut self.voice) {
                        self.voice_packets_in += 1;
                        // A payload that cannot be would be the server's fault, and show as
                        // silence.
                        let _ = voice.downlink.push(&heard);
                    }
                    self.settle(now);
                }
            }
        }
    }

    /// The stream is a new one: what was half read or not yet sent is lost, and the session begins
    /// anew.
    pub fn handle_reconnect(&mut self, now: Instant) {
        self.deframer.reset();
        self.outbox.clear();
        self.begin_again(now);
    }

    /// Returns whether it waits for a new session. If its stream is closed, it needs another.
    pub fn wants_session(&self, now: Instant) -> bool {
        self.rejoin_at.is_some_and(|at| at <= now)
    }

    /// Joins again on the stream that it has.
    pub fn begin_again(&mut self, now: Instant) {
        self.rejoin_at = None;
        self.session = ClientSession::new(self.person.request(), ClientConfig::default(), now);
        self.settle(now);
    }

    /// The stream is closed.
    pub fn handle_closed(&mut self, now: Instant) {
        if !self.session.is_closed() {
            self.voice = None;
            self.closed = Some(ByeReason::ConnectionLost);
        }
        self.session_is_over(now);
    }

    /// Does what is due.
    pub fn handle_time(&mut self, now: Instant) {
        if self.session.poll_timeout().is_some_and(|due| due <= now) {
            self.session.handle_timeout(now);
            self.settle(now);
        }
        while self
            .voice
            .as_ref()
            .is_some_and(|voice| voice.next_frame_at <= now)
        {
            self.frame(now);
        }
    }

    /// When to call [`Client::handle_time`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let frame = self.voice.as_ref().map(|voice| voice.next_frame_at);
        [frame, self.session.poll_timeout(), self.rejoin_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Bytes for the stream.
    pub fn outbox(&mut self) -> &mut Vec<u8> {
        &mut self.outbox
    }

    fn settle(&mut self, now: Instant) {
        while let Some(event) = self.session.poll_event() {
            self.handle_event(now, event);
        }
        let mut packet = [0; ENCODED_MAX];
        while let Some(len) = self.session.poll_transmit(&mut packet) {
            self.separate(now);
            self.outbox.extend(&packet[..len]);
        }
    }

    /// After a pause a zero goes first.
    fn separate(&mut self, now: Instant) {
        if self.separator.begin(now) {
            self.outbox.push(0);
        }
    }

    fn handle_event(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Joined(params, _) => self.enter(now, params),
            ClientEvent::Listed(who) | ClientEvent::ParticipantJoined(who) => {
                let known = self
                    .roster
                    .insert(who.id, (who.name.to_string(), who.flags));
                self.must(who.id, known.is_none(), "was told of someone twice");
                self.excused.remove(&who.id);
            }
            ClientEvent::RosterComplete => self.listed = true,
            ClientEvent::ParticipantLeft(id) => {
                let known = self.roster.remove(&id);
                self.must(id, known.is_some(), "never knew of someone who left");
                self.excused.remove(&id);
            }
            ClientEvent::State(id, flags) => {
                let known = self.roster.get_mut(&id).map(|entry| entry.1 = flags);
                self.must(id, known.is_some(), "never knew of someone who changed");
                if known.is_some() {
                    self.excused.remove(&id);
                }
            }
            ClientEvent::Rejected(reason) => {
                self.rejected = Some(reason);
                self.session_is_over(now);
            }
            ClientEvent::Closed(reason) => {
                self.closed = Some(reason);
                self.session_is_over(now);
            }
        }
    }

    /// Packets about these were lost on the line: what is known of them may be wrong from now on.
    pub fn excuse(&mut self, lost: &[ParticipantId]) {
        self.excused.extend(lost);
    }

    /// A server that forgets or repeats itself is wrong at once. Only a lost packet excuses that,
    /// and only about those whom it was about.
    fn must(&self, about: ParticipantId, holds: bool, what: &str) {
        let name = &self.person.name;
        assert!(
            holds || self.excused.contains(&about),
            "{name} {what}: {about:?}; {:?}",
            self.roster
        );
    }

    fn enter(&mut self, now: Instant, params: SessionParams) {
        self.joins += 1;
        self.roster.clear();
        self.excused.clear();
        self.listed = false;
        self.heard_since.get_or_insert(now);
        let mut config = UplinkConfig::default_for(params.codec, params.frame);
        config.gate.enabled = self.person.gate;
        let jitter = JitterConfig::default_for(params.frame, self.person.margin_frames);
        self.voice = Some(Voice {
            params,
            uplink: Uplink::new(config).expect("the defaults are valid"),
            downlink: Downlink::new(params.codec, params.frame, jitter),
            next_frame_at: now + self.person.phase,
        });
    }

    fn session_is_over(&mut self, now: Instant) {
        self.voice = None;
        self.roster.clear();
        self.listed = false;
        if self.person.persistent {
            self.rejoin_at.get_or_insert(now + REJOIN_AFTER);
        }
    }

    /// One frame of microphone and speaker.
    fn frame(&mut self, now: Instant) {
        let Some(voice) = &mut self.voice else { return };
        let samples = voice.params.frame_samples();
        voice.next_frame_at += voice.params.frame.duration();
        let mut out = Frame::silence(samples);
        self.playouts.push(voice.downlink.pop(&mut out));
        self.heard.extend(&*out);
        let left = &self.person.says[self.said_samples..];
        let said = &left[..left.len().min(samples)];
        self.said_samples += said.len();
        if said.is_empty() && !self.person.gate {
            voice.uplink.finish();
        } else {
            let mut frame = said.to_vec();
            frame.resize(samples, 0);
            voice.uplink.push(&frame);
        }
        let mut packet = [0; ENCODED_MAX];
        while let Some(len) = voice.uplink.poll_packet(&mut packet) {
            if self.outbox.len() + len < OUTBOX_BYTES {
                self.voice_packets_out += 1;
                if self.separator.begin(now) {
                    self.outbox.push(0);
                }
                self.outbox.extend(&packet[..len]);
            }
        }
    }
}
