//! Which voice is sent, and which is played.

use super::*;

#[test]
fn a_stalled_carrier_costs_voice_older_than_300_ms_and_nothing_else() {
    let mut end = End::joined(20);
    end.say(0..50);
    end.receive(&ServerPacket::Ping(7));
    // Frame 35 is said at 700 ms, and it is 1,000 ms now.
    let newest = frames(36..50);
    assert_eq!(end.sent(), [&[Sent::Pong(7)], &newest[..]].concat());
    let stats = end.client.stats();
    assert_eq!((stats.voice_dropped, stats.frames_sent), (36, 50));
    // Just within 300 ms it is still worth hearing.
    end.say(50..51);
    end.now += MS(279);
    assert_eq!(end.sent(), frames(50..51));
}

#[test]
fn a_burst_is_bounded_by_the_longest_pre_roll_and_300_ms() {
    for (frame_ms, most) in [(20, 25), (10, 50), (5, 100)] {
        let mut end = End::joined(frame_ms);
        let samples = 16 * usize::from(frame_ms);
        for number in 0..200 {
            end.client.push_frame(end.now, &word(number)[..samples]);
        }
        assert_eq!(end.sent(), frames(200 - most..200), "{frame_ms} ms");
        assert_eq!(end.client.stats().voice_dropped, 200 - most as u32);
        // Now there is room again.
        end.client.push_frame(end.now, &word(200)[..samples]);
        assert_eq!(end.sent(), frames(200..201));
    }
}

/// Packets of PCM16 voice at 20 ms take 650 bytes and more: 260 kbit/s.
#[test]
fn on_a_slow_uplink_voice_is_never_later_than_it_may_wait() {
    let mut end = End::joined(20);
    let start = end.now;
    let mut half_sent = std::collections::VecDeque::new();
    // Returns when each frame that arrived was said, and how late it was.
    let mut run = |end: &mut End, ms: Range<u64>, bytes_per_ms: usize| {
        let mut arrived = Vec::new();
        for at in ms {
            end.now = start + MS(at);
            // A sign of life each second, or the client takes the server for lost.
            if at % 1_000 == 0 {
                end.receive(&ServerPacket::Ping(1));
            }
            if at % 20 == 0 {
                end.client.push_frame(end.now, &word((at / 20) as i16));
            }
            let mut room = bytes_per_ms;
            while room > 0 {
                if half_sent.is_empty() {
                    let Some((bytes, _)) = end.transmit() else {
                        break;
                    };
                    let name = Sent::of(&bytes);
                    half_sent.push_back((name, bytes.len()));
                }
                let (_, left) = half_sent.front_mut().unwrap();
                let taken = room.min(*left);
                (room, *left) = (room - taken, *left - taken);
                if *left == 0
                    && let Some((Sent::Frame(number), _)) = half_sent.pop_front()
                {
                    let said_at = number as u64 * 20;
                    arrived.push((said_at, at - said_at));
                }
            }
        }
        arrived
    };
    // 200 kbit/s for 15 s.
    let slow = run(&mut end, 20..15_000, 25);
    let latest = slow.iter().map(|(_, late)| late).max();
    assert!(latest.is_some_and(|late| *late < 340), "{latest:?}");
    let carried = 15_000 * 25 / 660;
    assert!(slow.len().abs_diff(carried) < 8, "the line was never idle");
    let lost = 749 - slow.len() as u32;
    assert!(end.client.stats().voice_dropped.abs_diff(lost) <= 16);
    // The line recovers: waiting voice goes at once, and nothing after it is late.
    let fast = run(&mut end, 15_000..17_000, 1_000);
    let late = fast.iter().rfind(|(_, late)| *late > 1);
    assert!(
        late.is_some_and(|(said_at, _)| *said_at < 15_040),
        "{late:?}"
    );
    assert!(fast.len() <= 100 + 16, "{}", fast.len());
    assert_eq!(end.events, []);
}

#[test]
fn control_packets_overtake_waiting_voice() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.client.set_muted(end.now, true);
    end.receive(&ServerPacket::Ping(4_711));
    // It names the last of what is said before, so that the server still plays it.
    let control = [Sent::Pong(4_711), Sent::Muted(true)];
    let expected = [&control, &frames(0..2)[..], &[Sent::EndOfTalk]].concat();
    assert_eq!(end.sent(), expected);
}

#[test]
fn a_muted_client_sends_no_voice_and_tells_the_server() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.sent();
    end.client.set_muted(end.now, true);
    assert!(!end.client.is_talking());
    let at_once = [Sent::Muted(true), Sent::EndOfTalk];
    assert_eq!(end.sent(), at_once, "there may be no further frame");
    end.say(2..4);
    assert_eq!(end.sent(), []);
    end.client.set_muted(end.now, false);
    end.say(4..5);
    let nothing_from_before = [Sent::Muted(false), Sent::Frame(4)];
    assert_eq!(end.sent(), nothing_from_before);
    // Mute stays for the next session, whose Hello says so.
    end.client.set_muted(end.now, true);
    end.client.end(Reason::LEAVING);
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.sent(), [Sent::Hello { muted: true }]);
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    end.say(5..7);
    assert_eq!(end.sent(), []);
}

#[test]
fn a_client_configured_as_muted_joins_muted() {
    let mut request = request();
    request.muted = true;
    let mut end = End::new();
    end.client = Whole::new(fixed_gate(request)).unwrap();
    assert!(end.client.is_muted());
    end.client.join(end.now, PATIENCE, NONCE);
    assert_eq!(end.sent(), [Sent::Hello { muted: true }]);
}

#[test]
fn keeping_voice_back_tells_nobody() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.sent();
    end.client.keep_back(end.now, true);
    end.say(2..4);
    assert_eq!(end.sent(), [Sent::EndOfTalk]);
    // Mute and keeping back are independent: ending one leaves the other.
    end.client.set_muted(end.now, true);
    end.client.set_muted(end.now, false);
    end.say(4..5);
    assert_eq!(end.sent(), [], "still kept back");
    end.client.set_muted(end.now, true);
    end.client.keep_back(end.now, false);
    end.say(5..6);
    assert_eq!(end.sent(), [Sent::Muted(true)]);
    end.client.set_muted(end.now, false);
    end.client.keep_back(end.now, true);
    // It holds for the next session.
    end.client.end(Reason::LEAVING);
    end.join(20);
    end.say(6..7);
    assert_eq!(end.sent(), []);
    end.client.keep_back(end.now, false);
    end.say(7..8);
    assert_eq!(end.sent(), frames(7..8));
}

#[test]
fn a_margin_is_never_longer_than_half_the_buffer() {
    let mut config = fixed_gate(request());
    config.playout_margin_ms = 60_000;
    let mut end = End::new();
    end.client = Whole::new(config).unwrap();
    end.join(5);
    assert_eq!(end.client.playout_frames(), (0, 32), "half of 64 packets");
}

#[test]
fn a_microphone_that_is_gone_ends_the_talkspurt() {
    let mut end = End::joined(20);
    end.client.end_talkspurt(end.now);
    assert_eq!(end.sent(), [], "there was none");
    end.say(0..2);
    end.client.end_talkspurt(end.now);
    let said = [Sent::Frame(0), Sent::Frame(1), Sent::EndOfTalk];
    assert_eq!(end.sent(), said);
    let stats = end.client.stats();
    assert_eq!((stats.talkspurts, stats.frames_captured), (1, 2));
    assert_eq!(stats.frames_sent, 2, "its end does not count as a frame");
}

#[test]
fn a_frame_that_is_missed_ends_the_talkspurt() {
    let mut end = End::joined(20);
    end.say(0..1);
    for _ in 0..3 {
        end.client.miss_frame(end.now);
    }
    assert_eq!(end.sent(), [Sent::Frame(0), Sent::EndOfTalk]);
    end.say(1..2);
    assert_eq!(
        end.sent(),
        frames(1..2),
        "and what was said before is no pre-roll"
    );
    assert_eq!(end.client.stats().frames_captured, 2);
}

#[test]
fn a_gate_is_checked_at_the_start_and_when_it_is_changed() {
    let mut config = fixed_gate(request());
    config.gate.mode = GateMode::Fixed {
        open_rms: 500,
        close_rms: 501,
    };
    let wrong = GateConfigError::CloseAboveOpen;
    let bad = config.gate;
    assert_eq!(
        Whole::new(config).err(),
        Some(ClientConfigError::Gate(wrong))
    );
    let mut end = End::joined(20);
    assert_eq!(end.client.set_gate(bad), Err(wrong));
    end.say(0..1);
    assert_eq!(end.sent(), frames(0..1), "nothing has changed");
    assert_eq!(End::new().client.set_gate(bad), Err(wrong));
    // Nothing reaches full scale, so this gate never opens. It stays for the next session.
    let deaf = GateConfig {
        mode: GateMode::Fixed {
            open_rms: 32_768,
            close_rms: 500,
        },
        ..GateConfig::DEFAULT
    };
    end.client.end_talkspurt(end.now);
    end.sent();
    assert_eq!(end.client.set_gate(deaf), Ok(()));
    end.say(1..3);
    assert_eq!(end.sent(), []);
    end.client.end(Reason::LEAVING);
    end.join(20);
    end.say(3..5);
    assert_eq!(end.sent(), []);
}

#[test]
fn a_gate_changed_in_a_session_keeps_its_hold_time() {
    let [unchanged, changed] = [false, true].map(|is_changed| {
        let mut end = End::joined(5);
        if is_changed {
            end.client.set_gate(fixed_gate(request()).gate).unwrap();
        }
        end.client.push_frame(end.now, &word(0)[..80]);
        (1..100).for_each(|n| _ = end.client.push_frame(end.now, &quiet(n)[..80]));
        end.sent()
    });
    assert_eq!(unchanged, frames(0..60), "100 ms and the window");
    assert_eq!(changed, unchanged);
}

#[test]
fn the_pre_roll_is_as_long_as_configured() {
    let mut config = fixed_gate(request());
    config.pre_roll_ms = 20;
    let mut end = End::new();
    end.client = Whole::new(config).unwrap();
    end.join(5);
    (0..30).for_each(|n| _ = end.client.push_frame(end.now, &soft(n)[..80]));
    end.client.push_frame(end.now, &word(30)[..80]);
    assert_eq!(end.sent(), frames(26..31));
}

#[test]
fn the_pre_roll_is_200_ms_at_most() {
    let mut config = fixed_gate(request());
    config.pre_roll_ms = HISTORY_MS as u16;
    let mut end = End::new();
    end.client = Whole::new(config).unwrap();
    for (frame_ms, pre_roll_frames) in [(20, 10), (10, 20), (5, 40)] {
        end.join(frame_ms);
        let samples = 16 * usize::from(frame_ms);
        (0..80).for_each(|n| _ = end.client.push_frame(end.now, &soft(n)[..samples]));
        end.client.push_frame(end.now, &word(80)[..samples]);
        assert_eq!(
            end.sent(),
            frames(80 - pre_roll_frames..81),
            "{frame_ms} ms"
        );
        end.client.end(Reason::LEAVING);
        end.sent();
    }
}

#[test]
fn a_leaving_client_plays_no_more_voice() {
    let mut end = End::joined(20);
    for number in 0..6 {
        end.receive(&ServerPacket::Voice(say(number, &[9; 640])));
    }
    assert_eq!(end.play().0, Playout::Frame { terminator: false });
    end.client.leave(end.now);
    assert_eq!(end.sent(), [Sent::Bye(Reason::LEAVING)]);
    assert_eq!(end.play().0, Playout::Faded);
    assert_eq!(end.play(), (Playout::Silence, 0));
}

#[test]
fn playback_fades_when_a_session_ends_and_does_not_resume() {
    let mut end = End::joined(20);
    for number in 0..6 {
        end.receive(&ServerPacket::Voice(say(number, &[9; 640])));
    }
    assert_eq!(end.client.playout_frames().0, 6);
    assert_eq!(end.play().0, Playout::Frame { terminator: false });
    end.receive(&ServerPacket::Bye(Bye::from(Reason::STOPPING)));
    assert_eq!(end.play().0, Playout::Faded);
    assert_eq!(end.play(), (Playout::Silence, 0));
    end.join(20);
    assert_eq!(end.play(), (Playout::Silence, 0));
    let ClientStats {
        frames_played,
        frames_concealed,
        frames_silent,
        frames_received,
        ..
    } = end.client.stats();
    assert_eq!((frames_played, frames_concealed, frames_silent), (1, 1, 2));
    assert_eq!(frames_received, 6);
}

#[test]
fn voice_of_another_frame_length_is_dropped() {
    let mut end = End::joined(20);
    end.receive(&ServerPacket::Voice(say(0, &[9; 100])));
    let terminator = Voice {
        terminator: true,
        ..say(1, &[])
    };
    end.receive(&ServerPacket::Voice(terminator));
    assert_eq!(end.events, []);
    assert_eq!(end.client.stats().frames_received, 0);
}
