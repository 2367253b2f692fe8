//! The page `/rooms`: who is in which room.

use serde::Serialize;
use talkspurt_core::audio::level::SILENCE;
use talkspurt_hub::{Hub, Member, Room};

/// All rooms, sorted by name.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomsReport {
    /// The rooms, sorted by name.
    pub rooms: Vec<RoomReport>,
}

/// One room.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoomReport {
    /// Its name.
    pub name: String,
    /// Milliseconds in a frame.
    pub frame_ms: u8,
    /// Its participants, in the order of joining.
    pub participants: Vec<ParticipantReport>,
}

/// One participant.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ParticipantReport {
    /// Their number in the room.
    pub id: u32,
    /// Their name.
    pub name: String,
    /// Whether a talkspurt of theirs is in progress.
    pub talking: bool,
    /// Whether they have muted their microphone.
    pub muted: bool,
    /// The loudness of the latest frame relative to full scale, as the client says; null if they
    /// are not heard.
    pub level_dbfs: Option<f64>,
    /// `pcm16` or `adpcm`.
    pub codec: &'static str,
    /// Frames waiting to be mixed.
    pub jitter_depth_frames: u16,
    /// Voice packets dropped because the client read too slowly.
    pub slow_consumer_drops: u64,
}

impl RoomsReport {
    /// Makes a report of the current state.
    pub fn of(hub: &Hub) -> Self {
        let mut rooms: Vec<RoomReport> = hub.rooms().map(room_report).collect();
        rooms.sort_by(|a, b| a.name.cmp(&b.name));
        Self { rooms }
    }

    /// Returns the report as JSON.
    pub fn to_json(&self) -> String {
        // Names are UTF-8 and levels are finite, so JSON can represent them.
        serde_json::to_string(self).expect("a report can be written as JSON")
    }
}

fn room_report(room: &Room) -> RoomReport {
    let mut members: Vec<&Member> = room.members().collect();
    members.sort_by_key(|member| member.participant.joined);
    RoomReport {
        name: room.name().to_string(),
        frame_ms: room.format().frame.ms(),
        participants: members.into_iter().map(participant_report).collect(),
    }
}

fn participant_report(Member { link, participant }: &Member) -> ParticipantReport {
    let level = participant.level().filter(|level| *level != SILENCE);
    ParticipantReport {
        id: participant.id.0,
        name: participant.name.to_string(),
        talking: participant.is_talking(),
        muted: participant.is_muted(),
        level_dbfs: level.map(|half_db| 0.0 - f64::from(half_db) / 2.0),
        codec: participant.listener.codec.name(),
        jitter_depth_frames: participant.depth_frames(),
        slow_consumer_drops: link.outbox.voice_dropped(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{hello_of, packet};
    use talkspurt_core::seq::{Seq, Timestamp};
    use talkspurt_core::time::{Duration, Instant};
    use talkspurt_core::wire::{ClientPacket, Voice};
    use talkspurt_hub::{HubConfig, LinkId};

    fn join(hub: &mut Hub, room: &str, name: &str) -> LinkId {
        let link = hub.connect(Instant::ZERO).unwrap();
        hub.handle_bytes(link, &hello_of(room, name), Instant::ZERO);
        hub.admit_all(Instant::ZERO, || [9; 16]);
        link
    }

    #[test]
    fn participants_are_reported_in_the_order_of_joining() {
        let mut hub = Hub::new(HubConfig::default());
        let first = join(&mut hub, "kitchen", "zoe");
        for name in ["ada", "mia", "bob"] {
            join(&mut hub, "kitchen", name);
        }
        hub.handle_closed(first, Instant::ZERO);
        join(&mut hub, "kitchen", "eve");
        let report = RoomsReport::of(&hub);
        let participants = report.rooms[0].participants.iter();
        let names: Vec<&str> = participants.map(|participant| &*participant.name).collect();
        assert_eq!(names, ["ada", "mia", "bob", "eve"]);
    }

    #[test]
    fn levels_and_depths_are_reported() {
        let mut hub = Hub::new(HubConfig::default());
        let ada = join(&mut hub, "kitchen", "ada");
        join(&mut hub, "attic", "bob");
        for number in 1..=3 {
            let voice = Voice {
                seq: Seq(number),
                timestamp: Timestamp(8 * u32::from(number)),
                level: 41,
                stream: 0,
                terminator: false,
                payload: &16_384_i16.to_le_bytes().repeat(320),
            };
            hub.handle_bytes(ada, &packet(&ClientPacket::Voice(voice)), Instant::ZERO);
        }
        hub.handle_timeout(Instant::ZERO + Duration::from_millis(10));
        let report = RoomsReport::of(&hub);
        let names: Vec<&str> = report.rooms.iter().map(|room| &*room.name).collect();
        assert_eq!(names, ["attic", "kitchen"]);
        let [attic, kitchen] = &report.rooms[..] else {
            panic!("{report:?}")
        };
        let (bob, ada) = (&attic.participants[0], &kitchen.participants[0]);
        assert_eq!(
            (
                ada.talking,
                ada.level_dbfs,
                ada.jitter_depth_frames,
                ada.codec
            ),
            (true, Some(-20.5), 2, "pcm16")
        );
        assert_eq!(
            (bob.talking, bob.level_dbfs, bob.jitter_depth_frames),
            (false, None, 0)
        );
        assert!(report.to_json().contains(r#""level_dbfs":-20.5"#));
    }
}
