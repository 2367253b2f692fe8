//! Mixes of talkers who come and go, by both rules, for one who talks and one who only listens.

use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::audio::mixer::{
    Contribution, Gain, MixRule, MixState, TalkerState, Talkers, render,
};

use crate::Out;
use crate::sound::voice;

const SAMPLES: usize = 80;
const TALKERS: usize = 4;

/// Which talkers have a frame in each period, as bits; the first also listens to the others. The
/// high half marks the last frame of a talkspurt. A talker who stops without one vanishes.
const TALKING: [u8; 12] = [
    0x01, 0x03, 0x07, 0x0f, 0x1f, 0x0e, 0x4e, 0x02, 0x22, 0x00, 0x0e, 0x0f,
];

/// Which talkers' frames are silent, as bits.
const SILENT: [u8; 12] = [0, 0, 0, 4, 4, 0, 0, 0, 0, 0, 14, 6];

pub fn run(out: &mut Out<'_>) {
    for rule in [MixRule::Mean, MixRule::Sum] {
        let mut states = [TalkerState::new(FrameDuration::Ms5); TALKERS];
        let (mut own_state, mut listener_state) = (MixState::new(), MixState::new());
        for (number, (talking, silent)) in (0_u32..).zip(TALKING.into_iter().zip(SILENT)) {
            let mut room = Talkers::<SAMPLES>::new(AudioFormat::DEFAULT.rate, SAMPLES);
            // Two halves of the room, as on two servers.
            let mut far_half = Talkers::<SAMPLES>::new(AudioFormat::DEFAULT.rate, SAMPLES);
            let mut own = None;
            for (talker, state) in (0_u32..).zip(&mut states) {
                let is_in = |bits: u8| bits & (1 << talker) != 0;
                let frame = frame(number, talker, is_in(silent));
                let part = if is_in(talking) {
                    Some(state.frame(&frame, half_db(rms(&frame)), is_in(talking >> 4)))
                } else {
                    state.no_frame()
                };
                let Some(part) = part else { continue };
                let half = if talker < 2 { &mut room } else { &mut far_half };
                half.add(part, &frame);
                if talker == 0 {
                    own = Some((part, frame));
                }
            }
            room.merge(&far_half);
            let own = own.as_ref().map(|(part, samples)| Contribution {
                part: *part,
                samples,
            });
            write(&room, own, rule, &mut own_state, out);
            write(&room, None, rule, &mut listener_state, out);
        }
    }
}

fn frame(number: u32, talker: u32, silent: bool) -> Frame<SAMPLES> {
    let mut frame = Frame::silence(SAMPLES);
    voice(number * 4 + talker, &mut frame);
    let gain = if silent {
        1
    } else {
        4_096 + 3_000 * talker as u16
    };
    Gain(gain).apply(&mut frame);
    frame
}

fn write(
    room: &Talkers<SAMPLES>,
    own: Option<Contribution<'_>>,
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
