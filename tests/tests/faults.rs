//! Real processes when things go wrong: a server that is killed, a client that stops reading,
//! hostile peers, an impossible command line.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use socket2::{Domain, Socket, Type};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::wire::{ClientPacket, Hello, PROTOCOL_VERSION};
use talkspurt_testkit::bit_exact::{covered_in_time, exact_runs};
use talkspurt_testkit::busy_machine::repeat_if_spoilt;
use talkspurt_testkit::fixture::{LATEST, SOON, Stage, finish, leave, page, resident_bytes};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{self, Server};
use talkspurt_testkit::wav::samples;

const UNGATED: [&str; 5] = ["--codec", "pcm16", "--no-gate", "--linger", "2"];

/// If timers are on time, every frame arrives as it was spoken. Two may be blended away while
/// playout settles.
const NEARLY_ALL: f64 = 0.98;

#[test]
fn clients_rejoin_a_server_that_was_killed() -> Result<()> {
    repeat_if_spoilt(rejoin_and_hear)
}

fn rejoin_and_hear() -> Result<()> {
    let mut stage = Stage::new(&[])?;
    let mut clients = Vec::new();
    for name in ["ann", "ben"] {
        clients.push(stage.join("r", name, &[], &["--codec", "pcm16"])?);
    }
    let marks: Vec<usize> = clients.iter().map(Process::mark).collect();
    stage.server.process.kill()?;
    stage.server.process.wait(SOON)?;
    for (client, mark) in clients.iter().zip(&marks) {
        client.wait_for_event_after(*mark, "reconnecting", SOON, |_| true)?;
    }
    let address = stage.server.address.clone();
    stage.server = Server::start_at(&address, &[])?;
    for (client, mark) in clients.iter().zip(&marks) {
        client.wait_for_event_after(*mark, "joined", SOON, |_| true)?;
    }
    // They are in the same room again, and hear its talker.
    let says = noise(1, samples(2_000));
    let mut cat = stage.join("r", "cat", &says, &UNGATED)?;
    let roster = cat.wait_for_event("joined", SOON)?.json["roster"].to_string();
    assert!(
        roster.contains("\"ann\"") && roster.contains("\"ben\""),
        "{roster}"
    );
    finish(&mut cat, SOON)?;
    for (client, name) in clients.iter_mut().zip(["ann", "ben"]) {
        let left = leave(client)?;
        assert_eq!(left.number("/reconnects")?, 1, "{}", left.json);
        // The recording paused while there was no server, so only differences in delay are known.
        let runs = exact_runs(&says, &stage.heard("r", name)?);
        let due = runs
            .first()
            .map_or(0, |run| run.heard as i64 - run.spoken as i64);
        let share = covered_in_time(&runs, 0..says.len(), due, LATEST) as f64 / says.len() as f64;
        println!("{name} heard {share:.3} after the restart");
        assert!(
            share > NEARLY_ALL,
            "{name} heard {share:.3} after the restart"
        );
    }
    Ok(())
}

#[test]
fn a_server_that_is_asked_to_stop_says_bye_and_exits_with_0() -> Result<()> {
    let mut stage = Stage::new(&[])?;
    let ann = stage.join("r", "ann", &[], &[])?;
    let mark = ann.mark();
    let asked = Instant::now();
    stage.server.process.terminate()?;
    stage.server.process.wait_for_success(SOON)?;
    assert!(
        asked.elapsed() < Duration::from_secs(2),
        "it took {:?}",
        asked.elapsed()
    );
    let lost = ann.wait_for_event_after(mark, "reconnecting", SOON, |_| true)?;
    let reason = lost.json["reason"].to_string();
    assert!(
        reason.contains("stopping"),
        "wrong reason in the Bye: {reason}"
    );
    Ok(())
}

#[test]
fn clients_that_stop_reading_harm_nobody_and_memory_stays_bounded() -> Result<()> {
    repeat_if_spoilt(twenty_stop_reading)
}

fn twenty_stop_reading() -> Result<()> {
    // The idle timeout must not drop them during the test.
    let stage = Stage::new(&["--idle-timeout", "120s"])?;
    let mut lis = stage.join("r", "lis", &[], &["--codec", "pcm16"])?;
    let stalled: Vec<TcpStream> = (0..20)
        .map(|i| deaf_participant(&stage.server.address, "r", &format!("deaf {i}")))
        .collect::<Result<_>>()?;
    let before = resident_bytes(&stage.server.process)?;
    let says = noise(1, samples(10_000));
    let mut ann = stage.join("r", "ann", &says, &UNGATED)?;
    finish(&mut ann, SOON)?;
    let after = resident_bytes(&stage.server.process)?;
    leave(&mut lis)?;
    let dropped = stage.metric("talkspurt_slow_consumer_drops_total")?;
    // Some dozens of the 500 frames for each are in the sockets.
    assert!(
        dropped > 20.0 * 300.0,
        "{dropped} packets were dropped for 20 stalled consumers"
    );
    // 10 s of PCM16 for all of them would be 6.4 MB. The server keeps 200 ms for each, and Ann's
    // own buffer.
    let grown = after.saturating_sub(before);
    assert!(
        grown < 3_000_000,
        "the server grew from {before} to {after} bytes"
    );
    let share = stage.share_in_time((&ann, &says, 0..says.len()), ("r", &lis))?;
    println!("the listener heard {share:.3}");
    assert!(share > NEARLY_ALL, "the listener heard {share:.3}");
    drop(stalled);
    Ok(())
}

/// Joins and never reads.
fn deaf_participant(server: &str, room: &str, name: &str) -> Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    // The kernel keeps reading for a process that does not. A small buffer lets the server notice
    // soon.
    socket.set_recv_buffer_size(4 * 1024)?;
    socket.connect(&server.parse::<SocketAddr>()?.into())?;
    let mut stream = TcpStream::from(socket);
    stream.write_all(&hello(room, name))?;
    Ok(stream)
}

fn hello(room: &str, name: &str) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let hello = ClientPacket::Hello(Hello {
        version: PROTOCOL_VERSION,
        nonce: [7; 8],
        max_packet: 1_280,
        features: 0,
        resume: None,
        room,
        name,
        codecs_up: &[0],
        codecs_down: &[0],
        rates_hz: [16_000].into_iter().collect(),
        flags: Default::default(),
        roster: 1,
        credentials: &[],
    });
    let len = write_to_stream(&hello, &mut bytes).expect("it fits");
    bytes[..len].to_vec()
}

#[test]
fn hostile_peers_are_refused_while_a_talk_goes_on() -> Result<()> {
    repeat_if_spoilt(hostile_peers_are_refused)
}

fn hostile_peers_are_refused() -> Result<()> {
    let stage = Stage::new(&["--handshake-timeout", "1s"])?;
    let mut lis = stage.join("r", "lis", &[], &["--codec", "pcm16"])?;
    let says = noise(1, samples(6_000));
    let mut ann = stage.join("r", "ann", &says, &UNGATED)?;
    let mut rng = fastrand::Rng::with_seed(7);
    for i in 0..60 {
        let mut peer = TcpStream::connect(&stage.server.address)?;
        peer.set_read_timeout(Some(SOON))?;
        let garbage: Vec<u8> = (0..30_000).map(|_| rng.u8(..)).collect();
        let bytes = match i % 3 {
            0 => &garbage[..],
            1 => &hello("r", "half")[..9],
            _ => &hello("r", "ann")[..],
        };
        // It may be closed while this is written.
        let _ = peer.write_all(bytes);
        let mut said = Vec::new();
        if i % 3 == 1 {
            peer.shutdown(Shutdown::Write)?;
        }
        let ended = peer.read_to_end(&mut said);
        assert!(
            ended.is_ok() || i % 3 == 0,
            "peer {i} was not closed: {ended:?}"
        );
    }
    finish(&mut ann, SOON)?;
    leave(&mut lis)?;
    let share = stage.share_in_time((&ann, &says, 0..says.len()), ("r", &lis))?;
    println!("the listener heard {share:.3}");
    assert!(share > NEARLY_ALL, "the listener heard {share:.3}");
    assert_eq!(
        stage.metric("talkspurt_handshake_failures_total{reason=\"name_taken\"}")?,
        20.0
    );
    assert_eq!(
        stage.metric("talkspurt_handshake_failures_total{reason=\"damage\"}")?,
        20.0
    );
    assert_eq!(stage.metric("talkspurt_participants")?, 0.0);
    assert_eq!(page(&stage.server.http, "/healthz")?.trim(), "ok");
    Ok(())
}

/// Runs a program to its end and returns its exit code and the lines of its standard error.
fn failure(command: &mut Command) -> Result<(Option<i32>, Vec<String>)> {
    let mut process = Process::spawn("a program that fails", command)?;
    let code = process.wait(SOON)?.code();
    Ok((code, process.log().lines().map(str::to_owned).collect()))
}

#[test]
fn a_port_in_use_is_one_clear_line() -> Result<()> {
    let server = Server::start(&[])?;
    for (flag, address, other) in [
        ("--listen", &server.address, "--http"),
        ("--http", &server.http, "--listen"),
    ] {
        let mut command = programs::command("talkspurt-server")?;
        command.args([flag, address, other, "127.0.0.1:0"]);
        let (code, lines) = failure(&mut command)?;
        assert_eq!(code, Some(1), "{lines:?}");
        let line = lines.first().context("no error message")?;
        assert_eq!(lines.len(), 1, "more than one line: {lines:?}");
        assert!(
            line.contains(address.as_str()) && line.contains("address in use"),
            "{line}"
        );
    }
    Ok(())
}

#[test]
fn a_taken_name_is_one_clear_line() -> Result<()> {
    let stage = Stage::new(&[])?;
    let _ann = stage.join("r", "ann", &[], &[])?;
    let mut command = programs::command("talkspurt")?;
    command.args([
        "join",
        &stage.server.address,
        "--room",
        "r",
        "--name",
        "ann",
    ]);
    command.args(["--input", "none", "--output", "none"]);
    let (code, lines) = failure(&mut command)?;
    assert_eq!(code, Some(1), "{lines:?}");
    assert_eq!(lines.len(), 1, "more than one line: {lines:?}");
    assert!(lines[0].contains("name is taken"), "{}", lines[0]);
    Ok(())
}

#[test]
fn the_health_command_tells_a_healthy_server_from_none() -> Result<()> {
    let mut server = Server::start(&[])?;
    let health = || -> Result<Command> {
        let mut command = programs::command("talkspurt-server")?;
        command.args(["health", "--http", &server.http]);
        Ok(command)
    };
    let (mut well, mut gone) = (health()?, health()?);
    assert_eq!(failure(&mut well)?.0, Some(0));
    server.process.kill()?;
    server.process.wait(SOON)?;
    assert_eq!(failure(&mut gone)?.0, Some(1));
    Ok(())
}
