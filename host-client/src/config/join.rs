//! The checked flags of `talkspurt join`.

use super::flags::{EventsFlag, JoinFlags};
use crate::{device::DeviceChoice, participant::PRE_ROLL_MS_MAX};
use std::{path::PathBuf, time::Duration};
use talkspurt_core::{
    audio::{
        codec::CodecId,
        gate::{GateConfig, GateMode},
    },
    wire::{ParticipantName, RoomName},
};
use talkspurt_host_kit::{
    channels::InputChannel, console::Problem, server_address::ServerAddress,
    wav::refuse_overwriting,
};

/// Initial playout delay for a speaker: it waits for a late frame as long as its device has sound.
const PLAYOUT_DEVICE_MS: u16 = 0;
/// Initial playout delay for a file, where delay bothers nobody: later frames still arrive in time.
const PLAYOUT_FILE_MS: u16 = 120;

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
    pub input: SoundChoice,
    /// Which channel of it is heard.
    pub input_channel: InputChannel,
    /// Destination of the mix.
    pub output: SoundChoice,
    /// The only codec to offer; all when `None`.
    pub codec: Option<CodecId>,
    /// How long received frames wait at first.
    pub playout_delay_ms: u16,
    /// The voice gate; disabled with push-to-talk.
    pub gate: GateConfig,
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

/// Source of the sound to send, or destination of the mix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoundChoice {
    /// A microphone or speaker.
    Device(DeviceChoice),
    /// A sound file, played in real time, or a WAV file to record.
    File(PathBuf),
    /// None: the participant only listens, or the mix is discarded.
    None,
}

impl SoundChoice {
    fn of(file: Option<PathBuf>, device: Option<&str>) -> Self {
        match file {
            Some(word) if word.as_os_str() == "none" => Self::None,
            Some(path) => Self::File(path),
            None => Self::Device(DeviceChoice::parse(device)),
        }
    }
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
    type Error = Problem;

    fn try_from(flags: JoinFlags) -> Result<Self, Problem> {
        let mut gate = flags.gate.settings(PRE_ROLL_MS_MAX)?;
        // Push-to-talk sends everything, however quiet.
        if flags.ptt {
            gate.mode = GateMode::Off;
        }
        let usual_playout_ms = match flags.output {
            Some(_) => PLAYOUT_FILE_MS,
            None => PLAYOUT_DEVICE_MS,
        };
        let config = Self {
            server: flags.server,
            room: flags.room,
            name: flags.name,
            input: SoundChoice::of(flags.input, flags.input_device.as_deref()),
            input_channel: flags.input_channel.unwrap_or_default(),
            output: SoundChoice::of(flags.output, flags.output_device.as_deref()),
            codec: flags.codec,
            playout_delay_ms: flags.playout_delay.unwrap_or(usual_playout_ms),
            gate,
            pre_roll_ms: flags.gate.pre_roll_ms(PRE_ROLL_MS_MAX),
            push_to_talk: flags.ptt,
            muted: flags.muted,
            linger: flags.linger,
            leave_after: flags.leave_after,
            events: match (flags.events, flags.plain) {
                (Some(EventsFlag::Json), _) => EventsFormat::Json {
                    levels: flags.levels,
                },
                (None, true) => EventsFormat::Plain,
                (None, false) => EventsFormat::Auto,
            },
        };
        if let (SoundChoice::File(input), SoundChoice::File(output)) =
            (&config.input, &config.output)
        {
            refuse_overwriting(input, output)?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests;
