//! The loop on virtual time, over a simulated UART, against a server session in memory.

mod hardware;
mod world;

use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::gate::{GateConfig, GateMode};
use talkspurt_core::session::JoinRequest;
use talkspurt_core::wire::{ParticipantName, Reason, RoomName};

use super::*;
use hardware::{At, BrokenPort};
use world::{Answer, FRAME, Server, World, silence, tone};

#[test]
fn it_speaks_first_and_joins() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.run_until(100, "complete", |world| world.count("complete") == 1);
    assert_eq!(
        world.events,
        [
            "calling 1",
            "joined 7 of 2",
            "listed ann",
            "listed kettle",
            "complete"
        ]
    );
    assert_eq!(world.node.stats().joins, 1);
}

#[test]
fn it_calls_again_with_back_off_until_it_is_answered() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.server = None;
    // Each call takes 5 s, in which the Hello goes every second; between them are 0.25, 0.5, 1, and
    // then 2 s, and up to a quarter more.
    for (at_ms, calls) in [
        (5_200, 1),
        (5_320, 2),
        (10_700, 2),
        (10_950, 3),
        (16_600, 3),
        (17_200, 4),
        (23_600, 4),
        (24_700, 5),
    ] {
        world.run_ms(at_ms - world.now.duration_since(Instant::ZERO).as_millis());
        assert_eq!(world.count("calling"), calls, "at {at_ms} ms");
    }
    assert_eq!(world.count("lost"), 0, "what was never joined is not lost");
    world.server = Some(Server::new(world.now));
    world.run_until_joined(2_600);
    // Once it was in the room, calls begin anew.
    world.server().session.end(Reason::STOPPING, "back at noon");
    world.run_until(100, "lost", |world| !world.node.is_joined());
    // The server asks for 2 s.
    world.run_ms(1_900);
    assert_eq!(world.events.last().unwrap(), "lost stopping back at noon");
    world.run_ms(700);
    assert_eq!(world.events.last().unwrap(), "calling 1");
}

/// Returns how long the node waits after a session that ended so, once it had lasted for
/// `lived_ms`.
fn pause_ms(calls_in_vain_ms: u64, lived_ms: u64, reason: Reason) -> u64 {
    let mut world = World::new(115_200, Vec::new(), true);
    world.server = None;
    world.run_ms(calls_in_vain_ms);
    world.server = Some(Server::new(world.now));
    world.run_until_joined(8_000);
    world.run_ms(lived_ms);
    world.server().session.end(reason, "");
    world.run_until(100, "lost", |world| !world.node.is_joined());
    let (lost_at, calls) = (world.now, world.count("calling"));
    world.run_until(70_000, "called", |world| world.count("calling") > calls);
    world.now.duration_since(lost_at).as_millis()
}

#[test]
fn the_class_of_a_reason_says_when_to_call_again_whether_it_is_known_or_not() {
    for (reason, range) in [
        (Reason::BAD_NAME, 60_000..=60_010),
        (Reason(99), 60_000..=60_010),
        (Reason::ROOM_FULL, 10_000..=12_510),
        (Reason(200), 250..=320),
    ] {
        let pause = pause_ms(0, 5_000, reason);
        assert!(range.contains(&pause), "{reason}: {pause} ms");
    }
}

#[test]
fn only_a_session_of_five_seconds_starts_the_waits_over() {
    let short = pause_ms(25_000, 4_500, Reason::IDLE_TIMEOUT);
    assert!((2_000..=2_510).contains(&short), "{short} ms");
    let long = pause_ms(25_000, 5_500, Reason::IDLE_TIMEOUT);
    assert!((250..=320).contains(&long), "{long} ms");
}

#[test]
fn nodes_that_start_alike_do_not_call_alike() {
    let pauses = [5_000, 5_001].map(|lived| pause_ms(0, lived, Reason::ROOM_FULL));
    assert_ne!(pauses[0], pauses[1]);
}

#[test]
fn it_calls_at_the_first_poll() {
    let mut world = World::new(115_200, Vec::new(), true);
    let mut events = Vec::new();
    let mut note = |event: NodeEvent<'_>| events.push(world::describe(&event));
    world.node.poll(world.now, &mut world.board, &mut note);
    assert_eq!(events, ["calling 1"]);
}

#[test]
fn it_asks_for_the_call_that_is_due_first() {
    let mut world = World::new(115_200, Vec::new(), true);
    let at_ms = |ms| Instant::ZERO + Duration::from_millis(ms);
    let next_call = |world: World, microphone_ms, speaker_ms| {
        let mut board = Board {
            port: world.board.port,
            microphone: At(at_ms(microphone_ms)),
            speaker: At(at_ms(speaker_ms)),
        };
        let mut node = world.node;
        node.poll(world.now, &mut board, &mut |_| {})
    };
    let fresh = World::new(115_200, Vec::new(), true);
    assert_eq!(next_call(fresh, 5, 5), Some(at_ms(1_000)), "no sound yet");
    for (microphone_ms, speaker_ms) in [(2_007, 2_005), (2_005, 2_007)] {
        let mut world = World::new(115_200, Vec::new(), true);
        world.run_ms(2_000);
        let next = next_call(world, microphone_ms, speaker_ms);
        assert_eq!(next, Some(at_ms(2_005)));
    }
    world.server().answer = Answer::Refuse;
    world.run_until(100, "refused", |world| world.count("rejected") == 1);
    let refused_at = world.now;
    let pause = next_call(world, 5, 5).unwrap().duration_since(refused_at);
    assert!((5_000..=6_250).contains(&pause.as_millis()), "{pause:?}");
}

#[test]
fn port_errors_are_counted_and_do_not_block_the_loop() {
    let world = World::new(115_200, Vec::new(), true);
    let mut board = Board {
        port: BrokenPort,
        microphone: world.board.microphone,
        speaker: world.board.speaker,
    };
    let mut node = world.node;
    node.poll(world.now, &mut board, &mut |_| {});
    assert_eq!(node.stats().serial_errors, CHUNKS_PER_POLL as u32 + 1);
}

#[test]
fn the_first_sixty_ms_of_a_word_arrive_and_silence_sends_nothing() {
    let word_at_frame = 50;
    let mut samples = silence(word_at_frame);
    // Too quiet to open the gate, but part of the word.
    samples.extend(tone(3, 1_500));
    samples.extend(tone(25, 9_000));
    samples.extend(silence(50));
    let mut world = World::new(115_200, samples.clone(), true);
    world.run_until_joined(100);
    world.run_ms((word_at_frame as u64 - 1) * 20);
    assert_eq!(world.node.stats().client.frames_sent, 0);
    world.run_ms(2_000);
    let heard = core::mem::take(&mut world.server().heard);
    // 3 of pre-roll, 25 of the word; then the window of 10 empties and the hold of 5 ends.
    assert!((28..=28 + 16).contains(&heard.len()), "{}", heard.len());
    assert!(
        heard.iter().zip(0..).all(|(frame, seq)| frame.seq == seq),
        "each packet once, in order"
    );
    assert!(
        heard.last().unwrap().terminator
            && heard.iter().filter(|frame| frame.terminator).count() == 1
    );
    for (n, frame) in heard.iter().take(28).enumerate() {
        // ADPCM needs some samples to adapt its step to a new sound.
        let settled = if n == 0 { FRAME / 4 } else { 0 };
        let said = &samples[(word_at_frame + n) * FRAME..][settled..FRAME];
        let pairs = frame.samples[settled..].iter().zip(said);
        let error: i64 = pairs
            .map(|(&a, &b)| (i64::from(a) - i64::from(b)).pow(2))
            .sum();
        let power: i64 = said.iter().map(|&s| i64::from(s).pow(2)).sum();
        assert!(
            error * 16 < power,
            "frame {n} is what was said, within 12 dB: {error} of {power}"
        );
    }
}

#[test]
fn it_plays_the_servers_voice_bit_for_bit() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.run_until_joined(100);
    let mut expected = Vec::new();
    let said = tone(100, 12_000);
    for (n, frame) in said.chunks(FRAME).enumerate() {
        expected.extend(world.say(frame, n == 99));
        world.run_ms(20);
    }
    world.run_ms(500);
    let played = world.tape.heard();
    let start = played
        .windows(FRAME)
        .position(|window| window == &expected[..FRAME])
        .expect("the first frame");
    assert_eq!(played[start..start + expected.len()], expected[..]);
    assert!(
        played[..start]
            .iter()
            .chain(&played[start + expected.len()..])
            .all(|&sample| sample == 0)
    );
    let stats = world.node.stats();
    assert_eq!(
        (stats.client.frames_played, stats.client.frames_concealed),
        (100, 0)
    );
}

#[test]
fn full_duplex_at_115200_baud_loses_nothing() {
    const SECONDS: usize = 20;
    let mut world = World::new(115_200, tone(SECONDS * 50 + 50, 12_000), false);
    world.run_until_joined(100);
    for frame in tone(SECONDS * 50, 8_000).chunks(FRAME) {
        world.say(frame, false);
        world.run_ms(20);
    }
    let stats = world.node.stats();
    assert_eq!(stats.client.voice_dropped, 0);
    assert_eq!(world.board.port.counters().overrun_bytes, 0);
    assert_eq!(
        (
            stats.client.crc_errors,
            stats.client.malformed,
            stats.client.dropped_bytes
        ),
        (0, 0, 0)
    );
    assert!(
        stats.client.frames_received as usize >= SECONDS * 50 - 2,
        "{stats:?}"
    );
    assert_eq!(stats.client.frames_concealed, 0);
    let heard = world.server().heard.len();
    assert!(heard >= SECONDS * 50 - 2, "{heard} frames");
    let per_second = stats.transmitted_bytes as usize / SECONDS;
    assert!(
        (8_500..=9_010).contains(&per_second),
        "{per_second} bytes a second, of 11,520"
    );
    let per_second = stats.received_bytes as usize / SECONDS;
    assert!((8_500..=9_010).contains(&per_second), "{per_second} back");
}

#[test]
fn a_restarted_server_is_joined_again() {
    let mut world = World::new(115_200, tone(500, 12_000), false);
    world.run_until_joined(100);
    world.run_ms(1_000);
    // A new process knows nothing of the session, and says so at the first voice packet.
    world.server = Some(Server::new(world.now));
    world.run_until(200, "refused", |world| !world.node.is_joined());
    assert_eq!(world.count("rejected no_session"), 1);
    // It closes the connection after that; the bridge makes another.
    world.server = Some(Server::new(world.now));
    world.run_until_joined(400);
    world.run_ms(200);
    assert!(!world.server().heard.is_empty());
}

#[test]
fn a_server_that_says_it_stops_is_called_until_it_is_back() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.run_until_joined(100);
    world.server().session.end(Reason::STOPPING, "");
    world.run_until(100, "lost", |world| world.count("lost stopping") == 1);
    world.server = None;
    world.run_ms(10_000);
    assert!(!world.node.is_joined());
    world.server = Some(Server::new(world.now));
    world.run_until_joined(2_100);
}

#[test]
fn a_cut_line_is_noticed_and_rejoined_and_the_sound_has_no_gap() {
    let mut world = World::new(115_200, tone(5_000, 12_000), false);
    world.run_until_joined(100);
    world.run_ms(1_000);
    world.board.port.line_mut().cut = true;
    world.run_until(15_100, "lost", |world| {
        world.count("lost idle_timeout") == 1
    });
    assert_eq!(world.count("calling"), 1, "not without a pause");
    world.run_ms(3_000);
    world.board.port.line_mut().cut = false;
    // The server has given up on the node too: its connection is a new one.
    assert_eq!(world.server().left, [Reason::IDLE_TIMEOUT]);
    world.server = Some(Server::new(world.now));
    world.run_until_joined(2_100);
    world.run_ms(1_000);
    assert!(!world.server().heard.is_empty());
    let in_room = world.now.duration_since(world.joined_at.unwrap());
    let played = world.tape.heard().len();
    assert_eq!(
        played,
        FRAME * (in_room.as_millis() as usize / 20 + 1),
        "a frame each 20 ms, the loss included"
    );
}

#[test]
fn a_line_cut_for_ten_seconds_keeps_the_session() {
    let mut world = World::new(115_200, tone(5_000, 12_000), false);
    world.run_until_joined(100);
    world.run_ms(1_000);
    world.board.port.line_mut().cut = true;
    world.run_ms(10_000);
    world.board.port.line_mut().cut = false;
    world.run_ms(6_000);
    assert_eq!((world.count("joined"), world.count("lost")), (1, 0));
    let heard = world.server().heard.len();
    assert!(heard > 6_000 / 20, "{heard}");
}

#[test]
fn byte_noise_costs_packets_and_never_the_session_for_good() {
    for seed in 1..=20 {
        let mut world = World::new(115_200, tone(3_000, 12_000), false);
        world.board.port.line_mut().random = seed * 0x9E37_79B9;
        world.run_until_joined(100);
        world.board.port.line_mut().noise_one_in = Some(200);
        for frame in tone(500, 8_000).chunks(FRAME) {
            world.say(frame, false);
            world.run_ms(20);
            if world.server().session.is_closed() {
                world.server = Some(Server::new(world.now));
            }
        }
        let stats = world.node.stats();
        assert!(
            stats.client.crc_errors > 50 && stats.client.dropped_bytes > 50 * 100,
            "seed {seed}: {stats:?}"
        );
        assert!(
            stats.client.frames_received > 100,
            "seed {seed}: a 180-byte packet survives this noise 2 times of 5: {stats:?}"
        );
        world.board.port.line_mut().noise_one_in = None;
        world.run_until_joined(10_000);
        world.server().heard.clear();
        let before = world.node.stats();
        for frame in tone(50, 8_000).chunks(FRAME) {
            world.say(frame, false);
            world.run_ms(20);
        }
        assert!(world.server().heard.len() >= 49, "seed {seed}");
        assert!(
            world.node.stats().client.frames_received - before.client.frames_received >= 49,
            "seed {seed}"
        );
    }
}

#[test]
fn a_line_too_slow_for_voice_drops_old_voice_and_keeps_the_session() {
    let mut world = World::new(19_200, tone(3_000, 12_000), false);
    world.run_until_joined(1_000);
    world.run_ms(40_000);
    let stats = world.node.stats();
    assert!(stats.client.voice_dropped > 1_000, "{stats:?}");
    assert_eq!((world.count("lost"), stats.joins), (0, 1));
    // A fifth of the voice fits the line. Packets that arrive have waited in the queue (8 frame
    // periods) and in the port's ring, which takes 512 bytes / 1,920 bytes a second = 13 frame
    // periods; a packet and a half were in transit.
    let heard = &world.server().heard;
    assert!(heard.len() > 300, "{}", heard.len());
    let newest = heard.last().unwrap().seq;
    assert!(
        stats.client.frames_sent - u32::from(newest) <= 8 + 13 + 10,
        "{newest} of {}",
        stats.client.frames_sent
    );
}

#[test]
fn leaving_ends_the_talkspurt_and_says_bye() {
    let mut world = World::new(115_200, tone(500, 12_000), false);
    world.run_until_joined(100);
    world.run_ms(1_005);
    let now = world.now;
    world.node.leave(now);
    world.run_until(600, "stopped", |world| world.node.is_stopped());
    world.run_ms(60);
    assert!(world.server().heard.last().unwrap().terminator);
    assert_eq!(world.server().left, [Reason::LEAVING]);
    assert_eq!(world.count("left"), 1);
    world.run_ms(10_000);
    assert_eq!(world.count("calling"), 1, "it stays away");
}

#[test]
fn leaving_before_anybody_answered_stops_at_once() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.server = None;
    world.run_ms(100);
    let now = world.now;
    world.node.leave(now);
    assert!(!world.node.is_stopped(), "its Bye is not out yet");
    world.run_until(10, "stopped", |world| world.node.is_stopped());
    assert_eq!(world.count("left"), 0, "it was nowhere");
    // The same between two calls.
    let mut world = World::new(115_200, Vec::new(), true);
    world.server().answer = Answer::Refuse;
    world.run_until(100, "refused", |world| world.count("rejected") == 1);
    world.node.leave(world.now);
    world.run_until(10, "stopped", |world| world.node.is_stopped());
}

#[test]
fn a_welcome_does_not_bring_back_a_node_that_leaves() {
    // So slow that the last words have to wait.
    let mut world = World::new(9_600, tone(500, 12_000), false);
    world.run_until_joined(1_000);
    world.run_ms(1_005);
    world.node.leave(world.now);
    let server = world.server.as_ref().unwrap();
    server.welcome(world.board.port.line_mut());
    world.run_until(1_500, "stopped", |world| world.node.is_stopped());
    assert_eq!(world.count("joined"), 1, "it answers the Hello of before");
    assert_eq!((world.count("left"), world.count("lost")), (1, 0));
}

#[test]
fn a_refusal_is_reported_with_its_text_and_retried_later() {
    let mut world = World::new(115_200, Vec::new(), true);
    world.server().answer = Answer::Refuse;
    world.run_until(100, "refused", |world| {
        world.count("rejected name_taken choose another name") == 1
    });
    world.run_ms(4_900);
    assert_eq!(world.count("calling"), 1, "the server asks for 5 s");
    world.server = Some(Server::new(world.now));
    world.run_until_joined(1_500);
}

#[test]
fn a_server_that_hangs_up_or_refuses_at_each_hello_is_not_pestered() {
    for (answer, calls) in [(Answer::HangUp, 5), (Answer::Refuse, 2)] {
        let mut world = World::new(115_200, Vec::new(), true);
        for _ in 0..10_000 {
            world.server().answer = answer;
            world.step();
            if world.server().session.is_closed() {
                world.server = Some(Server::new(world.now));
            }
        }
        // Every 2 s, and every 5 s.
        assert_eq!(world.count("calling"), calls);
    }
}

#[test]
fn muting_sends_nothing_and_is_remembered() {
    let mut world = World::new(115_200, tone(2_000, 12_000), false);
    world.run_until_joined(100);
    world.run_ms(500);
    world.node.set_muted(world.now, true);
    world.run_ms(100);
    assert!(world.server().heard.last().unwrap().terminator);
    world.server().heard.clear();
    world.run_ms(1_000);
    assert!(world.server().heard.is_empty());
    world.node.set_muted(world.now, false);
    world.run_ms(1_000);
    assert!(world.server().heard.len() >= 48);
}

#[test]
fn a_configuration_that_cannot_work_is_refused() {
    let names = (
        RoomName::new("kitchen").unwrap(),
        ParticipantName::new("kettle").unwrap(),
    );
    let mut config = ClientConfig::new(JoinRequest::new(names.0, names.1, &[CodecId::ImaAdpcm]));
    config.gate.mode = GateMode::Fixed {
        open_rms: 500,
        close_rms: 501,
    };
    assert!(matches!(
        AdpcmNode::new(config.clone(), 1, Instant::ZERO),
        Err(ClientConfigError::Gate(_))
    ));
    config.gate = GateConfig::DEFAULT;
    config.request.codecs = [CodecId::Pcm16.id()].into_iter().collect();
    assert_eq!(
        AdpcmNode::new(config.clone(), 1, Instant::ZERO).unwrap_err(),
        ClientConfigError::NoCodecFits
    );
    assert!(Pcm16Node::new(config, 1, Instant::ZERO).is_ok());
}

#[test]
fn each_call_of_each_start_has_a_nonce_of_its_own() {
    let mut nonces = Vec::new();
    for start in [0, 1, u32::MAX] {
        let mut node = World::new(115_200, Vec::new(), true).node;
        node.start = start;
        nonces.extend([(); 3].map(|()| node.next_nonce()));
    }
    for (i, nonce) in nonces.iter().enumerate() {
        assert!(
            *nonce != [0; 8] && !nonces[..i].contains(nonce),
            "{nonces:?}"
        );
    }
}

#[test]
fn nodes_of_different_starts_do_not_call_alike() {
    let random = |start| {
        let mut node = World::new(115_200, Vec::new(), true).node;
        node.start = start;
        node.random(Instant::ZERO)
    };
    assert!(random(1).abs_diff(random(2)) > 1_000);
}
