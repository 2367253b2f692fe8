//! Who hears what, when, and what it costs.

use super::*;

#[test]
fn each_hears_the_mean_of_the_others_and_nothing_of_himself() {
    let mut bench = Bench::new(config());
    let [ada, bob, eve, mute] =
        ["ada", "bob", "eve", "mute"].map(|name| bench.join("kitchen", name));
    for frame in 0..10 {
        let last = frame == 9;
        bench.speak(ada, 300, last);
        bench.speak(bob, 500, last);
        bench.speak(eve, 1_000, last);
        bench.pass(FRAME);
    }
    bench.pass(FRAME);
    for (peer, mean) in [(ada, 750), (bob, 650), (eve, 400), (mute, 600)] {
        let mut expected = vec![(Some(mean), false); 10];
        expected[9].1 = true;
        assert_eq!(bench.heard(peer), expected, "peer {peer}");
    }
}

#[test]
fn one_talker_passes_bit_identically_through_pcm16() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let mut noise = 1u32;
    let mut said = Vec::new();
    for frame in 0..20 {
        let samples: Vec<i16> = (0..SAMPLES)
            .map(|_| {
                noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (noise >> 16) as i16
            })
            .collect();
        let payload: Vec<u8> = samples
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        bench.speak_payload(ada, &payload, frame == 19);
        said.extend(samples);
        bench.pass(FRAME);
    }
    bench.pass(FRAME);
    let heard: Vec<i16> = bench
        .voices(bob)
        .flat_map(|(_, _, samples)| samples.to_vec())
        .collect();
    assert_eq!(heard, said);
    assert_eq!(bench.voices(ada).count(), 0);
}

#[test]
fn rooms_do_not_hear_each_other() {
    let mut bench = Bench::new(config());
    let kitchen = [bench.join("kitchen", "ada"), bench.join("kitchen", "bob")];
    let attic = [bench.join("attic", "ada"), bench.join("attic", "bob")];
    for _ in 0..10 {
        bench.speak(kitchen[0], 100, false);
        bench.speak(attic[0], 7_000, false);
        bench.pass(FRAME);
    }
    assert!(
        bench
            .heard(kitchen[1])
            .iter()
            .all(|(level, _)| *level == Some(100))
    );
    assert!(
        bench
            .heard(attic[1])
            .iter()
            .all(|(level, _)| *level == Some(7_000))
    );
    assert_eq!(
        (bench.heard(kitchen[1]).len(), bench.heard(attic[1]).len()),
        (10, 10)
    );
}

#[test]
fn a_talkspurt_is_contiguous_and_ends_with_one_terminator() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    for talkspurt in 0..3 {
        for frame in 0..5 {
            bench.speak(ada, 100, frame == 4);
            bench.pass(FRAME);
        }
        bench.pass(Duration::from_secs(1));
        let voices: Vec<(u16, bool)> = bench
            .voices(bob)
            .map(|(seq, terminator, _)| (seq, terminator))
            .collect();
        let ends = voices.iter().filter(|(_, terminator)| *terminator).count();
        assert_eq!(
            (voices.len(), ends, voices[4].1),
            (5, 1, true),
            "talkspurt {talkspurt}: {voices:?}"
        );
        assert!(
            voices
                .windows(2)
                .all(|pair| pair[1].0 == pair[0].0.wrapping_add(1))
        );
        bench.forget_received();
    }
}

#[test]
fn a_talkspurt_without_a_terminator_ends_for_its_listeners_too() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    bench.speak(ada, 100, false);
    bench.pass(Duration::from_secs(1));
    let voices: Vec<_> = bench
        .voices(bob)
        .map(|(seq, terminator, samples)| (seq, terminator, samples.len()))
        .collect();
    let (last, before) = voices.split_last().unwrap();
    assert_eq!(before.len(), 6, "the frame, and 100 ms of concealment");
    assert!(
        before
            .iter()
            .all(|(_, terminator, len)| !terminator && *len == SAMPLES)
    );
    assert_eq!((last.1, last.2), (true, 0));
}

#[test]
fn the_silent_share_one_encoding_a_codec() {
    let mut bench = Bench::new(config());
    let talker = bench.join("kitchen", "talker");
    for n in 0..20 {
        bench.join_with("kitchen", &format!("listener {n}"), CodecId::ALL[n % 2]);
    }
    for _ in 0..50 {
        bench.speak(talker, 100, false);
        bench.pass(FRAME);
    }
    assert_eq!(bench.ticks, 50);
    assert_eq!(bench.hub.counters().encodings, 50 * 2);
}

#[test]
fn talkers_get_their_own_encoding_and_only_they() {
    let mut bench = Bench::new(config());
    let talkers: Vec<_> = (0..3)
        .map(|n| bench.join("kitchen", &format!("talker {n}")))
        .collect();
    for n in 0..5 {
        bench.join("kitchen", &format!("listener {n}"));
    }
    for _ in 0..50 {
        for talker in &talkers {
            bench.speak(*talker, 100, false);
        }
        bench.pass(FRAME);
    }
    assert_eq!(bench.hub.counters().encodings, 50 * (3 + 1));
}

#[test]
fn an_empty_or_silent_room_costs_no_tick() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    let keep_alive = |bench: &mut Bench| {
        for _ in 0..10 {
            bench.send(ada, &ClientPacket::Ping(1));
            bench.send(bob, &ClientPacket::Ping(1));
            bench.pass(Duration::from_secs(5));
        }
    };
    keep_alive(&mut bench);
    assert_eq!(bench.ticks, 0, "nobody has talked yet");
    bench.speak(ada, 100, true);
    keep_alive(&mut bench);
    assert_eq!(bench.ticks, 1, "one frame was said");
    bench.close(ada);
    bench.close(bob);
    bench.pass(Duration::from_secs(60));
    assert_eq!(
        (bench.ticks, bench.hub.poll_timeout()),
        (1, None),
        "nothing is left to wake up for"
    );
}

#[test]
fn a_frame_waits_less_than_a_frame_and_5_ms() {
    for phase_ms in 0..20 {
        let mut bench = Bench::new(config());
        let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| bench.join("kitchen", name));
        // Ada's first frame sets the room's ticks; Bob speaks at another phase.
        bench.speak(ada, 100, false);
        bench.pass(Duration::from_millis(phase_ms));
        let first_spoken = bench.now;
        for _ in 0..10 {
            bench.speak(bob, 8_000, false);
            bench.pass(Duration::from_millis(20 - phase_ms));
            bench.speak(ada, 100, false);
            bench.pass(Duration::from_millis(phase_ms));
        }
        let first_heard = bench.peers[eve]
            .received
            .iter()
            .find_map(|received| match received {
                Received::Voice { samples, at, .. } if samples[319] > 4_000 => Some(*at),
                _ => None,
            });
        let waited = first_heard.unwrap().duration_since(first_spoken);
        assert!(
            waited <= Duration::from_millis(24),
            "phase {phase_ms}: {waited:?}"
        );
        assert_eq!(bench.hub.frame_counters().concealed, 0, "phase {phase_ms}");
    }
}

#[test]
fn a_late_server_makes_up_for_missed_ticks_at_once() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    bench.speak(ada, 100, false);
    bench.pass(FRAME);
    bench.oversleep(Duration::from_millis(60));
    (0..4).for_each(|_| bench.speak(ada, 100, false));
    bench.pass(Duration::ZERO);
    assert_eq!(
        bench.heard(bob).len(),
        4,
        "three missed ticks are made up for"
    );
    assert_eq!(bench.hub.counters().ticks_skipped, 0);
}

#[test]
fn up_to_five_missed_ticks_are_made_up_for() {
    for (late_ms, given_up) in [(119, 0), (120, 6), (140, 7)] {
        let mut bench = Bench::new(config());
        let (ada, _bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
        for _ in 0..10 {
            bench.speak(ada, 100, false);
        }
        bench.pass(FRAME);
        // Its next tick is due then, and so many of those after it.
        bench.now = bench.hub.poll_timeout().unwrap() + Duration::from_millis(20 + late_ms);
        bench.pass(Duration::ZERO);
        let skipped = bench.hub.counters().ticks_skipped;
        assert_eq!(skipped, given_up, "{late_ms} ms");
    }
}

#[test]
fn a_server_that_is_far_too_late_gives_ticks_up() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    bench.speak(ada, 100, false);
    bench.pass(FRAME);
    bench.oversleep(Duration::from_secs(2));
    (0..20).for_each(|_| bench.speak(ada, 100, false));
    bench.pass(Duration::ZERO);
    // Not all of them constant: after the gap the voice fades in.
    let heard = bench.voices(bob).count();
    assert!(heard < 10, "{heard}");
    assert!(bench.hub.counters().ticks_skipped > 90);
    assert!(
        bench
            .hub
            .rooms()
            .all(|room| room.next_tick.is_some_and(|due| due > bench.now)),
        "in step again"
    );
}

#[test]
fn the_muted_are_silent_even_if_they_send() {
    let mut bench = Bench::new(config());
    let (ada, bob) = (bench.join("kitchen", "ada"), bench.join("kitchen", "bob"));
    bench.set_muted(ada, true);
    (0..5).for_each(|_| bench.speak(ada, 100, false));
    bench.pass(Duration::from_secs(1));
    assert_eq!((bench.voices(bob).count(), bench.ticks), (0, 0));
}

#[test]
fn a_late_tick_after_which_nobody_talks_gives_none_up() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.speak(ada, 100, true);
    bench.oversleep(Duration::from_secs(2));
    bench.pass(Duration::ZERO);
    assert_eq!(bench.heard(bob), [(Some(100), true)]);
    assert_eq!(bench.hub.counters().ticks_skipped, 0);
}

#[test]
fn voice_is_timed_by_the_age_of_the_room() {
    let mut bench = Bench::new(HubConfig {
        idle_timeout: Duration::from_secs(60),
        ..config()
    });
    bench.pass(Duration::from_millis(777));
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let began = bench.now;
    for pause_ms in [0, 93, 990, 4_001, 9_999] {
        bench.pass(Duration::from_millis(pause_ms));
        bench.forget_received();
        bench.speak(ada, 300, false);
        bench.speak(ada, 300, true);
        bench.pass(FRAME * 3);
        let received = bench.take_received(bob);
        let times = received.iter().filter_map(|received| match received {
            Received::Voice { timestamp, at, .. } => Some((*timestamp, *at)),
            _ => None,
        });
        let times: Vec<_> = times.collect();
        let (first, at) = times[0];
        let age = at.duration_since(began).as_micros();
        assert_eq!(u64::from(first), age / 2_500, "{pause_ms} ms");
        assert_eq!(times[1].0, first + 8, "a frame later");
    }
}
