//! The uplink: which frames it sends, in which packets, and none of them twice.

use crate::common::mic::{Mic, Sent, quiet, soft, word};
use talkspurt_core::audio::codec::{Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::gate::{GateConfig, GateDecision, GateMode};
use talkspurt_core::seq::Seq;
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};

/// The original's gate.
pub const FIXED: GateConfig = GateConfig {
    mode: GateMode::ORIGINAL,
    ..GateConfig::DEFAULT
};

/// Closes in the third quiet frame: the word is part of the level for 15 ms, and leaves the window
/// of 40 ms then. The pre-roll is three frames.
pub fn config() -> UplinkConfig {
    UplinkConfig {
        gate: GateConfig {
            window_ms: 40,
            hold_ms: 0,
            ..FIXED
        },
        ..UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT)
    }
}

/// The marks of the frames in some packets, and whether each ends a talkspurt.
pub fn marks(sent: &[Sent]) -> Vec<(Option<i16>, bool)> {
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
        assert_eq!(mic.capture(&soft(mark)), []);
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
    assert_eq!(levels, [61, 61, 61, 25], "RMS 1,000, and nearly 8,000");
    assert_eq!(
        opening.iter().map(|p| p.seq).collect::<Vec<_>>(),
        [0, 1, 2, 3]
    );
    assert_eq!(marks(&mic.capture(&word(12))), [(Some(12), false)]);
    assert_eq!(mic.capture(&quiet(13)), [], "it is quiet, and waits");
    let both = mic.capture(&quiet(14));
    assert_eq!(marks(&both), [(Some(13), false)], "two in one");
    assert!(mic.uplink.is_talking());
    let closing = mic.capture(&quiet(15));
    assert_eq!(marks(&closing), [(Some(15), true)]);
    assert_eq!((closing[0].seq, closing[0].timestamp), (6, 8 * 17));
    assert_eq!(mic.uplink.last_seq(), Some(Seq(6)));
    assert!(!mic.uplink.is_talking());
    assert_eq!(mic.capture(&quiet(16)), []);
    assert_eq!(mic.uplink.stats().frames_sent, 7);
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
fn talkspurts_that_follow_closely_send_no_frame_twice() {
    for pause in 0..8 {
        let mut mic = Mic::new(config());
        let mut sent = Vec::new();
        let mut mark = 0;
        for _ in 0..5 {
            mark += 1;
            sent.extend(mic.capture(&word(mark)));
            // Three quiet frames close the gate; then the pause.
            for n in 0..3 + pause {
                mark += 1;
                let frame = if n < 3 { quiet(mark) } else { soft(mark) };
                sent.extend(mic.capture(&frame));
            }
        }
        assert_eq!(mic.uplink.stats().talkspurts, 5);
        let marks: Vec<i16> = sent.iter().filter_map(|p| p.mark).collect();
        assert!(
            marks.windows(2).all(|w| w[0] < w[1]),
            "pause of {pause}: {marks:?}"
        );
        if pause <= 3 {
            // The whole pause is pre-roll of the next word. No frame is missing, but one of each
            // word that is blended with the one before it.
            let missing: Vec<i16> = (1..=mark - pause)
                .filter(|mark| !marks.contains(mark))
                .collect();
            let blended = (1..5).map(|word| word * (4 + pause) + 3);
            let expected: Vec<i16> = blended.filter(|_| pause > 0).collect();
            assert_eq!(missing, expected, "pause of {pause}");
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
        mic.capture(&soft(mark));
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
fn a_missed_frame_ends_the_talkspurt_and_the_clock_goes_on() {
    let mut mic = Mic::new(config());
    mic.capture(&quiet(1));
    mic.capture(&word(2));
    for _ in 3..=7 {
        mic.uplink.miss_frame();
    }
    let end = mic.poll_all();
    assert_eq!(marks(&end), [(None, true)], "once");
    // The pre-roll had put it a frame ahead of its time.
    assert_eq!((end[0].seq, end[0].timestamp), (2, 8 * 4));
    let begin = mic.capture(&word(8));
    assert_eq!(
        marks(&begin),
        [(Some(8), false)],
        "no pre-roll across a gap"
    );
    assert_eq!((begin[0].seq, begin[0].timestamp), (3, 8 * 8));
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
    config.gate.mode = GateMode::Off;
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
        mode: GateMode::Fixed {
            open_rms: 50,
            close_rms: 10,
        },
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
                window_ms: 0,
                ..sensitive
            })
            .is_err()
    );
    assert_eq!(*mic.uplink.gate_config(), sensitive);
}

#[test]
fn an_uplink_refuses_an_invalid_gate() {
    let mut config = config();
    config.gate.mode = GateMode::Fixed {
        open_rms: 2_000,
        close_rms: 32_000,
    };
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

/// A word of `loud` frames behind a pause; `quiet_at` of them are quiet. Returns the marks of the
/// frames that were sent, and by how many frames the last packet ran ahead.
fn lead_after(pre_roll_frames: u16, loud: i16, quiet_at: &[i16]) -> (Vec<i16>, i64) {
    let mut mic = Mic::new(UplinkConfig {
        pre_roll_frames,
        gate: FIXED,
        ..config()
    });
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    let mut sent = Vec::new();
    for mark in 11..11 + loud {
        let is_quiet = quiet_at.contains(&mark);
        sent.extend(mic.capture(&if is_quiet { quiet(mark) } else { word(mark) }));
    }
    let last = sent.last().unwrap();
    let ahead = i64::from(last.timestamp) / 8 - i64::from(last.mark.unwrap());
    assert!(
        sent.windows(2)
            .all(|w| w[1].timestamp == w[0].timestamp + 8)
    );
    assert!(sent.windows(2).all(|w| w[1].seq == w[0].seq + 1));
    (
        sent.iter().filter_map(|packet| packet.mark).collect(),
        ahead,
    )
}

#[test]
fn a_talkspurt_takes_its_lead_back_by_leaving_out_quiet_frames() {
    let (marks, ahead) = lead_after(3, 5, &[]);
    assert_eq!((marks, ahead), ((8..=15).collect(), 3));
    // Frame 13 is quiet: 14 begins as it.
    let (marks, ahead) = lead_after(3, 6, &[13]);
    assert_eq!(
        (&marks[..], ahead),
        (&[8, 9, 10, 11, 12, 13, 15, 16][..], 2)
    );
    // Three frames in all, one of four at most, and no more than these.
    let quiet: Vec<i16> = (13..=30).collect();
    let (marks, ahead) = lead_after(3, 20, &quiet);
    assert_eq!(
        marks[5..],
        [13, 15, 16, 17, 18, 20, 21, 22, 23, 25, 26, 27, 28]
    );
    assert_eq!(ahead, 0);
    // Without a pre-roll nothing is left out.
    let (marks, ahead) = lead_after(0, 15, &quiet);
    assert_eq!((marks, ahead), ((11..=25).collect(), 0));
}

#[test]
fn a_frame_that_is_left_out_is_blended_into_the_next() {
    let mut mic = Mic::new(config());
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    mic.capture(&word(11));
    let ramp: Vec<i16> = (0..320).collect();
    assert_eq!(mic.capture(&ramp), []);
    let loud = [8_000, -8_000].repeat(160);
    let sent = mic.capture(&loud);
    assert_eq!(sent.len(), 1);
    let samples = sent[0].payload.chunks_exact(2);
    for (n, bytes) in samples.enumerate() {
        let heard = i16::from_le_bytes([bytes[0], bytes[1]]);
        let weight = (n + 1) as f64 / 320.0;
        let expected = f64::from(ramp[n]) * (1.0 - weight) + f64::from(loud[n]) * weight;
        assert!((f64::from(heard) - expected).abs() <= 2.0, "{n}");
    }
    // Its level is that of what is sent: 8,000 / sqrt(3), -17 dBFS.
    assert!(sent[0].level.abs_diff(34) <= 1, "{}", sent[0].level);
}

#[test]
fn a_lead_ends_with_its_talkspurt() {
    let mut mic = Mic::new(config());
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    (11..=20).for_each(|mark| _ = mic.capture(&word(mark)));
    mic.uplink.finish();
    assert_eq!(mic.poll_all()[0].timestamp, 8 * 24);
    (21..=30).for_each(|mark| assert_eq!(mic.capture(&quiet(mark)), []));
    assert_eq!(mic.capture(&word(31))[0].timestamp, 8 * 31);
}

#[test]
fn a_frame_that_waits_when_the_microphone_is_muted_is_not_sent_later() {
    let mut mic = Mic::new(config());
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    mic.capture(&word(11));
    assert_eq!(mic.capture(&quiet(12)), []);
    mic.uplink.set_muted(true);
    assert_eq!(marks(&mic.poll_all()), [(None, true)]);
    mic.uplink.set_muted(false);
    assert_eq!(marks(&mic.capture(&word(13))), [(Some(13), false)]);
    assert_eq!(marks(&mic.capture(&word(14))), [(Some(14), false)]);
}

#[test]
fn how_loud_the_last_word_was_makes_nothing_quiet_in_the_next() {
    let mut mic = Mic::new(config());
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    let of = |amplitude: i16| [amplitude, -amplitude].repeat(160);
    (0..10).for_each(|_| _ = mic.capture(&of(30_000)));
    mic.uplink.finish();
    mic.poll_all();
    (21..=30).for_each(|mark| _ = mic.capture(&quiet(mark)));
    let soft = of(5_000);
    assert_eq!(mic.capture(&soft).len(), 2, "with its pre-roll");
    for n in 0..10 {
        assert_eq!(mic.capture(&soft).len(), 1, "{n}");
    }
}

#[test]
fn a_frame_that_was_to_be_left_out_and_is_lost_takes_no_other_with_it() {
    let mut mic = Mic::new(config());
    (1..=10).for_each(|mark| _ = mic.capture(&soft(mark)));
    mic.capture(&word(11));
    assert_eq!(mic.capture(&quiet(12)), [], "it waits to be left out");
    for mark in 13..=17 {
        mic.uplink.push(&word(mark));
    }
    let kept = [14, 15, 16, 17].map(|mark| (Some(mark), false));
    assert_eq!(marks(&mic.poll_all()), kept);
}
