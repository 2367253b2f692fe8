//! Marked frames: a pattern that survives being averaged with other voices and ADPCM, and says
//! whose it is.
//!
//! A marker is a word of 17 bits behind three that mean nothing, each a twentieth of the frame:
//! half of it at [`AMPLITUDE`] and half at minus that, or the other way round (Manchester coding:
//! ADPCM would forget how to jump in a long run of one level). The mean of n talkers makes it n
//! times weaker, and the background weaker still, so that a bit can be read as long as it stands at
//! half of `AMPLITUDE / n` or more. Five of the bits check the others.

/// Peak of a marked frame. Loud enough that a mean of dozens still stands out, and below full scale
/// so that ADPCM's overshoot and the other voices in a sum do not clip it at once.
const AMPLITUDE: i16 = 24_000;

/// Peak of what talkers send between markers: noise at -41 dBFS. A mean of 63 markers and noises
/// must still be read.
const BACKGROUND: i16 = 500;

const BITS: usize = 20;
/// Bits at the start in which ADPCM finds its step: it grows by at most 2.1 a sample (8 entries of
/// IMA's step table), so from the background's level to the marker's takes 6 samples, and 12 in the
/// mix that is encoded anew.
const LEAD_BITS: usize = 3;
const ROOM_BITS: u32 = 8;
const SERIAL_BITS: u32 = 4;
const CHECK_BITS: u32 = 5;

const _: () = assert!(LEAD_BITS as u32 + ROOM_BITS + SERIAL_BITS + CHECK_BITS == BITS as u32);

/// How many rooms a marker can tell apart.
pub const ROOMS_MAX: usize = 1 << ROOM_BITS;
/// How many markers of one room can be told apart before the numbers come round.
pub const SERIALS: u8 = 1 << SERIAL_BITS;

/// What a marked frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// The room that it was said in, below [`ROOMS_MAX`].
    pub room: u16,
    /// Counts the room's markers, below [`SERIALS`].
    pub serial: u8,
}

/// Fills a frame (80, 160 or 320 samples) with the mark.
pub fn paint(mark: Mark, frame: &mut [i16]) {
    let bits = mark.word() << LEAD_BITS;
    let bit_samples = frame.len() / BITS;
    for (number, samples) in frame.chunks_exact_mut(bit_samples).enumerate() {
        let is_one = bits >> number & 1 == 1;
        let (first, second) = samples.split_at_mut(bit_samples / 2);
        first.fill(if is_one { AMPLITUDE } else { -AMPLITUDE });
        second.fill(if is_one { -AMPLITUDE } else { AMPLITUDE });
    }
}

/// Fills a frame with what is sent between markers.
pub fn paint_background(random: &mut fastrand::Rng, frame: &mut [i16]) {
    frame.fill_with(|| random.i16(-BACKGROUND..=BACKGROUND));
}

/// Reads the mark in a frame that is the mean (or the sum) of at most `talkers` voices; `None` if
/// there is none.
pub fn recognise(frame: &[i16], talkers: u16) -> Option<Mark> {
    let least_level = i32::from(AMPLITUDE) / (2 * i32::from(talkers.max(1)));
    let bit_samples = frame.len() / BITS;
    let mut word = 0;
    for (bit, samples) in frame.chunks_exact(bit_samples).skip(LEAD_BITS).enumerate() {
        let (first, second) = samples.split_at(bit_samples / 2);
        let level = (settled_level(first) - settled_level(second)) / 2;
        if level.abs() < least_level {
            return None;
        }
        word |= u32::from(level > 0) << bit;
    }
    Mark::from_word(word)
}

/// The level at the end of a run: ADPCM needs its beginning to get there.
fn settled_level(run: &[i16]) -> i32 {
    let settled = &run[run.len() / 2..];
    settled.iter().map(|s| i32::from(*s)).sum::<i32>() / settled.len() as i32
}

impl Mark {
    fn word(self) -> u32 {
        let content = u32::from(self.serial) << ROOM_BITS | u32::from(self.room);
        content | check(content) << (ROOM_BITS + SERIAL_BITS)
    }

    fn from_word(word: u32) -> Option<Self> {
        let content = word & ((1 << (ROOM_BITS + SERIAL_BITS)) - 1);
        let mark = Self {
            room: (content & (ROOMS_MAX as u32 - 1)) as u16,
            serial: (content >> ROOM_BITS) as u8,
        };
        (mark.word() == word).then_some(mark)
    }
}

/// Bits that change with every bit of the content (Fibonacci hashing: Knuth, TAOCP volume 3,
/// section 6.4).
fn check(content: u32) -> u32 {
    (content + 1).wrapping_mul(0x9e37_79b1) >> (32 - CHECK_BITS)
}

#[cfg(test)]
mod tests {
    use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
    use talkspurt_core::audio::format::SampleRate;
    use talkspurt_core::audio::frame::Frame;
    use talkspurt_core::audio::mixer::{MixRule, MixState, Part, Talkers, render};

    use super::*;

    const FRAME_SIZES: [usize; 3] = [80, 160, 320];

    fn marks() -> impl Iterator<Item = Mark> {
        (0..ROOMS_MAX as u16)
            .step_by(7)
            .flat_map(|room| (0..SERIALS).map(move |serial| Mark { room, serial }))
    }

    /// What a listener gets of a room with `talkers` talkers, the first of whom sends a mark, in a
    /// frame after a few others.
    struct Room {
        codec: CodecId,
        frame_samples: usize,
        random: fastrand::Rng,
        talkers: Vec<AnyCodec>,
        listener: AnyCodec,
        mix: MixState,
    }

    impl Room {
        fn new(codec: CodecId, frame_samples: usize, talkers: usize) -> Self {
            Self {
                codec,
                frame_samples,
                random: fastrand::Rng::with_seed(7),
                talkers: vec![AnyCodec::from(codec); talkers],
                listener: AnyCodec::from(codec),
                mix: MixState::new(),
            }
        }

        fn hear(&mut self, mark: Option<Mark>, rule: MixRule) -> Frame {
            let mut sum = Talkers::<320>::new(SampleRate::Hz16000, self.frame_samples);
            for (i, talker) in self.talkers.iter_mut().enumerate() {
                let mut frame = Frame::<320>::silence(self.frame_samples);
                match mark {
                    Some(mark) if i == 0 => paint(mark, &mut frame),
                    _ => paint_background(&mut self.random, &mut frame),
                }
                transcode(self.codec, talker, &mut frame);
                sum.add(Part::Staying, &frame);
            }
            let mut heard = Frame::silence(self.frame_samples);
            render(&sum, None, rule, &mut self.mix, &mut heard);
            transcode(self.codec, &mut self.listener, &mut heard);
            heard
        }
    }

    fn transcode(codec: CodecId, encoder: &mut AnyCodec, frame: &mut [i16]) {
        let mut payload = [0; PAYLOAD_MAX];
        let len = encoder.encode(frame, &mut payload).unwrap();
        AnyCodec::from(codec)
            .decode(&payload[..len], frame)
            .unwrap();
    }

    #[test]
    fn every_mark_is_read_in_a_mean_of_seven_in_either_codec() {
        for codec in CodecId::ALL {
            for frame_samples in FRAME_SIZES {
                let mut room = Room::new(codec, frame_samples, 7);
                for mark in marks() {
                    assert_eq!(recognise(&room.hear(None, MixRule::Mean), 7), None);
                    let heard = room.hear(Some(mark), MixRule::Mean);
                    assert_eq!(
                        recognise(&heard, 7),
                        Some(mark),
                        "{codec:?}, {frame_samples} samples"
                    );
                }
            }
        }
    }

    #[test]
    fn every_mark_is_read_alone_in_a_crowd_and_in_a_sum() {
        for (talkers, rule) in [(1, MixRule::Mean), (63, MixRule::Mean), (7, MixRule::Sum)] {
            for codec in CodecId::ALL {
                let mut room = Room::new(codec, 320, talkers);
                for mark in marks().step_by(5) {
                    room.hear(None, rule);
                    let heard = room.hear(Some(mark), rule);
                    assert_eq!(recognise(&heard, talkers as u16), Some(mark), "{talkers}");
                }
            }
        }
    }

    #[test]
    fn a_flipped_bit_makes_no_other_mark() {
        for mark in marks() {
            for bit in 0..ROOM_BITS + SERIAL_BITS + CHECK_BITS {
                assert_eq!(Mark::from_word(mark.word() ^ 1 << bit), None);
            }
        }
    }

    #[test]
    fn silence_and_background_are_no_marks() {
        let mut random = fastrand::Rng::with_seed(1);
        let mut frame = [0; 320];
        assert_eq!(recognise(&frame, 7), None);
        for _ in 0..1_000 {
            paint_background(&mut random, &mut frame);
            assert_eq!(recognise(&frame, 1), None);
        }
    }
}
