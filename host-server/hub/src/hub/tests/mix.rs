//! How loud a room is while talkers come and go, and beside those who send silence.

use super::*;

/// 437 Hz at 20,000, and what of it comes from sample `from` on.
fn tone(from: usize) -> Vec<i16> {
    (from..from + SAMPLES)
        .map(|n| {
            let phase = std::f64::consts::TAU * 437.0 * n as f64 / 16_000.0;
            (20_000.0 * phase.sin()).round() as i16
        })
        .collect()
}

fn payload(samples: &[i16]) -> Vec<u8> {
    samples.iter().flat_map(|s| s.to_le_bytes()).collect()
}

fn heard_samples(bench: &Bench, peer: usize) -> Vec<i16> {
    bench
        .voices(peer)
        .flat_map(|(_, _, samples)| samples.to_vec())
        .collect()
}

#[test]
fn nobody_is_louder_than_they_are_when_a_second_talker_starts_or_stops() {
    // The second one starts a second later, and stops: by a last frame, by closing the connection,
    // or by muting.
    for stop in 0..3 {
        let mut bench = Bench::new(config());
        let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
        let mut said = Vec::new();
        for frame in 0..150 {
            let samples = tone(frame * SAMPLES);
            bench.speak_payload(ann, &payload(&samples), frame == 149);
            if (50..100).contains(&frame) {
                bench.speak_payload(ben, &payload(&samples), frame == 99 && stop == 0);
            }
            match (frame, stop) {
                (100, 1) => bench.close(ben),
                (100, 2) => bench.set_muted(ben, true),
                _ => {}
            }
            said.extend(samples);
            bench.pass(FRAME);
        }
        bench.pass(FRAME);
        let heard = heard_samples(&bench, lis);
        assert_eq!(heard.len(), said.len());
        let loudest = heard.iter().map(|s| s.unsigned_abs()).max().unwrap();
        assert!((19_990..=20_001).contains(&loudest), "{loudest}");
        // Both say the same, so their mean is what each says. Whoever stops without a last frame
        // leaves one in which they fade, and that is not what they would have said.
        let differing: Vec<usize> = (0..said.len())
            .filter(|&i| (heard[i] - said[i]).abs() > 1)
            .map(|i| i / SAMPLES)
            .collect();
        assert!(
            differing.iter().all(|frame| stop > 0 && *frame == 100),
            "stop {stop}: frames {differing:?}"
        );
    }
}

/// Of two talkers the soft one leaves: the share of the other grows from a half, and does not jump.
#[test]
fn who_stays_is_not_suddenly_twice_as_loud_when_a_talker_leaves() {
    let mut bench = Bench::new(config());
    let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
    for _ in 0..10 {
        bench.speak(ann, 10_000, false);
        bench.speak(ben, 10, false);
        bench.pass(FRAME);
    }
    bench.forget_received();
    bench.close(ben);
    bench.speak(ann, 10_000, true);
    bench.pass(FRAME);
    let heard = heard_samples(&bench, lis);
    assert!((4_990..5_100).contains(&heard[0]), "{}", heard[0]);
}

/// The largest step between neighbouring samples.
fn largest_step(samples: &[i16]) -> u16 {
    let steps = samples.windows(2).map(|pair| pair[0].abs_diff(pair[1]));
    steps.max().expect("something was heard")
}

/// A way to end a word in its midst.
type CutOff = fn(&mut Bench, usize);

#[test]
fn whoever_is_cut_off_in_mid_word_fades_without_a_click() {
    let ways: [CutOff; 5] = [
        |bench, peer| bench.set_muted(peer, true),
        |bench, peer| bench.close(peer),
        |bench, peer| bench.send(peer, &ClientPacket::Bye(Bye::from(Reason::LEAVING))),
        |bench, peer| bench.hello(peer, "attic", "ann", CodecId::Pcm16),
        |bench, peer| bench.hello(peer, "kitchen", "ann", CodecId::Pcm16),
    ];
    // 437 Hz at 20,000; and, as a fade adds to it, a 320th of that. Beside another talker half of
    // it, and a fade to the other, who is at -5,000: 15,000 in a frame at most.
    let step_of = |beside| if beside { 3_432 / 2 + 47 } else { 3_432 + 63 };
    for (way, cut_off) in ways.into_iter().enumerate() {
        // Cut off at a different place of the period each time; alone, and beside another talker.
        for frames in 5..15 {
            for beside in [false, true] {
                let mut bench = Bench::new(config());
                let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
                for frame in 0..frames + 5 {
                    if frame == frames {
                        cut_off(&mut bench, ann);
                    } else if frame < frames {
                        bench.speak_payload(ann, &payload(&tone(frame * SAMPLES)), false);
                    }
                    if beside {
                        bench.speak(ben, -5_000, frame == frames + 4);
                    }
                    bench.pass(FRAME);
                }
                let mut heard = heard_samples(&bench, lis);
                if beside {
                    assert_eq!(heard.len(), (frames + 5) * SAMPLES, "way {way}");
                } else {
                    let fading = &heard[frames * SAMPLES..];
                    assert_eq!(fading.len(), SAMPLES, "one frame fades, way {way}");
                    heard.push(0);
                }
                let steepest = largest_step(&heard);
                assert!(
                    steepest <= step_of(beside),
                    "{steepest}, way {way}, frame {frames}, {beside}"
                );
            }
        }
    }
}

#[test]
fn whoever_joins_the_room_again_in_mid_word_does_not_hear_themselves() {
    for beside in [false, true] {
        // Once, and then again before the first fade was mixed.
        for hellos in 1..=2 {
            let mut bench = Bench::new(config());
            let [ann, ben] = ["ann", "ben"].map(|name| bench.join("kitchen", name));
            for frame in 0..15 {
                if frame == 10 {
                    (0..hellos).for_each(|_| bench.hello(ann, "kitchen", "ann", CodecId::Pcm16));
                } else {
                    bench.speak_payload(ann, &payload(&tone(frame * SAMPLES)), frame == 14);
                }
                if beside {
                    bench.speak(ben, -5_000, frame == 14);
                }
                bench.pass(FRAME);
            }
            let heard = heard_samples(&bench, ann);
            let others = if beside { 15 * SAMPLES } else { 0 };
            assert_eq!(heard, vec![-5_000; others], "what fades is their own");
            // Ten frames, one that fades, and four of the next word.
            assert_eq!(heard_samples(&bench, ben).len(), 15 * SAMPLES);
        }
    }
}

#[test]
fn whoever_joins_as_another_leaves_in_mid_word_does_not_cut_the_fade_off() {
    for joins_again in [false, true] {
        let mut bench = Bench::new(config());
        let [ann, eve, lis] = ["ann", "eve", "lis"].map(|name| bench.join("kitchen", name));
        for frame in 0..10 {
            bench.speak_payload(ann, &payload(&tone(frame * SAMPLES)), false);
            bench.pass(FRAME);
        }
        bench.close(ann);
        if joins_again {
            bench.hello(eve, "kitchen", "eve", CodecId::Pcm16);
        } else {
            bench.join("kitchen", "joe");
        }
        bench.pass(Duration::from_secs(1));
        for peer in [lis, eve] {
            assert_eq!(heard_samples(&bench, peer).len(), 11 * SAMPLES);
        }
    }
}

#[test]
fn whoever_is_cut_off_beside_others_and_goes_on_at_once_joins_them_without_a_click() {
    let ways: [CutOff; 2] = [
        |bench, peer| {
            bench.set_muted(peer, true);
            bench.set_muted(peer, false);
        },
        |bench, peer| bench.speak_payload(peer, &[], true),
    ];
    for (way, cut_off) in ways.into_iter().enumerate() {
        for ms in (0..20).step_by(2) {
            let mut bench = Bench::new(config());
            let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
            for frame in 0..30 {
                if frame == 10 {
                    bench.pass(Duration::from_millis(ms));
                    cut_off(&mut bench, ben);
                }
                bench.speak(ann, 4_000, false);
                bench.speak(ben, -12_000, false);
                bench.pass(FRAME);
            }
            // Their mean is at -4,000, and a fade takes it there and back: 50 a sample at most.
            let steepest = largest_step(&heard_samples(&bench, lis)[3 * SAMPLES..]);
            assert!(steepest <= 60, "{steepest}, way {way}, {ms} ms");
        }
    }
}

#[test]
fn whoever_unmutes_at_once_sets_in_without_a_click() {
    let mut bench = Bench::new(config());
    let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
    for frame in 0..20 {
        if frame == 10 {
            bench.set_muted(ann, true);
            bench.set_muted(ann, false);
        }
        // Elsewhere in the period from then on.
        let from = frame * SAMPLES + if frame < 10 { 0 } else { 9 };
        bench.speak_payload(ann, &payload(&tone(from)), frame == 19);
        bench.pass(FRAME);
    }
    let steepest = largest_step(&heard_samples(&bench, lis));
    assert!(steepest <= 3_432 + 20_000 / 80, "{steepest}");
}

#[test]
fn a_talker_beside_three_silent_senders_is_heard_bit_for_bit() {
    for silence in [[0; SAMPLES], [1; SAMPLES]] {
        let mut bench = Bench::new(config());
        let [ann, lis] = ["ann", "lis"].map(|name| bench.join("kitchen", name));
        let open = ["ben", "eve", "joe"].map(|name| bench.join("kitchen", name));
        let mut said = Vec::new();
        for frame in 0..100 {
            for peer in open {
                bench.speak_payload(peer, &payload(&silence), frame == 99);
            }
            // Sound from the first frame, and a pause of 80 ms between two words.
            let mut samples = tone(frame * SAMPLES);
            if (40..44).contains(&frame) {
                samples.iter_mut().for_each(|sample| *sample /= 10_000);
            }
            bench.speak_payload(ann, &payload(&samples), frame == 99);
            said.extend(samples);
            bench.pass(FRAME);
        }
        bench.pass(FRAME);
        for peer in [lis, open[0], open[2]] {
            assert_eq!(heard_samples(&bench, peer), said);
        }
        // Whoever talks hears the silence of the others, as they send it.
        let heard = heard_samples(&bench, ann);
        assert!(heard.iter().all(|sample| *sample == silence[0]));
    }
}

#[test]
fn a_talker_beside_a_sender_of_zeros_keeps_the_level_through_long_pauses() {
    let mut bench = Bench::new(config());
    let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
    let mut said = Vec::new();
    for frame in 0..200 {
        let mut samples = tone(frame * SAMPLES);
        if frame % 50 > 25 {
            samples.iter_mut().for_each(|sample| *sample /= 5_000);
        }
        bench.speak_payload(ben, &payload(&[0; SAMPLES]), false);
        bench.speak_payload(ann, &payload(&samples), false);
        said.extend(samples);
        bench.pass(FRAME);
    }
    assert_eq!(heard_samples(&bench, lis), said);
}

#[test]
fn listeners_share_one_encoding_also_where_talkers_change() {
    let mut bench = Bench::new(config());
    let talkers: Vec<_> = (0..3)
        .map(|n| bench.join("kitchen", &format!("talker {n}")))
        .collect();
    for n in 0..10 {
        bench.join("kitchen", &format!("listener {n}"));
    }
    let mut of_talkers = 0;
    for frame in 0..48 {
        // Each has talkspurts of ten frames, begun two frames after those of the talker before;
        // then a pause of ten.
        for (n, talker) in talkers.iter().enumerate() {
            let at = (frame + 20 - 2 * n) % 20;
            if at < 10 {
                bench.speak(*talker, 1_000, at == 9);
            }
        }
        bench.join("kitchen", &format!("newcomer {frame}"));
        let before = bench.hub.counters().encodings;
        bench.pass(FRAME);
        let encodings = bench.hub.counters().encodings - before;
        of_talkers += encodings.saturating_sub(1);
        assert!(encodings <= 1 + 3, "{encodings} in frame {frame}");
    }
    assert!(of_talkers > 40, "{of_talkers}");
}

#[test]
fn listeners_share_a_limiter_that_a_silence_ends() {
    for is_cut_off in [false, true] {
        assert_limiter_ends_with_the_word(is_cut_off);
    }
}

fn assert_limiter_ends_with_the_word(is_cut_off: bool) {
    let mut bench = Bench::new(HubConfig {
        mix_rule: talkspurt_core::audio::mixer::MixRule::Sum,
        ..config()
    });
    let [ann, ben, lis, leo] = ["ann", "ben", "lis", "leo"].map(|name| bench.join("kitchen", name));
    for frame in 0..10 {
        for loud in [ann, ben] {
            bench.speak(loud, 30_000, frame == 9 && !is_cut_off);
        }
        bench.pass(FRAME);
    }
    bench.pass(FRAME * 10);
    let heard = |bench: &Bench, peer| -> Vec<Vec<i16>> {
        let voices = bench
            .voices(peer)
            .filter(|(.., samples)| !samples.is_empty());
        voices.map(|(.., samples)| samples.to_vec()).collect()
    };
    let ducked = heard(&bench, lis);
    assert!(ducked.len() >= 9 && ducked[5..8].concat().iter().all(|sample| *sample > 30_000));
    assert_eq!(heard(&bench, leo), ducked);
    bench.forget_received();
    bench.speak(ann, 1_000, true);
    bench.pass(FRAME * 2);
    // What follows on a word that was cut off fades in.
    assert_eq!(heard(&bench, lis)[0][100..], [1_000; SAMPLES - 100]);
}

#[test]
fn a_talker_is_as_loud_as_the_packets_say_also_where_one_is_missing() {
    let mut bench = Bench::new(config());
    let [ann, ben, lis] = ["ann", "ben", "lis"].map(|name| bench.join("kitchen", name));
    let said: Vec<u8> = tone(0).iter().flat_map(|s| s.to_le_bytes()).collect();
    // From the second on the loud samples are said to be silent, and do not count. One is lost.
    for level in [30, 142, 142, 142, 142, 142, 142, 142] {
        bench.speak_at(ben, 60, &[7, 0].repeat(SAMPLES), false);
        bench.speak_at(ann, level, &said, false);
        bench.pass(FRAME);
    }
    bench.peers[ann].spoken += 1;
    bench.speak_at(ann, 50, &said, false);
    bench.speak_at(ben, 60, &[7, 0].repeat(SAMPLES), false);
    bench.forget_received();
    bench.pass(FRAME);
    bench.speak_at(ben, 60, &[7, 0].repeat(SAMPLES), false);
    bench.pass(FRAME);
    let levels = bench
        .take_received(lis)
        .into_iter()
        .filter_map(|it| match it {
            Received::Voice { level, samples, .. } => Some((level, samples == [7; SAMPLES])),
            _ => None,
        });
    assert_eq!(levels.collect::<Vec<_>>(), [(60, true), (50, false)]);
}
