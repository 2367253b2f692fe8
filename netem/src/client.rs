//! A participant on virtual time: the core's endpoint, with a list of samples for a microphone and
//! another for a speaker. It does what a program around the core does, and nothing cleverer.

use std::collections::{BTreeMap, BTreeSet};

use talkspurt_core::audio::frame::Frame;
use talkspurt_core::carrier::stream::TRANSMIT_MAX;
use talkspurt_core::endpoint::ClientStats;
use talkspurt_core::session::{ClientEvent, HANDSHAKE_TIMEOUT_DEFAULT};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Playout;
use talkspurt_core::wire::{ByeReason, ParticipantFlags, ParticipantId, RejectReason};

use crate::person::{Endpoint, Person};

/// How long a persistent client waits before it joins again.
const REJOIN_AFTER: Duration = Duration::from_millis(500);
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
    /// How often it was let in.
    pub joins: u32,
    /// Why the last session ended, if it did.
    pub closed: Option<ByeReason>,
    /// Why it was refused last, if it was.
    pub rejected: Option<RejectReason>,
    /// Session, voice and what waits for the stream.
    endpoint: Box<Endpoint>,
    next_frame_at: Option<Instant>,
    /// What the stream has not taken of a packet.
    unsent: Vec<u8>,
    rejoin_at: Option<Instant>,
    said_samples: usize,
    listed: bool,
}

impl Client {
    /// One whose Hello is ready to be sent.
    pub fn new(person: Person, now: Instant) -> Self {
        let mut client = Self {
            endpoint: person.endpoint(),
            person,
            roster: BTreeMap::new(),
            excused: BTreeSet::new(),
            heard: Vec::new(),
            playouts: Vec::new(),
            heard_since: None,
            joins: 0,
            closed: None,
            rejected: None,
            next_frame_at: None,
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

    /// Frames that wait to be played, and how many are kept in reserve.
    pub fn playout_frames(&self) -> (u16, u16) {
        self.endpoint.playout_frames()
    }

    /// Begins to say something else.
    pub fn say(&mut self, samples: Vec<i16>) {
        self.person.says = samples;
        self.said_samples = 0;
    }

    /// Mutes or unmutes.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.endpoint.set_muted(now, muted);
    }

    /// Says Bye.
    pub fn leave(&mut self, now: Instant) {
        self.person.persistent = false;
        self.endpoint.leave(now);
        self.take_events(now);
    }

    /// Bytes came.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            rest = self.endpoint.handle_stream(now, rest);
            self.take_events(now);
        }
    }

    /// Joins over a new stream: what the old one has not taken is lost.
    pub fn handle_reconnect(&mut self, now: Instant) {
        self.unsent.clear();
        self.endpoint.reset_stream();
        self.join(now);
    }

    /// Returns whether it waits for a new session. If its stream is closed, it needs another.
    pub fn wants_session(&self, now: Instant) -> bool {
        self.rejoin_at.is_some_and(|at| at <= now)
    }

    /// Joins, on the stream that it has.
    pub fn join(&mut self, now: Instant) {
        self.rejoin_at = None;
        self.endpoint.join(now, HANDSHAKE_TIMEOUT_DEFAULT);
    }

    /// The stream is closed.
    pub fn handle_closed(&mut self, now: Instant) {
        if !self.endpoint.is_closed() {
            self.closed = Some(ByeReason::ConnectionLost);
        }
        self.session_is_over(now);
    }

    /// Does what is due.
    pub fn handle_time(&mut self, now: Instant) {
        if self.endpoint.poll_timeout().is_some_and(|due| due <= now) {
            self.endpoint.handle_timeout(now);
            self.take_events(now);
        }
        while let Some(due) = self.next_frame_at.filter(|due| *due <= now) {
            self.frame(now, due);
        }
    }

    /// When to call [`Client::handle_time`] next.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let session = self.endpoint.poll_timeout();
        [self.next_frame_at, session, self.rejoin_at]
            .into_iter()
            .flatten()
            .min()
    }

    /// Gives packets to the stream, for as long as it takes all of one.
    pub fn transmit(&mut self, now: Instant, mut write: impl FnMut(&[u8]) -> usize) {
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

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.endpoint.poll_event() {
            self.handle_event(now, event);
        }
    }

    fn handle_event(&mut self, now: Instant, event: ClientEvent) {
        match event {
            ClientEvent::Joined(..) => self.enter(now),
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
            other => panic!("{other:?} is news to the test network"),
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

    fn enter(&mut self, now: Instant) {
        self.joins += 1;
        self.roster.clear();
        self.excused.clear();
        self.listed = false;
        self.heard_since.get_or_insert(now);
        self.next_frame_at = Some(now + self.person.phase);
    }

    fn session_is_over(&mut self, now: Instant) {
        self.next_frame_at = None;
        self.roster.clear();
        self.listed = false;
        if self.person.persistent {
            self.rejoin_at.get_or_insert(now + REJOIN_AFTER);
        }
    }

    /// One frame of microphone and speaker.
    fn frame(&mut self, now: Instant, due: Instant) {
        let Some(params) = self.endpoint.params() else {
            self.next_frame_at = None;
            return;
        };
        let samples = params.format.frame_samples();
        self.next_frame_at = Some(due + params.format.frame.duration());
        let mut out = Frame::silence(samples);
        self.playouts.push(self.endpoint.pop_frame(&mut out));
        self.heard.extend(&*out);
        let left = &self.person.says[self.said_samples..];
        let said = &left[..left.len().min(samples)];
        self.said_samples += said.len();
        if said.is_empty() && !self.person.gate {
            self.endpoint.end_talkspurt(now);
        } else {
            let mut frame = said.to_vec();
            frame.resize(samples, 0);
            self.endpoint.push_frame(now, &frame);
        }
    }
}
