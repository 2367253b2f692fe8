//! A blind byte pump between a serial port and a TCP connection.
//!
//! It never parses: packets, their checks and the recovery from noise are up to node and server, so
//! `socat` can take its place. Beyond `socat`:
//!
//! * A port that vanishes or a server that is lost is reopened, with a back-off. The connection is
//!   closed while the port is gone, so that the room learns at once that the node left.
//! * No direction waits for the other: each end has one thread for reading and one for writing,
//!   with a bounded queue between. A full queue drops its oldest bytes and reports that.
//! * A new connection starts with new bytes: what the node said without a connection, or to an
//!   earlier one, is discarded. The last words of an earlier connection to the node (a Bye, say)
//!   still reach it.

mod connect;
mod end;
mod open;
mod queue;

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::host::arguments::parse_serial;
use crate::host::shutdown::Shutdown;
use connect::connect;
use open::{SerialEnd, ServerEnd};
use queue::ByteQueue;
use talkspurt_core::backoff::Backoff;
use talkspurt_host_kit::server_address::{ServerAddress, VOICE_PORT};

/// How often the ends are checked. A lost one is noticed within this time.
const LOOK: Duration = Duration::from_millis(20);
/// First wait before an end is reopened. Short, since a restarted server is soon back and a node
/// waits for it.
const FIRST_WAIT: Duration = Duration::from_millis(100);
/// Longest wait. A person who plugs the cable back in should not wonder whether it works.
const LONGEST_WAIT: Duration = Duration::from_secs(1);
/// Least time between reports of losses.
const REPORT_EVERY: Duration = Duration::from_secs(1);
/// A queue holds this much of the line's time: older voice is better dropped.
const QUEUE_TIME_MS: u32 = 250;
/// Least size of a queue, so that even on a slow line it holds several whole packets.
const QUEUE_MIN_BYTES: usize = 4096;
/// One start bit, eight data bits, one stop bit.
const BITS_PER_BYTE: u32 = 10;

/// What to connect, and the flags that say it. The server's name is looked up for each connection.
#[derive(Clone, Debug, PartialEq, Eq, clap::Args)]
pub struct Config {
    /// Serial port of the node, such as /dev/ttyUSB0 or /dev/ttyACM0, or what `talkspurt-node
    /// --serial pty` printed
    #[arg(long, value_name = "PATH", env = "TALKSPURT_SERIAL", value_parser = parse_serial)]
    pub serial: String,

    /// Baud rate of the port (8 data bits, no parity, 1 stop bit); ADPCM voice needs 115200
    #[arg(long, value_name = "N", default_value_t = 115_200, env = "TALKSPURT_BAUD",
          value_parser = clap::value_parser!(u32).range(1200..=12_000_000))]
    pub baud: u32,

    /// Server to connect to; the port is 8255 by default
    #[arg(long, value_name = "HOST[:PORT]", default_value = "localhost:8255",
          env = "TALKSPURT_SERVER",
          value_parser = |text: &str| ServerAddress::parse(text, VOICE_PORT))]
    pub server: ServerAddress,
}

/// What happened on the bridge.
#[derive(Debug)]
pub enum Event {
    /// Both ends are open and bytes flow.
    Bridging,
    /// The port could not be opened; another attempt follows.
    PortUnavailable(io::Error, Duration),
    /// The server could not be reached; another attempt follows.
    ServerUnavailable(io::Error, Duration),
    /// The open port stopped working.
    PortLost(io::Error),
    /// The connection ended.
    ServerLost(io::Error),
    /// Bytes were dropped because the server did not take them fast enough.
    DroppedForServer(u64),
    /// Bytes were dropped because the serial port did not take them fast enough.
    DroppedForSerial(u64),
    /// Bytes came from the port while there was no connection, and were discarded.
    Unconnected(u64),
}

/// Runs the bridge until `shutdown`; every event goes to `report`.
pub fn run(config: &Config, shutdown: &Shutdown, mut report: impl FnMut(Event)) {
    let mut backoff = backoff();
    while !shutdown.is_requested() {
        let queues = Queues::for_baud(config.baud);
        let (incoming, outgoing) = (Arc::clone(&queues.to_server), Arc::clone(&queues.to_serial));
        match SerialEnd::open(&config.serial, config.baud, incoming, outgoing) {
            Ok(port) => {
                let opened = Instant::now();
                serve_port(config, &port, &queues, shutdown, &mut report);
                if let Some(error) = port.end.failure() {
                    report(Event::PortLost(copy(error)));
                }
                port.close();
                start_over_after(opened.elapsed(), &mut backoff);
                shutdown.sleep_unless(backoff.take().into(), || false);
            }
            Err(error) => {
                let wait = backoff.take().into();
                report(Event::PortUnavailable(error, wait));
                shutdown.sleep_unless(wait, || false);
            }
        }
    }
}

fn backoff() -> Backoff {
    Backoff::new(FIRST_WAIT.into(), LONGEST_WAIT.into())
}

/// Starts the waits over if an end was open for longer than the longest of them: a server that
/// accepts and hangs up at once must not be called ten times a second.
fn start_over_after(open: Duration, backoff: &mut Backoff) {
    if open > LONGEST_WAIT {
        backoff.reset();
    }
}

/// Connects the open port to the server, over and over, until the port fails.
fn serve_port(
    config: &Config,
    port: &SerialEnd,
    queues: &Queues,
    shutdown: &Shutdown,
    report: &mut impl FnMut(Event),
) {
    // Two, since a server that has just come back may hang up at once (it does not know the node's
    // session) and must then be called again immediately. Only one that keeps hanging up is called
    // less often.
    let mut unreachable = backoff();
    let mut hung_up = backoff();
    while port.end.failure().is_none() && !shutdown.is_requested() {
        let is_over = || port.end.failure().is_some() || shutdown.is_requested();
        let Some(connected) = connect(&config.server, LOOK, is_over) else {
            return;
        };
        let attempt = connected.and_then(|stream| {
            // Order matters: first discard old bytes, then let new ones flow.
            port.discard_received();
            queues.to_server.connect();
            ServerEnd::start(
                stream,
                Arc::clone(&queues.to_serial),
                Arc::clone(&queues.to_server),
            )
        });
        match attempt {
            Ok(server) => {
                let opened = Instant::now();
                queues.report_unconnected(report);
                report(Event::Bridging);
                watch(port, &server, queues, shutdown, report);
                queues.to_server.disconnect();
                if let Some(error) = server.end.failure() {
                    report(Event::ServerLost(copy(error)));
                }
                server.close();
                unreachable.reset();
                start_over_after(opened.elapsed(), &mut hung_up);
                shutdown.sleep_unless(hung_up.take().into(), || port.end.failure().is_some());
            }
            Err(error) => {
                queues.to_server.disconnect();
                let wait = unreachable.take().into();
                report(Event::ServerUnavailable(error, wait));
                shutdown.sleep_unless(wait, || port.end.failure().is_some());
            }
        }
    }
}

/// Returns when either end has failed or the bridge should stop.
fn watch(
    port: &SerialEnd,
    server: &ServerEnd,
    queues: &Queues,
    shutdown: &Shutdown,
    report: &mut impl FnMut(Event),
) {
    let mut reported = Instant::now();
    while port.end.failure().is_none() && server.end.failure().is_none() && !shutdown.is_requested()
    {
        shutdown.sleep_unless(LOOK, || false);
        if reported.elapsed() >= REPORT_EVERY {
            reported = Instant::now();
            queues.report_dropped(report);
        }
    }
    queues.report_dropped(report);
}

/// The two queues of one open port.
struct Queues {
    to_server: Arc<ByteQueue>,
    to_serial: Arc<ByteQueue>,
}

impl Queues {
    fn for_baud(baud: u32) -> Self {
        let line_bytes = (baud / BITS_PER_BYTE) as usize * QUEUE_TIME_MS as usize / 1000;
        let capacity = line_bytes.max(QUEUE_MIN_BYTES);
        let queues = Self {
            to_server: Arc::new(ByteQueue::new(capacity)),
            to_serial: Arc::new(ByteQueue::new(capacity)),
        };
        // Connected as long as the port is open: the last words of a lost server still reach the
        // node.
        queues.to_serial.connect();
        queues
    }

    fn report_dropped(&self, report: &mut impl FnMut(Event)) {
        let (server, serial) = (self.to_server.take_lost(), self.to_serial.take_lost());
        if server.overflow_bytes > 0 {
            report(Event::DroppedForServer(server.overflow_bytes));
        }
        if serial.overflow_bytes > 0 {
            report(Event::DroppedForSerial(serial.overflow_bytes));
        }
    }

    fn report_unconnected(&self, report: &mut impl FnMut(Event)) {
        let lost = self.to_server.take_lost().unconnected_bytes;
        if lost > 0 {
            report(Event::Unconnected(lost));
        }
    }
}

/// `io::Error` is not `Clone`; its kind and text are all that a reader needs.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

#[cfg(test)]
mod tests;
