//! The loop that plays all participants on one thread. It joins them, sends each talker's frames in
//! real time, at a phase of their own, reads what the others hear, and notes marked frames.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::net::SocketAddr;
use std::time;

use anyhow::{Context, Result, ensure};
use talkspurt_core::audio::codec::PAYLOAD_MAX;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};

use crate::ledger::{Found, Ledger};
use crate::peer::{Peer, Traffic};
use crate::plan::Plan;
use crate::poller::{Poller, Ready};
use crate::speech::{Speech, mark_in};
use crate::stall::Who;

use stalling::Stalled;

mod stalling;

/// How many joins may be under way at once: enough to be quick, too few for any server's backlog.
const JOINS_AT_ONCE: usize = 32;
/// How long all joins together may take.
const JOIN_LIMIT: Duration = Duration::from_secs(60);
/// How long leaving may take.
const LEAVE_LIMIT: Duration = Duration::from_secs(5);
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
    opposite: Opposite,
    epoch: time::Instant,
    poller: Poller,
    buffer: Box<[u8]>,
    peers: Vec<Peer>,
    timers: BinaryHeap<Reverse<(Instant, usize, Timer)>>,
    /// The session deadline in `timers` that counts, for each peer; others are old.
    armed: Vec<Option<Instant>>,
    /// Whether the poll looks for room to write, for each peer.
    watched: Vec<bool>,
    speech: Speech,
    ledger: Option<Ledger>,
    pacing: Pacing,
    stalled: Option<Stalled>,
    /// Frames that a stall holds back; each stands for those after it.
    held: Vec<(Instant, usize)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Timer {
    /// The participant's next frame.
    Frame,
    /// The session's own.
    Session,
    /// A stall begins or ends, whoever the participant is.
    Stall,
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
        let mut generator = Self {
            plan,
            opposite,
            epoch: time::Instant::now(),
            poller: Poller::new()?,
            buffer: vec![0; READ_BYTES].into(),
            peers: Vec::with_capacity(plan.participants),
            timers: BinaryHeap::new(),
            armed: vec![None; plan.participants],
            watched: vec![false; plan.participants],
            speech: Speech::new(plan),
            ledger: None,
            pacing: Pacing::default(),
            stalled: None,
            held: Vec::new(),
        };
        let deadline = generator.now() + JOIN_LIMIT;
        for participant in 0..plan.participants {
            generator.connect(participant, address)?;
            generator.wait_for_joins(JOINS_AT_ONCE - 1, deadline)?;
        }
        generator.wait_for_joins(0, deadline)?;
        Ok(generator)
    }

    /// The frame duration that the server announced; at the floor, the plan's.
    pub fn frame(&self) -> FrameDuration {
        let params = self.peers.first().and_then(Peer::params);
        params.map_or(self.plan.format.frame, |params| params.format.frame)
    }

    /// Everyone who is to talk begins, each at a phase of its own.
    ///
    /// # Errors
    /// Somebody's connection is over.
    pub fn start_talking(&mut self) -> Result<()> {
        let start = self.now();
        for participant in 0..self.peers.len() {
            self.peers[participant].acknowledge_like_a_session()?;
            if self.plan.is_talker(participant) {
                let first = start + self.speech.phase();
                self.schedule(first, participant, Timer::Frame);
            }
        }
        Ok(())
    }

    /// From now on talkers mark frames in turn, and time keeping is noted.
    pub fn start_marking(&mut self) {
        self.speech.start_marking(self.now());
        self.ledger = Some(Ledger::new(self.plan));
        self.pacing = Pacing::default();
    }

    /// No more marks are sent; those on their way are still heard. Gives how well time was kept
    /// while there were.
    pub fn stop_marking(&mut self) -> Pacing {
        self.speech.stop_marking();
        std::mem::take(&mut self.pacing)
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

    /// Everyone leaves, and waits until the server has closed; gives what the books of marked
    /// frames come to.
    ///
    /// # Errors
    /// The server does not close in time.
    pub fn leave(mut self) -> Result<Found> {
        self.timers.clear();
        if self.opposite == Opposite::Server {
            let now = self.now();
            self.peers.iter_mut().for_each(|peer| peer.leave(now));
            let deadline = now + LEAVE_LIMIT;
            while self.peers.iter().any(|peer| !peer.is_closed()) {
                ensure!(self.now() < deadline, "the server does not let everyone go");
                self.step(deadline)?;
            }
        }
        Ok(self.ledger.map(|ledger| ledger.found).unwrap_or_default())
    }

    /// Waits for one thing to come or to be due, for at most `span`.
    ///
    /// # Errors
    /// Somebody is dropped.
    pub fn wait(&mut self, span: time::Duration) -> Result<()> {
        self.step(self.now() + span.into())
    }

    /// One of the participants, to have it do something now.
    pub fn peer(&mut self, participant: usize) -> (&mut Peer, Instant) {
        let now = self.now();
        (&mut self.peers[participant], now)
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed().into()
    }

    fn connect(&mut self, participant: usize, address: SocketAddr) -> Result<()> {
        let peer = match self.opposite {
            Opposite::Server => {
                Peer::join(address, self.plan.join_request(participant)?, self.now())?
            }
            Opposite::Floor => Peer::sit_down(address, self.plan.seat(participant))?,
        };
        self.poller.add(&peer, participant as u64)?;
        self.peers.push(peer);
        self.arm_session(participant);
        Ok(())
    }

    fn wait_for_joins(&mut self, under_way_max: usize, deadline: Instant) -> Result<()> {
        // Joins end roughly in the order in which they began.
        let oldest = self.peers.len().saturating_sub(2 * JOINS_AT_ONCE);
        let from = if under_way_max == 0 { 0 } else { oldest };
        let is_under_way = |peer: &&Peer| !peer.is_joined();
        while self.peers[from..].iter().filter(is_under_way).count() > under_way_max {
            let in_time = self.now() < deadline;
            ensure!(in_time, "not everyone could join within a minute");
            self.step(deadline)?;
        }
        Ok(())
    }

    /// Does what is due, then waits for input, for the next deadline or for `end`.
    fn step(&mut self, end: Instant) -> Result<()> {
        self.do_what_is_due()?;
        let next = self.timers.peek().map_or(end, |t| t.0.0.min(end));
        self.poller
            .wait(Some(next.duration_since(self.now()).into()))?;
        let ready_at = self.now();
        while let Some(Ready { id, writable }) = self.poller.next_ready() {
            let participant = id as usize;
            self.attend_to(participant, writable, ready_at)
                .with_context(|| describe(participant))?;
            // A whole room is heard from at once: its talkers must not wait until all of it is
            // read.
            self.do_what_is_due()?;
        }
        Ok(())
    }

    fn do_what_is_due(&mut self) -> Result<()> {
        let now = self.now();
        while let Some(Reverse((due, participant, timer))) =
            self.timers.peek().copied().filter(|t| t.0.0 <= now)
        {
            self.timers.pop();
            let done = match timer {
                Timer::Frame => self.send_frame(participant, due),
                Timer::Stall => self.begin_or_end_stall(due),
                Timer::Session => self.wake_session(participant, due),
            };
            done.with_context(|| describe(participant))?;
        }
        Ok(())
    }

    fn wake_session(&mut self, participant: usize, due: Instant) -> Result<()> {
        if self.armed[participant] == Some(due) {
            let now = self.now();
            self.peers[participant].handle_timeout(now)?;
            self.arm_session(participant);
        }
        Ok(())
    }

    fn attend_to(&mut self, participant: usize, writable: bool, ready_at: Instant) -> Result<()> {
        let now = self.now();
        let peer = &mut self.peers[participant];
        if writable {
            peer.flush(now)?;
        }
        let was_joined = peer.is_joined();
        let mut marks = Vec::new();
        let packets = peer.read(now, &mut self.buffer, |payload| {
            if self.ledger.is_some() {
                marks.extend(mark_in(payload, &self.plan, participant));
            }
        })?;
        // A lone packet is the one that made the connection ready; of several, the later ones may
        // have come since.
        let heard_at = if packets == 1 { ready_at } else { now };
        if let Some(ledger) = &mut self.ledger {
            let hear = |mark| ledger.hear(participant, mark, heard_at);
            marks.into_iter().for_each(hear);
        }
        if peer.is_closed() {
            return self.poller.remove(&*peer);
        }
        self.watch(participant)?;
        if !was_joined && self.peers[participant].is_joined() {
            // The first Ping is due at once, earlier than the timeout of the Hello.
            self.arm_session(participant);
        }
        Ok(())
    }

    fn send_frame(&mut self, participant: usize, due: Instant) -> Result<()> {
        if self.holds(Who::Talker, participant) {
            self.held.push((due, participant));
            return Ok(());
        }
        let period = self.plan.format.frame.duration();
        self.schedule(due + period, participant, Timer::Frame);
        let now = self.now();
        let late_us = now.duration_since(due).as_micros();
        if !self.was_held(due) {
            self.pacing.lags_ms.push(late_us as f64 / 1_000.0);
        }
        let mark = match &mut self.ledger {
            Some(ledger) if self.speech.takes_turn(participant, now) => {
                Some(ledger.send(participant, now))
            }
            _ => None,
        };
        let mut payload = [0; PAYLOAD_MAX];
        let frame = self.speech.say(participant, mark, &mut payload)?;
        let sent = self.peers[participant].send_voice(now, frame)?;
        self.pacing.skipped_frames += u64::from(!sent);
        self.watch(participant)
    }

    /// Has the poll tell when a blocked connection takes more, and only then.
    fn watch(&mut self, participant: usize) -> Result<()> {
        if self.holds(Who::Listener, participant) {
            return Ok(());
        }
        let peer = &self.peers[participant];
        let has_unsent = peer.has_unsent();
        if std::mem::replace(&mut self.watched[participant], has_unsent) != has_unsent {
            self.poller
                .watch_output(peer, participant as u64, has_unsent)?;
        }
        Ok(())
    }

    fn schedule(&mut self, due: Instant, participant: usize, timer: Timer) {
        self.timers.push(Reverse((due, participant, timer)));
    }

    fn arm_session(&mut self, participant: usize) {
        self.armed[participant] = self.peers[participant].poll_timeout();
        if let Some(due) = self.armed[participant] {
            self.schedule(due, participant, Timer::Session);
        }
    }
}

fn describe(participant: usize) -> String {
    format!("participant {participant}")
}
