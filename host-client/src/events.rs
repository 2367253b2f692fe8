//! Events that a session reports to its user.

use crate::device::DeviceNotice;
use serde::Serialize;
use std::mem;
use talkspurt_core::{endpoint, time::Duration};
use talkspurt_host_kit::{events, words::without_numbers};

/// One event of a session.
pub type Event = events::Event<EventKind>;

/// What can happen. In JSON a kind has the same name in snake_case.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum EventKind {
    /// We are in the room; again after each reconnect.
    Joined {
        /// Our number.
        id: u32,
        /// Our name.
        name: String,
        /// The room.
        room: String,
        /// `pcm16` or `adpcm`.
        codec: &'static str,
        /// Samples per second.
        rate_hz: u32,
        /// Milliseconds in a frame.
        frame_ms: u8,
        /// Everyone in the room, including ourselves.
        roster: Vec<RosterLine>,
    },
    /// Someone came.
    ParticipantJoined(RosterLine),
    /// Someone went.
    ParticipantLeft {
        /// Their number.
        id: u32,
        /// Their name.
        name: String,
    },
    /// Someone (we too) started to talk.
    Talking {
        /// Their number.
        id: u32,
        /// Their name.
        name: String,
    },
    /// Someone (we too) stopped talking.
    Silent {
        /// Their number.
        id: u32,
        /// Their name.
        name: String,
    },
    /// Someone (we too) muted or unmuted themselves.
    Muted {
        /// Their number.
        id: u32,
        /// Their name.
        name: String,
        /// Whether they are muted now.
        muted: bool,
    },
    /// We stopped or resumed listening. Nobody else knows.
    Deafened {
        /// Whether we are deafened now.
        deafened: bool,
    },
    /// The microphone or speaker was opened or lost, or is not available.
    Device(DeviceNotice),
    /// Someone has been talking for three seconds, too quietly for the gate: nothing was sent.
    InputQuiet {
        /// How loud the loud parts are, in dBFS.
        level_dbfs: f64,
        /// The level that opens the gate, in dBFS.
        gate_open_dbfs: f64,
        /// A level that would let the voice through, in dBFS: a value for `--gate-open`.
        try_gate_open_dbfs: f64,
    },
    /// The input file has ended.
    InputEnded {
        /// Why, if not because the file is over.
        #[serde(skip_serializing_if = "Option::is_none")]
        problem: Option<String>,
    },
    /// Something happened to the recording. The session goes on in any case.
    Recording {
        /// `stopped`, `continued` in another file, or `lost` when the disk was too slow for a
        /// while.
        state: &'static str,
        /// The file concerned.
        #[serde(skip_serializing_if = "Option::is_none")]
        file: Option<String>,
        /// Why.
        text: String,
    },
    /// The program cannot do its job. Nothing follows.
    Failed {
        /// Why, and what to do.
        text: String,
    },
    /// The server was lost; the client will try again.
    Reconnecting {
        /// How we noticed.
        reason: String,
        /// Number of the next try, from 1.
        attempt: u32,
        /// Pause before it, in milliseconds.
        retry_in_ms: u64,
    },
    /// Current levels and delays (only with `--levels`).
    Level(Levels),
    /// We left. Nothing follows.
    Left {
        /// Why.
        reason: String,
        /// What was sent and heard.
        #[serde(flatten)]
        counts: Counts,
    },
}

impl EventKind {
    /// Removes the system's error numbers from its texts.
    pub(crate) fn for_people(mut self) -> Self {
        let text = match &mut self {
            Self::Device(DeviceNotice { text, .. })
            | Self::Recording { text, .. }
            | Self::Failed { text } => Some(text),
            Self::Reconnecting { reason, .. } | Self::Left { reason, .. } => Some(reason),
            Self::InputEnded { problem } => problem.as_mut(),
            _ => None,
        };
        if let Some(text) = text {
            *text = without_numbers(mem::take(text));
        }
        self
    }

    /// Returns the heap bytes that it holds, in texts and in the roster.
    pub(crate) fn heap_bytes(&self) -> usize {
        let line = |line: &RosterLine| size_of::<RosterLine>() + line.name.len();
        match self {
            Self::Joined {
                name, room, roster, ..
            } => name.len() + room.len() + roster.iter().map(line).sum::<usize>(),
            Self::ParticipantJoined(RosterLine { name, .. })
            | Self::ParticipantLeft { name, .. }
            | Self::Talking { name, .. }
            | Self::Silent { name, .. }
            | Self::Muted { name, .. } => name.len(),
            Self::Device(notice) => notice.text.len(),
            Self::Reconnecting { reason, .. } | Self::Left { reason, .. } => reason.len(),
            Self::Failed { text } => text.len(),
            Self::Recording { file, text, .. } => text.len() + file.as_ref().map_or(0, String::len),
            Self::InputEnded { problem } => problem.as_ref().map_or(0, String::len),
            Self::Deafened { .. } | Self::InputQuiet { .. } | Self::Level(_) => 0,
        }
    }
}

/// One participant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RosterLine {
    /// Their number.
    pub id: u32,
    /// Their name.
    pub name: String,
    /// Whether they are talking.
    pub talking: bool,
    /// Whether their microphone is muted.
    pub muted: bool,
}

/// Current levels and delays.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Levels {
    /// The last captured frame, in dBFS.
    pub input_dbfs: f64,
    /// The last played frame, in dBFS.
    pub output_dbfs: f64,
    /// The noise floor that the gate goes by, in dBFS; null unless its thresholds follow it.
    pub noise_dbfs: Option<f64>,
    /// The level that opens the gate, in dBFS; null without a gate.
    pub gate_open_dbfs: Option<f64>,
    /// The level below which the gate closes, in dBFS; null without a gate.
    pub gate_close_dbfs: Option<f64>,
    /// How long the voice heard last took from mouth to ear, in milliseconds; null if that is not
    /// known, as of a node's voice.
    pub delay_ms: Option<u32>,
    /// What of such delays this client adds.
    pub delay_parts: DelayParts,
    /// Round trip to the server, in milliseconds; null before the first measurement.
    pub round_trip_ms: Option<f64>,
    /// How long a received frame waits until it is heard, in milliseconds.
    pub playout_ms: u32,
    /// Frames that never came, so far.
    pub packets_lost: u64,
}

/// Where delay lies in milliseconds, as means of late; null where nothing was said or heard yet.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct DelayParts {
    /// The own voice in the microphone's device and buffers, without the frame itself.
    pub microphone_ms: Option<f64>,
    /// What is left of the pre-roll's delay.
    pub pre_roll_ms: Option<f64>,
    /// To the server, or from it: half of the round trip.
    pub one_way_ms: Option<f64>,
    /// Others' voice in the jitter buffer.
    pub jitter_buffer_ms: Option<f64>,
    /// Others' voice in the speaker's device and buffers.
    pub speaker_ms: Option<f64>,
}

impl From<endpoint::DelayParts> for DelayParts {
    fn from(parts: endpoint::DelayParts) -> Self {
        let ms = |part: Option<Duration>| part.map(|it| it.as_micros() as f64 / 1_000.0);
        Self {
            microphone_ms: ms(parts.microphone),
            pre_roll_ms: ms(parts.held_back),
            one_way_ms: ms(parts.one_way),
            jitter_buffer_ms: ms(parts.jitter_buffer),
            speaker_ms: ms(parts.speaker),
        }
    }
}

/// Counts of a stay, summed over all its sessions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counts {
    /// From joining to leaving, in milliseconds.
    pub stayed_ms: u64,
    /// How often the server was lost and rejoined.
    pub reconnects: u32,
    /// Talkspurts sent.
    pub talkspurts: u64,
    /// Frames taken from the microphone or file.
    pub frames_captured: u64,
    /// Frames sent.
    pub frames_sent: u64,
    /// Frames received.
    pub frames_received: u64,
    /// Received frames that were played.
    pub frames_played: u64,
    /// Frame periods in which a frame had to be concealed.
    pub frames_concealed: u64,
    /// Frames that came after their turn.
    pub frames_late: u64,
    /// Frames dropped to shorten the delay.
    pub frames_skipped: u64,
    /// Own frames dropped because the connection did not take them.
    pub frames_dropped: u64,
    /// Frames that never came.
    pub packets_lost: u64,
    /// Received bytes that were not part of a packet.
    pub bytes_bad: u64,
    /// Bytes sent, all packets together.
    pub bytes_sent: u64,
    /// Bytes received, all packets together.
    pub bytes_received: u64,
    /// How long the voice heard last took from mouth to ear, in milliseconds; null if that is not
    /// known, as of a node's voice.
    pub delay_ms: Option<u32>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn parsed(kind: EventKind) -> Value {
        let line = Event {
            t_ms: 5,
            missed: 0,
            kind,
        }
        .to_json();
        assert!(!line.contains('\n'), "one line each: {line}");
        serde_json::from_str(&line).unwrap()
    }

    #[test]
    fn every_line_has_its_kind_and_time() {
        let ann = RosterLine {
            id: 3,
            name: "ann \"the\"\nvoice".into(),
            talking: true,
            muted: false,
        };
        let line = parsed(EventKind::ParticipantJoined(ann.clone()));
        let expected = json!({"event": "participant_joined", "t_ms": 5, "id": 3, "name": ann.name, "talking": true, "muted": false});
        assert_eq!(line, expected);
        let line = parsed(EventKind::Muted {
            id: 3,
            name: "ann".into(),
            muted: true,
        });
        assert_eq!(
            line,
            json!({"event": "muted", "t_ms": 5, "id": 3, "name": "ann", "muted": true})
        );
        assert_eq!(
            parsed(EventKind::InputEnded { problem: None }),
            json!({"event": "input_ended", "t_ms": 5})
        );
    }

    #[test]
    fn joined_tells_the_roster_and_left_the_counts() {
        let line = parsed(EventKind::Joined {
            id: 1,
            name: "bob".into(),
            room: "kitchen".into(),
            codec: "pcm16",
            rate_hz: 16_000,
            frame_ms: 20,
            roster: vec![RosterLine {
                id: 1,
                name: "bob".into(),
                talking: false,
                muted: true,
            }],
        });
        assert_eq!(
            line["roster"],
            json!([{"id": 1, "name": "bob", "talking": false, "muted": true}])
        );
        assert_eq!(
            (&line["codec"], &line["frame_ms"]),
            (&json!("pcm16"), &json!(20))
        );
        let counts = Counts {
            frames_sent: 7,
            ..Counts::default()
        };
        let line = parsed(EventKind::Left {
            reason: "left".into(),
            counts,
        });
        assert_eq!(
            (&line["event"], &line["frames_sent"]),
            (&json!("left"), &json!(7))
        );
        for field in [
            "frames_captured",
            "frames_received",
            "frames_played",
            "frames_concealed",
            "frames_late",
            "bytes_sent",
        ] {
            assert_eq!(line[field], json!(0), "{field}");
        }
    }
}
