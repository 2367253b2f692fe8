//! The library's entry: bound listeners in, an end when it is asked for.

use std::net::SocketAddr;
use std::time::Duration;

use clap::Parser;
use peer::Peer;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::wire::Reason;
use talkspurt_server::config::{Args, Config};
use talkspurt_server::{net, run};
use tokio::sync::oneshot;

#[allow(dead_code, reason = "each test file uses its share of the peer")]
mod peer;

/// Runs a server in a thread of its own; gives where it listens and what stops it.
fn start() -> (SocketAddr, oneshot::Sender<()>, std::thread::JoinHandle<()>) {
    let config = Config::from(Args::try_parse_from(["talkspurt-server"]).unwrap().serve);
    let (stop, stopped) = oneshot::channel();
    let (started, address) = std::sync::mpsc::channel();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let any_port = SocketAddr::from(([127, 0, 0, 1], 0));
            let listener = net::bind(any_port, "--listen").unwrap();
            let http = net::bind(any_port, "--http").unwrap();
            started.send(listener.local_addr().unwrap()).unwrap();
            run(listener, http, config, async { stopped.await.unwrap() }).await;
        });
    });
    (address.recv().unwrap(), stop, thread)
}

#[test]
fn two_servers_run_side_by_side_and_stop_when_told() {
    let (first, stop_first, first_thread) = start();
    let (second, stop_second, second_thread) = start();
    let mut ada = Peer::join(first, "kitchen", "ada");
    let mut bob = Peer::join(second, "kitchen", "bob");
    stop_first.send(()).unwrap();
    assert_eq!(ada.read_until_closed().bye, Some(Reason::STOPPING));
    drop(ada);
    first_thread.join().unwrap();
    bob.read_for(Duration::from_millis(50));
    assert!(!bob.seen.closed, "the other server goes on");
    stop_second.send(()).unwrap();
    assert_eq!(bob.read_until_closed().bye, Some(Reason::STOPPING));
    drop(bob);
    second_thread.join().unwrap();
}

#[test]
fn voice_goes_from_one_to_the_other() {
    let (server, stop, thread) = start();
    let mut ada = Peer::join(server, "kitchen", "ada");
    let mut bob = Peer::join(server, "kitchen", "bob");
    let mut eve = Peer::join(server, "attic", "eve");
    for frame in 0..20 {
        ada.speak(1_000, frame == 19);
        std::thread::sleep(FrameDuration::Ms20.duration().into());
    }
    bob.wait_until(|seen| seen.terminators == 1);
    assert!((20..=25).contains(&bob.seen.voices), "{}", bob.seen.voices);
    eve.read_for(Duration::from_millis(50));
    assert_eq!(
        (eve.seen.voices, eve.seen.states.len()),
        (0, 0),
        "nothing crosses rooms"
    );
    stop.send(()).unwrap();
    drop((ada, bob, eve));
    thread.join().unwrap();
}

#[test]
fn an_end_is_possible_while_nobody_is_there() {
    let (_, stop, thread) = start();
    stop.send(()).unwrap();
    thread.join().unwrap();
}
