//! The signals that end the server.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Resolves when the process is asked to end, by SIGTERM (a service manager, `docker stop`) or SIGINT (Ctrl-C).
///
/// The handlers stand from the moment this returns, so that a signal between start and the first poll is not lost.
pub fn on_signal() -> io::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        let name = tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
        };
        tracing::info!(signal = name, "shutting down");
    })
}
