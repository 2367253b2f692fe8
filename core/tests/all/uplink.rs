//! The uplink: which frames it sends, in which packets, and none of them twice.

use crate::common::mic::{Mic, Sent, quiet, word};
use crate::common::wide_band;
use talkspurt_core::audio::codec::{Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::gate::{GateConfig, GateDecision};
use talkspurt_core::seq::Seq;
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};

/// Closes after three quiet frames; the pre-roll is three frames.
fn config() -> UplinkConfig {
    UplinkConfig {
        gate: GateConfig {
            window_frames: 3,
            hold_frames: 0,
            ..GateConfig::default_for(FrameDuration::Ms20)
        },
        ..UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT)
    }
}

/// The marks of the frames in some packets, and whether each ends a talkspurt.
fn marks(sent: &[Sent]) -> Vec<(Option<i16>, bool)> {
    sent.iter().map(|p| (p.mark, p.terminator)).collect()
}

#[test]
fn silence_sends_nothing() {
    let mut mic = Mic::new(config());
    for mark in 0..200 {
        assert_eq!(mic.capture(&quiet(mark)), []);
    }
    assert_eq!(mic.uplink.stats().frames_captured, 200);
    assert_eq!(mic.uplink.stats().frames_sent, 0);
}

#[test]
fn a_word_is_sent_with_its_pre_roll() {
    let mut mic = Mic::new(config());
    for mark in 1..=10 {
        assert_eq!(mic.capture(&quiet(mark)), []);
    }
    let opening = mic.capture(&word(11));
    assert_eq!(
        marks(&opening),
        [8, 9, 10, 11].map(|mark| (Some(mark), false))
    );
    // The pre-roll runs ahead of its time: the first packet has that of the frame that opened the
    // gate, which is the 11th.
    assert_eq!(
        opening.iter().map(|p| p.timestamp).collect::<Vec<_>>(),
        [11, 12, 13, 14].map(|frame| 8 * frame)
    );
    let levels: Vec<u8> = opening.iter().map(|p| p.level).collect();
    assert_eq!(levels, [101, 101, 101, 25], "RMS 100, and nearly 8,000");
    assert_eq!(
        opening.iter().map(|p| p.seq).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(marks(&mic.capture(&word(12))), [(Some(12), false)]);
    assert_eq!(marks(&mic.capture(&quiet(13))), [(Some(13), false)]);
    assert_eq!(marks(&mic.capture(&quiet(14))), [(Some(14), false)]);
    assert!(mic.uplink.is_talking());
    let closing = mic.capture(&quiet(15));
    assert_eq!(marks(&closing), [(Some(15), true)]);
    assert_eq!((closing[0].seq, closing[0].timestamp), (7, 8 * 18));
    assert_eq!(mic.uplink.last_seq(), Some(Seq(7)));
    assert!(!mic.uplink.is_talking());
    assert_eq!(mic.capture(&quiet(16)), []);
    assert_eq!(mic.uplink.stats().frames_sent, 8);
    assert_eq!(mic.uplink.stats().talkspurts, 1);
}

#[test]
fn the_first_frame_ever_has_no_pre_roll() {
    let mut mic = Mic::new(config());
    assert_eq!(mic.uplink.last_seq(), None);
    assert_eq!(marks(&mic.capture(&word(1))), [(Some(1), false)]);
    assert_eq!(mic.uplink.last_seq(), Some(Seq(0)));
}

#[test]
fn the_pre_roll_is_as_configured_but_no_longer_than_the_history() {
    // The default history holds 60 ms and a frame.
    for (pre_roll_frames, first) in [(0, 21), (2, 19), (1_000, 18)] {
        let mut mic = Mic::new(UplinkConfig {
            pre_roll_frames,
            ..config()
        });
        for mark in 1..=20 {
            mic.capture(&quiet(mark));
        }
        let opening: Vec<_> = (first..=21).map(|mark| (Some(mark), false)).collect();
        assert_eq!(marks(&mic.capture(&word(21))), opening);
        assert_eq!(
            mic.uplink.stats().frames_overrun,
            0,
            "nothing came too late"
        );
    }
}

#[test]
fn sixty_milliseconds_of_pre_roll_are_kept_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let mut mic = Mic::new(UplinkConfig::default_for(
            CodecId::Pcm16.into(),
            wide_band(frame),
        ));
        for mark in 1..=100 {
            mic.capture(&quiet(mark));
        }
        let opening = mic.capture(&word(101));
        assert_eq!(opening.len(), 60 / usize::from(frame.ms()) + 1, "{frame:?}");
        assert_eq!(opening.last().unwrap().mark, Some(101));
        assert_eq!(opening[0].mark, Some(101 - 60 / i16::from(frame.ms())));
    }
}

#[test]
fn talkspurts_that_follow_closely_send_no_frame_twice() {
    for pause in 0..8 {
        let mut mic = Mic::new(config());
        let mut sent = Vec::new();
        let mut mark = 0;
        for _ in 0..5 {
            mark += 1;
            sent.extend(mic.capture(&word(mark)));
            // Three quiet frames close the gate; then the pause.
            for _ in 0..3 + pause {
                mark += 1;
                sent.extend(mic.capture(&quiet(mark)));
            }
        }
        assert_eq!(mic.uplink.stats().talkspurts, 5);
        let marks: Vec<i16> = sent.iter().filter_map(|p| p.mark).collect();
        assert!(
            marks.windows(2).all(|w| w[0] < w[1]),
            "pause of {pause}: {marks:?}"
        );
        if pause <= 3 {
            // The whole pause is pre-roll of the next word, so nothing is left out.
            let last_word_ends = mark - pause;
            assert!(
                marks.iter().copied().eq(1..=last_word_ends),
                "pause of {pause}: {marks:?}"
            );
        }
        assert!(
            sent.iter().map(|p| p.seq).eq(0..sent.len() as u16),
            "numbers continue across talkspurts"
        );
        assert_eq!(sent.iter().filter(|p| p.terminator).count(), 5);
    }
}

#[test]
fn frames_that_are_polled_late_are_sent_in_order_and_once() {
    let mut mic = Mic::new(config());
    for mark in 1..=4 {
        mic.capture(&quiet(mark));
    }
    mic.uplink.push(&word(5));
    mic.uplink.push(&word(6));
    // The history holds four frames: the pre-roll's oldest has been overwritten by frame 6.
    assert_eq!(
        marks(&mic.poll_all()),
        [3, 4, 5, 6].map(|mark| (Some(mark), false))
    );
    assert_eq!(mic.uplink.stats().frames_overrun, 1);
}

#[test]
fn frames_polled_too_late_are_lost_and_counted_but_the_terminator_is_sent() {
    let mut mic = Mic::new(config());
    mic.capture(&word(1));
    for mark in 2..=4 {
        mic.uplink.push(&quiet(mark)); // 4 closes the gate; nothing is polled.
    }
    for mark in 5..=6 {
        assert_eq!(mic.uplink.push(&quiet(mark)), GateDecision::Closed);
    }
    let sent = mic.poll_all();
    assert_eq!(marks(&sent), [(None, true)]);
    // The time that the next frame would have had, had it been polled.
    assert_eq!((sent[0].timestamp, sent[0].level), (8 * 2, 255));
    assert_eq!(mic.uplink.stats().frames_overrun, 3);
    assert_eq!(mic.poll_all(), []);
}

#[test]
fn a_word_right_after_an_unpolled_end_repeats_nothing() {
    let mut mic = Mic::new(config());
    let mut sent = mic.capture(&word(1));
    sent.extend(mic.capture(&quiet(2)));
    sent.extend(mic.capture(&quiet(3)));
    assert_eq!(mic.uplink.push(&quiet(4)), GateDecision::Closing);
    // Nothing is polled before the next word opens the gate again.
    assert_eq!(mic.uplink.push(&word(5)), GateDecision::Opened);
    sent.extend(mic.poll_all());
    assert_eq!(
        marks(&sent),
        [
            (Some(1), false),
            (Some(2), false),
            (Some(3), false),
            (None, true),
            (Some(5), false)
        ]
    );
    let timestamps: Vec<u32> = sent.iter().map(|p| p.timestamp).collect();
    assert_eq!(timestamps, [1, 2, 3, 4, 5].map(|frame| 8 * frame));
    assert_eq!(mic.uplink.stats().frames_overrun, 1);
}

#[test]
fn mute_ends_the_talkspurt_and_nothing_said_while_muted_is_sent() {
    let mut mic = Mic::new(config());
    mic.capture(&word(1));
    mic.uplink.set_muted(true);
    let end = mic.poll_all();
    assert_eq!(marks(&end), [(None, true)]);
    assert_eq!((end[0].seq, end[0].timestamp), (1, 8 * 2));
    for mark in 2..=20 {
        assert_eq!(mic.capture(&word(mark)), []);
    }
    assert_eq!(
        mic.uplink.level_rms(),
        talkspurt_core::audio::level::rms(&word(20)),
        "the meter keeps running"
    );
    mic.uplink.set_muted(false);
    let begin = mic.capture(&word(21));
    assert_eq!(
        marks(&begin),
        [(Some(21), false)],
        "no pre-roll from the muted time"
    );
    assert_eq!((begin[0].seq, begin[0].timestamp), (2, 8 * 21));
}

#[test]
fn mute_drops_the_pre_roll_from_before_it() {
    let mut mic = Mic::new(config());
    for mark in 1..=3 {
        mic.capture(&quiet(mark));
    }
    mic.uplink.set_muted(true);
    mic.uplink.set_muted(false);
    assert_eq!(mic.poll_all(), [], "there was no talkspurt to end");
    assert_eq!(marks(&mic.capture(&word(4))), [(Some(4), false)]);
}

#[test]
fn muting_twice_ends_once() {
    let mut mic = Mic::new(config());
    mic.capture(&word(1));
    mic.uplink.set_muted(true);
    mic.uplink.set_muted(true);
    assert_eq!(mic.poll_all().len(), 1);
    mic.uplink.finish();
    assert_eq!(mic.poll_all(), []);
}

#[test]
fn unmuting_without_mute_interrupts_nothing() {
    let mut mic = Mic::new(config());
    mic.capture(&word(1));
    mic.uplink.set_muted(false);
    assert_eq!(mic.poll_all(), [], "the talkspurt continues");
    assert!(mic.uplink.is_talking());
    assert_eq!(marks(&mic.capture(&word(2))), [(Some(2), false)]);
}

#[test]
fn without_a_gate_every_frame_is_sent_and_finish_ends_it() {
    let mut config = config();
    config.gate.enabled = false;
    let mut mic = Mic::new(config);
    for mark in 1..=50 {
        assert_eq!(marks(&mic.capture(&quiet(mark))), [(Some(mark), false)]);
    }
    mic.uplink.finish();
    assert_eq!(marks(&mic.poll_all()), [(None, true)]);
}

#[test]
fn new_thresholds_apply_from_the_next_frame() {
    let mut mic = Mic::new(config());
    assert_eq!(mic.capture(&quiet(100)), []);
    let sensitive = GateConfig {
        open_rms: 50,
        close_rms: 10,
        ..config().gate
    };
    mic.uplink.set_gate(sensitive).unwrap();
    assert_eq!(*mic.uplink.gate_config(), sensitive);
    assert_eq!(
        marks(&mic.capture(&quiet(101))),
        [(Some(100), false), (Some(101), false)]
    );
    assert!(
        mic.uplink
            .set_gate(GateConfig {
                window_frames: 0,
                ..sensitive
            })
            .is_err()
    );
    assert_eq!(*mic.uplink.gate_config(), sensitive);
}

#[test]
fn an_uplink_refuses_an_invalid_gate() {
    let mut config = config();
    config.gate.close_rms = 32_000;
    assert!(Uplink::<1_280>::new(config).is_err());
}

#[test]
fn adpcm_payloads_decode_to_what_was_said() {
    let mut config = config();
    config.codec = CodecId::ImaAdpcm.into();
    let mut mic = Mic::new(config);
    let triangle = |n: i16| ((n % 80) - 40).abs() - 20;
    let said: Vec<i16> = (0..320).map(|n| triangle(n) * 300).collect();
    // The first frame lets the coder find its step size.
    mic.capture(&said);
    let sent = mic.capture(&said);
    let mut heard = [0; 320];
    ImaAdpcm::default()
        .decode(&sent[0].payload, &mut heard)
        .unwrap();
    let (signal, noise) =
        said.iter()
            .zip(heard)
            .fold((0i64, 0i64), |(signal, noise), (&said, heard)| {
                let (said, error) = (i64::from(said), i64::from(said) - i64::from(heard));
                (signal + said * said, noise + error * error)
            });
    // 20 dB; a wrong nibble order or predictor leaves no signal at all.
    assert!(signal > 100 * noise, "signal {signal}, noise {noise}");
}
