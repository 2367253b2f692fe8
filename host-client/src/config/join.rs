//! What `talkspurt join` does, checked.

use super::{
    ConfigError, Endpoint, Threshold, VOICE_PORT,
    flags::{CodecFlag, EventsFlag, JoinFlags},
};
use crate::{device::DeviceChoice, participant::PRE_ROLL_MS_MAX};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use talkspurt_core::{
    audio::{
        codec::Codec,
        gate::{GATE_WINDOW_FRAMES_MAX, GateSettings},
    },
    wire::{ParticipantName, RoomName},
};
use talkspurt_host_kit::{channels::InputChannel, wav::same_file};

/// Received frames wait this long at first when they go to a speaker: two frames of 20 ms ride out
/// a busy scheduler.
const PLAYOUT_DEVICE_MS: u16 = 40;
/// And when they go to a file, where delay bothers nobody: more lateness is ridden out without a
/// concealed frame.
const PLAYOUT_FILE_MS: u16 = 120;
/// The longest they may wait at first: half of what the downlink has slots for at 5 ms frames.
const PLAYOUT_MS_MAX: u16 = 300;
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
    /// Which channel of it is heard.
    pub input_channel: InputChannel,
    /// Where the mix goes.
    pub output: Output,
    /// The only codec to offer; all when `None`.
    pub codec: Option<Codec>,
    /// How long received frames wait at first.
    pub playout_delay_ms: u16,
    /// The voice gate; it lets all pass where a key decides.
    pub gate: GateSettings,
    /// Sound from before the gate opened that is sent first.
    pub pre_roll_ms: u16,
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
    /// A sound file, played in real time.
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

/// The original system's threshold for closing.
const CLOSE_RMS_DEFAULT: u16 = 500;
/// A gate that closes less far below the level that opens it flutters, unless somebody wants that.
const HYSTERESIS_DB: f64 = 6.0;

/// Returns the gate, but opening at another level. What closes it is what the flags say, and as far
/// below as by default, or as the flags have it if that is less.
#[must_use]
pub fn opening_at(gate: &GateSettings, open: Threshold) -> GateSettings {
    let close = Threshold::from_rms(gate.close_rms);
    let apart_db = Threshold::from_rms(gate.open_rms).dbfs() - close.dbfs();
    let hysteresis_db = apart_db.clamp(0.0, HYSTERESIS_DB);
    GateSettings {
        open_rms: open.rms,
        close_rms: close_below(open, close, hysteresis_db).rms,
        ..*gate
    }
}

/// The wanted threshold, or a lower one, so far below the one that opens.
fn close_below(open: Threshold, wanted: Threshold, hysteresis_db: f64) -> Threshold {
    wanted.min(open.shifted_db(-hysteresis_db)).min(open)
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
        let input_channel = input_channel(flags.input_channel.as_deref())?;
        let config = Self {
            input_channel,
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
            pre_roll_ms: flags.pre_roll,
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
        };
        config.refuse_to_overwrite_input()?;
        Ok(config)
    }
}

impl JoinConfig {
    /// A recording must not destroy what is being played.
    fn refuse_to_overwrite_input(&self) -> Result<(), ConfigError> {
        match (&self.input, &self.output) {
            (Input::File(input), Output::File(output)) if same_file(input, output) => {
                let problem = format!(
                    "{} is the file that --input plays and would be overwritten; give another one",
                    output.display()
                );
                Err(ConfigError::new("--output", problem))
            }
            _ => Ok(()),
        }
    }
}

/// A flag `--input-channel`, checked.
///
/// # Errors
/// When it is not a channel.
pub fn input_channel(flag: Option<&str>) -> Result<InputChannel, ConfigError> {
    flag.map_or(Ok(InputChannel::Voice), str::parse)
        .map_err(|problem| ConfigError::new("--input-channel", problem))
}

fn gate(flags: &JoinFlags) -> Result<GateSettings, ConfigError> {
    let level = |flag, text: &str| {
        text.parse::<Threshold>()
            .map_err(|problem| ConfigError::new(flag, problem))
    };
    let open = level("--gate-open", &flags.gate_open)?;
    let close = match &flags.gate_close {
        Some(close) => level("--gate-close", close)?,
        None => close_below(open, Threshold::from_rms(CLOSE_RMS_DEFAULT), HYSTERESIS_DB),
    };
    if close > open {
        return Err(ConfigError::new(
            "--gate-close",
            format!(
                "{close} lies above --gate-open {open}; the gate would flutter. Give a lower one"
            ),
        ));
    }
    if !(1..=GATE_WINDOW_FRAMES_MAX).contains(&usize::from(flags.gate_window)) {
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
        open_rms: open.rms,
        close_rms: close.rms,
        window_frames: flags.gate_window as u8,
        // Push-to-talk sends whatever the level.
        enabled: !flags.no_gate && !flags.ptt,
        ..GateSettings::default()
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
        Some(empty) if empty.is_empty() => {
            Err(ConfigError::new(flag, "is empty; give a file or `none`"))
        }
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
mod tests;
