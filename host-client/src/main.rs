//! The `talkspurt` program: turns flags into a configuration, calls the library, turns the outcome into an exit code.

use clap::Parser as _;
use std::{
    io::{IsTerminal as _, Write as _},
    path::Path,
    process::ExitCode,
    time::{Duration, Instant},
};
use talkspurt_client::{
    audio::Source,
    calibrate,
    config::{
        ConfigError, Endpoint, HTTP_PORT, JoinConfig, Threshold,
        flags::{CalibrateFlags, Cli, Command},
    },
    device::{self, DeviceChoice, DeviceState, Direction},
    rooms, ui,
    wav::WavSource,
};
use tracing_subscriber::EnvFilter;

/// Exit code of a flag that cannot be used, as clap has it.
const EXIT_USAGE: u8 = 2;

/// Why the program ends without having done what was asked.
enum Problem {
    /// A flag: exit code 2.
    Usage(ConfigError),
    /// Anything else: exit code 1.
    Other(String),
}

fn main() -> ExitCode {
    let epoch = Instant::now();
    let cli = Cli::parse();
    match log_to_stderr(&cli.log).and_then(|()| run(cli.command, epoch)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Problem::Usage(error)) => {
            eprintln!("talkspurt: {error}");
            ExitCode::from(EXIT_USAGE)
        }
        Err(Problem::Other(text)) => {
            eprintln!("talkspurt: {text}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command, epoch: Instant) -> Result<(), Problem> {
    match command {
        Command::Join(flags) => {
            let config = JoinConfig::try_from(*flags).map_err(Problem::Usage)?;
            ui::join(config, epoch).map_err(|failure| Problem::Other(failure.to_string()))
        }
        Command::Devices => list_devices().map_err(Problem::Other),
        Command::Rooms { server } => {
            let server = Endpoint::parse(&server, HTTP_PORT).map_err(Problem::Usage)?;
            let text = rooms::rooms(&server).map_err(Problem::Other)?;
            print(&text)
        }
        Command::Calibrate(flags) => calibrate(&flags),
    }
}

fn log_to_stderr(level: &str) -> Result<(), Problem> {
    let filter = EnvFilter::try_new(level).map_err(|error| {
        let problem = format!(
            "`{level}` is no log level ({error}); try info, or talkspurt_client::net=debug"
        );
        Problem::Usage(ConfigError {
            flag: "--log",
            problem,
        })
    })?;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    Ok(())
}

/// A reader that has closed our stdout wants no more of it.
fn print(text: &str) -> Result<(), Problem> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Problem::Other(error.to_string()))
        }
        _ => Ok(()),
    }
}

fn list_devices() -> Result<(), String> {
    for (direction, flag) in [
        (Direction::Input, "--input-device"),
        (Direction::Output, "--output-device"),
    ] {
        let devices = device::list(direction)?;
        println!("{direction}s ({flag}):");
        if devices.is_empty() {
            println!("  none");
        }
        for device in devices {
            let default = if device.is_default { " (default)" } else { "" };
            let format = device
                .format
                .unwrap_or_else(|_| "cannot be opened now".to_owned());
            println!(
                "  {:>2}  {}{default}  [{}]  {format}",
                device.number, device.name, device.id
            );
        }
    }
    Ok(())
}

fn calibrate(flags: &CalibrateFlags) -> Result<(), Problem> {
    if !(0.2..=600.0).contains(&flags.seconds) {
        let problem = format!(
            "{} is not a number of seconds from 0.2 to 600",
            flags.seconds
        );
        return Err(Problem::Usage(ConfigError {
            flag: "--seconds",
            problem,
        }));
    }
    let levels = match &flags.input {
        Some(path) => {
            let mut source = WavSource::open(Path::new(path))
                .map_err(|error| Problem::Other(error.to_string()))?;
            hear(&mut source, flags.seconds, false)
        }
        None => {
            let choice = DeviceChoice::parse(flags.input_device.as_deref());
            device::check(Direction::Input, &choice).map_err(Problem::Other)?;
            let (mut microphone, _guard) =
                device::open_microphone(choice, |notice| match notice.state {
                    DeviceState::Opened => eprintln!("listening to {}", notice.text),
                    DeviceState::Lost | DeviceState::Absent => {
                        eprintln!("no {}: {}", notice.direction, notice.text)
                    }
                });
            hear(&mut microphone, flags.seconds, true)
        }
    };
    let Some(found) = calibrate::propose(levels) else {
        return Err(Problem::Other(
            "nothing was heard; see `talkspurt devices` for a microphone that works".into(),
        ));
    };
    let db = |rms| Threshold::from_rms(rms).dbfs();
    let mut text = format!(
        "usual noise {:.0} dBFS, loud noise {:.0} dBFS\ntry: --gate-open {} --gate-close {}   ({:.0} and {:.0} dBFS)\n",
        db(found.usual_rms),
        db(found.loud_rms),
        found.open.rms,
        found.close.rms,
        found.open.dbfs(),
        found.close.dbfs(),
    );
    if found.is_noisy {
        text.push_str("it is loud here: quiet speech may not open the gate. A headset, or push-to-talk, may help.\n");
    }
    print(&text)
}

/// Levels of what is heard, with a small live meter in a terminal.
fn hear(source: &mut dyn Source, seconds: f64, real_time: bool) -> Vec<u16> {
    let live = real_time && std::io::stderr().is_terminal();
    let mut count = 0u32;
    let levels = calibrate::listen(source, Duration::from_secs_f64(seconds), real_time, |rms| {
        count += 1;
        if live && count.is_multiple_of(5) {
            eprint!("\r{:>6.1} dBFS ", Threshold::from_rms(rms).dbfs());
        }
    });
    if live {
        eprintln!();
    }
    levels
}
