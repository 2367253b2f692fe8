//! Who is where: the page `/rooms`.

use serde::Serialize;
use talkspurt_core::audio::level::Dbfs;

use crate::hub::Hub;
use crate::participant::Participant;
use crate::room::Room;

/// All rooms, in the order of their names.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomsReport {
    /// The rooms.
    pub rooms: Vec<RoomReport>,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomReport {
    /// Its name.
    pub name: String,
    /// Milliseconds in a frame.
    pub frame_ms: u8,
    /// Who is in it, in the order of joining.
    pub participants: Vec<ParticipantReport>,
}

/// One participant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParticipantReport {
    /// His number on this server.
    pub id: u16,
    /// His name.
    pub name: String,
    /// A talkspurt of his is running.
    pub talking: bool,
    /// He has muted his microphone.
    pub muted: bool,
    /// Loudness of his latest frame relative to full scale; null when he is not heard.
    pub level_dbfs: Option<f64>,
    /// `pcm16` or `adpcm`.
    pub codec: &'static str,
    /// Frames of his that wait to be mixed.
    pub jitter_depth_frames: u16,
    /// Voice packets dropped because he read too slowly.
    pub slow_consumer_drops: u64,
}

impl RoomsReport {
    /// What is true right now.
    pub fn of(hub: &Hub) -> Self {
        let mut rooms: Vec<RoomReport> = hub.rooms().map(|room| room_report(hub, room)).collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        Self { rooms }
    }

    /// The page's text.
    pub fn to_json(&self) -> String {
        // Names are UTF-8 and levels are finite: there is nothing that JSON cannot hold.
        serde_json::to_string(self).expect("a report can be written as JSON")
    }
}

fn room_report(hub: &Hub, room: &Room) -> RoomReport {
    let mut participants: Vec<&Participant> = room.participants().collect();
    participants.sort_by_key(|participant| participant.joined);
    RoomReport {
        name: room.name().to_string(),
        frame_ms: room.frame().ms(),
        participants: participants
            .into_iter()
            .map(|participant| participant_report(hub, participant))
            .collect(),
    }
}

fn participant_report(hub: &Hub, participant: &Participant) -> ParticipantReport {
    let heard = participant.level_rms() > 0;
    ParticipantReport {
        id: participant.id.0,
        name: participant.name.to_string(),
        talking: participant.is_talking(),
        muted: participant.is_muted(),
        level_dbfs: heard.then(|| in_tenths(Dbfs::from_rms(participant.level_rms()))),
        codec: participant.listener.codec().name(),
        jitter_depth_frames: participant.depth_frames(),
        slow_consumer_drops: hub.voice_dropped(participant.conn),
    }
}

/// Decibels, rounded to a tenth.
fn in_tenths(level: Dbfs) -> f64 {
    (f64::from(level.as_q8()) * 10.0 / 256.0).round() / 10.0
}
