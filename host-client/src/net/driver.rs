//! The session loop: waits for whatever comes first (bytes, frame time, command, retry time) and
//! does what is due.
//!
//! The order within one step matters: bytes are read before due frames are processed. After a stall
//! of this thread, packets that came meanwhile are then there when their frames are played.

use super::{
    Command, Failure,
    audio_clock::AudioClock,
    audio_io::{AudioIo, Prepared},
    connect::{Connecting, connect},
    event_channel::{LOG_EVERY, Teller},
    link::{Link, READ_BYTES},
};
use crate::{
    config::JoinConfig,
    events::{Counts, EventKind},
    participant::{Participant, ParticipantEvent, Snapshot},
};
use reconnect::Reconnect;
use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use talkspurt_core::{
    session::SessionParams,
    time::{Duration as CoreDuration, Instant as CoreInstant},
    wire::Reason,
};
use talkspurt_host_kit::{log_throttle::LogThrottle, random::random, words};
use tokio::{
    net::TcpStream,
    select,
    sync::{mpsc::Receiver, watch},
    task::yield_now,
    time::sleep_until,
};

mod leave;
mod publish;
mod reconnect;
#[cfg(test)]
mod tests;

/// Most reads in a row before due frames are processed.
const READS_MAX: usize = 16;

/// Owns all state of a stay in a room, across reconnects.
pub(super) struct Driver {
    config: JoinConfig,
    teller: Teller,
    commands: Receiver<Command>,
    snapshot: watch::Sender<Snapshot>,
    snapshot_at: Instant,
    levels_at: Instant,
    epoch: Instant,
    phase: Phase,
    reconnect: Reconnect,
    participant: Box<Participant>,
    /// How many dropped bytes the log has been told of.
    dropped_bytes: u64,
    unlogged_bytes: LogThrottle,
    /// Opened before joining, and used up by the first joining.
    prepared: Option<Prepared>,
    /// Present from the first joining on. It keeps running during reconnects.
    audio: Option<AudioClock>,
    /// Whether a server has answered that speaks the protocol.
    has_answered: bool,
    /// When to leave, and why.
    leave_at: Option<(Instant, &'static str)>,
    /// What earlier connections of this stay have carried.
    counts: Counts,
    /// Whether the end has to come soon.
    hurry: Arc<AtomicBool>,
}

enum Phase {
    Connecting(Connecting),
    Open(Box<Link>),
    Pausing { until: Instant },
}

enum Wake {
    Command(Option<Command>),
    Connected(io::Result<TcpStream>),
    SocketOrTime,
}

impl Driver {
    pub(super) fn new(
        config: JoinConfig,
        prepared: Prepared,
        teller: Teller,
        commands: Receiver<Command>,
        participant: Box<Participant>,
        snapshot: watch::Sender<Snapshot>,
        hurry: Arc<AtomicBool>,
    ) -> Self {
        let epoch = Instant::now();
        Self {
            phase: Phase::Connecting(connect(config.server.clone())),
            teller,
            commands,
            snapshot,
            snapshot_at: epoch,
            levels_at: epoch,
            epoch,
            reconnect: Reconnect::new(random()),
            participant,
            dropped_bytes: 0,
            unlogged_bytes: LogThrottle::default(),
            prepared: Some(prepared),
            audio: None,
            has_answered: false,
            leave_at: None,
            counts: Counts::default(),
            config,
            hurry,
        }
    }

    /// Runs until the user leaves or cannot stay.
    pub(super) async fn run(mut self) -> Result<(), Failure> {
        let end = self.run_to_end().await;
        self.leave(end).await
    }

    async fn run_to_end(&mut self) -> Result<&'static str, Failure> {
        loop {
            match self.next_wake().await {
                Wake::Command(None | Some(Command::Leave)) => return Ok("left"),
                Wake::Command(Some(command)) => self.obey(command),
                Wake::Connected(result) => self.connected(result)?,
                Wake::SocketOrTime => {}
            }
            let now = Instant::now();
            self.read(now)?;
            self.handle_timeout(now)?;
            self.run_frames(now)?;
            self.transmit(now);
            self.publish(now);
            if let Some((_, reason)) = self.leave_at.filter(|(at, _)| now >= *at) {
                return Ok(reason);
            }
            if matches!(self.phase, Phase::Pausing { until } if now >= until) {
                self.phase = Phase::Connecting(connect(self.config.server.clone()));
            }
            // A socket that always has data never makes the loop wait, and signals would not be
            // handled.
            yield_now().await;
        }
    }

    async fn next_wake(&mut self) -> Wake {
        let deadline = self.deadline();
        let of_phase = async {
            match &mut self.phase {
                Phase::Connecting(connecting) => return Wake::Connected(connecting.await),
                Phase::Open(link) => link.ready().await,
                Phase::Pausing { until } => sleep_until((*until).into()).await,
            }
            Wake::SocketOrTime
        };
        let timeout = async {
            sleep_until(deadline?.into()).await;
            Some(())
        };
        let of_microphone = async {
            self.audio.as_ref()?.io.woken().await;
            Some(())
        };
        select! {
            biased;
            command = self.commands.recv() => Wake::Command(command),
            wake = of_phase => wake,
            Some(()) = of_microphone => Wake::SocketOrTime,
            Some(()) = timeout => Wake::SocketOrTime,
        }
    }

    /// Returns when the next thing is due, apart from the end of a pause before reconnecting.
    fn deadline(&self) -> Option<Instant> {
        let of_core = [self.participant.poll_timeout(), self.stuck_until()];
        let of_core = of_core.into_iter().flatten().min();
        let of_core = of_core.map(|at| self.epoch + Duration::from_micros(at.as_micros()));
        let of_audio = self.audio.as_ref().map(AudioClock::next_due);
        let due = [of_core, of_audio, self.leave_at.map(|(at, _)| at)];
        due.into_iter().flatten().min()
    }

    /// Returns when a socket that takes nothing is given up.
    fn stuck_until(&self) -> Option<CoreInstant> {
        let Phase::Open(link) = &self.phase else {
            return None;
        };
        Some(link.stuck_since()? + self.participant.params()?.idle_timeout)
    }

    fn core_time(&self, now: Instant) -> CoreInstant {
        CoreInstant::from_micros((now - self.epoch).as_micros() as u64)
    }

    fn obey(&mut self, command: Command) {
        let now = self.core_time(Instant::now());
        match command {
            Command::SetMuted(muted) => self.participant.set_muted(now, muted),
            Command::Talk(held) => self.participant.hold_key(now, held),
            Command::ShiftGate(db) => self.participant.shift_gate(db),
            Command::SetDeafened(deafened) => self.participant.set_deafened(deafened),
            Command::Leave => {}
        }
    }

    fn connected(&mut self, result: io::Result<TcpStream>) -> Result<(), Failure> {
        match result {
            Ok(stream) => {
                let now = self.core_time(Instant::now());
                self.participant.join(now, self.reconnect.nonce());
                self.phase = Phase::Open(Box::new(Link::new(stream)));
            }
            Err(source) if !self.has_answered => {
                return Err(Failure::Unreachable {
                    server: self.config.server.to_string(),
                    source,
                });
            }
            Err(error) => self.pause(CoreDuration::ZERO, words::describe(&error)),
        }
        Ok(())
    }

    /// Reads what the socket has.
    fn read(&mut self, now: Instant) -> Result<(), Failure> {
        let core_now = self.core_time(now);
        let mut buffer = [0; READ_BYTES];
        for _ in 0..READS_MAX {
            let Phase::Open(link) = &mut self.phase else {
                break;
            };
            let mut bytes = match link.read(&mut buffer) {
                Ok([]) => return self.lost("the server closed the connection".to_owned(), now),
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return self.lost(words::describe(&error), now),
            };
            while !bytes.is_empty() && matches!(self.phase, Phase::Open(_)) {
                bytes = self.participant.handle_stream(core_now, bytes);
                self.take_events(now)?;
            }
        }
        Ok(())
    }

    /// Handles everything that depends on time.
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failure> {
        let core_now = self.core_time(now);
        self.log_dropped_bytes(core_now);
        if self.stuck_until().is_some_and(|until| core_now >= until) {
            self.participant.end(Reason::SLOW_READER);
        }
        self.participant.handle_timeout(core_now);
        self.take_events(now)
    }

    fn log_dropped_bytes(&mut self, now: CoreInstant) {
        let dropped_bytes = self.participant.counts().bytes_bad;
        // The count may fall again: unfinished bytes are taken back if they turn out to be zeros
        // and a packet.
        let unseen_bytes = dropped_bytes.saturating_sub(self.dropped_bytes);
        self.unlogged_bytes.add(unseen_bytes);
        self.dropped_bytes += unseen_bytes;
        if let Some(bytes) = self.unlogged_bytes.take(now, LOG_EVERY) {
            tracing::warn!(bytes, "dropped bytes that are not a packet");
        }
    }

    /// Reports events, and handles the start and the end of a session.
    fn take_events(&mut self, now: Instant) -> Result<(), Failure> {
        while let Some(event) = self.participant.poll_event() {
            match event {
                ParticipantEvent::Welcomed(params) => self.welcomed(&params, now),
                ParticipantEvent::Told(kind) => self.teller.tell(kind),
                ParticipantEvent::Rejected(reason, pause) => self.rejected(reason, pause)?,
                ParticipantEvent::Closed(reason, pause) => self.closed(reason, pause, now)?,
            }
        }
        Ok(())
    }

    /// Starts the sound, at the first joining.
    fn welcomed(&mut self, params: &SessionParams, now: Instant) {
        self.has_answered = true;
        if let Phase::Open(link) = &mut self.phase {
            link.welcomed_at = Some(now);
        }
        if let Some(audio) = &mut self.audio {
            audio.follow(params);
        } else if let Some(prepared) = self.prepared.take() {
            let io = AudioIo::open(prepared, &self.teller);
            self.audio = Some(AudioClock::new(io, params, now));
            let leave_after = self.config.leave_after;
            let until = leave_after.and_then(|span| now.checked_add(span));
            self.leave_at = until.map(|at| (at, "time is up"));
        }
    }

    fn run_frames(&mut self, now: Instant) -> Result<(), Failure> {
        let core_now = self.core_time(now);
        let Some(audio) = &mut self.audio else {
            return Ok(());
        };
        let until = self.leave_at.map(|(at, _)| at);
        let ended_at = audio.run(now, until, &mut self.participant, core_now);
        audio.tell_of_recording(&self.teller);
        if let Some(ended_at) = ended_at {
            let problem = audio.io.source.take_problem();
            self.teller.tell(EventKind::InputEnded { problem });
            let linger_until = ended_at.checked_add(self.config.linger);
            let lingered = linger_until.map(|at| (at, "the input has ended"));
            self.leave_at = [self.leave_at, lingered].into_iter().flatten().min();
        }
        self.take_events(now)
    }

    /// Writes what the socket takes.
    fn transmit(&mut self, now: Instant) {
        let core_now = self.core_time(now);
        if let Phase::Open(link) = &mut self.phase
            && let Err(error) = link.transmit(core_now, &mut self.participant)
        {
            // The next read fails, too, and handles the broken connection.
            tracing::debug!(%error, "writing failed");
        }
    }
}
