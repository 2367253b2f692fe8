//! The signals that the server handles: two end it, and one is ignored.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end, by SIGTERM (a service manager, `docker stop`) or
/// SIGINT (Ctrl-C).
///
/// SIGHUP is logged and otherwise ignored. It says that a terminal has gone, or asks a daemon to
/// reopen its log. The server keeps its participants in the first case, and has no file to open in
/// the second.
///
/// The handlers are installed when this returns, so that a signal between start and the first poll
/// is not lost.
pub fn on_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    Ok(async move {
        let name = loop {
            tokio::select! {
                biased;
                // Polled first, so that a SIGHUP before the end is logged even if both are found at
                // once.
                _ = hangup.recv() => {
                    tracing::info!(
                        signal = "SIGHUP",
                        "ignored: the log goes to stderr, there is no file to reopen"
                    );
                }
                _ = terminate.recv() => break "SIGTERM",
                _ = interrupt.recv() => break "SIGINT",
            }
        };
        tracing::info!(signal = name, "shutting down");
    })
}
