//! A participant on virtual time: the core's endpoint, with a list of samples as its microphone and
//! another as its speaker. It does what a program around the core does, and nothing smarter.

use std::collections::{BTreeMap, BTreeSet};

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::jitter::JitterStats;
use talkspurt_core::carrier::stream::TRANSMIT_MAX;
use talkspurt_core::endpoint::{ClientStats, DelayMeter};
use talkspurt_core::session::{ClientEvent, HANDSHAKE_TIMEOUT_DEFAULT};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Playout;
use talkspurt_core::wire::{ParticipantFlags, ParticipantId, Reason};

use crate::participant::Participant;
use crate::person::{Endpoint, Person};

/// How long a persistent client waits before it joins again.
const REJOIN_AFTER: Duration = Duration::from_millis(500);

/// A participant.
pub struct Client {
    /// The person it takes part for.
    pub person: Person,
    /// The roster as this client knows it, itself included.
    pub roster: BTreeMap<ParticipantId, (String, ParticipantFlags)>,
    /// The roster that is being listed, to replace it.
    listing: BTreeMap<ParticipantId, (String, ParticipantFlags)>,
    /// Participants about whom the roster may be wrong, because a packet about them was lost. The
    /// next packet about them ends that, and so does the whole roster, which is asked for then.
    pub excused: BTreeSet<ParticipantId>,
    /// Everything the speaker has played since the first join, frame after frame.
    pub heard: Vec<i16>,
    /// What each of those frames was.
    pub playouts: Vec<Playout>,
    /// When the first of these frames was played.
    pub heard_since: Option<Instant>,
    /// By how much it has shifted the frames of its microphone, and when.
    pub shifts: Vec<(Instant, Duration)>,
    /// How often it has joined.
    pub joins: u32,
    /// Why the last session ended, if it did.
    pub closed: Option<Reason>,
    /// Why it was last refused, if it was.
    pub rejected: Option<Reason>,
    /// Session, voice and the packets waiting for the stream.
    endpoint: Box<Endpoint>,
    /// How long voice takes; used if the person wants to know.
    delay: DelayMeter,
    /// When the next frame of the microphone ends, and when that of the speaker begins.
    next_said_at: Option<Instant>,
    next_heard_at: Option<Instant>,
    /// The rest of a packet that the stream has not taken yet.
    unsent: Vec<u8>,
    rejoin_at: Option<Instant>,
    said_samples: usize,
    listed: bool,
}

impl Client {
    /// Creates a client whose Hello is ready to be sent.
    pub fn new(person: Person, now: Instant) -> Self {
        let mut client = Self {
            endpoint: person.endpoint(),
            delay: DelayMeter::new(FrameDuration::Ms20),
            person,
            roster: BTreeMap::new(),
            listing: BTreeMap::new(),
            excused: BTreeSet::new(),
            heard: Vec::new(),
            playouts: Vec::new(),
            heard_since: None,
            shifts: Vec::new(),
            joins: 0,
            closed: None,
            rejected: None,
            next_said_at: None,
            next_heard_at: None,
            unsent: Vec::new(),
            rejoin_at: None,
            said_samples: 0,
            listed: false,
        };
        client.join(now);
        client
    }

    /// Returns whether it is in the room and knows who else is.
    pub fn is_in(&self) -> bool {
        self.endpoint.params().is_some() && self.listed
    }

    /// Returns its number in the room.
    pub fn id(&self) -> Option<ParticipantId> {
        self.endpoint.params().map(|params| params.id)
    }

    /// Returns the names on its roster.
    pub fn names(&self) -> Vec<&str> {
        self.roster
            .values()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Returns what its endpoint counts.
    pub fn stats(&self) -> ClientStats {
        self.endpoint.stats()
    }

    /// Returns what its jitter buffer counts since the last join.
    pub fn jitter_stats(&self) -> JitterStats {
        self.endpoint.jitter_stats()
    }

    /// Returns how many frames wait to be played, and how many are kept in reserve.
    pub fn playout_frames(&self) -> (u16, u16) {
        self.endpoint.playout_frames()
    }

    /// Returns how long the voice heard last took from mouth to ear, as the client knows it.
    pub fn mouth_to_ear(&self) -> Option<Duration> {
        self.endpoint.mouth_to_ear(&self.delay)
    }

    /// Replaces what the microphone hears.
    pub fn say(&mut self, samples: Vec<i16>) {
        self.person.says = samples;
        self.said_samples = 0;
    }

    /// Mutes or unmutes.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.endpoint.set_muted(now, muted);
    }

    /// Leaves the room with a Bye.
    pub fn leave(&mut self, now: Instant) {
        self.person.persistent = false;
        self.endpoint.leave(now);
        self.take_events(now);
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.handle_event(now, event);
        }
    }

    fn handle_event(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Joined(params, _) => {
                self.delay = DelayMeter::new(params.format.frame);
                self.enter(now);
            }
            ClientEvent::Listed {
                participant,
                is_first,
            } => {
                if is_first {
                    self.listing.clear();
                }
                let entry = (participant.name.to_string(), participant.flags);
                let before = self.listing.insert(participant.id, entry);
                assert!(before.is_none(), "{participant:?} is listed twice");
            }
            ClientEvent::ParticipantJoined(who) => {
                let known = self
                    .roster
                    .insert(who.id, (who.name.to_string(), who.flags));
                self.must(who.id, known.is_none(), "was told twice of a participant");
                self.excused.remove(&who.id);
            }
            ClientEvent::RosterComplete => {
                self.listed = true;
                self.roster = std::mem::take(&mut self.listing);
                self.excused.clear();
            }
            ClientEvent::ParticipantLeft(id, _) => {
                let known = self.roster.remove(&id);
                self.must(
                    id,
                    known.is_some(),
                    "was told that an unknown participant left",
                );
                self.excused.remove(&id);
            }
            ClientEvent::State(id, flags) => {
                let known = self.roster.get_mut(&id).map(|entry| entry.1 = flags);
                self.must(
                    id,
                    known.is_some(),
                    "was told that an unknown participant changed",
                );
                if known.is_some() {
                    self.excused.remove(&id);
                }
            }
            ClientEvent::Rejected(reason, _) => {
                self.rejected = Some(reason);
                self.session_is_over(now);
            }
            ClientEvent::Closed(reason, _) => {
                self.closed = Some(reason);
                self.session_is_over(now);
            }
            other => panic!("the test network does not know {other:?}"),
        }
    }

    /// Panics if the server has forgotten or repeated something, unless a packet about that
    /// participant was lost.
    fn must(&self, about: ParticipantId, holds: bool, what: &str) {
        let name = &self.person.name;
        assert!(
            holds || self.excused.contains(&about),
            "{name} {what}: {about:?}; {:?}",
            self.roster
        );
    }

    fn enter(&mut self, now: Instant) {
        self.joins += 1;
        self.roster.clear();
        self.excused.clear();
        self.listed = false;
        self.heard_since.get_or_insert(now);
        self.next_said_at = Some(now + self.person.phase);
        self.next_heard_at = self.next_said_at;
    }

    fn session_is_over(&mut self, now: Instant) {
        (self.next_said_at, self.next_heard_at) = (None, None);
        self.roster.clear();
        self.listed = false;
        if self.person.persistent {
            self.rejoin_at.get_or_insert(now + REJOIN_AFTER);
        }
    }

    /// Runs one frame of the speaker.
    fn hear(&mut self, due: Instant) {
        let Some(params) = self.endpoint.params() else {
            self.next_heard_at = None;
            return;
        };
        self.next_heard_at = Some(due + params.format.frame.duration());
        let mut out = Frame::silence(params.format.frame_samples());
        let playout = self.endpoint.pop_frame(&mut out);
        self.playouts.push(playout);
        if playout != Playout::Silence {
            self.endpoint
                .measure_played(due, Duration::ZERO, &mut self.delay);
        }
        self.heard.extend(&*out);
    }

    /// Runs one frame of the microphone, unless it is to end later.
    fn speak(&mut self, now: Instant, due: Instant) {
        let Some(params) = self.endpoint.params() else {
            self.next_said_at = None;
            return;
        };
        if let Some(shift) = self.endpoint.take_tick_shift() {
            self.shifts.push((now, shift));
            self.next_said_at = Some(due + shift);
            return;
        }
        let samples = params.format.frame_samples();
        self.next_said_at = Some(due + params.format.frame.duration());
        let left = &self.person.says[self.said_samples..];
        let said = &left[..left.len().min(samples)];
        self.said_samples += said.len();
        if said.is_empty() && !self.person.gate {
            // As of a host whose input has ended: the pause has its length.
            self.endpoint.miss_frame(now);
        } else {
            let mut frame = said.to_vec();
            frame.resize(samples, 0);
            self.endpoint.push_frame(now, &frame);
            self.endpoint
                .measure_captured(now, Duration::ZERO, &mut self.delay);
        }
    }
}

impl Participant for Client {
    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.endpoint.handle_stream(now, rest);
            self.endpoint.measure_received(now, &mut self.delay);
            self.take_events(now);
        }
    }

    fn handle_reconnect(&mut self, now: Instant) {
        self.unsent.clear();
        self.endpoint.reset_stream();
        self.join(now);
    }

    fn wants_session(&self, now: Instant) -> bool {
        self.rejoin_at.is_some_and(|at| at <= now)
    }

    fn keeps_stream(&self) -> bool {
        true
    }

    fn join(&mut self, now: Instant) {
        self.rejoin_at = None;
        // Another one for each session, and the same in each run.
        let nonce = (now.as_micros() + 1).to_le_bytes();
        self.endpoint.join(now, HANDSHAKE_TIMEOUT_DEFAULT, nonce);
    }

    fn handle_closed(&mut self, now: Instant) {
        if !self.endpoint.is_closed() {
            self.closed = Some(Reason::CONNECTION_LOST);
        }
        self.session_is_over(now);
    }

    fn handle_time(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
            self.take_events(now);
        }
        while let Some(due) = self.next_heard_at.filter(|due| *due <= now) {
            self.hear(due);
        }
        while let Some(due) = self.next_said_at.filter(|due| *due <= now) {
            self.speak(now, due);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let session = self.endpoint.poll_timeout();
        let rejoin = self.rejoin_at;
        [self.next_heard_at, self.next_said_at, session, rejoin]
            .into_iter()
            .flatten()
            .min()
    }

    fn transmit(&mut self, now: Instant, write: &mut dyn FnMut(&[u8]) -> usize) {
        let mut packet = [0; TRANSMIT_MAX];
        loop {
            let taken = write(&self.unsent);
            self.unsent.drain(..taken);
            if !self.unsent.is_empty() {
                return;
            }
            let Some(transmit) = self.endpoint.poll_transmit(now, &mut packet) else {
                break;
            };
            self.unsent.extend(&packet[..transmit.len]);
        }
        self.take_events(now);
    }

    fn excuse(&mut self, lost: &[ParticipantId]) {
        self.excused.extend(lost);
    }
}
