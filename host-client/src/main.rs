//! The `talkspurt` program: turns flags into a configuration, calls the library, turns the outcome
//! into an exit code.

// These macros panic when the stream cannot be written; `console` does not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

use std::{
    fmt::Write as _,
    io::{self, IsTerminal as _},
    process::ExitCode,
    time::{Duration, Instant},
};
use talkspurt_client::{
    audio::Source,
    calibrate::{self, Heard},
    config::{
        JoinConfig, Threshold,
        flags::{CalibrateFlags, Cli, Command},
    },
    device::{self, DeviceChoice, DeviceState, Direction},
    net::Failure,
    rooms, ui,
};
use talkspurt_core::audio::gate::GateLevels;
use talkspurt_host_kit::{
    console::{self, LogFormat, Problem},
    environment,
    wav::WavReader,
};

fn main() -> ExitCode {
    let epoch = Instant::now();
    let cli: Cli = environment::parse();
    console::exit("talkspurt", run(cli, epoch))
}

fn run(cli: Cli, epoch: Instant) -> Result<(), Problem> {
    let filter = environment::filter(&cli.log).map_err(|problem| {
        let advice = "try info, or talkspurt_client::net=debug";
        Problem::with_flag("--log", format_args!("{problem}; {advice}"))
    })?;
    let _log = console::start_log(filter, LogFormat::Text { module: false });
    obey(cli.command, epoch)
}

fn obey(command: Command, epoch: Instant) -> Result<(), Problem> {
    match command {
        Command::Join(flags) => {
            let config = JoinConfig::try_from(*flags)?;
            ui::join(config, epoch).map_err(|failure| match failure {
                Failure::Output(error) => error.into(),
                Failure::NoKeys => Problem::Usage(failure.to_string()),
                failure => Problem::Failed(failure.to_string()),
            })
        }
        Command::Devices => list_devices(),
        Command::Rooms { server } => {
            let text = rooms::rooms(&server).map_err(Problem::Failed)?;
            Ok(console::print(&text)?)
        }
        Command::Calibrate(flags) => calibrate(&flags),
    }
}

fn list_devices() -> Result<(), Problem> {
    let mut text = String::new();
    for (direction, flag) in [
        (Direction::Input, "--input-device"),
        (Direction::Output, "--output-device"),
    ] {
        let devices = device::list(direction).map_err(Problem::Failed)?;
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{direction}s ({flag}):");
        if devices.is_empty() {
            text.push_str("  none\n");
        }
        for (number, device) in (1..).zip(devices) {
            let default = if device.is_default { " (default)" } else { "" };
            let format = device
                .format
                .unwrap_or_else(|_| "cannot be opened now".to_owned());
            let _ = writeln!(
                text,
                "  {number:>2}  {}{default}  [{}]  {format}",
                device.name, device.id
            );
        }
    }
    Ok(console::print(&text)?)
}

fn calibrate(flags: &CalibrateFlags) -> Result<(), Problem> {
    let seconds = flags.seconds;
    if !(0.2..=600.0).contains(&seconds) {
        let problem = format!("{seconds} is not a number of seconds from 0.2 to 600");
        return Err(Problem::with_flag("--seconds", problem));
    }
    let channel = flags.input_channel.unwrap_or_default();
    let heard = match &flags.input {
        Some(path) => {
            let mut source = WavReader::open(path, channel).map_err(Problem::Failed)?;
            measure(&mut source, seconds, false)
        }
        None => {
            let choice = DeviceChoice::parse(flags.input_device.as_deref());
            device::check(Direction::Input, &choice).map_err(Problem::Failed)?;
            let (mut microphone, _guard) =
                device::open_microphone(choice, channel, None, |notice| match notice.state {
                    DeviceState::Opened => {
                        console::report(&format!("listening to {}", notice.text));
                    }
                    DeviceState::Lost | DeviceState::Absent => {
                        console::report(&format!("no {}: {}", notice.direction, notice.text));
                    }
                });
            measure(&mut microphone, seconds, true)
        }
    };
    if !heard.is_alive && !heard.levels_rms.is_empty() {
        return Err(Problem::Failed(
            "the microphone gives nothing but zeros: it is muted, switched off, or not allowed to \
             be heard. Look at its switch and at the system's sound settings"
                .into(),
        ));
    }
    let gate = heard.gate;
    let Some(found) = calibrate::propose(heard.levels_rms) else {
        return Err(Problem::Failed(
            "nothing was heard; see `talkspurt devices` for a microphone that works".into(),
        ));
    };
    let db = |rms| Threshold::from_rms(rms).dbfs();
    let mut text = String::new();
    if let Some(gate) = gate {
        text = format!("{}\n", gate_text(gate));
    }
    let _ = write!(
        text,
        "usual noise {:.0} dBFS, loud noise {:.0} dBFS\n\
         for fixed thresholds, try: --gate-open {} --gate-close {}   ({:.0} and {:.0} dBFS)\n",
        db(found.usual_rms),
        db(found.loud_rms),
        found.open.rms,
        found.close.rms,
        found.open.dbfs(),
        found.close.dbfs(),
    );
    if found.is_noisy {
        text.push_str(
            "this room is loud: quiet speech may not open the gate. \
             A headset or push-to-talk may help.\n",
        );
    }
    Ok(console::print(&text)?)
}

/// Measures the levels of the input, with a small live meter in a terminal.
fn measure(source: &mut dyn Source, seconds: f64, real_time: bool) -> Heard {
    let live = real_time && io::stderr().is_terminal();
    let mut count = 0u32;
    let span = Duration::from_secs_f64(seconds);
    let heard = calibrate::listen(source, span, real_time, |rms, gate| {
        count += 1;
        if live && count.is_multiple_of(5) {
            let level = Threshold::from_rms(rms).dbfs();
            let gate = gate.map(gate_text).unwrap_or_default();
            console::show(&format!("\r{level:>6.1} dBFS; {gate} "));
        }
    });
    if live {
        console::show("\n");
    }
    heard
}

/// Says what the gate goes by.
fn gate_text(gate: GateLevels) -> String {
    let db = |rms| Threshold::from_rms(rms).dbfs();
    let noise = gate
        .noise_rms
        .map_or("-".to_owned(), |rms| format!("{:.0}", db(rms)));
    format!(
        "noise floor {noise} dBFS: the gate opens above {:.0} and closes below {:.0} dBFS",
        db(gate.open_rms),
        db(gate.close_rms)
    )
}
