//! What `talkspurt join` does, checked.

use super::{
    ConfigError, Endpoint, Threshold, VOICE_PORT,
    flags::{CodecFlag, EventsFlag, JoinFlags},
};
use crate::{device::DeviceChoice, net::PRE_ROLL_MS_MAX};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use talkspurt_core::{
    codec::Codec,
    wire::{ParticipantName, RoomName},
};

/// Received frames wait this long at first when they go to a speaker: two frames of 20 ms ride out a busy scheduler.
const PLAYOUT_DEVICE_MS: u16 = 40;
/// And when they go to a file, where delay bothers nobody: more lateness is ridden out without a concealed frame.
const PLAYOUT_FILE_MS: u16 = 120;
/// The longest they may wait at first: half of what the downlink has slots for at 5 ms frames.
const PLAYOUT_MS_MAX: u16 = 300;
/// The longest window of the gate, in frames: that of the core's gate.
const GATE_WINDOW_FRAMES_MAX: u16 = talkspurt_core::gate::GATE_WINDOW_FRAMES_MAX as u16;
/// A year: longer than anybody stays, and short enough for every clock.
const STAY_SECS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// A checked `talkspurt join`.
#[derive(Debug, Clone)]
pub struct JoinConfig {
    /// The server's voice address.
    pub server: Endpoint,
    /// The room to join.
    pub room: RoomName,
    /// The name to go by.
    pub name: ParticipantName,
    /// Where the sound to send comes from.
    pub input: Input,
    /// Where the mix goes.
    pub output: Output,
    /// The only codec to offer; all when `None`.
    pub codec: Option<Codec>,
    /// How long received frames wait at first.
    pub playout_delay_ms: u16,
    /// The voice gate.
    pub gate: GateSettings,
    /// Nothing is sent until a key is held.
    pub push_to_talk: bool,
    /// Join muted.
    pub muted: bool,
    /// How long to stay after the end of an input file.
    pub linger: Duration,
    /// Leave this long after joining.
    pub leave_after: Option<Duration>,
    /// How events are shown.
    pub events: EventsFormat,
}

/// Where the sound to send comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A microphone.
    Device(DeviceChoice),
    /// A WAV file, played in real time.
    File(PathBuf),
    /// Nowhere: a listener.
    None,
}

/// Where the mix goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A speaker.
    Device(DeviceChoice),
    /// A WAV file.
    File(PathBuf),
    /// Nowhere.
    None,
}

/// The voice gate as the user wants it; durations are turned into frames once the server has said how long a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GateSettings {
    /// A frame louder than this opens the gate.
    pub open: Threshold,
    /// A window quieter than this closes it.
    pub close: Threshold,
    /// Length of that window.
    pub window_frames: u16,
    /// Sound from before the opening that is sent first.
    pub pre_roll_ms: u16,
    /// False: everything is sent.
    pub enabled: bool,
}

/// How events are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsFormat {
    /// A live view in a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object a line.
    Json {
        /// Also a `level` event each second.
        levels: bool,
    },
}

impl TryFrom<JoinFlags> for JoinConfig {
    type Error = ConfigError;

    fn try_from(flags: JoinFlags) -> Result<Self, ConfigError> {
        let gate = gate(&flags)?;
        let playout_delay_ms = playout_delay_ms(&flags)?;
        Ok(Self {
            server: Endpoint::parse(&flags.server, VOICE_PORT)?,
            room: RoomName::new(&flags.room)
                .map_err(|e| ConfigError::new("--room", e.to_string()))?,
            name: ParticipantName::new(&flags.name)
                .map_err(|e| ConfigError::new("--name", e.to_string()))?,
            input: match file_or_none("--input", flags.input)? {
                Some(Some(path)) => Input::File(path),
                Some(None) => Input::None,
                None => Input::Device(DeviceChoice::parse(flags.input_device.as_deref())),
            },
            output: match file_or_none("--output", flags.output)? {
                Some(Some(path)) => Output::File(path),
                Some(None) => Output::None,
                None => Output::Device(DeviceChoice::parse(flags.output_device.as_deref())),
            },
            codec: flags.codec.map(|codec| match codec {
                CodecFlag::Pcm16 => Codec::Pcm16,
                CodecFlag::Adpcm => Codec::ImaAdpcm,
            }),
            playout_delay_ms,
            gate,
            push_to_talk: flags.ptt,
            muted: flags.muted,
            linger: seconds("--linger", flags.linger)?,
            leave_after: flags
                .leave_after
                .map(|secs| seconds("--for", secs))
                .transpose()?,
            events: match (flags.events, flags.plain) {
                (Some(EventsFlag::Json), _) => EventsFormat::Json {
                    levels: flags.levels,
                },
                (None, true) => EventsFormat::Plain,
                (None, false) => EventsFormat::Auto,
            },
        })
    }
}

/// The original system's threshold for closing.
const CLOSE_RMS_DEFAULT: u16 = 500;

fn gate(flags: &JoinFlags) -> Result<GateSettings, ConfigError> {
    let level = |flag, text: &str| {
        text.parse::<Threshold>()
            .map_err(|problem| ConfigError::new(flag, problem))
    };
    let open = level("--gate-open", &flags.gate_open)?;
    let close = match &flags.gate_close {
        Some(close) => level("--gate-close", close)?,
        None => Threshold::from_rms(CLOSE_RMS_DEFAULT)
            .min(open.shifted_db(-6.0))
            .min(open),
    };
    if close > open {
        return Err(ConfigError::new(
            "--gate-close",
            format!(
                "{close} lies above --gate-open {open}; the gate would flutter. Give a lower one"
            ),
        ));
    }
    if !(1..=GATE_WINDOW_FRAMES_MAX).contains(&flags.gate_window) {
        let problem = format!(
            "{} is not a number of frames from 1 to {GATE_WINDOW_FRAMES_MAX}",
            flags.gate_window
        );
        return Err(ConfigError::new("--gate-window", problem));
    }
    if flags.pre_roll > PRE_ROLL_MS_MAX {
        let problem = format!(
            "{} ms is too long; at most {PRE_ROLL_MS_MAX}",
            flags.pre_roll
        );
        return Err(ConfigError::new("--pre-roll", problem));
    }
    Ok(GateSettings {
        open,
        close,
        window_frames: flags.gate_window,
        pre_roll_ms: flags.pre_roll,
        enabled: !flags.no_gate,
    })
}

fn playout_delay_ms(flags: &JoinFlags) -> Result<u16, ConfigError> {
    match flags.playout_delay {
        None if flags.output.is_some() => Ok(PLAYOUT_FILE_MS),
        None => Ok(PLAYOUT_DEVICE_MS),
        Some(ms) if ms <= PLAYOUT_MS_MAX => Ok(ms),
        Some(ms) => {
            let problem = format!("{ms} ms is too long; at most {PLAYOUT_MS_MAX}");
            Err(ConfigError::new("--playout-delay", problem))
        }
    }
}

/// `None`: not given. `Some(None)`: the word `none`. `Some(Some(path))`: a file.
fn file_or_none(
    flag: &'static str,
    text: Option<OsString>,
) -> Result<Option<Option<PathBuf>>, ConfigError> {
    match text {
        None => Ok(None),
        Some(word) if word == "none" => Ok(Some(None)),
        Some(empty) if empty.is_empty() => Err(ConfigError::new(
            flag,
            "is empty; give a WAV file or `none`",
        )),
        Some(path) => Ok(Some(Some(PathBuf::from(path)))),
    }
}

fn seconds(flag: &'static str, secs: f64) -> Result<Duration, ConfigError> {
    if secs.is_finite() && (0.0..=STAY_SECS_MAX).contains(&secs) {
        Ok(Duration::from_secs_f64(secs))
    } else {
        Err(ConfigError::new(
            flag,
            format!("{secs} is not a number of seconds from 0 to {STAY_SECS_MAX}"),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::flags::{Cli, Command};
    use clap::Parser as _;

    fn join(extra: &str) -> Result<JoinConfig, ConfigError> {
        let line = format!("talkspurt join host --room r --name n {extra}");
        let cli = Cli::try_parse_from(line.split_whitespace()).unwrap();
        let Command::Join(flags) = cli.command else {
            panic!("not join")
        };
        JoinConfig::try_from(*flags)
    }

    #[test]
    fn defaults_are_those_of_the_manual() {
        let config = join("").unwrap();
        assert_eq!(
            config.server,
            Endpoint {
                host: "host".into(),
                port: 8255
            }
        );
        assert_eq!((config.gate.open.rms, config.gate.close.rms), (2000, 500));
        assert_eq!(
            (
                config.gate.window_frames,
                config.gate.pre_roll_ms,
                config.gate.enabled
            ),
            (10, 60, true)
        );
        assert_eq!(
            (config.input, config.output),
            (
                Input::Device(DeviceChoice::Default),
                Output::Device(DeviceChoice::Default)
            )
        );
        assert_eq!(
            (config.linger, config.leave_after),
            (Duration::from_secs(1), None)
        );
        assert_eq!(
            (config.events, config.muted, config.codec),
            (EventsFormat::Auto, false, None)
        );
    }

    #[test]
    fn files_take_the_devices_place() {
        let config =
            join("--input in.wav --output none --codec adpcm --no-gate --muted --events json")
                .unwrap();
        assert_eq!(config.input, Input::File("in.wav".into()));
        assert_eq!(config.output, Output::None);
        assert_eq!(config.codec, Some(Codec::ImaAdpcm));
        assert!(!config.gate.enabled && config.muted);
        assert_eq!(config.events, EventsFormat::Json { levels: false });
    }

    #[cfg(unix)]
    #[test]
    fn paths_need_not_be_utf_8() {
        use std::os::unix::ffi::OsStringExt as _;
        let path = OsString::from_vec(b"f\xffr.wav".to_vec());
        let line = ["talkspurt", "join", "h", "-r", "r", "-n", "n", "--output"];
        let line = line.map(OsString::from).into_iter().chain([path.clone()]);
        let Command::Join(flags) = Cli::try_parse_from(line).unwrap().command else {
            panic!("not join")
        };
        let config = JoinConfig::try_from(*flags).unwrap();
        assert_eq!(config.output, Output::File(path.into()));
    }

    #[test]
    fn a_low_gate_brings_its_closing_threshold_along() {
        let thresholds = |extra| {
            let gate = join(extra).unwrap().gate;
            (gate.open.rms, gate.close.rms)
        };
        assert_eq!(thresholds("--gate-open 800"), (800, 401));
        assert_eq!(thresholds("--gate-open 0"), (0, 0));
        assert_eq!(thresholds("--gate-open 9000"), (9_000, 500));
        assert_eq!(thresholds("--gate-open 400 --gate-close 399"), (400, 399));
    }

    #[test]
    fn each_wrong_flag_is_named_in_the_error() {
        for (extra, flag) in [
            ("--gate-open loud", "--gate-open"),
            ("--gate-open 400 --gate-close 500", "--gate-close"),
            ("--gate-window 0", "--gate-window"),
            ("--gate-window 60000", "--gate-window"),
            ("--pre-roll 501", "--pre-roll"),
            ("--playout-delay 301", "--playout-delay"),
            ("--linger=-1", "--linger"),
            ("--for NaN", "--for"),
            ("--for 1e300", "--for"),
            ("--input=", "--input"),
        ] {
            let error = join(extra).unwrap_err();
            assert_eq!(error.flag, flag, "{extra}: {error}");
        }
        let long = "x".repeat(65);
        let cli = Cli::try_parse_from(["talkspurt", "join", "h", "--room", &long, "--name", "n"])
            .unwrap();
        let Command::Join(flags) = cli.command else {
            panic!("not join")
        };
        assert_eq!(JoinConfig::try_from(*flags).unwrap_err().flag, "--room");
    }
}
