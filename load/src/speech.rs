//! What talkers say: noise, and in turn a marked frame. And what listeners make of it.

use anyhow::{Context, Result};
use talkspurt_core::audio::codec::{AnyCodec, Codec, PAYLOAD_MAX};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ClientPacket, Voice};

use crate::marker::{self, Mark};
use crate::plan::Plan;

/// Different frames of background noise that talkers choose from.
const BACKGROUNDS: usize = 64;
/// From one marker in a room to the next, in frames: drawn anew each time, so that markers keep no step with anything.
const MARK_EVERY_FRAMES: std::ops::RangeInclusive<u64> = 6..=12;

/// All talkers of a plan.
pub struct Speech {
    plan: Plan,
    random: fastrand::Rng,
    backgrounds: Vec<Frame>,
    /// By participant; `None` for those who only listen.
    talkers: Vec<Option<Talker>>,
    /// By room; none while nothing is marked.
    turns: Vec<Turn>,
}

struct Talker {
    encoder: AnyCodec,
    frames: u32,
}

/// Whose turn it is in a room to send a marked frame, and from when on.
struct Turn {
    talker: usize,
    from: Instant,
}

impl Speech {
    /// Nobody has said anything yet.
    pub fn new(plan: Plan) -> Self {
        let mut random = fastrand::Rng::with_seed(plan.seed);
        let samples = plan.format.frame_samples();
        let backgrounds = (0..BACKGROUNDS).map(|_| {
            let mut noise = Frame::silence(samples);
            marker::paint_background(&mut random, &mut noise);
            noise
        });
        Self {
            backgrounds: backgrounds.collect(),
            talkers: (0..plan.participants)
                .map(|participant| {
                    plan.is_talker(participant).then(|| Talker {
                        encoder: AnyCodec::from(plan.codec),
                        frames: 0,
                    })
                })
                .collect(),
            turns: Vec::new(),
            random,
            plan,
        }
    }

    /// Where in the frame period somebody's frames begin.
    pub fn phase(&mut self) -> Duration {
        let period_us = self.plan.format.frame.duration().as_micros();
        Duration::from_micros(self.random.u64(0..period_us))
    }

    /// From now on talkers mark frames in turn.
    pub fn start_marking(&mut self, now: Instant) {
        self.turns = (0..self.plan.rooms())
            .map(|room| Turn {
                talker: self.plan.talkers_in(room).start,
                from: now,
            })
            .collect();
    }

    /// No more frames are marked.
    pub fn stop_marking(&mut self) {
        self.turns.clear();
    }

    /// Whether a talker is to mark the frame that it sends now; the turn then goes to the next.
    pub fn takes_turn(&mut self, participant: usize, now: Instant) -> bool {
        let room = self.plan.room_of(participant);
        let Some(turn) = self.turns.get_mut(room) else {
            return false;
        };
        if turn.talker != participant || now < turn.from {
            return false;
        }
        let talkers = self.plan.talkers_in(room);
        turn.talker = talkers.start + (participant + 1 - talkers.start) % talkers.len();
        let frames = self.random.u64(MARK_EVERY_FRAMES);
        turn.from = now + self.plan.format.frame.duration().saturating_mul(frames);
        true
    }

    /// Writes a talker's next packet, with the mark or with noise, and gives its length.
    ///
    /// # Errors
    /// The participant is no talker, or the packet does not fit.
    pub fn say(
        &mut self,
        participant: usize,
        mark: Option<Mark>,
        packet: &mut [u8],
    ) -> Result<usize> {
        let background = self.random.usize(0..self.backgrounds.len());
        let mut frame = self.backgrounds[background].clone();
        if let Some(mark) = mark {
            marker::paint(mark, &mut frame);
        }
        let talker = self.talkers[participant].as_mut().context("only listens")?;
        talker.encode(&frame, packet)
    }
}

impl Talker {
    fn encode(&mut self, frame: &[i16], packet: &mut [u8]) -> Result<usize> {
        let mut payload = [0; PAYLOAD_MAX];
        let payload_len = self.encoder.encode(frame, &mut payload)?;
        self.frames = self.frames.wrapping_add(1);
        let voice = Voice {
            seq: Seq(self.frames as u16),
            timestamp_frames: self.frames,
            terminator: false,
            payload: &payload[..payload_len],
        };
        Ok(write_to_stream(&ClientPacket::Voice(voice), packet)?)
    }
}

/// The mark in what a participant hears, if there is one.
pub fn mark_in(voice: &Voice<'_>, plan: &Plan, participant: usize) -> Option<Mark> {
    let mut frame: Frame = Frame::silence(plan.format.frame_samples());
    AnyCodec::from(plan.codec)
        .decode(voice.payload, &mut frame)
        .ok()?;
    marker::recognise(&frame, plan.heard_by(participant) as u16)
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
    use talkspurt_core::carrier::deframer::{Deframer, Feed};
    use talkspurt_core::carrier::stream::ENCODED_MAX;
    use talkspurt_core::wire::parse;

    use super::*;

    const PLAN: Plan = Plan {
        participants: 6,
        room_size: 3,
        talkers: 2,
        codec: CodecId::ImaAdpcm,
        format: AudioFormat {
            frame: FrameDuration::Ms10,
            ..AudioFormat::DEFAULT
        },
        seed: 1,
    };

    #[test]
    fn what_is_said_carries_the_mark_and_counts_up() {
        let mut speech = Speech::new(PLAN);
        let mark = Mark { room: 1, serial: 3 };
        for (number, said) in [(1, None), (2, Some(mark)), (3, None)] {
            let mut packet = [0; ENCODED_MAX];
            let len = speech.say(4, said, &mut packet).unwrap();
            let mut deframer = Deframer::<ENCODED_MAX>::new();
            let (Feed::Packet(bytes), []) = deframer.feed(&packet[..len]) else {
                panic!("no packet")
            };
            let Ok(ClientPacket::Voice(voice)) = parse(bytes) else {
                panic!("no voice")
            };
            assert_eq!(
                (voice.seq, voice.timestamp_frames),
                (Seq(number as u16), number)
            );
            assert_eq!(mark_in(&voice, &PLAN, 5), said);
        }
        assert!(speech.say(5, None, &mut [0; ENCODED_MAX]).is_err());
    }

    #[test]
    fn talkers_of_a_room_mark_in_turn_and_not_before_it_is_time() {
        let mut speech = Speech::new(PLAN);
        let start = Instant::from_micros(5);
        assert!(!speech.takes_turn(3, start), "nothing is marked yet");
        speech.start_marking(start);
        assert!(!speech.takes_turn(4, start) && speech.takes_turn(3, start));
        assert!(!speech.takes_turn(3, start) && !speech.takes_turn(4, start));
        let later = start
            + PLAN
                .format
                .frame
                .duration()
                .saturating_mul(*MARK_EVERY_FRAMES.end());
        assert!(!speech.takes_turn(3, later) && speech.takes_turn(4, later));
        assert!(speech.takes_turn(0, later), "the other room's own turn");
        speech.stop_marking();
        assert!(!speech.takes_turn(3, later + later.duration_since(start)));
    }
}
