//! The program as its users meet it: a process, its ports, its lines, its exit codes.

use std::net::TcpListener;
use std::process::Command;
use std::time::{Duration, Instant};

use peer::Peer;
use server::{PROGRAM, Server};
use talkspurt_core::wire::{ClientPacket, Reason};

#[allow(dead_code, reason = "each test file uses its share of the peer")]
mod peer;
#[allow(dead_code, reason = "each test file uses its share of the server")]
mod server;

#[test]
fn signals_say_bye_to_everyone_and_exit_0_in_time() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut server = Server::start(&[]);
        let mut ada = Peer::join(server.voice, "kitchen", "ada");
        let mut bob = Peer::join(server.voice, "kitchen", "bob");
        let (code, took) = server.stop(signal);
        assert_eq!(code, Some(0));
        assert!(took < Duration::from_secs(2), "{took:?}");
        for peer in [&mut ada, &mut bob] {
            assert_eq!(peer.read_until_closed().bye, Some(Reason::STOPPING));
        }
    }
}

#[test]
fn a_client_that_does_not_read_delays_the_end_only_so_far() {
    let mut server = Server::start(&[]);
    let _never_closes = Peer::join(server.voice, "kitchen", "ada");
    let (code, took) = server.stop(libc::SIGTERM);
    assert_eq!(code, Some(0));
    assert!(took < Duration::from_secs(2), "{took:?}");
}

#[test]
fn a_taken_port_is_one_line_and_exit_code_1() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for flag in ["--listen", "--http"] {
        let other = if flag == "--listen" {
            "--http"
        } else {
            "--listen"
        };
        let output = Command::new(PROGRAM)
            .args([flag, &address, other, "127.0.0.1:0"])
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1));
        assert_eq!(
            String::from_utf8(output.stderr).unwrap(),
            format!("cannot listen on {address}: address in use; choose another with {flag}\n")
        );
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn health_tells_by_its_exit_code() {
    let server = Server::start(&[]);
    let health = |http: &str| {
        Command::new(PROGRAM)
            .args(["health", "--http", http])
            .output()
            .unwrap()
    };
    assert_eq!(health(&server.http.to_string()).status.code(), Some(0));
    // A port that was free a moment ago.
    let free = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .to_string();
    let sick = health(&free);
    assert_eq!(sick.status.code(), Some(1));
    assert!(
        String::from_utf8(sick.stderr)
            .unwrap()
            .starts_with(&format!("no healthy server at http://{free}/healthz"))
    );
}

#[test]
fn the_environment_sets_flags() {
    let output = Command::new(PROGRAM)
        .env("TALKSPURT_FRAME_MS", "7")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(
        String::from_utf8(output.stderr)
            .unwrap()
            .contains("expected 5, 10 or 20")
    );
}

#[test]
fn an_empty_variable_means_the_default() {
    let output = |flags: &[&str], variable: &str| {
        let mut program = Command::new(PROGRAM);
        program.args(flags).env(variable, "").output().unwrap()
    };
    for name in [
        "LISTEN",
        "HTTP",
        "FRAME_MS",
        "MIX",
        "MAX_PARTICIPANTS",
        "ROOM_CAPACITY",
        "HANDSHAKE_TIMEOUT",
        "IDLE_TIMEOUT",
        "LOG_FORMAT",
    ] {
        // A port that needs no listener: flags are read before anything is bound.
        let started = output(&["--listen", "192.0.2.1:1"], &format!("TALKSPURT_{name}"));
        assert_eq!(started.status.code(), Some(1), "{name}: {started:?}");
    }
    let probed = output(&["health"], "TALKSPURT_HTTP");
    assert_ne!(probed.status.code(), Some(2), "{probed:?}");
}

#[test]
fn a_malformed_log_filter_is_reported_and_info_is_used() {
    for wrong in ["talkspurt_server=verbos", "warning"] {
        let mut server = Server::start_as(Command::new(PROGRAM).env("RUST_LOG", wrong), &[]);
        let ada = Peer::join(server.voice, "kitchen", "ada");
        server.stop(libc::SIGTERM);
        drop(ada);
        let log = server.log();
        let complaints: Vec<_> = log
            .lines()
            .filter(|line| line.contains("RUST_LOG"))
            .collect();
        assert_eq!(complaints.len(), 1, "{log}");
        assert!(
            complaints[0].contains(wrong) && complaints[0].contains("WARN"),
            "{log}"
        );
        assert!(
            log.contains("joined"),
            "lines of level info are there: {log}"
        );
    }
}

#[test]
fn pages_tell_who_is_there() {
    let server = Server::start(&[]);
    let mut ada = Peer::join(server.voice, "kitchen", "ada");
    ada.speak(16_384, false);
    ada.wait_for_state_of(ada.id);
    let rooms = server.get("/rooms");
    assert!(
        rooms.contains(r#""name":"kitchen""#) && rooms.contains(r#""name":"ada""#),
        "{rooms}"
    );
    assert!(
        rooms.contains(r#""talking":true"#) && rooms.contains(r#""codec":"pcm16""#),
        "{rooms}"
    );
    let metrics = server.get("/metrics");
    for line in [
        "talkspurt_rooms 1",
        "talkspurt_participants 1",
        "talkspurt_packets_in_total 2",
    ] {
        assert!(
            metrics.lines().any(|l| l == line),
            "{line} is missing in\n{metrics}"
        );
    }
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200 "));
}

#[test]
fn refusals_reach_even_those_who_go_on_sending_and_are_logged() {
    let mut server = Server::start(&["--log-format", "json"]);
    let mut eager = Peer::connect(server.voice);
    for _ in 0..50 {
        eager.speak(1, false);
    }
    let end = eager.read_until_closed();
    assert_eq!(end.reject, Some(Reason::NO_SESSION));
    let mut noise = Peer::connect(server.voice);
    noise.send_bytes(&[0x41; 64 * 1024]);
    assert_eq!(noise.read_until_closed().reject, Some(Reason::DAMAGE));
    let metrics = server.get("/metrics");
    assert!(
        metrics.contains("talkspurt_handshake_failures_total{reason=\"no_session\"} 1"),
        "{metrics}"
    );
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(
        log.lines()
            .any(|line| line.starts_with('{') && line.contains("no_session")),
        "{log}"
    );
    assert!(log.lines().any(|line| line.contains("damage")), "{log}");
}

#[test]
fn half_a_handshake_has_its_time() {
    let server = Server::start(&["--handshake-timeout", "300ms"]);
    let mut half = Peer::connect(server.voice);
    half.send_bytes(&[3, 1, 4]);
    assert_eq!(half.read_until_closed().reject, Some(Reason::NO_HELLO));
}

#[test]
fn a_killed_client_leaves_the_roster() {
    let server = Server::start(&[]);
    let mut ada = Peer::join(server.voice, "kitchen", "ada");
    let bob = Peer::join(server.voice, "kitchen", "bob");
    let gone = bob.id;
    drop(bob);
    ada.wait_until(|seen| seen.left.contains(&gone));
}

#[test]
fn a_client_that_stops_reading_harms_nobody_and_is_dropped() {
    let server = Server::start(&["--idle-timeout", "1s"]);
    let mut talker = Peer::join(server.voice, "kitchen", "talker");
    let mut listener = Peer::join(server.voice, "kitchen", "listener");
    let mut stalled = Peer::join(server.voice, "kitchen", "stalled");
    stalled.shrink_receive_buffer();
    let mut frames: usize = 0;
    let started = Instant::now();
    while !listener.seen.left.contains(&stalled.id) {
        assert!(
            started.elapsed() < Duration::from_secs(60),
            "the stalled client was never dropped"
        );
        talker.speak(1_000, false);
        frames += 1;
        if frames.is_multiple_of(10) {
            talker.send(&ClientPacket::Ping(1));
            listener.send(&ClientPacket::Ping(1));
            // Alive, but deaf. The server may have closed just now.
            let _ = stalled.try_send(&ClientPacket::Ping(1));
        }
        let next_frame = started + Duration::from_millis(20) * frames as u32;
        while let Some(left) = next_frame
            .checked_duration_since(Instant::now())
            .filter(|left| !left.is_zero())
        {
            listener.read_for(left.max(Duration::from_millis(1)));
        }
    }
    talker.speak(1_000, true);
    listener.wait_until(|seen| seen.terminators > 0);
    assert!(
        listener.seen.voices >= frames,
        "{} of {frames}",
        listener.seen.voices
    );
    assert!(
        server
            .get("/metrics")
            .contains("talkspurt_sessions_ended_total{reason=\"slow_reader\"} 1")
    );
}
