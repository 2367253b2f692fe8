//! The session: one thread that owns the socket, the participant, and the source and sink of sound.
//!
//! [`start`] returns a [`Session`] to wait for and a [`Handle`]: events come out, [`Command`]s go
//! in, and a [`Snapshot`] shows the current state. Inside, `driver` is the loop around a
//! [`Participant`]; `connect` opens the socket, and `link` alone reads and writes it; `audio_io`
//! opens devices and files, and `audio_clock` processes their frames.

mod audio_clock;
mod audio_io;
mod connect;
mod driver;
mod event_channel;
mod flood;
mod greeting;
mod link;
mod outgoing;
mod playout_clock;
mod signals;

pub use event_channel::Events;
#[cfg(test)]
pub(crate) use event_channel::channel;

use crate::{
    config::JoinConfig,
    participant::{Participant, Snapshot},
};
use driver::Driver;
use std::{
    io,
    sync::{Arc, atomic::AtomicBool},
    thread::{self, JoinHandle},
    time::Instant,
};
use talkspurt_core::{time::Instant as CoreInstant, wire::Reason};
use talkspurt_host_kit::{console::OutputError, words};
use tokio::{
    runtime::Runtime,
    sync::{mpsc as tokio_mpsc, watch},
};

/// Commands that may wait: far more than a user types.
const COMMANDS_MAX: usize = 64;

/// A command of the user in the room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Command {
    /// Mute or unmute; others are told.
    SetMuted(bool),
    /// The push-to-talk key was pressed or released: start or stop sending.
    Talk(bool),
    /// Stop or resume listening; nobody is told.
    SetDeafened(bool),
    /// Move the gate's open threshold by this many decibels.
    ShiftGate(f64),
    /// Leave the room, and end the session.
    Leave,
}

/// Why a session failed. Each is one line that says what to do.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The first connection failed.
    #[error("cannot reach {server}: {}", words::unreachable(.source))]
    Unreachable {
        /// The server.
        server: String,
        /// What the system says.
        source: io::Error,
    },
    /// Something answers, but it does not speak Talkspurt.
    #[error("{server} does not answer like a Talkspurt server: {problem}")]
    NotTalkspurt {
        /// The server.
        server: String,
        /// What it does instead.
        problem: String,
    },
    /// The server refused.
    #[error("refused ({}): {}", .reason.label(), words::clean(.text))]
    Refused {
        /// Its reason.
        reason: Reason,
        /// The server's explanation, or ours for that reason.
        text: String,
    },
    /// A device or file cannot be used.
    #[error("{0}")]
    Sound(String),
    /// The system refuses something that a session needs.
    #[error("cannot start the session: {}", words::describe(.0))]
    System(io::Error),
    /// Push-to-talk without a key to press.
    #[error(
        "--ptt: the key is read in the live view, which needs a terminal for stdin and stdout (and not TERM=dumb)"
    )]
    NoKeys,
    /// Events cannot be shown, or their reader has gone.
    #[error(transparent)]
    Output(#[from] OutputError),
}

/// A running session.
pub struct Session(JoinHandle<Result<(), Failure>>);

/// The user's end of a running session.
pub struct Handle {
    /// Events in order. Ends when the session is over.
    pub events: Events,
    /// Commands to the session.
    pub commands: tokio_mpsc::Sender<Command>,
    /// The current state.
    pub snapshot: watch::Receiver<Snapshot>,
    /// Set it when nobody is there to wait any more: the session then ends soon.
    pub hurry: Arc<AtomicBool>,
}

impl Session {
    /// Waits for the end. Passes on a panic of the session.
    pub fn join(self) -> Result<(), Failure> {
        self.0
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}

/// Starts a session in its own thread. Times of its events count from `epoch`. SIGINT, SIGTERM and
/// SIGHUP make it leave. It never waits for the owner of the [`Handle`].
pub fn start(config: JoinConfig, epoch: Instant) -> Result<(Session, Handle), Failure> {
    let prepared = audio_io::prepare(&config)?;
    let (teller, events) = event_channel::channel(epoch);
    let (commands, command_receiver) = tokio_mpsc::channel(COMMANDS_MAX);
    let participant = Box::new(Participant::new(&config));
    let (snapshot_sender, snapshot) = watch::channel(participant.snapshot(CoreInstant::ZERO));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Failure::System)?;
    let signals = commands.clone();
    let hurry = Arc::<AtomicBool>::default();
    let of_handle = hurry.clone();
    let run = move || {
        crate::priority::raise();
        run_to_end(runtime, async move {
            tokio::task::spawn_local(signals::leave_on_signal(signals, hurry.clone()));
            Driver::new(
                config,
                prepared,
                teller,
                command_receiver,
                participant,
                snapshot_sender,
                hurry,
            )
            .run()
            .await
        })
    };
    let thread = thread::Builder::new()
        .name("session".into())
        .spawn(run)
        .map_err(Failure::System)?;
    let handle = Handle {
        events,
        commands,
        snapshot,
        hurry: of_handle,
    };
    Ok((Session(thread), handle))
}

/// Runs a session without waiting for what it leaves behind: looking up a name that no server
/// answers takes the system many seconds, and cannot be cancelled.
fn run_to_end<T>(runtime: Runtime, session: impl Future<Output = T>) -> T {
    let ended = tokio::task::LocalSet::new().block_on(&runtime, session);
    runtime.shutdown_background();
    ended
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, time::Duration};

    #[test]
    fn a_hung_look_up_does_not_block_the_end() {
        let (release, held) = mpsc::channel::<()>();
        let (done, ended) = mpsc::channel();
        thread::spawn(move || {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            run_to_end(builder.build().unwrap(), async {
                let (begun, running) = tokio::sync::oneshot::channel();
                // On the thread pool where names are looked up.
                drop(tokio::task::spawn_blocking(move || {
                    begun.send(()).unwrap();
                    held.recv()
                }));
                running.await.unwrap();
            });
            // If the test has stopped waiting, it has already failed.
            let _ = done.send(());
        });
        let outcome = ended.recv_timeout(Duration::from_secs(20));
        drop(release);
        outcome.expect("the session does not wait for the look-up");
    }
}
