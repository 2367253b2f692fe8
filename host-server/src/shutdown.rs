//! The signals that the server knows: those that end it, and the one that does not.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end, by SIGTERM (a service manager, `docker stop`) or
/// SIGINT (Ctrl-C).
///
/// SIGHUP is noted and changes nothing: it says that a terminal has gone, or asks a daemon to open
/// its log anew, and there is no file to open. Nobody is thrown out for either.
///
/// The handlers stand from the moment this returns, so that a signal between start and the first
/// poll is not lost.
pub fn on_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let name = loop {
            tokio::select! {
                biased;
                // First: one that came before the end is logged, even if both are found at once.
                _ = hangup.recv() => {
                    tracing::info!(signal = "SIGHUP", "ignored: the log goes to stderr, there is no file to reopen");
                }
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
            }
        };
        tracing::info!(signal = name, "shutting down");
    })
}
