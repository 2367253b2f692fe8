//! What a server meets in the field: signals, limits, other address families, strangers.

use std::net::{Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use peer::Peer;
use server::{PROGRAM, Server};
use talkspurt_core::wire::{ClientPacket, Reason};

#[allow(dead_code, reason = "each test file uses its share of the peer")]
mod peer;
#[allow(dead_code, reason = "each test file uses its share of the server")]
mod server;

#[test]
fn a_hangup_throws_nobody_out() {
    let mut server = Server::start(&[]);
    let mut ada = Peer::join(server.voice, "kitchen", "ada");
    let bob = Peer::join(server.voice, "kitchen", "bob");
    for _ in 0..3 {
        server.signal(libc::SIGHUP);
    }
    ada.send(&ClientPacket::SetMuted(talkspurt_core::wire::SetMuted {
        muted: true,
        after: None,
    }));
    ada.wait_for_state_of(ada.id);
    drop((ada, bob));
    assert_eq!(server.stop(libc::SIGTERM).0, Some(0));
    let log = server.log();
    assert!(log.contains("SIGHUP"), "{log}");
}

/// A server that may have no descriptor beyond this number.
fn with_descriptors(limit: u32) -> Server {
    start_after(&format!("ulimit -n {limit}"))
}

fn start_after(command: &str) -> Server {
    let shell = format!("{command}; exec \"$0\" \"$@\"");
    Server::start_as(
        Command::new("sh").args(["-c", &shell, PROGRAM]),
        &["--handshake-timeout", "60s"],
    )
}

/// The limit at which a server has descriptors for two connections and no more, which is less than
/// it reckons with.
#[cfg(target_os = "linux")]
fn limit_for_two_connections() -> u32 {
    let server = Server::start(&[]);
    let is_for_two = |limit: &u32| server.descriptors_below(*limit) + 2 == *limit as usize;
    (2..100).find(is_for_two).unwrap()
}

#[test]
fn where_descriptors_are_short_fewer_come_in_and_all_are_told_so() {
    let mut server = with_descriptors(64);
    let _silent: Vec<_> = (0..200)
        .map(|_| TcpStream::connect(server.voice).unwrap())
        .collect();
    let _idle: Vec<_> = (0..40)
        .map(|_| TcpStream::connect(server.http).unwrap())
        .collect();
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200 "));
    // It reckons with 24 itself, and keeps one for a connection that has not joined, one for one
    // that is over, four for pages.
    let inside: Vec<_> = (0..34)
        .map(|n| Peer::join(server.voice, "kitchen", &format!("ada {n}")))
        .collect();
    for _ in 0..3 {
        let seen = Peer::refused(server.voice, "kitchen", "bob");
        assert_eq!(seen.reject, Some(Reason::SERVER_FULL));
    }
    assert!(server.get("/healthz").starts_with("HTTP/1.1 200 "));
    drop(inside);
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(!log.contains("cannot accept"), "{log}");
    let warned = "limit of open files is too low for 1000 participants: raise it";
    let figures = "limit=64 wanted=1664 participants=34";
    assert!(log.contains(warned) && log.contains(figures), "{log}");
}

#[test]
fn a_soft_limit_is_raised_as_far_as_it_may_be() {
    let mut server = start_after("ulimit -Sn 64");
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(!log.contains("limit=64"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn out_of_descriptors_is_one_line_and_passes() {
    let mut server = with_descriptors(limit_for_two_connections());
    let held: Vec<_> = (0..10)
        .map(|_| TcpStream::connect(server.voice).unwrap())
        .collect();
    // They are held for ever, and yet whoever says Hello gets in.
    let ada = Peer::join(server.voice, "kitchen", "ada");
    drop(held);
    drop(ada);
    server.stop(libc::SIGTERM);
    let log = server.log();
    let lines = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(lines("cannot accept a connection"), 1, "{log}");
    assert_eq!(
        lines("no file descriptor is left: raise the limit of open files (ulimit -Hn"),
        1,
        "what to do: {log}"
    );
    assert_eq!(lines("limit of open files is too low"), 1, "{log}");
    assert!(!log.contains("os error"), "{log}");
}

#[cfg(target_os = "linux")]
#[test]
fn the_last_descriptor_is_no_trouble_while_nobody_waits_for_another() {
    let limit = limit_for_two_connections();
    let mut server = with_descriptors(limit);
    let held: Vec<_> = (0..2)
        .map(|_| TcpStream::connect(server.voice).unwrap())
        .collect();
    let asked = std::time::Instant::now();
    while server.descriptors_below(limit) < limit as usize {
        assert!(asked.elapsed() < Duration::from_secs(20), "not accepted");
        std::thread::sleep(Duration::from_millis(1));
    }
    // Time in which those who wait would have to make room for one who does not come.
    std::thread::sleep(Duration::from_millis(1_500));
    for stream in &held {
        stream.set_nonblocking(true).unwrap();
        let error = stream.peek(&mut [0]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock, "it is kept");
    }
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(!log.contains("cannot accept"), "{log}");
}

#[test]
fn any_address_is_both_families_and_ipv4_is_logged_as_ipv4() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        return; // No IPv6 here: `net` has the test of what happens then.
    }
    let mut server = Server::start(&["--listen", "[::]:0"]);
    assert_eq!(server.said, format!("{} (IPv6 and IPv4)", server.voice));
    let port = server.voice.port();
    let v4 = Peer::join(SocketAddr::from(([127, 0, 0, 1], port)), "kitchen", "ada");
    let v6 = Peer::join(
        SocketAddr::from((Ipv6Addr::LOCALHOST, port)),
        "kitchen",
        "bob",
    );
    drop((v4, v6));
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(
        log.contains("peer=127.0.0.1:") && log.contains("peer=[::1]:"),
        "{log}"
    );
    assert!(!log.contains("ffff"), "{log}");
}

#[test]
fn health_finds_a_server_bound_to_any_address() {
    for http in ["[::]:0", "0.0.0.0:0"] {
        let server = Server::start(&["--http", http]);
        let asked = format!(
            "{}:{}",
            http.strip_suffix(":0").unwrap(),
            server.http.port()
        );
        let mut health = Command::new(PROGRAM);
        let output = health.args(["health", "--http", &asked]).output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
}

#[test]
fn a_probe_of_the_port_is_no_warning() {
    let mut server = Server::start(&[]);
    for _ in 0..20 {
        drop(TcpStream::connect(server.voice).unwrap());
    }
    let counted = |server: &Server| {
        let page = server.get("/metrics");
        page.lines().any(|line| line == "talkspurt_probes_total 20")
    };
    while !counted(&server) {
        std::thread::sleep(Duration::from_millis(20));
    }
    server.stop(libc::SIGTERM);
    let log = server.log();
    assert!(!log.contains("WARN"), "{log}");
}

#[test]
fn a_full_stderr_does_not_hide_the_exit_code() {
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(PROGRAM)
        .args(["--listen", "192.0.2.1:1"])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
