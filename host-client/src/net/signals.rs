//! Leaves the room properly on SIGINT, SIGTERM and SIGHUP, so that files are complete and the
//! others know.

use super::Command;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use talkspurt_host_kit::signals::hangup_is_ignored;
use tokio::sync::mpsc::Sender;

/// Makes the session leave at the first signal. A second signal, or a terminal that has hung up,
/// asks for hurry.
pub(super) async fn leave_on_signal(commands: Sender<Command>, hurry: Arc<AtomicBool>) {
    let Some(mut signals) = Signals::listen() else {
        return;
    };
    let mut is_first = true;
    loop {
        if signals.next_is_hangup().await || !is_first {
            hurry.store(true, Ordering::Relaxed);
        }
        is_first = false;
        // A session that is already leaving takes no commands.
        if commands.send(Command::Leave).await.is_err() {
            hurry.store(true, Ordering::Relaxed);
        }
    }
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: Option<tokio::signal::unix::Signal>,
}

#[cfg(unix)]
impl Signals {
    fn listen() -> Option<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Some(Self {
            interrupt: signal(SignalKind::interrupt()).ok()?,
            terminate: signal(SignalKind::terminate()).ok()?,
            // Listening for it would undo what `nohup` did.
            hangup: match hangup_is_ignored() {
                true => None,
                false => signal(SignalKind::hangup()).ok(),
            },
        })
    }

    async fn next_is_hangup(&mut self) -> bool {
        tokio::select! {
            _ = self.interrupt.recv() => false,
            _ = self.terminate.recv() => false,
            Some(()) = async { self.hangup.as_mut()?.recv().await } => true,
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn listen() -> Option<Self> {
        Some(Self)
    }

    async fn next_is_hangup(&mut self) -> bool {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        false
    }
}
