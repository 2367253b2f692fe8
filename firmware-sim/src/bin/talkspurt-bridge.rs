//! `talkspurt-bridge`: connects a node on a serial port to a server.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use clap::Parser;
use talkspurt_host_kit::console::{self, Lines, LogFormat, OutputError, Problem};
use talkspurt_host_kit::environment;
use talkspurt_host_kit::words::{describe, unreachable};
use talkspurt_node::bridge::{self, Config, Event};
use talkspurt_node::host::shutdown::Shutdown;
use tracing::{info, warn};

/// Connects a node on a serial port to a Talkspurt server: a blind byte pump.
///
/// Bytes go both ways as they come; nothing is parsed, so any pump, such as socat, can take its
/// place:
///
///   socat /dev/ttyUSB0,raw,echo=0,b115200 TCP:localhost:8255,nodelay
///
/// Beyond that, the bridge reopens a port that vanishes and a server that is lost (after 100 ms,
/// doubling up to 1 s), a new connection never starts with old bytes, and each direction has a
/// bounded buffer that drops its oldest bytes when the other end does not keep up. Losses are
/// logged on stderr (RUST_LOG sets the level; default info).
///
/// stdout gets "bridging PATH at N baud to HOST:PORT" each time both ends are open. The bridge ends
/// when stdout is closed.
#[derive(Debug, Parser)]
#[command(name = "talkspurt-bridge", version, verbatim_doc_comment)]
struct Args {
    #[command(flatten)]
    config: Config,
}

/// How often to check that stdout still has a reader.
const LOOK: Duration = Duration::from_millis(100);
/// How long the last line may take to be written.
const FINISH_PATIENCE: Duration = Duration::from_millis(500);

fn main() -> ExitCode {
    let args: Args = environment::parse();
    console::exit("talkspurt-bridge", run(&args.config))
}

fn run(config: &Config) -> Result<(), Problem> {
    let _log = environment::start_log("info", LogFormat::Text { module: false });
    let failed = |what: &str, error: &dyn std::error::Error| {
        Problem::Failed(format!("{what}: {}", describe(error)))
    };
    let shutdown =
        Shutdown::on_signals().map_err(|error| failed("cannot listen for signals", &error))?;
    let lines = Lines::to_stdout().map_err(|error| failed("cannot write to stdout", &error))?;
    let lines = Arc::new(Mutex::new(Some(lines)));
    let watch = watch_stdout(Arc::clone(&lines), shutdown.clone());
    bridge::run(config, &shutdown, |event| {
        if let Some(lines) = &mut *lines.lock().unwrap_or_else(PoisonError::into_inner) {
            tell(config, lines, event);
        }
    });
    info!("stopped");
    shutdown.request();
    let lines = lines.lock().unwrap_or_else(PoisonError::into_inner).take();
    let finished = lines.map_or(Ok(()), |lines| lines.finish(FINISH_PATIENCE));
    let watched = watch.join().unwrap_or(Ok(()));
    Ok(watched.and(finished)?)
}

/// Ends the bridge when stdout cannot be written any more: its reader wants the bridge to end, or
/// cannot know what it does.
fn watch_stdout(
    lines: Arc<Mutex<Option<Lines>>>,
    shutdown: Shutdown,
) -> thread::JoinHandle<Result<(), OutputError>> {
    thread::spawn(move || {
        while !shutdown.is_requested() {
            if let Some(lines) = &*lines.lock().unwrap_or_else(PoisonError::into_inner) {
                lines.check().inspect_err(|_| shutdown.request())?;
            }
            shutdown.sleep_unless(LOOK, || false);
        }
        Ok(())
    })
}

fn tell(config: &Config, lines: &mut Lines, event: Event) {
    let Config {
        serial,
        baud,
        server,
    } = config;
    match event {
        Event::Bridging => {
            lines.push(|_| format!("bridging {serial} at {baud} baud to {server}"));
            info!("bridging {serial} at {baud} baud to {server}");
        }
        Event::PortUnavailable(error, wait) => {
            warn!(
                "cannot open {serial}: {} (trying again in {} ms)",
                describe(&error),
                wait.as_millis()
            );
        }
        Event::ServerUnavailable(error, wait) => {
            warn!(
                "cannot reach {server}: {} (trying again in {} ms)",
                unreachable(&error),
                wait.as_millis()
            );
        }
        Event::PortLost(error) => warn!("lost {serial}: {}; reopening it", describe(&error)),
        Event::ServerLost(error) => warn!("lost {server}: {}; reconnecting", describe(&error)),
        Event::DroppedForServer(bytes) => {
            warn!("dropped {bytes} bytes for {server}, which reads too slowly")
        }
        Event::DroppedForSerial(bytes) => {
            warn!("dropped {bytes} bytes for {serial}, which is too slow")
        }
        Event::Unconnected(bytes) => {
            info!("discarded {bytes} bytes that came from {serial} without a connection")
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Args::command().debug_assert();
    }
}
