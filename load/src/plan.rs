//! Which participants a round has: rooms, talkers, and the request with which each joins.

use anyhow::Result;
use talkspurt_core::audio::codec::{CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::wire::{ParticipantName, RoomName, ServerPacket, Voice};

use crate::floor::Seat;

/// The load: participants in rooms, numbered through. The first of each room talk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// What the rooms' names begin with.
    pub rooms_named: &'static str,
    /// Participants in all rooms.
    pub participants: usize,
    /// Participants in a room; the last one has what is left.
    pub room_size: usize,
    /// How many in each room talk, all the time.
    pub talkers: usize,
    /// The codec of all of them.
    pub codec: CodecId,
    /// The frame duration that the server announces.
    pub format: AudioFormat,
    /// What talkers' phases, noise and the order of markers are drawn from.
    pub seed: u64,
}

impl Plan {
    /// How many rooms there are.
    pub fn rooms(&self) -> usize {
        self.participants.div_ceil(self.room_size)
    }

    /// The room of a participant.
    pub fn room_of(&self, participant: usize) -> usize {
        participant / self.room_size
    }

    /// The participants of a room.
    pub fn members(&self, room: usize) -> std::ops::Range<usize> {
        let first = room * self.room_size;
        first..(first + self.room_size).min(self.participants)
    }

    /// Those of them who talk.
    pub fn talkers_in(&self, room: usize) -> std::ops::Range<usize> {
        let members = self.members(room);
        members.start..(members.start + self.talkers).min(members.end)
    }

    /// Whether a participant talks.
    pub fn is_talker(&self, participant: usize) -> bool {
        self.talkers_in(self.room_of(participant))
            .contains(&participant)
    }

    /// How many others a participant hears.
    pub fn heard_by(&self, participant: usize) -> usize {
        self.talkers_in(self.room_of(participant)).len() - usize::from(self.is_talker(participant))
    }

    /// How a participant joins a server.
    ///
    /// # Errors
    /// The number makes a name that is too long.
    pub fn join_request(&self, participant: usize) -> Result<JoinRequest> {
        let (named, number) = (self.rooms_named, self.room_of(participant));
        let room = RoomName::new(&format!("{named}-{number:04}"))?;
        let name = ParticipantName::new(&format!("participant-{participant:05}"))?;
        Ok(JoinRequest::new(room, name, &[self.codec]))
    }

    /// The seat at the floor, which sends packets of the length that the real server's have in the
    /// middle of a session.
    pub fn seat(&self, participant: usize) -> Seat {
        let hears = self.heard_by(participant) > 0;
        let payload_len = self.codec.payload_len(self.format.frame_samples());
        let voice = Voice {
            seq: Seq(500),
            timestamp: Timestamp(4_000),
            level: 40,
            stream: 0,
            terminator: false,
            payload: &[1; PAYLOAD_MAX][..payload_len],
        };
        let mut packet = [0; ENCODED_MAX];
        let len = write_to_stream(&ServerPacket::Voice(voice), &mut packet).unwrap_or(0);
        Seat {
            room: self.room_of(participant) as u16,
            packet_bytes: if hears { len as u16 } else { 0 },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(participants: usize, room_size: usize, talkers: usize) -> Plan {
        Plan {
            rooms_named: "load",
            participants,
            room_size,
            talkers,
            codec: CodecId::Pcm16,
            format: AudioFormat::DEFAULT,
            seed: 1,
        }
    }

    #[test]
    fn everyone_has_one_room_and_hears_all_its_other_talkers() {
        let plan = plan(64, 8, 2);
        assert_eq!(plan.rooms(), 8);
        assert_eq!((plan.room_of(7), plan.room_of(8)), (0, 1));
        let heard: Vec<usize> = plan.members(3).map(|p| plan.heard_by(p)).collect();
        assert_eq!(heard, [1, 1, 2, 2, 2, 2, 2, 2]);
        assert_eq!((0..64).filter(|p| plan.is_talker(*p)).count(), 16);
    }

    #[test]
    fn the_last_room_has_what_is_left() {
        let plan = plan(10, 8, 8);
        assert_eq!(plan.members(1), 8..10);
        assert_eq!(plan.talkers_in(1), 8..10);
        assert_eq!(plan.heard_by(9), 1);
    }
}
