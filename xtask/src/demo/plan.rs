//! Who takes part in the demo, and who says what when.

use std::ops::Range;

use anyhow::Result;
use talkspurt_testkit::board::{Board, MPS2_AN386};
use talkspurt_testkit::wav::samples;

/// Silence before the first word: everyone has joined by then.
const LEAD: usize = samples(1_500);
/// Silence between two sentences: longer than the gate's hold, and than the differences between the
/// moments of joining. A node whose first Hello finds no bridge yet says it again after a second.
pub const PAUSE_MS: u64 = 1_700;
const PAUSE: usize = samples(PAUSE_MS);
/// Silence after the last word: it is heard everywhere by then.
const TAIL: usize = samples(800);

/// How a participant takes part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A desktop client with this codec.
    Desktop(&'static str),
    /// A node on this machine, behind a simulated UART and a bridge.
    Node,
    /// The node's firmware image on a board in QEMU, behind its UART and a bridge.
    Firmware(Board),
}

/// Someone in a room.
#[derive(Clone, Copy, Debug)]
pub struct Participant {
    pub name: &'static str,
    pub room: &'static str,
    pub kind: Kind,
    /// Whose voice it is: an index into [`talkspurt_testkit::speech::SPEAKERS`].
    pub speaker: usize,
}

impl Participant {
    /// Someone with the voice of this speaker.
    pub const fn new(name: &'static str, room: &'static str, kind: Kind, speaker: usize) -> Self {
        Self {
            name,
            room,
            kind,
            speaker,
        }
    }
}

/// Two desktops, a node and a firmware image in one room, two desktops in another. The seventh
/// voice is never heard.
pub const PARTICIPANTS: [Participant; 6] = [
    Participant::new("anna", "kitchen", Kind::Desktop("pcm16"), 0),
    Participant::new("bea", "kitchen", Kind::Desktop("adpcm"), 1),
    Participant::new("door", "kitchen", Kind::Node, 2),
    Participant::new("oven", "kitchen", Kind::Firmware(MPS2_AN386), 5),
    Participant::new("cleo", "garden", Kind::Desktop("pcm16"), 3),
    Participant::new("dan", "garden", Kind::Desktop("adpcm"), 4),
];

/// All participants, or those who need no board.
pub fn participants(with_board: bool) -> Vec<Participant> {
    let mut participants = PARTICIPANTS.to_vec();
    participants.retain(|one| with_board || !matches!(one.kind, Kind::Firmware(_)));
    participants
}

/// The speaker of a sentence that nobody says: how similar it is to what was heard is the level of
/// chance.
pub const UNSPOKEN_BY: usize = 6;

/// One sentence.
#[derive(Clone, Debug)]
pub struct Turn {
    /// An index into [`Plan::participants`].
    pub participant: usize,
    /// The sample, from the beginning, at which it starts.
    pub start: usize,
    pub sound: Vec<i16>,
}

impl Turn {
    /// The samples during which it is said.
    fn during(&self) -> Range<usize> {
        self.start..self.start + self.sound.len()
    }
}

/// The whole conversation.
#[derive(Clone, Debug)]
pub struct Plan {
    pub participants: Vec<Participant>,
    pub turns: Vec<Turn>,
    /// Samples from the beginning to the end: the length of every spoken file.
    pub length: usize,
}

impl Plan {
    /// Lets the participants of each room speak in turn, both rooms at the same time, for about
    /// `seconds`; everyone speaks at least once. `sound` makes the `nth` sentence of a speaker.
    pub fn new(
        participants: &[Participant],
        seconds: u32,
        mut sound: impl FnMut(usize, usize) -> Result<Vec<i16>>,
    ) -> Result<Self> {
        let wanted = samples(u64::from(seconds) * 1000);
        let mut turns = Vec::new();
        for room in rooms(participants) {
            let members: Vec<usize> = (0..participants.len())
                .filter(|&i| participants[i].room == room)
                .collect();
            let mut time = LEAD;
            for (count, &participant) in members.iter().cycle().enumerate() {
                let nth = count / members.len();
                let sound = sound(participants[participant].speaker, nth)?;
                if nth > 0 && time + sound.len() + TAIL > wanted {
                    break;
                }
                let turn = Turn {
                    participant,
                    start: time,
                    sound,
                };
                time = turn.during().end + PAUSE;
                turns.push(turn);
            }
        }
        let ends = turns.iter().map(|turn| turn.during().end);
        let end = ends.max().unwrap_or(0);
        Ok(Self {
            participants: participants.to_vec(),
            turns,
            length: (end + TAIL).max(wanted),
        })
    }

    /// What one participant's microphone hears, from joining on.
    pub fn spoken_by(&self, participant: usize) -> Vec<i16> {
        let mut spoken = vec![0; self.length];
        for turn in self.turns_of(participant) {
            spoken[turn.during()].copy_from_slice(&turn.sound);
        }
        spoken
    }

    /// One participant's sentences.
    pub fn turns_of(&self, participant: usize) -> impl Iterator<Item = &Turn> {
        self.turns
            .iter()
            .filter(move |turn| turn.participant == participant)
    }

    /// Who speaks at a sample.
    pub fn speaking_at(&self, sample: usize) -> impl Iterator<Item = &Participant> {
        let turns = self
            .turns
            .iter()
            .filter(move |turn| turn.during().contains(&sample));
        turns.map(|turn| &self.participants[turn.participant])
    }
}

/// The rooms, in the order of their first participant.
pub fn rooms(participants: &[Participant]) -> Vec<&'static str> {
    let mut rooms: Vec<&str> = participants.iter().map(|one| one.room).collect();
    rooms.dedup();
    rooms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(seconds: u32) -> Plan {
        Plan::new(&PARTICIPANTS, seconds, |speaker, nth| {
            Ok(vec![(1 + speaker + 10 * nth) as i16; samples(2_000)])
        })
        .unwrap()
    }

    #[test]
    fn everyone_speaks_however_short_the_demo() {
        let plan = plan(1);
        for participant in 0..PARTICIPANTS.len() {
            assert_eq!(plan.turns_of(participant).count(), 1);
        }
        assert!(
            plan.turns
                .iter()
                .all(|turn| turn.start + turn.sound.len() < plan.length)
        );
    }

    #[test]
    fn nobody_is_interrupted_in_a_room() {
        let plan = plan(30);
        assert_eq!(plan.length, samples(30_000));
        for sample in (0..plan.length).step_by(160) {
            let speaking: Vec<_> = plan.speaking_at(sample).collect();
            for room in rooms(&PARTICIPANTS) {
                assert!(
                    speaking
                        .iter()
                        .filter(|participant| participant.room == room)
                        .count()
                        <= 1
                );
            }
        }
    }

    #[test]
    fn a_spoken_file_holds_the_turns_and_silence() {
        let plan = plan(30);
        let spoken = plan.spoken_by(1);
        let turns: Vec<_> = plan.turns_of(1).collect();
        assert!(turns.len() >= 2);
        for turn in &turns {
            assert_eq!(
                spoken[turn.start..turn.start + turn.sound.len()],
                turn.sound
            );
        }
        let said: usize = turns.iter().map(|turn| turn.sound.len()).sum();
        assert_eq!(spoken.iter().filter(|&&sample| sample != 0).count(), said);
    }

    #[test]
    fn voices_differ_and_one_is_left_out() {
        let mut speakers: Vec<usize> = PARTICIPANTS
            .iter()
            .map(|participant| participant.speaker)
            .collect();
        speakers.push(UNSPOKEN_BY);
        speakers.sort_unstable();
        speakers.dedup();
        assert_eq!(speakers.len(), PARTICIPANTS.len() + 1);
        assert_eq!(rooms(&PARTICIPANTS), ["kitchen", "garden"]);
    }

    #[test]
    fn without_a_board_the_others_are_the_same() {
        assert_eq!(participants(true).len(), PARTICIPANTS.len());
        let names: Vec<&str> = participants(false).iter().map(|one| one.name).collect();
        assert_eq!(names, ["anna", "bea", "door", "cleo", "dan"]);
    }
}
