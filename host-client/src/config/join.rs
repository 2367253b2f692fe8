//! The checked flags of `talkspurt join`.

use super::flags::{CodecFlag, EventsFlag, JoinFlags};
use crate::{device::DeviceChoice, participant::PRE_ROLL_MS_MAX};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use talkspurt_core::{
    audio::{codec::CodecId, gate::GateSettings},
    wire::{ParticipantName, RoomName},
};
use talkspurt_host_kit::{
    channels::InputChannel,
    environment::FlagError,
    server_address::{ServerAddress, VOICE_PORT},
    wav::refuse_overwriting,
};

/// Initial playout delay for a speaker: two frames of 20 ms ride out a busy scheduler.
const PLAYOUT_DEVICE_MS: u16 = 40;
/// Initial playout delay for a file, where delay bothers nobody: later frames still arrive in time.
const PLAYOUT_FILE_MS: u16 = 120;
/// Longest initial playout delay: half of what the downlink has slots for at 5 ms frames.
const PLAYOUT_MS_MAX: u16 = 300;
/// A year: longer than anybody stays, and safe for every clock.
const STAY_SECS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// The checked flags of `talkspurt join`.
#[derive(Debug, Clone)]
pub struct JoinConfig {
    /// The server's voice address.
    pub server: ServerAddress,
    /// The room to join.
    pub room: RoomName,
    /// The participant's name.
    pub name: ParticipantName,
    /// Source of the sound to send.
    pub input: Input,
    /// Which channel of it is heard.
    pub input_channel: InputChannel,
    /// Destination of the mix.
    pub output: Output,
    /// The only codec to offer; all when `None`.
    pub codec: Option<CodecId>,
    /// How long received frames wait at first.
    pub playout_delay_ms: u16,
    /// The voice gate; disabled with push-to-talk.
    pub gate: GateSettings,
    /// How much sound from before the gate opened is sent first, in milliseconds.
    pub pre_roll_ms: u16,
    /// Send nothing until a key is held.
    pub push_to_talk: bool,
    /// Join muted.
    pub muted: bool,
    /// How long to stay after the end of an input file.
    pub linger: Duration,
    /// Leave this long after joining.
    pub leave_after: Option<Duration>,
    /// How to show events.
    pub events: EventsFormat,
}

/// Source of the sound to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// A microphone.
    Device(DeviceChoice),
    /// A sound file, played in real time.
    File(PathBuf),
    /// None: the participant only listens.
    None,
}

/// Destination of the mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A speaker.
    Device(DeviceChoice),
    /// A WAV file.
    File(PathBuf),
    /// None: the mix is discarded.
    None,
}

/// How to show events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventsFormat {
    /// A live view in a terminal, plain lines elsewhere.
    Auto,
    /// Plain lines.
    Plain,
    /// One JSON object per line.
    Json {
        /// Also a `level` event each second.
        levels: bool,
    },
}

impl TryFrom<JoinFlags> for JoinConfig {
    type Error = FlagError;

    fn try_from(flags: JoinFlags) -> Result<Self, FlagError> {
        let mut gate = flags.gate.settings(PRE_ROLL_MS_MAX)?;
        // Push-to-talk sends everything, however quiet.
        gate.enabled &= !flags.ptt;
        let playout_delay_ms = playout_delay_ms(&flags)?;
        let input_channel = input_channel(flags.input_channel.as_deref())?;
        let config = Self {
            input_channel,
            server: server_address(&flags.server, VOICE_PORT)?,
            room: RoomName::new(&flags.room)
                .map_err(|e| FlagError::new("--room", e.to_string()))?,
            name: ParticipantName::new(&flags.name)
                .map_err(|e| FlagError::new("--name", e.to_string()))?,
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
                CodecFlag::Pcm16 => CodecId::Pcm16,
                CodecFlag::Adpcm => CodecId::ImaAdpcm,
            }),
            playout_delay_ms,
            gate,
            pre_roll_ms: flags.gate.pre_roll,
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
        if let (Input::File(input), Output::File(output)) = (&config.input, &config.output) {
            refuse_overwriting(input, output)?;
        }
        Ok(config)
    }
}

/// Parses an argument `HOST[:PORT]`.
///
/// # Errors
/// When it is not a server's address.
pub fn server_address(text: &str, default_port: u16) -> Result<ServerAddress, FlagError> {
    ServerAddress::parse(text, default_port)
        .map_err(|problem| FlagError::new("HOST[:PORT]", problem))
}

/// Parses a flag `--input-channel`.
///
/// # Errors
/// When it is not a channel.
pub fn input_channel(flag: Option<&str>) -> Result<InputChannel, FlagError> {
    flag.map_or(Ok(InputChannel::Voice), str::parse)
        .map_err(|problem| FlagError::new("--input-channel", problem))
}

fn playout_delay_ms(flags: &JoinFlags) -> Result<u16, FlagError> {
    match flags.playout_delay {
        None if flags.output.is_some() => Ok(PLAYOUT_FILE_MS),
        None => Ok(PLAYOUT_DEVICE_MS),
        Some(ms) if ms <= PLAYOUT_MS_MAX => Ok(ms),
        Some(ms) => {
            let problem = format!("{ms} ms is too long; at most {PLAYOUT_MS_MAX}");
            Err(FlagError::new("--playout-delay", problem))
        }
    }
}

/// Returns `None` if the flag is missing, `Some(None)` for the word `none`, and `Some(Some(path))`
/// for a file.
fn file_or_none(
    flag: &'static str,
    text: Option<OsString>,
) -> Result<Option<Option<PathBuf>>, FlagError> {
    match text {
        None => Ok(None),
        Some(word) if word == "none" => Ok(Some(None)),
        Some(empty) if empty.is_empty() => {
            Err(FlagError::new(flag, "is empty; give a file or `none`"))
        }
        Some(path) => Ok(Some(Some(PathBuf::from(path)))),
    }
}

fn seconds(flag: &'static str, secs: f64) -> Result<Duration, FlagError> {
    if secs.is_finite() && (0.0..=STAY_SECS_MAX).contains(&secs) {
        Ok(Duration::from_secs_f64(secs))
    } else {
        Err(FlagError::new(
            flag,
            format!("{secs} is not a number of seconds from 0 to {STAY_SECS_MAX}"),
        ))
    }
}

#[cfg(test)]
mod tests;
