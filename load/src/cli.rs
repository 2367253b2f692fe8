//! The command line, turned into an [`Order`]: what to measure, on which server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Parser, Subcommand, ValueEnum};
use serde::Serialize;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_host_kit::{
    flags::{codec, frame_duration},
    server_address::numeric_address,
};

use crate::crowd::{CrowdPlan, Flicker};
use crate::marker::ROOMS_MAX;
use crate::pinning::Processors;
use crate::plan::Plan;
use crate::stall::{Stall, Who};

const EXAMPLES: &str = "\
Examples:
  talkspurt-load --preset rooms --check            the figures and their targets; exit code 1 if one is missed
  talkspurt-load --codec adpcm --rounds 5          64 participants in rooms of 8, all talking, in ADPCM
  talkspurt-load --participants 200 --room-size 50 --talkers 3 --json
  talkspurt-load --connect 127.0.0.1:8255 --server-pid 4711 --no-floor
                                                   a server that runs already, on this machine";

/// Loads a Talkspurt server and states what it costs.
///
/// Starts a fresh server and a fresh floor server (which only receives and sends the same bytes) in
/// turn, as many times as there are rounds, and gives the medians. A round takes 3 seconds more
/// than it measures, for each of the two.
#[derive(Debug, Parser)]
#[command(
    name = "talkspurt-load",
    version,
    args_conflicts_with_subcommands = true,
    after_help = EXAMPLES
)]
pub struct Cli {
    /// What to do; without it, measure.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// One of the loads that have targets
    #[arg(long, value_enum, conflicts_with_all = ["participants", "room_size", "talkers", "codec"])]
    preset: Option<Preset>,
    /// Participants in all rooms (1 to 10000)
    #[arg(long, default_value_t = 64, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    participants: u32,
    /// Participants in a room
    #[arg(long, default_value_t = 8, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=1_000))]
    room_size: u32,
    /// How many in each room talk, without a pause [default: all]
    #[arg(long, value_name = "COUNT")]
    talkers: Option<u32>,
    /// How voice is encoded
    #[arg(long, default_value = "pcm16", value_parser = codec())]
    codec: CodecId,
    /// How long each round measures, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECS", value_parser = clap::value_parser!(u32).range(1..=3_600))]
    seconds: u32,
    /// How many times the server and the floor are measured
    #[arg(long, default_value_t = 3, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..=100))]
    rounds: u32,
    /// The frame duration that a started server is given: 5, 10 or 20 ms
    #[arg(long, default_value = "20", value_name = "MS", value_parser = frame_duration)]
    frame_ms: FrameDuration,
    /// The server's program [default: talkspurt-server beside this one]
    #[arg(long, value_name = "PATH")]
    server: Option<PathBuf>,
    /// A running server, in place of one that is started
    #[arg(
        long,
        value_name = "ADDR:PORT",
        value_parser = numeric_address,
        requires = "server_pid",
        conflicts_with = "server"
    )]
    connect: Option<SocketAddr>,
    /// The process of the running server, whose CPU time and memory are read
    #[arg(long, value_name = "PID", requires = "connect")]
    server_pid: Option<u32>,
    /// Do not measure the floor
    #[arg(long)]
    no_floor: bool,
    /// Keep server and floor on one processor and this process on another
    #[arg(long, conflicts_with = "connect")]
    pin: bool,
    /// Stop a part of the load for so many milliseconds; the report then has the delay of each
    /// second
    #[arg(long, value_name = "MS", value_parser = clap::value_parser!(u32).range(1..=60_000))]
    stall: Option<u32>,
    /// Who stops
    #[arg(long, value_enum, default_value = "talker", requires = "stall")]
    stall_who: Who,
    /// When, in seconds from the beginning of a round
    #[arg(long, value_name = "SECS", default_value_t = 2, requires = "stall")]
    stall_after: u32,
    /// Stop again each time so many seconds have passed
    #[arg(long, value_name = "SECS", requires = "stall", value_parser = clap::value_parser!(u32).range(1..))]
    stall_every: Option<u32>,
    /// What talkers' phases are drawn from; equal seeds make equal loads
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Write one JSON object to stdout; the table goes to stderr
    #[arg(long)]
    pub json: bool,
    /// End with exit code 1 if a target of the preset is missed
    #[arg(long, requires = "preset")]
    pub check: bool,
}

/// What the program can do besides measuring.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Be the floor: receive and send the bytes of the load, and do nothing else
    FloorServer {
        /// Where to listen; the real address is printed
        #[arg(long, default_value = "127.0.0.1:0", value_name = "ADDR:PORT",
              value_parser = numeric_address)]
        listen: SocketAddr,
        /// How often listeners are sent a packet, in milliseconds
        #[arg(long, default_value = "20", value_name = "MS", value_parser = frame_duration)]
        frame_ms: FrameDuration,
    },
}

/// The loads that have targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Preset {
    /// 64 participants in rooms of 8, all talking, PCM16
    Rooms,
    /// The same with 2 of 8 talking
    TwoOfEight,
    /// 1,000 silent participants in 125 rooms
    Idle,
    /// 32 participants in rooms of 8, 2 talking, beside 960 in rooms of 64 who mute and unmute 12
    /// times a second
    Flapping,
    /// The same beside 512 whose every frame is a talkspurt of its own
    FlappingWords,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Order {
    /// The load.
    pub plan: Plan,
    /// The preset that it comes from.
    pub preset: Option<Preset>,
    /// How long each round measures.
    pub span: Duration,
    /// How many rounds.
    pub rounds: u32,
    /// Whose server.
    pub server: ServerChoice,
    /// Whether to measure the floor, too.
    pub with_floor: bool,
    /// What stops for a while.
    pub stall: Option<Stall>,
    /// Who flickers beside the load.
    pub crowd: Option<CrowdPlan>,
    /// Where the processes are kept, if they are.
    pub processors: Option<Processors>,
}

/// The server to measure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ServerChoice {
    /// A fresh process of this program for every round.
    Start(PathBuf),
    /// One that runs already.
    Running {
        /// Where it listens.
        address: SocketAddr,
        /// Its process.
        pid: u32,
    },
}

impl Cli {
    /// The flags as one checked order.
    ///
    /// # Errors
    /// More rooms than markers can tell apart, or no server's program.
    pub fn order(&self) -> Result<Order> {
        let plan = self.plan();
        ensure!(
            plan.talkers == 0 || plan.rooms() <= ROOMS_MAX,
            "markers tell {ROOMS_MAX} rooms apart, these are {}; make --room-size larger",
            plan.rooms()
        );
        let crowd = self.preset.and_then(Preset::crowd);
        let server = match (self.connect, self.server_pid) {
            (Some(address), Some(pid)) => ServerChoice::Running { address, pid },
            _ => ServerChoice::Start(self.server_program()?),
        };
        let is_plain = crowd.is_none() && self.stall.is_none();
        Ok(Order {
            plan,
            preset: self.preset,
            span: Duration::from_secs(self.seconds.into()),
            rounds: self.rounds,
            server,
            // The floor waits for nobody: a stall says nothing about it.
            with_floor: !self.no_floor && plan.talkers > 0 && is_plain,
            crowd,
            stall: self.stall(),
            processors: self.pin.then(Processors::choose).transpose()?,
        })
    }

    fn stall(&self) -> Option<Stall> {
        let seconds = |count: u32| Duration::from_secs(count.into());
        self.stall.map(|ms| Stall {
            who: self.stall_who,
            span: Duration::from_millis(ms.into()),
            after: seconds(self.stall_after),
            every: self.stall_every.map(seconds),
        })
    }

    fn plan(&self) -> Plan {
        let (participants, room_size, talkers) = match self.preset {
            Some(Preset::Rooms) => (64, 8, 8),
            Some(Preset::TwoOfEight) => (64, 8, 2),
            Some(Preset::Idle) => (1_000, 8, 0),
            Some(Preset::Flapping | Preset::FlappingWords) => (32, 8, 2),
            None => (
                self.participants as usize,
                self.room_size as usize,
                self.talkers.unwrap_or(self.room_size).min(self.room_size) as usize,
            ),
        };
        Plan {
            rooms_named: "load",
            participants,
            room_size,
            talkers,
            codec: self.codec,
            format: AudioFormat {
                frame: self.frame_ms,
                ..AudioFormat::DEFAULT
            },
            seed: self.seed,
        }
    }

    fn server_program(&self) -> Result<PathBuf> {
        let program = match &self.server {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("talkspurt-server"),
        };
        ensure!(
            program.is_file(),
            "{} is not there; build it with `cargo build --release -p talkspurt-server`, or name another with --server",
            program.display()
        );
        Ok(program)
    }
}

impl Preset {
    fn crowd(self) -> Option<CrowdPlan> {
        let (size, flicker) = match self {
            Self::Flapping => (960, Flicker::Mute),
            Self::FlappingWords => (512, Flicker::Word),
            _ => return None,
        };
        Some(CrowdPlan { size, flicker })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(line: &str) -> Result<Order> {
        // Any file that is there may stand for the server.
        let flags = line.split_whitespace().chain(["--server", file!()]);
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
        let flags = flags.map(|flag| if flag == file!() { program } else { flag });
        Cli::try_parse_from(["talkspurt-load"].into_iter().chain(flags))?.order()
    }

    #[test]
    fn presets_are_the_loads_with_targets() {
        let shape = |line| {
            let plan = order(line).unwrap().plan;
            (plan.participants, plan.rooms(), plan.talkers, plan.codec)
        };
        assert_eq!(shape("--preset rooms"), (64, 8, 8, CodecId::Pcm16));
        assert_eq!(shape("--preset two-of-eight"), (64, 8, 2, CodecId::Pcm16));
        assert_eq!(shape("--preset idle"), (1_000, 125, 0, CodecId::Pcm16));
        for crowded in ["--preset flapping", "--preset flapping-words"] {
            assert_eq!(shape(crowded), (32, 4, 2, CodecId::Pcm16));
        }
        assert_eq!(
            shape("--codec adpcm --room-size 4"),
            (64, 16, 4, CodecId::ImaAdpcm)
        );
    }

    #[test]
    fn each_preset_has_the_name_that_it_is_asked_for_by_and_its_crowd() {
        for preset in Preset::value_variants() {
            let name = serde_json::to_value(preset).unwrap();
            let asked = order(&format!("--preset {}", name.as_str().unwrap())).unwrap();
            assert_eq!(asked.preset, Some(*preset));
            let crowd = asked.crowd.map(|crowd| (crowd.size, crowd.flicker));
            let expected = match preset {
                Preset::Rooms | Preset::TwoOfEight | Preset::Idle => None,
                Preset::Flapping => Some((960, Flicker::Mute)),
                Preset::FlappingWords => Some((512, Flicker::Word)),
            };
            assert_eq!(crowd, expected);
        }
    }

    #[test]
    fn a_stall_is_once_or_again_and_leaves_the_floor_out() {
        let once = order("--stall 120").unwrap();
        let stall = once.stall.unwrap();
        assert_eq!((stall.who, stall.every), (Who::Talker, None));
        assert_eq!(stall.span, Duration::from_millis(120));
        assert!(!once.with_floor);
        let again = order("--stall 5000 --stall-who listener --stall-every 20").unwrap();
        let stall = again.stall.unwrap();
        assert_eq!(
            (stall.who, stall.every),
            (Who::Listener, Some(Duration::from_secs(20)))
        );
        assert!(order("--stall-every 20").is_err());
    }

    #[test]
    fn what_cannot_be_measured_is_refused() {
        assert!(order("--preset rooms --talkers 1").is_err());
        assert!(order("--check").is_err(), "no preset, no targets");
        assert!(order("--frame-ms 7").is_err());
        assert!(order("--participants 10000 --room-size 8").is_err());
        assert!(order("--participants 10000 --room-size 8 --talkers 0").is_ok());
        assert!(Cli::try_parse_from(["talkspurt-load", "--connect", "127.0.0.1:1"]).is_err());
    }
}
