//! The node's arguments, from the semihosting command line: `room=kitchen name=node-1
//! microphone=in.raw speaker=out.raw`.
//!
//! | word | meaning |
//! |---|---|
//! | `room`, `name` | the room to join, and the name to use (required) |
//! | `microphone`, `speaker` | files of raw samples (16 kHz, 16-bit little-endian, mono); default: silence, and discarded |
//! | `baud` | baud rate of the line, 115200 by default; QEMU ignores it |
//! | `gate` | `off` always sends |
//! | `linger_ms` | leave this long after the microphone's file has ended |
//! | `for_ms` | leave this long after joining |
//!
//! Quote a word with a space in it: `'room=the kitchen'`.

use heapless::CString;
use semihosting::experimental::env::args;
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{ParticipantName, RoomName};
use talkspurt_node::node::ClientConfig;

use crate::files::{FileMicrophone, FileSpeaker};

/// The longest command line, in bytes, and the longest path.
const COMMAND_LINE_BYTES: usize = 640;
const PATH_BYTES: usize = 256;
/// 115,200 baud carry 16 kHz ADPCM both ways (docs/FIRMWARE.md).
const BAUD_DEFAULT: u32 = 115_200;

/// The whole command line, with its files open.
pub struct Setup {
    /// Room, name and gate.
    pub node: ClientConfig,
    /// Source of the own voice.
    pub microphone: FileMicrophone,
    /// Destination of the others' voices.
    pub speaker: FileSpeaker,
    /// Baud rate of the serial line.
    pub baud: u32,
    /// Leave this long after the microphone's file has ended.
    pub linger: Option<Duration>,
    /// Leave this long after joining.
    pub leave_after: Option<Duration>,
}

/// Reads the command line and opens the files.
///
/// # Errors
/// A sentence that says what is wrong with it.
// Not inlined, so that the command line and the paths leave the stack again.
#[inline(never)]
pub fn read() -> Result<Setup, &'static str> {
    let args =
        args::<COMMAND_LINE_BYTES>().map_err(|_| "there is no command line, or it is too long")?;
    let (mut room, mut name) = (None, None);
    let (mut microphone, mut speaker) = (None, None);
    let (mut baud, mut gate) = (BAUD_DEFAULT, true);
    let (mut linger, mut leave_after) = (None, None);
    for word in &args {
        let word = word.map_err(|_| "the command line is not UTF-8")?;
        // The first word is the image's own path.
        let Some((key, value)) = word.split_once('=') else {
            continue;
        };
        match key {
            "room" => room = Some(RoomName::new(value).map_err(|_| "room= is invalid")?),
            "name" => name = Some(ParticipantName::new(value).map_err(|_| "name= is invalid")?),
            "microphone" => microphone = Some(path(value)?),
            "speaker" => speaker = Some(path(value)?),
            "baud" => baud = number(value)?.max(1),
            "gate" => gate = value != "off",
            "linger_ms" => linger = Some(Duration::from_millis(number(value)?.into())),
            "for_ms" => leave_after = Some(Duration::from_millis(number(value)?.into())),
            _ => {
                return Err(
                    "an unknown word: room, name, microphone, speaker, baud, gate, linger_ms, for_ms are known",
                );
            }
        }
    }
    let mut node = ClientConfig::new(JoinRequest::new(
        room.ok_or("room= is missing")?,
        name.ok_or("name= is missing")?,
        &[CodecId::ImaAdpcm],
    ));
    if !gate {
        node.gate.mode = GateMode::Off;
    }
    Ok(Setup {
        node,
        microphone: FileMicrophone::open(microphone.as_deref())
            .map_err(|_| "the microphone's file cannot be opened")?,
        speaker: FileSpeaker::create(speaker.as_deref())
            .map_err(|_| "the speaker's file cannot be made")?,
        baud,
        linger,
        leave_after,
    })
}

fn path(text: &str) -> Result<CString<PATH_BYTES>, &'static str> {
    let mut path = CString::new();
    path.extend_from_bytes(text.as_bytes())
        .map_err(|_| "a path is too long")?;
    Ok(path)
}

fn number(text: &str) -> Result<u32, &'static str> {
    text.parse().map_err(|_| "not a number where one is needed")
}
