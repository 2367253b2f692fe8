//! The server program: reads its flags, binds its ports, and serves until it is told to stop.

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::ExitCode;

use talkspurt_host_kit::environment;
use talkspurt_server::capacity::Capacity;
use talkspurt_server::config::{Args, Command, Config};
use talkspurt_server::{health, net, run, shutdown};

fn main() -> ExitCode {
    let args: Args = environment::parse();
    let done = match args.command {
        Some(Command::Health { http }) => health::probe(http),
        None => serve(Config::from(args.serve)),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(line) => {
            // A stderr that cannot be written is no reason to panic: the exit code says the same.
            let _ = writeln!(io::stderr(), "{line}");
            ExitCode::FAILURE
        }
    }
}

fn serve(mut config: Config) -> Result<(), String> {
    // Flushes waiting log lines when it is dropped.
    let _log = environment::start_log("info", config.log_format.into());
    // Each connection is a file descriptor, and the usual soft limit is 1024. The hard limit is the
    // operator's decision.
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
        let voice = address(&listener)?;
        // Whoever started the server may have closed its stdout, which is no reason not to serve.
        let _ = writeln!(
            io::stdout(),
            "listening on {voice}{}\nhttp on {}",
            families(voice.ip()),
            address(&http)?
        );
        run(listener, http, config, stop).await;
        tracing::info!("stopped");
        Ok(())
    })
}

fn address(listener: &tokio::net::TcpListener) -> Result<SocketAddr, String> {
    listener
        .local_addr()
        .map_err(|error| format!("cannot tell the port: {}", net::describe(&error)))
}

/// What an address does not show by itself.
fn families(bound: IpAddr) -> &'static str {
    match bound {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => " (IPv6 and IPv4)",
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => " (IPv4)",
        _ => "",
    }
}

/// Returns the capacity that the limit of open files allows. Warns if that is for fewer
/// participants than wanted.
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
