//! What talkers say: noise, and in turn a marked frame. And what listeners make of it.

use anyhow::{Context, Result};
use talkspurt_core::audio::codec::{AnyCodec, Codec, PAYLOAD_MAX};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::seq::Timestamp;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::uplink::EncodedFrame;

use crate::marker::{self, Mark};
use crate::plan::Plan;

/// Different frames of background noise that talkers choose from.
const BACKGROUNDS: usize = 64;
/// From one marker in a room to the next, in frames: drawn anew each time, so that markers keep no
/// step with anything.
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
        let different = if plan.talkers > 0 { BACKGROUNDS } else { 0 };
        let backgrounds = (0..different).map(|_| {
            let mut noise = Frame::silence(samples);
            marker::paint_background(&mut random, &mut noise);
            noise
        });
        let talker = |participant| {
            plan.is_talker(participant).then(|| Talker {
                encoder: AnyCodec::from(plan.codec),
                frames: 0,
            })
        };
        Self {
            backgrounds: backgrounds.collect(),
            talkers: (0..plan.participants).map(talker).collect(),
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
        let turn = |room| Turn {
            talker: self.plan.talkers_in(room).start,
            from: now,
        };
        self.turns = (0..self.plan.rooms()).map(turn).collect();
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

    /// A talker's next frame, with the mark or with noise, its payload in `buffer`.
    ///
    /// # Errors
    /// The participant is no talker.
    pub fn say<'a>(
        &mut self,
        participant: usize,
        mark: Option<Mark>,
        buffer: &'a mut [u8; PAYLOAD_MAX],
    ) -> Result<EncodedFrame<'a>> {
        let background = self.random.usize(0..self.backgrounds.len());
        let mut frame = self.backgrounds[background].clone();
        if let Some(mark) = mark {
            marker::paint(mark, &mut frame);
        }
        let talker = self.talkers[participant].as_mut().context("only listens")?;
        talker.frames = talker.frames.wrapping_add(1);
        let len = talker.encoder.encode(&frame, buffer)?;
        Ok(EncodedFrame {
            timestamp: Timestamp(self.plan.format.frame.units().wrapping_mul(talker.frames)),
            level: half_db(rms(&frame)),
            payload: &buffer[..len],
            terminator: false,
        })
    }
}

/// The mark in a payload that a participant hears, if there is one.
pub fn mark_in(payload: &[u8], plan: &Plan, participant: usize) -> Option<Mark> {
    let mut frame: Frame = Frame::silence(plan.format.frame_samples());
    AnyCodec::from(plan.codec)
        .decode(payload, &mut frame)
        .ok()?;
    marker::recognise(&frame, plan.heard_by(participant) as u16)
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::audio::format::{AudioFormat, FrameDuration};

    use super::*;

    const PLAN: Plan = Plan {
        rooms_named: "load",
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
        let mut buffer = [0; PAYLOAD_MAX];
        for (number, said) in [(1, None), (2, Some(mark)), (3, None)] {
            let frame = speech.say(4, said, &mut buffer).unwrap();
            assert_eq!((frame.timestamp.0, frame.terminator), (4 * number, false));
            assert_eq!(mark_in(frame.payload, &PLAN, 5), said);
        }
        assert!(speech.say(5, None, &mut buffer).is_err());
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
