//! The program: reads its flags, binds its ports, serves until it is told to stop.

use std::io::{self, IsTerminal, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::process::ExitCode;

use talkspurt_host_kit::environment::{self, LogFilter};
use talkspurt_server::capacity::Capacity;
use talkspurt_server::config::{Args, Command, Config, LogFormat};
use talkspurt_server::{health, net, run, shutdown};
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};

/// Lines that may wait for whoever reads stderr; when he does not, more are dropped, and voice goes on.
const LOG_LINES_WAITING: usize = 4_096;

fn main() -> ExitCode {
    let args: Args = environment::parse();
    let done = match args.command {
        Some(Command::Health(health)) => health::probe(health.http),
        None => serve(Config::from(args.serve)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            // A stderr that takes nothing is no reason to panic: the exit code says the same.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config) -> Result<(), String> {
    // Writes what still waits when it is dropped.
    let _log = start_log(config.log_format);
    // A connection is a file descriptor, and the usual soft limit is 1024; the hard one is the operator's decision.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "cannot raise the limit of open files");
    }
    config.capacity = within_limit(config.capacity);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start: {}", net::describe(&error)))?;
    runtime.block_on(async {
        let stop = shutdown::on_signal()
            .map_err(|error| format!("cannot listen for signals: {}", net::describe(&error)))?;
        let listener = net::bind(config.listen, "--listen").map_err(|error| error.to_string())?;
        let http = net::bind(config.http, "--http").map_err(|error| error.to_string())?;
        // Whoever started us may have closed our stdout, which is no reason not to serve.
        let _ = writeln!(
            io::stdout(),
            "listening on {}{}\nhttp on {}",
            address(&listener)?,
            families(&listener),
            address(&http)?
        );
        run(listener, http, config, stop).await;
        tracing::info!("stopped");
        Ok(())
    })
}

fn address(listener: &tokio::net::TcpListener) -> Result<String, String> {
    listener
        .local_addr()
        .map(|address| address.to_string())
        .map_err(|error| format!("cannot tell the port: {}", net::describe(&error)))
}

/// What an address does not say of itself.
fn families(listener: &tokio::net::TcpListener) -> &'static str {
    match listener.local_addr() {
        Ok(bound) if bound.ip() == Ipv6Addr::UNSPECIFIED => " (IPv6 and IPv4)",
        Ok(bound) if bound.ip() == Ipv4Addr::UNSPECIFIED => " (IPv4)",
        _ => "",
    }
}

/// Returns the capacity that the limit of open files allows. Warns if it is for fewer participants
/// than were asked for.
fn within_limit(wanted: Capacity) -> Capacity {
    let Ok(limit) = rlimit::Resource::NOFILE.get_soft() else {
        return wanted;
    };
    let capacity = wanted.within(limit.try_into().unwrap_or(usize::MAX));
    if capacity.participants < wanted.participants {
        tracing::warn!(
            limit,
            wanted = wanted.descriptors(),
            participants = capacity.participants,
            "the limit of open files is too low for {} participants: \
             raise it (ulimit -Hn, LimitNOFILE=)",
            wanted.participants
        );
    }
    capacity
}

/// The log goes through a thread of its own: a stderr that takes nothing (a collector that hangs) must not stop the voices.
fn start_log(format: LogFormat) -> WorkerGuard {
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LOG_LINES_WAITING)
        .finish(io::stderr());
    let LogFilter { filter, complaint } = environment::log_filter("info");
    let log = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .log_internal_errors(false)
        .with_writer(writer);
    match format {
        LogFormat::Text => log.with_ansi(io::stderr().is_terminal()).init(),
        LogFormat::Json => log.json().init(),
    }
    if let Some(complaint) = complaint {
        tracing::warn!("{complaint}");
    }
    guard
}
