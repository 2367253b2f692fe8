//! The loop that plays all participants on one thread: joins them, sends each talker's frames at his own phase in real time,
//! reads what they hear, and keeps the books of marked frames.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time;

use anyhow::{Context, Result, bail, ensure};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use talkspurt_core::codec::{Codec, Encoder, PAYLOAD_MAX};
use talkspurt_core::frame::{Frame, FrameDuration};
use talkspurt_core::seq::Seq;
use talkspurt_core::session::{JoinRequest, session_frame_samples};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    ClientPacket, ENCODED_MAX, ParticipantName, RoomName, ServerPacket, Voice, emit,
};

use crate::floor::Seat;
use crate::ledger::{Found, Ledger};
use crate::marker;
use crate::peer::{Peer, Traffic};
use crate::plan::Plan;

/// How many joins may be under way at once: enough to be quick, too few for any server's backlog.
const JOINS_AT_ONCE: usize = 32;
/// How long all joins together may take.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How long leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
/// Different frames of background noise that talkers choose from.
const BACKGROUNDS: usize = 64;
/// From one marker in a room to the next, in frames: drawn anew each time, so that markers keep no step with anything.
const MARK_EVERY_FRAMES: std::ops::RangeInclusive<u64> = 6..=12;
/// What one read takes.
const READ_BYTES: usize = 64 * 1024;

/// What is at the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opposite {
    /// A server of the protocol.
    Server,
    /// The bare floor.
    Floor,
}

/// All participants of a plan.
pub struct Generator {
    plan: Plan,
    random: fastrand::Rng,
    epoch: time::Instant,
    epoll: OwnedFd,
    events: Vec<Event>,
    buffer: Box<[u8]>,
    peers: Vec<Peer>,
    timers: BinaryHeap<Reverse<(Instant, usize, Timer)>>,
    /// The session deadline in `timers` that counts, for each peer; others are old.
    armed: Vec<Option<Instant>>,
    /// Whether the poll looks for room to write, for each peer.
    watched: Vec<bool>,
    talkers: Vec<Option<Talker>>,
    turns: Vec<Turn>,
    backgrounds: Vec<Frame>,
    ledger: Option<Ledger>,
    /// How much later than due each frame was sent, in milliseconds.
    lags_ms: Vec<f64>,
    skipped_frames: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The participant's next frame.
    Frame,
    /// The session's own.
    Session,
}

struct Talker {
    encoder: Encoder,
    frames: u32,
}

/// Whose turn it is in a room to send a marked frame, and from when on.
struct Turn {
    talker: usize,
    from: Instant,
}

/// How well the generator kept time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Pacing {
    /// How much later than due each frame was sent, in milliseconds.
    pub lags_ms: Vec<f64>,
    /// Frames that could not be sent because the server did not take the ones before.
    pub skipped_frames: u64,
}

impl Generator {
    /// Connects everyone, and waits until all are in.
    ///
    /// # Errors
    /// Somebody is refused or dropped, or the joins take longer than a minute.
    pub fn join(plan: Plan, opposite: Opposite, address: SocketAddr) -> Result<Self> {
        raise_descriptor_limit()?;
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let mut generator = Self {
            plan,
            epoch: time::Instant::now(),
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(1_024),
            buffer: vec![0; READ_BYTES].into(),
            peers: Vec::with_capacity(plan.participants),
            timers: BinaryHeap::new(),
            armed: vec![None; plan.participants],
            watched: vec![false; plan.participants],
            talkers: Vec::new(),
            turns: Vec::new(),
            backgrounds: backgrounds(&mut random, plan.frame),
            random,
            ledger: None,
            lags_ms: Vec::new(),
            skipped_frames: 0,
        };
        let deadline = generator.now() + JOIN_LIMIT;
        for participant in 0..plan.participants {
            generator.connect(participant, opposite, address)?;
            generator.wait_for_joins(JOINS_AT_ONCE - 1, deadline)?;
        }
        generator.wait_for_joins(0, deadline)?;
        Ok(generator)
    }

    /// The frame duration that the server announced; at the floor, the plan's.
    pub fn frame(&self) -> FrameDuration {
        let params = self.peers.first().and_then(Peer::params);
        params.map_or(self.plan.frame, |params| params.frame)
    }

    /// Everyone who is to talk begins, each at a phase of his own.
    pub fn start_talking(&mut self) {
        let start = self.now();
        let period = self.plan.frame.duration().as_micros();
        self.talkers = (0..self.plan.participants)
            .map(|participant| {
                self.plan.is_talker(participant).then(|| {
                    let phase = Duration::from_micros(self.random.u64(0..period));
                    self.timers
                        .push(Reverse((start + phase, participant, Timer::Frame)));
                    Talker {
                        encoder: Encoder::new(self.plan.codec),
                        frames: 0,
                    }
                })
            })
            .collect();
    }

    /// From now on talkers mark frames in turn, and time keeping is noted.
    pub fn start_marking(&mut self) {
        let now = self.now();
        self.turns = (0..self.plan.rooms())
            .map(|room| Turn {
                talker: self.plan.talkers_in(room).start,
                from: now,
            })
            .collect();
        self.ledger = Some(Ledger::new(self.plan));
        self.lags_ms.clear();
        self.skipped_frames = 0;
    }

    /// No more marks are sent; those on their way are still heard.
    pub fn stop_marking(&mut self) -> Pacing {
        self.turns.clear();
        Pacing {
            lags_ms: std::mem::take(&mut self.lags_ms),
            skipped_frames: self.skipped_frames,
        }
    }

    /// Goes on for `span`.
    ///
    /// # Errors
    /// Somebody is dropped.
    pub fn run(&mut self, span: time::Duration) -> Result<()> {
        let end = self.now() + span.into();
        while self.now() < end {
            self.step(end)?;
        }
        Ok(())
    }

    /// Bytes of all connections so far.
    pub fn traffic(&self) -> Traffic {
        let mut sum = Traffic::default();
        for peer in &self.peers {
            sum.sent_bytes += peer.traffic.sent_bytes;
            sum.received_bytes += peer.traffic.received_bytes;
        }
        sum
    }

    /// Everyone leaves, and waits until the server has closed; gives what the books of marked frames come to.
    ///
    /// # Errors
    /// The server does not close in time.
    pub fn leave(mut self, opposite: Opposite) -> Result<Found> {
        self.talkers.clear();
        self.timers.clear();
        if opposite == Opposite::Server {
            self.peers.iter_mut().for_each(Peer::leave);
            let deadline = self.now() + LEAVE_LIMIT;
            while self.peers.iter().any(|peer| !peer.is_closed()) {
                ensure!(self.now() < deadline, "the server does not let everyone go");
                self.step(deadline)?;
            }
        }
        Ok(self.ledger.map(Ledger::close).unwrap_or_default())
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed().into()
    }

    fn connect(
        &mut self,
        participant: usize,
        opposite: Opposite,
        address: SocketAddr,
    ) -> Result<()> {
        let peer = match opposite {
            Opposite::Server => {
                Peer::join(address, join_request(&self.plan, participant)?, self.now())?
            }
            Opposite::Floor => Peer::sit_down(address, seat(&self.plan, participant))?,
        };
        epoll::add(
            &self.epoll,
            &peer,
            EventData::new_u64(participant as u64),
            EventFlags::IN,
        )?;
        self.peers.push(peer);
        self.arm_session(participant);
        Ok(())
    }

    fn wait_for_joins(&mut self, under_way_max: usize, deadline: Instant) -> Result<()> {
        // Joins end roughly in the order in which they began.
        let oldest = self.peers.len().saturating_sub(2 * JOINS_AT_ONCE);
        let from = if under_way_max == 0 { 0 } else { oldest };
        while self.peers[from..]
            .iter()
            .filter(|peer| !peer.is_joined())
            .count()
            > under_way_max
        {
            ensure!(
                self.now() < deadline,
                "not everyone could join within a minute"
            );
            self.step(deadline)?;
        }
        Ok(())
    }

    /// Does what is due, then waits for input, for the next deadline or for `end`.
    fn step(&mut self, end: Instant) -> Result<()> {
        self.do_what_is_due()?;
        let next = self.timers.peek().map_or(end, |t| t.0.0.min(end));
        let timeout = timespec(next.since(self.now()).into());
        let mut events = std::mem::take(&mut self.events);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let ready_at = self.now();
        for event in events.drain(..) {
            let participant = event.data.u64() as usize;
            self.handle_event(participant, event.flags, ready_at)
                .with_context(|| describe(participant))?;
            // A whole room is heard from at once: its talkers must not wait until all of it is read.
            self.do_what_is_due()?;
        }
        self.events = events;
        Ok(())
    }

    fn do_what_is_due(&mut self) -> Result<()> {
        let now = self.now();
        while let Some(Reverse((due, participant, timer))) =
            self.timers.peek().copied().filter(|t| t.0.0 <= now)
        {
            self.timers.pop();
            match timer {
                Timer::Frame => self.send_frame(participant, due)?,
                Timer::Session if self.armed[participant] != Some(due) => {}
                Timer::Session => {
                    self.peers[participant]
                        .handle_timeout(now)
                        .with_context(|| describe(participant))?;
                    self.arm_session(participant);
                }
            }
        }
        Ok(())
    }

    fn handle_event(
        &mut self,
        participant: usize,
        flags: EventFlags,
        ready_at: Instant,
    ) -> Result<()> {
        let now = self.now();
        let peer = &mut self.peers[participant];
        if flags.contains(EventFlags::OUT) {
            peer.flush()?;
        }
        let was_joined = peer.is_joined();
        let (codec, samples) = (self.plan.codec, session_frame_samples(self.plan.frame));
        let talkers = self.plan.heard_by(participant) as u16;
        let mut marks = Vec::new();
        let packets = peer.read(now, &mut self.buffer, |voice| {
            marks.extend(mark_in(voice, codec, samples, talkers));
        })?;
        // A lone packet is the one that made the connection ready; of several, the later ones may have come since.
        let heard_at = if packets == 1 { ready_at } else { now };
        if let Some(ledger) = &mut self.ledger {
            marks
                .into_iter()
                .for_each(|mark| ledger.hear(participant, mark, heard_at));
        }
        if peer.is_closed() {
            epoll::delete(&self.epoll, &*peer)?;
            return Ok(());
        }
        self.watch(participant)?;
        if !was_joined && self.peers[participant].is_joined() {
            // The first Ping is due at once, earlier than the timeout of the Hello.
            self.arm_session(participant);
        }
        Ok(())
    }

    fn send_frame(&mut self, participant: usize, due: Instant) -> Result<()> {
        let period = self.plan.frame.duration();
        self.timers
            .push(Reverse((due + period, participant, Timer::Frame)));
        let now = self.now();
        self.lags_ms
            .push(now.since(due).as_micros() as f64 / 1_000.0);
        let background = self.random.usize(0..self.backgrounds.len());
        let mut frame = self.backgrounds[background].clone();
        if self.takes_turn(participant, now)
            && let Some(ledger) = &mut self.ledger
        {
            marker::paint(ledger.send(participant, now), &mut frame);
        }
        let Some(Some(talker)) = self.talkers.get_mut(participant) else {
            bail!("{} does not talk", describe(participant));
        };
        let mut packet = [0; ENCODED_MAX];
        let len = talker.encode(&frame, &mut packet)?;
        let sent = self.peers[participant]
            .send_voice(&packet[..len])
            .with_context(|| describe(participant))?;
        self.skipped_frames += u64::from(!sent);
        self.watch(participant)
    }

    /// Whether a talker is to mark this frame; the turn then goes to the next.
    fn takes_turn(&mut self, participant: usize, now: Instant) -> bool {
        let room = self.plan.room_of(participant);
        let Some(turn) = self.turns.get_mut(room) else {
            return false;
        };
        if turn.talker != participant || now < turn.from {
            return false;
        }
        let talkers = self.plan.talkers_in(room);
        turn.talker = talkers.start + (participant + 1 - talkers.start) % talkers.len();
        let frames = self.random.u64(MARK_EVERY_FRAMES);
        turn.from = now + self.plan.frame.duration().times(frames);
        true
    }

    /// Has the poll tell when a blocked connection takes more, and only then.
    fn watch(&mut self, participant: usize) -> Result<()> {
        let peer = &self.peers[participant];
        if peer.has_unsent() != self.watched[participant] {
            self.watched[participant] = peer.has_unsent();
            let flags = if peer.has_unsent() {
                EventFlags::IN | EventFlags::OUT
            } else {
                EventFlags::IN
            };
            let data = EventData::new_u64(participant as u64);
            epoll::modify(&self.epoll, peer, data, flags)?;
        }
        Ok(())
    }

    fn arm_session(&mut self, participant: usize) {
        self.armed[participant] = self.peers[participant].poll_timeout();
        if let Some(due) = self.armed[participant] {
            self.timers
                .push(Reverse((due, participant, Timer::Session)));
        }
    }
}

impl Talker {
    fn encode(&mut self, frame: &[i16], packet: &mut [u8]) -> Result<usize> {
        let mut payload = [0; PAYLOAD_MAX];
        let payload_len = self.encoder.encode(frame, &mut payload)?;
        self.frames = self.frames.wrapping_add(1);
        let voice = Voice {
            seq: Seq(self.frames as u16),
            timestamp_frames: self.frames,
            terminator: false,
            payload: &payload[..payload_len],
        };
        Ok(emit(&ClientPacket::Voice(voice), packet)?)
    }
}

/// Raises this process's limit of open files as far as it may: a thousand connections need more than the usual 1,024.
///
/// # Errors
/// The system refuses.
pub fn raise_descriptor_limit() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    setrlimit(Resource::Nofile, limit).context("cannot raise the limit of open files")
}

/// A span as the poll takes it.
pub fn timespec(span: time::Duration) -> Timespec {
    Timespec {
        tv_sec: span.as_secs() as i64,
        tv_nsec: span.subsec_nanos().into(),
    }
}

fn mark_in(voice: &Voice<'_>, codec: Codec, samples: usize, talkers: u16) -> Option<marker::Mark> {
    let mut frame = Frame::<320>::silence(samples);
    codec.decode(voice.payload, &mut frame).ok()?;
    marker::recognise(&frame, talkers)
}

fn backgrounds(random: &mut fastrand::Rng, frame: FrameDuration) -> Vec<Frame> {
    (0..BACKGROUNDS)
        .map(|_| {
            let mut noise = Frame::silence(session_frame_samples(frame));
            marker::paint_background(random, &mut noise);
            noise
        })
        .collect()
}

fn join_request(plan: &Plan, participant: usize) -> Result<JoinRequest> {
    let room = RoomName::new(&format!("load-{:04}", plan.room_of(participant)))?;
    let name = ParticipantName::new(&format!("participant-{participant:05}"))?;
    Ok(JoinRequest::new(room, name, &[plan.codec]))
}

/// The floor sends packets of the length that the real server's have in the middle of a session.
fn seat(plan: &Plan, participant: usize) -> Seat {
    let hears = plan.heard_by(participant) > 0;
    let payload_len = plan.codec.payload_len(session_frame_samples(plan.frame));
    let voice = Voice {
        seq: Seq(500),
        timestamp_frames: 500,
        terminator: false,
        payload: &[1; PAYLOAD_MAX][..payload_len],
    };
    let mut packet = [0; ENCODED_MAX];
    let len = emit(&ServerPacket::Voice(voice), &mut packet).unwrap_or(0);
    Seat {
        room: plan.room_of(participant) as u16,
        packet_bytes: if hears { len as u16 } else { 0 },
    }
}

fn describe(participant: usize) -> String {
    format!("participant {participant}")
}
