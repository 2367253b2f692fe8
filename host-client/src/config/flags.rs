//! The command line as clap sees it, which checks each flag for itself. What several flags come to
//! together is in [`super::JoinConfig`].

use clap::{Args, Parser, Subcommand, ValueEnum};
use std::{path::PathBuf, time::Duration};
use talkspurt_core::{
    audio::codec::CodecId,
    wire::{ParticipantName, RoomName},
};
use talkspurt_host_kit::{
    channels::InputChannel,
    flags::{codec, seconds},
    gate::GateFlags,
    server_address::{HTTP_PORT, ServerAddress, VOICE_PORT},
};

/// Longest initial playout delay: half of what the downlink has slots for at 5 ms frames.
const PLAYOUT_MS_MAX: i64 = 300;

const JOIN_EXAMPLES: &str = "\
Examples:
  talkspurt join talk.example --room kitchen --name ann
      microphone and speaker of this machine, live view in the terminal

  talkspurt join localhost --room kitchen --name radio --input news.wav --output none
      plays a file into the room in real time, and leaves one second after its end

  talkspurt join localhost --room kitchen --name tape --input none --output heard.wav --for 60
      listens for a minute; heard.wav is as long as the time in the room

  talkspurt join localhost --room kitchen --name bot --input none --events json
      one JSON object a line on stdout: joined, participant_joined, talking, silent, left ...

Keys in the live view:
  m mute   d deafen   up/down open threshold by 1 dB   q leave
  space, with --ptt: hold it to talk; it starts and stops talking in terminals that do not report
  when a key is released. Talking also stops when the terminal loses the focus.

Exit codes: 0 after leaving, 1 when refused or when the server cannot be reached, 2 for a flag that cannot be used.";

/// Talk with others in a room of a Talkspurt server.
#[derive(Debug, Parser)]
#[command(name = "talkspurt", version, about, max_term_width = 110)]
pub struct Cli {
    /// Log to stderr: error, warn, info, debug, trace, or per module as in
    /// `talkspurt_client::net=debug`.
    #[arg(
        long,
        global = true,
        value_name = "LEVEL",
        env = "TALKSPURT_LOG",
        default_value = "warn"
    )]
    pub log: String,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The client's subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Join a room and talk.
    #[command(after_help = JOIN_EXAMPLES)]
    Join(Box<JoinFlags>),
    /// List microphones and speakers, numbered for --input-device and --output-device.
    Devices,
    /// List the rooms of a server and who is in them.
    #[command(
        after_help = "The port is the server's --http port. By default a server answers only on its own machine."
    )]
    Rooms {
        /// The server; the port is that of its --http address.
        #[arg(value_name = "HOST[:PORT]",
              value_parser = |text: &str| ServerAddress::parse(text, HTTP_PORT))]
        server: ServerAddress,
    },
    /// Listen to the noise around the microphone and propose gate thresholds.
    #[command(after_help = "Be silent while it listens, as you would be while others talk.")]
    Calibrate(CalibrateFlags),
}

/// `talkspurt join`.
#[derive(Debug, Args)]
pub struct JoinFlags {
    /// The server. Its voice port is 8255 unless it says otherwise.
    #[arg(value_name = "HOST[:PORT]",
          value_parser = |text: &str| ServerAddress::parse(text, VOICE_PORT))]
    pub server: ServerAddress,
    /// The room: 1 to 64 bytes. Its first participant creates it.
    #[arg(short, long, value_parser = |text: &str| RoomName::new(text))]
    pub room: RoomName,
    /// Your name, unique in the room: 1 to 32 bytes.
    #[arg(short, long, value_parser = |text: &str| ParticipantName::new(text))]
    pub name: ParticipantName,

    /// A sound file (WAV, FLAC or Ogg Vorbis) instead of the microphone, or `none` to only listen.
    #[arg(
        long,
        value_name = "FILE|none",
        help_heading = "Sound",
        conflicts_with = "input_device"
    )]
    pub input: Option<PathBuf>,
    /// A WAV file (16 kHz mono 16-bit) instead of the speaker, or `none`.
    #[arg(
        long,
        value_name = "FILE.wav|none",
        help_heading = "Sound",
        conflicts_with = "output_device"
    )]
    pub output: Option<PathBuf>,
    /// Microphone by name or by number from `talkspurt devices`.
    #[arg(long, value_name = "DEVICE", help_heading = "Sound")]
    pub input_device: Option<String>,
    /// Which of several channels is heard: a number from 1, or `mix` for the mean of all. [default:
    /// the one that carries the voice]
    #[arg(long, value_name = "N|mix", help_heading = "Sound")]
    pub input_channel: Option<InputChannel>,
    /// Speaker by name or by number from `talkspurt devices`.
    #[arg(long, value_name = "DEVICE", help_heading = "Sound")]
    pub output_device: Option<String>,
    /// The codec to ask for. Without it both are offered and the server chooses.
    #[arg(long, value_parser = codec(), help_heading = "Sound")]
    pub codec: Option<CodecId>,

    /// How long received frames wait at first, so that late ones are still in time. Adapts from
    /// there. [default: 0 for a speaker, 120 for a file]
    #[arg(long, value_name = "MS", help_heading = "Sound",
          value_parser = clap::value_parser!(u16).range(..=PLAYOUT_MS_MAX))]
    pub playout_delay: Option<u16>,

    /// Stay this long after the end of --input FILE.
    #[arg(long, value_name = "SECS", default_value = "1", help_heading = "Time",
          value_parser = seconds)]
    pub linger: Duration,
    /// Leave this long after joining.
    #[arg(long = "for", value_name = "SECS", help_heading = "Time", value_parser = seconds)]
    pub leave_after: Option<Duration>,

    /// The voice gate.
    #[command(flatten)]
    pub gate: GateFlags,
    /// Push-to-talk: send nothing until space is held, and then everything, however quiet. Others
    /// see you as silent meanwhile, not as muted. Needs the live view.
    #[arg(long, conflicts_with_all = ["plain", "events", "no_gate"], help_heading = "Gate")]
    pub ptt: bool,
    /// Join muted: nothing is sent until you unmute.
    #[arg(long, help_heading = "Gate")]
    pub muted: bool,

    /// Print events on stdout, one JSON object per line.
    #[arg(long, value_enum, value_name = "FORMAT", help_heading = "What you see")]
    pub events: Option<EventsFlag>,
    /// Also print a `level` event each second.
    #[arg(long, requires = "events", help_heading = "What you see")]
    pub levels: bool,
    /// Print plain lines even in a terminal.
    #[arg(long, conflicts_with = "events", help_heading = "What you see")]
    pub plain: bool,
}

/// `talkspurt calibrate`.
#[derive(Debug, Args)]
pub struct CalibrateFlags {
    /// A sound file of the noise instead of the microphone.
    #[arg(long, value_name = "FILE", conflicts_with = "input_device")]
    pub input: Option<PathBuf>,
    /// Microphone by name or by number from `talkspurt devices`.
    #[arg(long, value_name = "DEVICE")]
    pub input_device: Option<String>,
    /// Which of several channels is heard: a number from 1, or `mix` for the mean of all. [default:
    /// the one that carries the voice]
    #[arg(long, value_name = "N|mix")]
    pub input_channel: Option<InputChannel>,
    /// How long to listen.
    #[arg(long, value_name = "SECS", default_value_t = 5.0)]
    pub seconds: f64,
}

/// Formats of `--events`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum EventsFlag {
    /// One JSON object per line.
    Json,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_level_may_begin_with_a_minus() {
        let cli = Cli::try_parse_from(
            "talkspurt join h --room r --name n --gate-open -24dB --gate-close=-36dB --for 2"
                .split(' '),
        )
        .unwrap();
        let Command::Join(flags) = cli.command else {
            panic!("not join")
        };
        let (open, close) = (flags.gate.gate_open, flags.gate.gate_close);
        let rms = [open, close].map(|level| level.map(|level| level.rms));
        assert_eq!(rms, [Some(2_068), Some(519)]);
    }
}
