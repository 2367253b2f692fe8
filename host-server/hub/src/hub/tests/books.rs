//! What is counted and kept: figures, deadlines, bounds.

use talkspurt_core::audio::format::FrameDuration;

use super::*;
use crate::framing::TALKSPURT_LEAD;

fn many(participants: usize) -> Bench {
    Bench::new(HubConfig {
        max_participants: participants,
        room_capacity: participants,
        ..config()
    })
}

#[test]
fn a_full_room_of_long_names_fits_into_a_newcomers_outbox() {
    // All that a name may be, so that the roster is as long as it can be.
    let mut bench = many(700);
    for n in 0..700 {
        bench.join("hall", &format!("{n:032}"));
        bench.forget_received();
    }
    assert_eq!(bench.hub.gauges().participants, 700);
    bench.close(0);
    bench.forget_received();
    let last = bench.connect();
    bench.peers[last].reads = false;
    bench.hello(last, "hall", &"x".repeat(32), CodecId::Pcm16);
    assert_eq!(bench.hub.counters().sessions_ended["slow_reader"], 0);
    bench.peers[last].reads = true;
    let link = bench.peers[last].link.unwrap();
    bench.deliver_to(link);
    let listed: usize = bench
        .take_received(last)
        .iter()
        .map(|received| match received {
            Received::Welcome { roster, .. } | Received::Roster(roster) => roster.len(),
            _ => 0,
        })
        .sum();
    assert_eq!(listed, 700);
}

#[test]
fn an_outbox_holds_three_hundred_changes_beside_a_roster_and_no_more() {
    let mut bench = Bench::new(config());
    let slow = bench.join("kitchen", "slow");
    bench.peers[slow].reads = false;
    let mut changes = 0;
    while bench.hub.counters().sessions_ended["slow_reader"] == 0 {
        let churn = bench.join("kitchen", "churn");
        bench.close(churn);
        changes += 2;
        bench.pass(Duration::from_millis(1));
    }
    // What a change takes is between the bare overhead and that with a name of five letters.
    let bytes = CONTROL_BYTES + 64 * ROSTER_ENTRY_BYTES;
    let least = bytes / (PACKET_OVERHEAD_BYTES + 20);
    let most = bytes / PACKET_OVERHEAD_BYTES + 2;
    assert!((least..=most).contains(&changes), "{changes} changes");
}

#[test]
fn bytes_and_packets_are_counted_both_ways() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    let before = bench.hub.counters().clone();
    assert_eq!(
        (before.packets_in, before.packets_out),
        (1, 2),
        "Hello; Welcome and roster"
    );
    let mut packet = [0; ENCODED_MAX];
    let len = write_to_stream(&ClientPacket::Ping(7), &mut packet).unwrap();
    bench.send_bytes(ada, &packet[..len]);
    bench.send_bytes(ada, &packet[..len]);
    let pong = talkspurt_core::wire::ServerPong {
        number: 7,
        revision: 1,
        flags: ParticipantFlags::default(),
    };
    let pong_len = write_to_stream(&ServerPacket::Pong(pong), &mut packet).unwrap();
    let after = bench.hub.counters();
    assert_eq!(after.bytes_in - before.bytes_in, 2 * len as u64);
    assert_eq!(after.bytes_out - before.bytes_out, 2 * pong_len as u64);
    assert_eq!((after.packets_in, after.packets_out), (3, 4));
    bench.send_bytes(ada, &[5, 5, 0, 5]);
    assert_eq!(bench.hub.counters().packets_in, 3, "noise is no packet");
}

#[test]
fn frames_of_those_who_have_left_still_count() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    for talkspurt in 1..=2u64 {
        bench.speak(ada, 1, false);
        bench.pass(Duration::from_secs(1));
        assert_eq!(bench.hub.frame_counters().concealed, 5 * talkspurt);
    }
    bench.close(ada);
    assert_eq!(bench.hub.frame_counters().concealed, 10);
    let bob = bench.join("kitchen", "bob");
    bench.speak(bob, 1, false);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.hub.frame_counters().concealed, 15, "here and gone");
}

#[test]
fn an_orderly_end_is_no_reset_and_the_end_of_one_who_takes_nothing_is() {
    let mut bench = Bench::new(config());
    let [ada, slow] = ["ada", "slow"].map(|name| bench.join("kitchen", name));
    bench.peers[slow].reads = false;
    for peer in [ada, slow] {
        bench.send(peer, &ClientPacket::Hello(wrong_hello()));
    }
    assert_eq!(bench.peers[ada].closed_unsent, Some(false));
    bench.pass(Duration::from_millis(999));
    assert_eq!(bench.peers[slow].closed_unsent, None, "it has its time");
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.peers[slow].closed_unsent, Some(true));
}

/// Ends a session in good order: a Hello that cannot be granted.
fn wrong_hello() -> Hello<'static> {
    hello("kitchen", "", &[0], [1; 8])
}

#[test]
fn connections_that_come_and_go_leave_no_deadlines_behind() {
    let mut bench = Bench::new(HubConfig {
        idle_timeout: Duration::from_secs(3_600),
        handshake_timeout: Duration::from_secs(60),
        ..config()
    });
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    for n in 0..5_000 {
        let churn = bench.join("kitchen", "churn");
        bench.speak(churn, 1, true);
        bench.set_muted(ada, n % 2 == 0);
        bench.pass(Duration::from_millis(21));
        bench.close(churn);
        bench.peers.pop();
        bench.events.clear();
        bench.forget_received();
        assert!(bench.deadlines_kept() <= 80, "{}", bench.deadlines_kept());
    }
    // Those who stay are still looked after.
    bench.send(bob, &ClientPacket::Ping(1));
    bench.pass(Duration::from_secs(3_599));
    assert!(!bench.peers[bob].closed);
    bench.pass(Duration::from_secs(1));
    assert!(bench.peers[ada].closed && bench.peers[bob].closed);
    bench.pass(Duration::from_secs(2));
    assert_eq!(bench.deadlines_kept(), 0);
}

#[test]
fn a_connection_with_voice_is_named_once_and_first() {
    let mut bench = Bench::new(config());
    let [ada, bob, eve] = ["ada", "bob", "eve"].map(|name| bench.join("kitchen", name));
    let link = |bench: &Bench, peer: usize| bench.peers[peer].link.unwrap();
    bench.speak(ada, 1, false);
    bench.speak(ada, 1, false);
    // Two ticks, of which nothing is written meanwhile; and a packet for someone else before them.
    bench.oversleep(Duration::from_millis(100));
    let mut ping = [0; ENCODED_MAX];
    let len = write_to_stream(&ClientPacket::Ping(1), &mut ping).unwrap();
    bench
        .hub
        .handle_bytes(link(&bench, ada), &ping[..len], bench.now);
    assert!(bench.hub.has_output());
    for _ in 0..2 {
        assert_eq!(bench.hub.handle_timeout(bench.now), Work::Tick);
    }
    let listeners = [link(&bench, bob), link(&bench, eve)];
    let named: Vec<_> = std::iter::from_fn(|| bench.hub.poll_voice_output()).collect();
    assert_eq!(named, listeners);
    assert_eq!(bench.hub.poll_output(), Some(link(&bench, ada)));
}

#[test]
fn whoever_is_written_to_in_between_is_named_no_second_time() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.speak(ada, 1, false);
    bench.speak(ada, 1, false);
    bench.oversleep(Duration::from_millis(100));
    let link = bench.peers[bob].link.unwrap();
    for _ in 0..2 {
        assert_eq!(bench.hub.handle_timeout(bench.now), Work::Tick);
        bench.deliver_to(link);
    }
    let named: Vec<_> = std::iter::from_fn(|| bench.hub.poll_voice_output()).collect();
    assert_eq!(named, [link]);
}

#[test]
fn a_link_that_leaves_its_room_with_output_is_named_there_and_afterwards() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    let link = |bench: &Bench, peer: usize| bench.peers[peer].link.unwrap();
    let links = [ada, bob].map(|peer| link(&bench, peer));
    // A State waits for Bob, and nobody has asked for output when Bob leaves.
    let mut bytes = [0; ENCODED_MAX];
    for (link, packet) in [
        (
            links[0],
            ClientPacket::SetMuted(SetMuted {
                muted: true,
                after: None,
            }),
        ),
        (links[1], ClientPacket::Bye(Bye::from(Reason::LEAVING))),
    ] {
        let len = write_to_stream(&packet, &mut bytes).unwrap();
        bench.hub.handle_bytes(link, &bytes[..len], bench.now);
    }
    let mut named: Vec<_> = std::iter::from_fn(|| bench.hub.poll_output()).collect();
    named.sort();
    assert_eq!(named, links, "once each");
    bench.deliver_to(links[1]);
    assert!(bench.peers[bob].closed);
    // One that has been named in the room is named again when it has last words.
    bench.hub.handle_closed(links[0], bench.now);
    let eve = bench.join("kitchen", "eve");
    bench.hub.shut_down(bench.now);
    let named: Vec<_> = std::iter::from_fn(|| bench.hub.poll_output()).collect();
    assert_eq!(named, [link(&bench, eve)]);
}

#[test]
fn who_is_thrown_out_gets_the_reason_and_no_old_voice() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.peers[bob].reads = false;
    for _ in 0..5 {
        bench.speak(ada, 1, false);
        bench.pass(FRAME);
    }
    bench.take_received(bob);
    bench.speak_payload(bob, &[1, 2, 3], false);
    bench.peers[bob].reads = true;
    bench.deliver_to(bench.peers[bob].link.unwrap());
    let received = bench.take_received(bob);
    let voices = |received: &Received| matches!(received, Received::Voice { .. });
    assert!(!received.iter().any(voices), "{received:?}");
    assert_eq!(received.last(), Some(&Received::Bye(Reason::UNEXPECTED)));
}

#[test]
fn what_is_due_outlives_the_tidying_of_the_deadlines() {
    let mut bench = Bench::new(config());
    let [ada, bob] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    for muted in [true, false] {
        bench.set_muted(bob, muted);
    }
    bench.forget_received();
    bench.speak(ada, 7, true);
    for _ in 0..500 {
        let churn = bench.connect();
        bench.close(churn);
        bench.peers.pop();
    }
    assert!(bench.deadlines_kept() <= 80);
    bench.pass(Duration::from_millis(100));
    assert_eq!(bench.heard(bob), [(Some(7), true)]);
    let told = bench.take_states(ada);
    let of_bob = |received: &&Received| matches!(received, Received::State(2, _));
    let unmuted = Received::State(2, ParticipantFlags::default());
    assert_eq!(told.iter().rfind(of_bob), Some(&unmuted), "{told:?}");
}

#[test]
fn a_zero_goes_before_what_follows_a_pause() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    bench.pass(Duration::from_secs(1));
    let link = bench.peers[ada].link.unwrap();
    let mut ping = [0; ENCODED_MAX];
    let len = write_to_stream(&ClientPacket::Ping(1), &mut ping).unwrap();
    let firsts = [true, false].map(|_| {
        bench.hub.handle_bytes(link, &ping[..len], bench.now);
        let mut written: Vec<u8> = Vec::new();
        bench.hub.write(link, bench.now, |outbox| {
            written.extend(outbox.packets().flatten());
            Some(written.len())
        });
        written[0] == 0
    });
    assert_eq!(firsts, [true, false]);
}

#[test]
fn voice_alone_is_output_too() {
    let mut bench = Bench::new(config());
    let [ada, _] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.speak(ada, 1, false);
    bench.oversleep(Duration::from_millis(50));
    assert!(!bench.hub.has_output());
    assert_eq!(bench.hub.handle_timeout(bench.now), Work::Tick);
    assert!(bench.hub.has_output());
}

#[test]
fn a_room_has_the_servers_frames() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let mut bench = Bench::new(HubConfig {
            format: AudioFormat {
                frame,
                ..AudioFormat::DEFAULT
            },
            ..config()
        });
        bench.join("kitchen", "ada");
        assert!(bench.hub.rooms().all(|room| room.format().frame == frame));
        assert_eq!(bench.hub.rooms().count(), 1);
    }
}

#[test]
fn bytes_that_wait_for_the_answer_to_a_hello_are_counted_once() {
    let mut bench = Bench::new(config());
    bench.answers = false;
    let ada = bench.join("kitchen", "ada");
    let before = bench.hub.counters().bytes_in;
    bench.send_bytes(ada, &[0; 100]);
    bench.answers = true;
    bench.deliver();
    assert_eq!(bench.hub.gauges().participants, 1);
    assert_eq!(bench.hub.counters().bytes_in - before, 100);
}

#[test]
fn output_with_voice_comes_before_the_rest() {
    let mut bench = Bench::new(config());
    let links = ["ada", "bob"].map(|name| {
        let peer = bench.join("kitchen", name);
        bench.peers[peer].link.unwrap()
    });
    bench.speak(0, 1, false);
    bench.oversleep(Duration::from_millis(100));
    let mut ping = [0; ENCODED_MAX];
    let len = write_to_stream(&ClientPacket::Ping(1), &mut ping).unwrap();
    bench.hub.handle_bytes(links[0], &ping[..len], bench.now);
    assert_eq!(bench.hub.handle_timeout(bench.now), Work::Tick);
    let named: Vec<_> = std::iter::from_fn(|| bench.hub.poll_output()).collect();
    assert_eq!(named, [links[1], links[0]]);
}

#[test]
fn a_tick_goes_before_a_handshake_that_ends_at_the_same_moment() {
    let mut bench = Bench::new(config());
    let [ada, _] = ["ada", "bob"].map(|name| bench.join("kitchen", name));
    bench.connect();
    let silence = config().handshake_timeout;
    bench.pass(silence - TALKSPURT_LEAD);
    bench.speak(ada, 1, false);
    bench.oversleep(TALKSPURT_LEAD);
    let silent_due = bench.hub.lobby.deadlines.earliest();
    assert_eq!(silent_due, Some(bench.now), "as the tick is");
    assert_eq!(bench.hub.handle_timeout(bench.now), Work::Tick);
}

#[test]
fn what_a_peer_sends_after_its_session_has_ended_is_not_read() {
    let mut bench = Bench::new(config());
    let ann = bench.join("kitchen", "ann");
    bench.peers[ann].reads = false;
    bench.hub.shut_down(bench.now);
    let before = bench.hub.counters().packets_in;
    bench.send(ann, &ClientPacket::Ping(1));
    bench.send(ann, &ClientPacket::Ping(2));
    assert!(bench.peers[ann].link.is_some(), "its Bye still waits");
    assert_eq!(bench.hub.counters().packets_in, before);
}

#[test]
fn what_comes_over_a_link_that_is_gone_is_ignored() {
    let mut bench = Bench::new(config());
    let ada = bench.join("kitchen", "ada");
    let link = bench.peers[ada].link.expect("connected");
    bench.close(ada);
    // In vain, but not without end.
    bench.hub.handle_bytes(link, &[7, 7, 0], bench.now);
    assert_eq!(bench.hub.gauges().handshakes, 0);
}
