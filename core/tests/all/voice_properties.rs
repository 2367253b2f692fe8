//! Uplink and downlink with any speech, any polling and any packets.

use crate::common::cases::cases;
use crate::common::mic::{Mic, quiet, word};
use crate::common::wide_band;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{GateConfig, GateMode};
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig, history_samples};
use talkspurt_core::wire::Voice;

#[derive(Clone, Debug)]
enum Op {
    Quiet,
    Word,
    Poll,
    Mute(bool),
    Finish,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        6 => Just(Op::Quiet),
        4 => Just(Op::Word),
        8 => Just(Op::Poll),
        1 => any::<bool>().prop_map(Op::Mute),
        1 => Just(Op::Finish),
    ];
    vec(op, 1..300)
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn no_frame_is_sent_twice_or_out_of_order_and_every_talkspurt_ends(
        ops in ops(),
        window_ms in 1..120u16,
        hold_ms in 0..60u16,
        pre_roll_frames in 0..10u16,
    ) {
        let frame = FrameDuration::Ms20;
        let gate = GateConfig { mode: GateMode::ORIGINAL, window_ms, hold_ms };
        let config = UplinkConfig::default_for(CodecId::Pcm16.into(), wide_band(frame));
        let mut mic = Mic::new(UplinkConfig { gate, pre_roll_frames, ..config });
        let mut mark = 0;
        let mut muted_marks = Vec::new();
        let (mut muted, mut last_mark, mut last_timestamp, mut next_seq) = (false, 0, 0, 0);
        let frame_units = frame.units();
        let mut is_sending = false;
        for op in ops.into_iter().chain([Op::Poll, Op::Finish, Op::Poll]) {
            match op {
                Op::Quiet | Op::Word => {
                    mark += 1;
                    if muted {
                        muted_marks.push(mark);
                    }
                    mic.uplink.push(&if matches!(op, Op::Word) { word(mark) } else { quiet(mark) });
                }
                Op::Mute(on) => { muted = on; mic.uplink.set_muted(on); }
                Op::Finish => mic.uplink.finish(),
                Op::Poll => for sent in mic.poll_all() {
                    prop_assert_eq!(sent.seq, next_seq);
                    next_seq += 1;
                    if let Some(sent_mark) = sent.mark {
                        prop_assert!(sent_mark > last_mark, "frame {} after {}", sent_mark, last_mark);
                        // Only frames that were polled too late are behind their own time.
                        let captured = mic.uplink.stats().frames_overrun + sent.timestamp / frame_units;
                        prop_assert!(captured >= sent_mark as u32);
                        prop_assert!(!muted_marks.contains(&sent_mark), "said while muted");
                        last_mark = sent_mark;
                    }
                    prop_assert!(sent.timestamp >= last_timestamp + frame_units);
                    if is_sending {
                        prop_assert_eq!(sent.timestamp, last_timestamp + frame_units);
                    }
                    last_timestamp = sent.timestamp;
                    is_sending = !sent.terminator;
                },
            }
        }
        prop_assert!(!is_sending, "the last talkspurt has no end");
        let stats = mic.uplink.stats();
        prop_assert!(stats.frames_sent + stats.frames_overrun <= stats.frames_captured);
    }

    #[test]
    fn a_hostile_stream_cannot_upset_a_downlink(
        packets in vec(
            (
                any::<u16>(),
                any::<u32>(),
                any::<bool>(),
                any::<bool>(),
                vec(any::<u8>(), 0..170),
                0..3u8,
            ),
            1..200,
        ),
        adpcm in any::<bool>(),
        small in any::<bool>(),
    ) {
        let codec = if adpcm { CodecId::ImaAdpcm } else { CodecId::Pcm16 };
        let frame = FrameDuration::Ms5;
        let jitter = JitterConfig::default_for(frame, 1);
        let mut downlink: Downlink<8, 163> = Downlink::new(codec.into(), wide_band(frame), jitter);
        let mut out = Frame::silence(0);
        for (seq, timestamp, terminator, resize, mut payload, pops) in packets {
            if resize {
                payload.resize(codec.payload_len(80), 7);
            }
            let seq = Seq(if small { seq % 16 } else { seq });
            let timestamp = Timestamp(timestamp);
            let voice = Voice { seq, timestamp, level: 40, stream: 0, terminator, payload: &payload };
            let pushed = downlink.push(Instant::ZERO, &voice);
            let valid = AnyCodec::from(codec).check(&payload, 80).is_ok()
                || (terminator && payload.is_empty());
            prop_assert_eq!(pushed.is_ok(), valid);
            prop_assert!(downlink.depth_frames() <= 8);
            for _ in 0..pops {
                let playout = downlink.pop(&mut out);
                prop_assert_eq!(out.len(), 80);
                if playout == Playout::Silence {
                    prop_assert!(out.iter().all(|&s| s == 0));
                }
            }
        }
        // Without further packets it falls silent.
        (0..40).for_each(|_| { downlink.pop(&mut out); });
        prop_assert_eq!(downlink.pop(&mut out), Playout::Silence);
        prop_assert!(!downlink.is_active());
    }

    #[test]
    fn a_downlink_plays_bit_for_bit_what_an_uplink_sends(
        words in vec((1..20usize, 1..20usize), 1..40),
        pre_roll_frames in 0..=10u16,
        target_frames in 0..3u16,
    ) {
        // Long talkspurts too: a delay that was not early would be taken back after 2 s.
        let frames = words
            .iter()
            .flat_map(|&(loud, soft)| [vec![true; loud], vec![false; soft]].concat())
            .chain([true; 200])
            .chain([false; 40]);
        let (said, heard) = talk(frames, pre_roll_frames, target_frames);
        prop_assert!(heard == said, "{} of {} frames heard", heard.len(), said.len());
    }
}

/// The payloads that an uplink with up to 200 ms of pre-roll has sent, and those that are heard of
/// them on a perfect network, as PCM16.
fn talk(
    frames: impl Iterator<Item = bool>,
    pre_roll_frames: u16,
    target_frames: u16,
) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let config = UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT);
    let mut uplink = Uplink::<{ history_samples(AudioFormat::DEFAULT, 200) }>::new(UplinkConfig {
        pre_roll_frames,
        ..config
    })
    .unwrap();
    let jitter = JitterConfig::default_for(FrameDuration::Ms20, target_frames);
    let mut downlink: Downlink<64> =
        Downlink::new(CodecId::Pcm16.into(), AudioFormat::DEFAULT, jitter);
    let (mut now, mut out, mut buffer) = (Instant::ZERO, Frame::silence(0), [0; PAYLOAD_MAX]);
    let (mut said, mut heard) = (Vec::new(), Vec::new());
    for (mark, is_word) in frames.enumerate() {
        let mark = mark as i16;
        uplink.push(&if is_word { word(mark) } else { quiet(mark) });
        while let Some(voice) = uplink.poll_voice(&mut buffer) {
            said.push(voice.payload.to_vec());
            downlink.push(now, &voice).unwrap();
        }
        if let Playout::Frame { .. } = downlink.pop(&mut out) {
            heard.push(out.iter().flat_map(|s| s.to_le_bytes()).collect());
        }
        now += Duration::from_millis(20);
    }
    (said, heard)
}

#[test]
fn a_long_word_with_pre_roll_passes_bit_for_bit_while_it_runs_ahead() {
    // No frame of it is quiet, so that the lead of 200 ms stays to the end: a minute.
    let pause = [false; 20];
    let frames = pause.into_iter().chain([true; 3_000]).chain([false; 40]);
    let (said, heard) = talk(frames, 10, 0);
    assert!(said.len() > 3_010);
    assert!(heard == said, "{} of {}", heard.len(), said.len());
}
