//! Mixes of talkers who come and go, by both rules, for one who talks and one who listens.

use talkspurt_core::frame::Frame;
use talkspurt_core::mixer::{Accumulator, Gain, MixRule, MixState, render};

use crate::Out;
use crate::sound::voice;

const SAMPLES: usize = 80;

/// Who talks in each frame, as bits; the first is also the one who listens to the others.
const TALKING: [u8; 12] = [
    0b0001, 0b0011, 0b0111, 0b0111, 0b1111, 0b1111, 0b1110, 0b0110, 0b0100, 0b0000, 0b1000, 0b1111,
];

pub fn run(out: &mut Out<'_>) {
    for rule in [MixRule::Mean, MixRule::Sum] {
        let (mut own_state, mut listener_state) = (MixState::new(), MixState::new());
        for (number, talking) in (0_u32..).zip(TALKING) {
            let mut room = Accumulator::<SAMPLES>::new(SAMPLES);
            // Two halves of the room, as on two servers.
            let mut far_half = Accumulator::<SAMPLES>::new(SAMPLES);
            let mut own = None;
            for talker in 0..4_u32 {
                if talking & (1 << talker) == 0 {
                    continue;
                }
                let frame = frame(number, talker);
                let half = if talker < 2 { &mut room } else { &mut far_half };
                half.add(&frame);
                if talker == 0 {
                    own = Some(frame);
                }
            }
            room.merge(&far_half);
            write(&room, own.as_deref(), rule, &mut own_state, out);
            write(&room, None, rule, &mut listener_state, out);
        }
    }
}

fn frame(number: u32, talker: u32) -> Frame<SAMPLES> {
    let mut frame = Frame::silence(SAMPLES);
    voice(number * 4 + talker, &mut frame);
    Gain(4_096 + 3_000 * talker as u16).apply(&mut frame);
    frame
}

fn write(
    room: &Accumulator<SAMPLES>,
    own: Option<&[i16]>,
    rule: MixRule,
    state: &mut MixState,
    out: &mut Out<'_>,
) {
    let mut mix = Frame::silence(0);
    out(&[u8::from(render(room, own, rule, state, &mut mix))]);
    for sample in mix.iter() {
        out(&sample.to_le_bytes());
    }
}
