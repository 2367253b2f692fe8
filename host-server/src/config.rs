//! The command line and the environment, turned into checked types.
//!
//! [`Args`] is the command line as typed (strings and numbers); [`Config`] is what the server runs
//! with. Nothing else reads flags or `TALKSPURT_*` variables.

use std::net::SocketAddr;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_host_kit::console;
use talkspurt_host_kit::flags::frame_duration;
use talkspurt_host_kit::server_address::numeric_address;
use talkspurt_hub::HubConfig;

use crate::capacity::Capacity;

/// T-A-L-K on a phone keypad, over IPv6 and IPv4, or over IPv4 if there is no IPv6.
pub const DEFAULT_LISTEN: &str = "[::]:8255";
/// The next port, on the loopback only, because the page tells who is in which room.
pub const DEFAULT_HTTP: &str = "127.0.0.1:8256";

/// What the server runs with.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where participants connect.
    pub listen: SocketAddr,
    /// Where `/healthz`, `/metrics` and `/rooms` answer.
    pub http: SocketAddr,
    /// How rooms sound, and their limits.
    pub hub: HubConfig,
    /// Participants in all rooms together, and connections in addition to theirs, in place of the
    /// hub's.
    pub capacity: Capacity,
    /// How log lines look.
    pub log_format: LogFormat,
}

/// The shape of a log line on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl From<LogFormat> for console::LogFormat {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text { module: true },
            LogFormat::Json => Self::Json,
        }
    }
}

const AFTER_HELP: &str = "\
An empty variable counts as unset. RUST_LOG selects the log lines on stderr (default: info).
SIGTERM and SIGINT say Bye to everyone and end the server within 1.2 s.
SIGHUP changes nothing: there is no file to reopen.";

/// The raw command line.
#[derive(Debug, Parser)]
#[command(
    name = "talkspurt-server",
    version,
    about = "The Talkspurt voice-room server",
    after_help = AFTER_HELP
)]
pub struct Args {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// The flags for serving.
    #[command(flatten)]
    pub serve: ServeArgs,
}

/// What the program can do besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check whether a running server is healthy: exit code 0 if it is, 1 if not
    Health {
        /// The address of the server's HTTP pages
        #[arg(long, env = "TALKSPURT_HTTP", value_name = "ADDR:PORT", default_value = DEFAULT_HTTP,
              value_parser = numeric_address)]
        http: SocketAddr,
    },
}

/// The flags for serving, each also in the environment.
#[derive(Debug, ClapArgs)]
pub struct ServeArgs {
    /// Address for participants; [::] takes IPv6 and IPv4, or only IPv4 if there is no IPv6 (port
    /// 0: any free one, printed on stdout)
    #[arg(long, env = "TALKSPURT_LISTEN", value_name = "ADDR:PORT", default_value = DEFAULT_LISTEN,
          value_parser = numeric_address)]
    listen: SocketAddr,
    /// Address of /healthz, /metrics and /rooms
    #[arg(long, env = "TALKSPURT_HTTP", value_name = "ADDR:PORT", default_value = DEFAULT_HTTP,
          value_parser = numeric_address)]
    http: SocketAddr,
    /// Milliseconds of audio in a frame: 5, 10 or 20
    #[arg(long, env = "TALKSPURT_FRAME_MS", value_name = "MS", default_value = "20",
          value_parser = frame_duration)]
    frame_ms: FrameDuration,
    /// How to mix the voices of a room: their mean, or their sum with a limiter
    #[arg(
        long,
        env = "TALKSPURT_MIX",
        value_name = "RULE",
        default_value = "mean"
    )]
    mix: MixArg,
    /// Participants in all rooms together (1 to 50000)
    #[arg(long, env = "TALKSPURT_MAX_PARTICIPANTS", value_name = "COUNT", default_value_t = 1_000,
          value_parser = clap::value_parser!(u32).range(1..=50_000))]
    max_participants: u32,
    /// Participants in one room (1 to 1000)
    #[arg(long, env = "TALKSPURT_ROOM_CAPACITY", value_name = "COUNT", default_value_t = 64,
          value_parser = clap::value_parser!(u32).range(1..=1_000))]
    room_capacity: u32,
    /// Time allowed from connecting to a complete Hello (as "5", "5s" or "500ms"; up to 60 s)
    #[arg(long, env = "TALKSPURT_HANDSHAKE_TIMEOUT", value_name = "TIME", default_value = "5s",
          value_parser = |text: &str| duration_within(text, 100, 60_000))]
    handshake_timeout: Duration,
    /// Drop a peer after this long without a packet or keepalive (up to 1 h)
    #[arg(long, env = "TALKSPURT_IDLE_TIMEOUT", value_name = "TIME", default_value = "15s",
          value_parser = |text: &str| duration_within(text, 500, 3_600_000))]
    idle_timeout: Duration,
    /// Format of the log lines (RUST_LOG selects which)
    #[arg(
        long,
        env = "TALKSPURT_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text"
    )]
    log_format: LogFormat,
}

impl From<ServeArgs> for Config {
    fn from(args: ServeArgs) -> Self {
        Self {
            listen: args.listen,
            http: args.http,
            hub: HubConfig {
                format: AudioFormat {
                    frame: args.frame_ms,
                    ..AudioFormat::DEFAULT
                },
                mix_rule: match args.mix {
                    MixArg::Mean => MixRule::Mean,
                    MixArg::Sum => MixRule::Sum,
                },
                room_capacity: args.room_capacity as usize,
                handshake_timeout: args.handshake_timeout.into(),
                idle_timeout: args.idle_timeout.into(),
                ..HubConfig::default()
            },
            capacity: Capacity::of(args.max_participants as usize),
            log_format: args.log_format,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MixArg {
    Mean,
    Sum,
}

/// Reads "5", "2.5", "5s" or "500ms"; a bare number is seconds.
fn duration_within(text: &str, least_ms: u64, most_ms: u64) -> Result<Duration, String> {
    let [least, most] = [least_ms, most_ms].map(Duration::from_millis);
    let (number, unit_secs) = match text.strip_suffix("ms") {
        Some(number) => (number, 0.001),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    number
        .trim()
        .parse::<f64>()
        .ok()
        .and_then(|value| Duration::try_from_secs_f64(value * unit_secs).ok())
        .filter(|span| (least..=most).contains(span))
        .ok_or_else(|| {
            format!("expected {least:?} to {most:?}, as in \"5\", \"2.5s\" or \"500ms\"")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &[&str]) -> Result<Args, clap::Error> {
        Args::try_parse_from(["talkspurt-server"].iter().chain(line))
    }

    #[test]
    fn the_defaults_are_as_documented() {
        let config = Config::from(parse(&[]).unwrap().serve);
        assert_eq!(config.listen.to_string(), "[::]:8255");
        assert_eq!(config.http.to_string(), "127.0.0.1:8256");
        assert_eq!(config.hub.format.frame, FrameDuration::Ms20);
        assert_eq!(config.hub.mix_rule, MixRule::Mean);
        assert_eq!(
            (config.capacity.participants, config.hub.room_capacity),
            (1_000, 64)
        );
        assert_eq!(config.hub.handshake_timeout.as_millis(), 5_000);
        assert_eq!(config.hub.idle_timeout.as_millis(), 15_000);
        assert_eq!(config.log_format, LogFormat::Text);
        assert_eq!(config.hub, HubConfig::default());
    }

    #[test]
    fn every_flag_is_read() {
        let line = "--listen [::1]:1 --http 127.0.0.1:2 --frame-ms 5 --mix sum \
                    --max-participants 3 --room-capacity 2 \
                    --handshake-timeout 250ms --idle-timeout 2.5 --log-format json";
        let config = Config::from(
            parse(&line.split_whitespace().collect::<Vec<_>>())
                .unwrap()
                .serve,
        );
        assert_eq!(config.listen.to_string(), "[::1]:1");
        assert_eq!(config.http.port(), 2);
        assert_eq!(config.hub.format.frame, FrameDuration::Ms5);
        assert_eq!(config.hub.mix_rule, MixRule::Sum);
        assert_eq!(
            (config.capacity.participants, config.hub.room_capacity),
            (3, 2)
        );
        assert_eq!(config.hub.handshake_timeout.as_millis(), 250);
        assert_eq!(config.hub.idle_timeout.as_millis(), 2_500);
        assert_eq!(config.log_format, LogFormat::Json);
    }

    #[test]
    fn every_flag_is_also_in_the_environment() {
        let command = <Args as clap::CommandFactory>::command();
        for arg in command.get_arguments().filter(|arg| {
            arg.get_long()
                .is_some_and(|name| !["help", "version"].contains(&name))
        }) {
            let name = arg.get_long().unwrap().to_uppercase().replace('-', "_");
            assert_eq!(
                arg.get_env().unwrap().to_str().unwrap(),
                format!("TALKSPURT_{name}")
            );
        }
    }

    #[test]
    fn invalid_values_are_refused_with_a_hint() {
        for (flag, value, hint) in [
            ("--listen", "8255", "ADDR:PORT"),
            ("--frame-ms", "15", "5, 10 or 20"),
            ("--mix", "loudest", "mean, sum"),
            ("--max-participants", "0", "1..=50000"),
            ("--idle-timeout", "-1", "500ms"),
            ("--idle-timeout", "NaN", "500ms"),
            ("--handshake-timeout", "1h", "60s"),
        ] {
            let message = parse(&[&format!("{flag}={value}")])
                .unwrap_err()
                .to_string();
            assert!(message.contains(hint), "{flag} {value}: {message}");
        }
    }

    #[test]
    fn health_is_a_subcommand() {
        let args = parse(&["health", "--http", "127.0.0.1:9"]).unwrap();
        assert!(matches!(args.command, Some(Command::Health { http }) if http.port() == 9));
    }
}
