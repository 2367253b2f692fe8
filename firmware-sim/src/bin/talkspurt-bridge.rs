//! `talkspurt-bridge`: connects a node on a serial port to a server.

use std::io::{Write, stdout};
use std::process::ExitCode;

use clap::Parser;
use talkspurt_node::bridge::{self, Config, Direction, Event};
use talkspurt_node::host::log;
use talkspurt_node::host::shutdown::Shutdown;
use tracing::{error, info, warn};

/// Connects a node on a serial port to a Talkspurt server: a blind byte pump.
///
/// Bytes go both ways as they come; nothing is parsed, so any pump, such as socat, can take its place:
///
///   socat /dev/ttyUSB0,raw,echo=0,b115200 TCP:localhost:8255,nodelay
///
/// Beyond that, a port that vanishes and a server that is lost are opened again (after 100 ms, doubling up to 1 s), a new
/// connection never starts with old bytes, and each direction has a bounded buffer that drops its oldest bytes when the
/// other end does not keep up. What is lost is logged on stderr (RUST_LOG sets the level; default info).
///
/// stdout gets "bridging PATH at N baud to HOST:PORT" each time both ends are open.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Args {
    /// Serial port of the node, such as /dev/ttyUSB0 or /dev/ttyACM0, or what `talkspurt-node --serial pty` printed
    #[arg(long, value_name = "PATH", env = "TALKSPURT_SERIAL")]
    serial: String,

    /// Baud rate of the port (8 data bits, no parity, 1 stop bit); ADPCM voice needs 115200
    #[arg(long, value_name = "N", default_value_t = 115_200, env = "TALKSPURT_BAUD",
          value_parser = clap::value_parser!(u32).range(1200..=12_000_000))]
    baud: u32,

    /// Server to connect to; the port is 8255 unless the server was told otherwise
    #[arg(long, value_name = "HOST:PORT", default_value = "localhost:8255", env = "TALKSPURT_SERVER",
          value_parser = parse_server)]
    server: String,
}

fn main() -> ExitCode {
    let args = Args::parse();
    log::init();
    let shutdown = match Shutdown::on_signals() {
        Ok(shutdown) => shutdown,
        Err(error) => {
            error!("cannot listen for SIGINT and SIGTERM: {error}");
            return ExitCode::FAILURE;
        }
    };
    let config = Config {
        serial: args.serial,
        baud: args.baud,
        server: args.server,
    };
    bridge::run(&config, &shutdown, |event| tell(&config, event));
    info!("stopped");
    ExitCode::SUCCESS
}

fn tell(config: &Config, event: Event) {
    let Config {
        serial,
        baud,
        server,
    } = config;
    match event {
        Event::Bridging => {
            // Nobody reading stdout is no reason to stop bridging.
            let mut out = stdout().lock();
            let _ = writeln!(out, "bridging {serial} at {baud} baud to {server}")
                .and_then(|()| out.flush());
            info!("bridging {serial} at {baud} baud to {server}");
        }
        Event::PortUnavailable(error, wait) => {
            warn!(
                "cannot open {serial}: {error}; trying again in {} ms",
                wait.as_millis()
            );
        }
        Event::ServerUnavailable(error, wait) => {
            warn!(
                "cannot reach {server}: {error}; trying again in {} ms",
                wait.as_millis()
            );
        }
        Event::PortLost(error) => warn!("lost {serial}: {error}; opening it again"),
        Event::ServerLost(error) => warn!("lost {server}: {error}; connecting again"),
        Event::Dropped(Direction::ToServer, bytes) => {
            warn!("dropped {bytes} bytes for {server}, which reads too slowly")
        }
        Event::Dropped(Direction::ToSerial, bytes) => {
            warn!("dropped {bytes} bytes for {serial}, which is too slow for them")
        }
        Event::Unconnected(bytes) => {
            info!("discarded {bytes} bytes that came from {serial} without a connection")
        }
    }
}

fn parse_server(text: &str) -> Result<String, String> {
    let valid = text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    if valid {
        Ok(text.to_owned())
    } else {
        Err("give HOST:PORT, such as localhost:8255 or [::1]:8255".to_owned())
    }
}
