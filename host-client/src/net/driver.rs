//! The session loop: waits for whatever comes first (packet, frame time, command, retry time) and does what is due.
//!
//! The order within one step matters: what the socket has comes before the frames that are due, so that after a stall of this
//! thread the packets that came meanwhile are there when their frames are played.

use super::{
    Command, Failure,
    backoff::Backoff,
    connect::{Connecting, connect},
    connection::Connection,
    ends::{Ends, Prepared},
    roster::Roster,
    stay::Stay,
    tell::{Snapshot, Teller},
    voice::VoiceSettings,
};
use crate::{
    config::JoinConfig,
    events::{Counts, EventKind},
};
use std::{
    future::pending,
    io,
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};
use talkspurt_core::{
    session::{ClientEvent, SessionParams},
    time::Instant as CoreInstant,
    wire::{ByeReason, RejectReason},
};
use talkspurt_host_kit::words;
use tokio::{
    net::TcpStream,
    select,
    sync::{mpsc::Receiver, watch},
    task::yield_now,
    time::sleep_until,
};

mod leave;
mod loss;
mod publish;
#[cfg(test)]
mod tests;

/// Owns everything of a stay in a room, across reconnects.
pub(super) struct Driver {
    config: JoinConfig,
    teller: Teller,
    commands: Receiver<Command>,
    snapshot: watch::Sender<Snapshot>,
    snapshot_at: Instant,
    levels_at: Instant,
    epoch: Instant,
    phase: Phase,
    backoff: Backoff,
    roster: Roster,
    /// Until the first joining.
    prepared: Option<Prepared>,
    /// From the first joining on; it runs on while a lost server is sought.
    stay: Option<Stay>,
    /// When to leave, and why.
    leave_at: Option<(Instant, &'static str)>,
    /// Of earlier connections of this stay.
    counts: Counts,
    settings: VoiceSettings,
    deafened: bool,
    /// Until then the view shows that the voice is too quiet for the gate.
    too_quiet_until: Option<Instant>,
    /// Whoever waits for the end wants it soon.
    hurry: Arc<AtomicBool>,
}

enum Phase {
    Connecting(Connecting),
    Open(Box<Connection>),
    Pausing { until: Instant },
}

enum Wake {
    Command(Option<Command>),
    Connected(io::Result<TcpStream>),
    SocketOrTime,
}

/// What ended a connection.
enum Ending {
    Closed(ByeReason),
    Rejected(RejectReason),
}

impl Driver {
    pub(super) fn new(
        config: JoinConfig,
        prepared: Prepared,
        teller: Teller,
        commands: Receiver<Command>,
        snapshot: watch::Sender<Snapshot>,
        hurry: Arc<AtomicBool>,
    ) -> Self {
        let epoch = Instant::now();
        Self {
            phase: Phase::Connecting(connect(config.server.clone())),
            settings: VoiceSettings::of(&config),
            deafened: false,
            too_quiet_until: None,
            teller,
            commands,
            snapshot,
            snapshot_at: epoch,
            levels_at: epoch,
            epoch,
            backoff: Backoff::new(std::process::id()),
            roster: Roster::default(),
            prepared: Some(prepared),
            stay: None,
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
            self.serve_connection(now)?;
            self.run_frames(now);
            if let Phase::Open(connection) = &mut self.phase {
                connection.transmit();
            }
            self.publish(now);
            if let Some((_, reason)) = self.leave_at.filter(|(at, _)| now >= *at) {
                return Ok(reason);
            }
            if matches!(self.phase, Phase::Pausing { until } if now >= until) {
                self.phase = Phase::Connecting(connect(self.config.server.clone()));
            }
            // A socket that always has something never makes us wait, and signals would never be looked at.
            yield_now().await;
        }
    }

    async fn next_wake(&mut self) -> Wake {
        let deadline = self.deadline();
        let io = async {
            match &mut self.phase {
                Phase::Connecting(connecting) => Wake::Connected(connecting.await),
                Phase::Open(connection) => {
                    connection.link.ready().await;
                    Wake::SocketOrTime
                }
                Phase::Pausing { .. } => pending().await,
            }
        };
        let timeout = async {
            match deadline {
                Some(deadline) => sleep_until(deadline.into()).await,
                None => pending().await,
            }
        };
        select! {
            biased;
            command = self.commands.recv() => Wake::Command(command),
            wake = io => wake,
            () = timeout => Wake::SocketOrTime,
        }
    }

    fn deadline(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Connecting(_) => None,
            Phase::Pausing { until } => Some(*until),
            Phase::Open(connection) => {
                let at = connection.session.poll_timeout();
                at.map(|at| self.epoch + Duration::from_micros(at.as_micros()))
            }
        };
        let of_stay = self.stay.as_ref().map(Stay::next_due);
        [of_phase, of_stay, self.leave_at.map(|(at, _)| at)]
            .into_iter()
            .flatten()
            .min()
    }

    fn core_time(&self, now: Instant) -> CoreInstant {
        CoreInstant::from_micros((now - self.epoch).as_micros() as u64)
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::SetMuted(muted) => self.settings.muted = muted,
            Command::Talk(held) => {
                // Without push-to-talk there is no key.
                self.settings.key_held = self.settings.key_held.map(|_| held);
            }
            Command::ShiftGate(db) => {
                let open = self.settings.gate.open.shifted_db(db);
                self.settings.gate = self.config.gate.opening_at(open);
            }
            Command::SetDeafened(deafened) => {
                if self.deafened != deafened {
                    self.deafened = deafened;
                    self.teller.tell(EventKind::Deafened { deafened });
                }
                return;
            }
            Command::Leave => return,
        }
        if let Phase::Open(connection) = &mut self.phase {
            connection.set(self.settings);
        }
    }

    fn connected(&mut self, result: io::Result<TcpStream>) -> Result<(), Failure> {
        match result {
            Ok(stream) => {
                self.roster.clear();
                let now = self.core_time(Instant::now());
                let connection = Connection::new(stream, &self.config, self.settings, now);
                self.phase = Phase::Open(Box::new(connection));
            }
            Err(source) if self.stay.is_none() => {
                return Err(Failure::Unreachable {
                    server: self.config.server.to_string(),
                    source,
                });
            }
            Err(error) => self.pause(words::describe(&error)),
        }
        Ok(())
    }

    /// Takes what the socket has, lets time pass, and notices the connection's end.
    fn serve_connection(&mut self, now: Instant) -> Result<(), Failure> {
        let core_now = self.core_time(now);
        let Phase::Open(connection) = &mut self.phase else {
            return Ok(());
        };
        let mut events = Vec::new();
        let read = connection.read(core_now, &mut events);
        connection.handle_timeout(core_now, &mut events);
        let mut ending = None;
        for event in events {
            ending = self.handle_event(event, now)?;
            if ending.is_some() {
                break;
            }
        }
        match (ending, read) {
            (Some(Ending::Rejected(reason)), _) => self.rejected(reason),
            (Some(Ending::Closed(reason)), _) => self.lost(reason.to_string(), now),
            (None, Ok(true)) => Ok(()),
            (None, Ok(false)) => self.lost("the server closed the connection".to_owned(), now),
            (None, Err(error)) => self.lost(words::describe(&error), now),
        }
    }

    fn handle_event(
        &mut self,
        event: ClientEvent,
        now: Instant,
    ) -> Result<Option<Ending>, Failure> {
        match event {
            ClientEvent::Joined(params, _) => self.welcomed(&params, now)?,
            ClientEvent::Listed(participant) => {
                if self.roster.add(&participant).is_none() {
                    return Ok(Some(self.refuse_roster()));
                }
            }
            ClientEvent::RosterComplete => self.tell_joined(),
            ClientEvent::ParticipantJoined(participant) => match self.roster.add(&participant) {
                Some(line) => self.teller.tell(EventKind::ParticipantJoined(line)),
                None => return Ok(Some(self.refuse_roster())),
            },
            ClientEvent::ParticipantLeft(id) => {
                self.roster
                    .remove(id)
                    .into_iter()
                    .for_each(|event| self.teller.tell(event));
            }
            ClientEvent::State(id, flags) => {
                self.roster
                    .update(id, flags)
                    .into_iter()
                    .for_each(|event| self.teller.tell(event));
            }
            ClientEvent::Rejected(reason) => return Ok(Some(Ending::Rejected(reason))),
            ClientEvent::Closed(reason) => return Ok(Some(Ending::Closed(reason))),
        }
        Ok(None)
    }

    /// We are in. With the first joining the sound begins; a second Welcome's roster replaces the first one's.
    fn welcomed(&mut self, params: &SessionParams, now: Instant) -> Result<(), Failure> {
        self.roster.clear();
        if let Some(stay) = &mut self.stay {
            stay.follow(params);
        } else if let Some(prepared) = self.prepared.take() {
            let ends = Ends::open(prepared, &self.teller);
            self.stay = Some(Stay::new(ends, params, now));
            let until = self
                .config
                .leave_after
                .and_then(|span| now.checked_add(span));
            self.leave_at = until.map(|at| (at, "the time is over"));
        }
        Ok(())
    }

    fn tell_joined(&self) {
        if let Phase::Open(connection) = &self.phase
            && let Some(params) = connection.session.params()
        {
            self.teller.tell(EventKind::Joined {
                id: params.id.0,
                name: self.config.name.to_string(),
                room: self.config.room.to_string(),
                codec: params.codec.name(),
                rate_hz: params.rate.hz(),
                frame_ms: params.frame.ms(),
                roster: self.roster.lines(),
            });
        }
    }

    fn run_frames(&mut self, now: Instant) {
        let Some(stay) = &mut self.stay else {
            return;
        };
        let connection = match &mut self.phase {
            Phase::Open(connection) => Some(&mut **connection),
            _ => None,
        };
        let until = self.leave_at.map(|(at, _)| at);
        let ended_at = stay.run(now, until, connection, self.deafened);
        stay.tell_of_recording(&self.teller);
        if let Some(ended_at) = ended_at {
            let problem = stay.ends.source.take_problem();
            self.teller.tell(EventKind::InputEnded { problem });
            let linger_until = ended_at.checked_add(self.config.linger);
            let lingered = linger_until.map(|at| (at, "the input has ended"));
            self.leave_at = [self.leave_at, lingered].into_iter().flatten().min();
        }
    }
}
