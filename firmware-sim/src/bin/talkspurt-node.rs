//! `talkspurt-node`: a microcontroller's firmware on a host, with a simulated UART.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{io, time};

use clap::Parser;
use talkspurt_core::audio::codec::{Codec, CodecId};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::uplink::PRE_ROLL_DEFAULT_MS;
use talkspurt_core::wire::{ParticipantName, RoomName};
use talkspurt_host_kit::channels::InputChannel;
use talkspurt_host_kit::console::{self, Lines, LogFormat, Problem};
use talkspurt_host_kit::environment;
use talkspurt_host_kit::flags;
use talkspurt_host_kit::gate::GateFlags;
use talkspurt_host_kit::random::random;
use talkspurt_host_kit::sound::{NoSink, NoSource, Sink, Source};
use talkspurt_host_kit::wav::{BackgroundReader, Recorder, refuse_overwriting};
use talkspurt_host_kit::words;
use talkspurt_node::host::arguments;
use talkspurt_node::host::pace::{PacedSink, PacedSource};
use talkspurt_node::host::report::{Format, Reporter};
use talkspurt_node::host::shutdown::Shutdown;
use talkspurt_node::host::simulator::{Ending, Simulator};
use talkspurt_node::node::{AdpcmNode, Board, ClientConfig, ClientConfigError, Node, Pcm16Node};
use talkspurt_node::uart::{Line, PortLine, PtyLine, Uart};

/// A Talkspurt node: the firmware of a microcontroller, run on this machine.
///
/// It runs the same main loop as the image on a Cortex-M, on a simulated UART: bytes move at the
/// baud rate, 10 bits each, through a 16-byte FIFO and 512-byte rings. Bytes that do not fit are
/// lost and counted. One sound file is the microphone, and another one the speaker.
///
/// Try it with three terminals:
///
///   talkspurt-server
///   talkspurt-node --serial pty --room kitchen --name kettle --input speech.wav --output heard.wav
///   talkspurt-bridge --serial /dev/pts/N --server localhost:8255
///
/// where /dev/pts/N is what the node prints as "serial on /dev/pts/N". The node calls until the
/// server answers, and again after the line was cut or the server restarted.
///
/// Exit code: 0 after leaving (also by SIGINT, SIGTERM and SIGHUP), 1 when refused or when a file
/// or port cannot be used, 2 for flags that cannot be used.
#[derive(Debug, Parser)]
#[command(version, verbatim_doc_comment)]
struct Cli {
    /// Serial line: `pty` creates a pseudo-terminal and prints its path; anything else is a port,
    /// such as /dev/ttyUSB0
    #[arg(long, value_name = "pty|PATH", value_parser = arguments::parse_serial)]
    serial: String,

    /// Bits per second of the line. ADPCM at 20 ms takes 90,000 each way while someone talks, PCM16
    /// 330,000
    #[arg(long, value_name = "N", default_value_t = 115_200, value_parser = clap::value_parser!(u32).range(1200..=3_000_000))]
    baud: u32,

    /// Room to join: 1 to 64 bytes
    #[arg(long, value_parser = |text: &str| RoomName::new(text))]
    room: RoomName,

    /// Your node's name, unique in the room: 1 to 32 bytes
    #[arg(long, value_parser = |text: &str| ParticipantName::new(text))]
    name: ParticipantName,

    /// What the microphone hears from the moment of joining: a sound file (WAV, FLAC, Ogg Vorbis),
    /// or `none` for silence
    #[arg(long, value_name = "FILE|none", default_value = "none")]
    input: PathBuf,

    /// Which of several channels is heard: a number from 1, or `mix` for the mean of all [default:
    /// the one that carries the voice]
    #[arg(long, value_name = "N|mix")]
    input_channel: Option<InputChannel>,

    /// WAV file for the speaker's sound, from the moment of joining and without gaps (16 kHz mono
    /// 16-bit), or `none`
    #[arg(long, value_name = "FILE.wav|none", default_value = "none")]
    output: PathBuf,

    /// How long to stay after the end of --input
    #[arg(long, value_name = "SECS", default_value = "1", value_parser = flags::seconds)]
    linger: time::Duration,

    /// Leave this long after the start, even if not joined or with --input left
    #[arg(long = "for", value_name = "SECS", value_parser = flags::seconds)]
    leave_after: Option<time::Duration>,

    /// Codec to ask for; pcm16 needs 460800 baud
    #[arg(long, default_value = "adpcm", value_parser = flags::codec())]
    codec: CodecId,

    /// How to report events on stdout
    #[arg(long, value_enum, default_value_t = Format::Text)]
    events: Format,

    #[command(flatten)]
    gate: GateFlags,

    /// Join muted: nothing is sent
    #[arg(long, help_heading = "Gate")]
    muted: bool,
}

fn main() -> ExitCode {
    let cli: Cli = environment::parse();
    console::exit("talkspurt-node", start(&cli))
}

fn start(cli: &Cli) -> Result<(), Problem> {
    let _log = environment::start_log("info", LogFormat::Text { module: false });
    let shutdown = Shutdown::on_signals().map_err(failed("cannot listen for signals"))?;
    let config = config(cli)?;
    // The node comes first: it checks the flags, and nothing is opened for flags that cannot be
    // used.
    let (start, now) = (random() as u32, Instant::ZERO);
    let unusable = |error: ClientConfigError| Problem::Usage(error.to_string());
    match cli.codec {
        CodecId::Pcm16 => {
            let node = Pcm16Node::new(config, start, now).map_err(unusable)?;
            run(node, cli, &shutdown)
        }
        CodecId::ImaAdpcm => {
            let node = AdpcmNode::new(config, start, now).map_err(unusable)?;
            run(node, cli, &shutdown)
        }
    }
}

/// Says what the system refuses, and why.
fn failed(what: &str) -> impl Fn(io::Error) -> Problem {
    move |error| Problem::Failed(format!("{what}: {}", words::describe(&error)))
}

fn run<
    const PAYLOAD: usize,
    const ENCODED: usize,
    const SLOTS: usize,
    const QUEUE: usize,
    C: Codec,
>(
    node: Node<PAYLOAD, ENCODED, SLOTS, QUEUE, C>,
    cli: &Cli,
    shutdown: &Shutdown,
) -> Result<(), Problem> {
    let (input, output) = (file(&cli.input), file(&cli.output));
    if let (Some(input), Some(output)) = (input, output) {
        refuse_overwriting(input, output)?;
    }
    let channel = cli.input_channel.unwrap_or_default();
    let source: Box<dyn Source> = match input {
        Some(path) => Box::new(BackgroundReader::open(path, channel).map_err(Problem::Failed)?),
        None => Box::new(NoSource),
    };
    let sink: Box<dyn Sink> = match output {
        Some(path) => Box::new(Recorder::open(path).map_err(Problem::Failed)?),
        None => Box::new(NoSink),
    };
    let lines = Lines::to_stdout().map_err(failed("cannot write to stdout"))?;
    let mut reporter = Reporter::new(lines, cli.events, cli.room.as_str(), cli.name.as_str());
    let board = Board {
        port: Uart::new(line(cli, &mut reporter)?, cli.baud, Instant::ZERO),
        microphone: PacedSource::new(source),
        speaker: PacedSink::new(sink),
    };
    let mut simulator = Simulator {
        node,
        board,
        reporter,
        ending: Ending {
            linger: input.is_some().then_some(cli.linger.into()),
            after: cli.leave_after.map(Duration::from),
        },
    };
    let outcome = simulator.run(cli.baud, shutdown);
    let told = simulator.reporter.finish();
    outcome?;
    Ok(told?)
}

fn line(cli: &Cli, reporter: &mut Reporter) -> Result<Box<dyn Line>, Problem> {
    let unusable = |error| {
        let error = words::describe(&error);
        Problem::Failed(format!(
            "cannot open {}: {error}; give a serial port that is free, or `pty`",
            cli.serial
        ))
    };
    if cli.serial == "pty" {
        let pty = PtyLine::open().map_err(unusable)?;
        reporter.serial(pty.path());
        Ok(Box::new(pty))
    } else {
        let port = PortLine::open(&cli.serial, cli.baud).map_err(unusable)?;
        Ok(Box::new(port))
    }
}

fn config(cli: &Cli) -> Result<ClientConfig, Problem> {
    let request = JoinRequest::new(cli.room.clone(), cli.name.clone(), &[cli.codec]);
    let mut config = ClientConfig::new(request);
    config.request.muted = cli.muted;
    config.gate = cli.gate.settings(PRE_ROLL_DEFAULT_MS as u16)?;
    config.pre_roll_ms = cli.gate.pre_roll_ms(PRE_ROLL_DEFAULT_MS as u16);
    Ok(config)
}

fn file(argument: &Path) -> Option<&Path> {
    (argument != "none").then_some(argument)
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::gate::GateMode;

    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_negative_level_is_not_taken_for_a_flag() {
        let cli = Cli::try_parse_from([
            "talkspurt-node",
            "--serial",
            "pty",
            "--room",
            "r",
            "--name",
            "n",
            "--gate-open",
            "-24dB",
        ]);
        let config = config(&cli.unwrap()).unwrap();
        let expected = GateMode::Fixed {
            open_rms: 2_068,
            close_rms: 500,
        };
        assert_eq!(config.gate.mode, expected);
    }
}
