//! Hostile peers: each is refused with a reason, the server keeps nothing of them, and the room
//! continues undisturbed.

use fastrand::Rng;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{enclose, encoded_len_max};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ClientPacket, Reason, ServerPacket, parse};
use talkspurt_hub::Hub;
use talkspurt_netem::{Person, StreamId, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{exact_runs, is_whole};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

use crate::packets::{encoded, hello, voice};

/// How the server's last packet to a peer ended it.
#[derive(Debug, PartialEq)]
enum End {
    Reject(Reason, String),
    Bye(Reason),
    Nothing,
}

fn end_of(received: &[u8]) -> End {
    let mut deframer: Deframer = Deframer::new();
    let (mut rest, mut end) = (received, End::Nothing);
    while !rest.is_empty() {
        let (feed, left) = deframer.feed(rest);
        rest = left;
        match feed {
            Feed::NeedMore => {}
            Feed::Bad { .. } => panic!("the server sent garbage"),
            Feed::Packet(packet) => match parse(packet).expect("the server sends packets") {
                ServerPacket::Reject(reject) => {
                    let text = String::from_utf8_lossy(reject.text.0).into_owned();
                    end = End::Reject(reject.reason, text);
                }
                ServerPacket::Bye(bye) => end = End::Bye(bye.reason),
                _ => end = End::Nothing,
            },
        }
    }
    end
}

/// Runs `attack` on a room in which someone talks, which must not notice it.
fn undisturbed(seed: u64, attack: impl Fn(&mut World, &mut Rng)) {
    let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
    let mut rng = Rng::with_seed(seed);
    let says = noise(seed, samples(30_000));
    let lis = world.join(Person::new("r", "lis"), Weather::CALM);
    let ann = Person::new("r", "ann").saying(says.clone());
    let ann = world.join(Person { gate: false, ..ann }, Weather::CALM);
    world.run_for(Duration::from_secs(1));
    attack(&mut world, &mut rng);
    // Past every timeout and the end of the talk.
    let end = Duration::from_secs(50);
    world.run_for(Duration::from_micros(
        end.as_micros() - world.now().as_micros(),
    ));
    let gauges = world.hub.gauges();
    assert_eq!(
        (gauges.handshakes, gauges.participants, gauges.rooms),
        (0, 2, 1)
    );
    assert_eq!(world.client(lis).names(), ["lis", "ann"]);
    assert_eq!((world.client(lis).joins, world.client(ann).joins), (1, 1));
    let runs = exact_runs(&says, &world.client(lis).heard);
    assert!(is_whole(&runs, &says), "the talk was disturbed: {runs:?}");
}

fn assert_ended(world: &World, peer: StreamId, expected: Reason) {
    assert!(!world.is_open(peer), "the peer was not dropped");
    match end_of(world.received(peer)) {
        End::Reject(reason, text) => {
            assert_eq!(reason, expected, "{text}");
            assert!(!text.is_empty());
        }
        other => panic!("{other:?} instead of {expected:?}"),
    }
}

#[test]
fn random_bytes_are_refused() {
    for_each_seed(4, |seed| {
        undisturbed(seed, |world, rng| {
            let mut peers = Vec::new();
            for _ in 0..50 {
                let peer = world.connect(Weather::CALM);
                let zeros = rng.u8(0..=100);
                for _ in 0..rng.usize(1..40) {
                    let bytes: Vec<u8> = (0..rng.usize(1..2_000))
                        .map(|_| {
                            if rng.u8(0..100) < zeros {
                                0
                            } else {
                                rng.u8(..)
                            }
                        })
                        .collect();
                    world.write(peer, &bytes);
                    world.run_for(Duration::from_millis(2));
                }
                peers.push(peer);
            }
            world.run_for(Duration::from_secs(7));
            for peer in peers {
                // In the end the handshake timeout catches those who sent too little to count as
                // garbage.
                assert!(!world.is_open(peer));
                assert!(matches!(end_of(world.received(peer)), End::Reject(..)));
            }
        });
    });
}

#[test]
fn well_framed_garbage_is_refused() {
    for_each_seed(4, |seed| {
        undisturbed(seed, |world, rng| {
            for i in 0..200 {
                let peer = world.connect(Weather::CALM);
                let joined = rng.bool();
                if joined {
                    world.write(peer, &hello("r", &format!("evil {i}")));
                }
                // A number that no packet has, followed by anything.
                let nonsense: Vec<u8> = (0..rng.usize(1..600)).map(|_| rng.u8(..)).collect();
                let mut framed = vec![0x7f];
                framed.extend(&nonsense);
                let len = framed.len();
                framed.resize(encoded_len_max(len), 0);
                let len = enclose(&mut framed, len).expect("it fits");
                framed.truncate(len);
                world.write(peer, &framed);
                world.run_for(Duration::from_millis(50));
                let end = end_of(world.received(peer));
                let expected = if joined {
                    matches!(end, End::Bye(Reason::MALFORMED))
                } else {
                    matches!(end, End::Reject(Reason::MALFORMED, _))
                };
                assert!(
                    expected && !world.is_open(peer),
                    "{end:?} (joined: {joined})"
                );
            }
        });
    });
}

#[test]
fn an_incomplete_handshake_times_out() {
    for_each_seed(2, |seed| {
        undisturbed(seed, |world, rng| {
            let whole = hello("r", "half");
            let peers: Vec<_> = (0..200)
                .map(|_| {
                    let peer = world.connect(Weather::CALM);
                    world.write(peer, &whole[..rng.usize(0..whole.len())]);
                    peer
                })
                .collect();
            world.run_for(Duration::from_secs(4));
            assert_eq!(world.hub.gauges().handshakes, 200, "all are within the 5 s");
            world.run_for(Duration::from_secs(2));
            for peer in peers {
                assert_ended(world, peer, Reason::NO_HELLO);
            }
        });
    });
}

#[test]
fn an_invalid_hello_is_refused_with_the_reason() {
    undisturbed(1, |world, _| {
        let long = "x".repeat(65);
        let refused = [
            (hello("r", &"x".repeat(33)), Reason::BAD_NAME),
            (hello("r", ""), Reason::BAD_NAME),
            (hello("r", "a\u{1b}[2J"), Reason::BAD_NAME),
            (hello(&long, "a"), Reason::BAD_ROOM),
            (hello("r", "ann"), Reason::NAME_TAKEN),
            (voice(1, &[0; 640]), Reason::NO_SESSION),
            (encoded(&ClientPacket::RosterRequest), Reason::NO_SESSION),
        ];
        for (bytes, reason) in refused {
            let peer = world.connect(Weather::CALM);
            world.write(peer, &bytes);
            world.run_for(Duration::from_millis(100));
            assert_ended(world, peer, reason);
        }
    });
}

#[test]
fn a_hundred_times_the_packet_rate_is_a_flood() {
    for_each_seed(2, |seed| {
        undisturbed(seed, |world, _| {
            let peer = world.connect(Weather {
                buffer_bytes: 1 << 20,
                ..Weather::CALM
            });
            world.write(peer, &hello("other", "flood"));
            world.run_for(Duration::from_millis(100));
            assert_eq!(world.hub.gauges().participants, 3);
            let loud = [0x20; 640];
            let mut number = 0;
            // 5,000 packets a second, in which 50 frames pass.
            while world.is_open(peer) && number < 5_000 {
                for _ in 0..5 {
                    world.write(peer, &voice(number, &loud));
                    number += 1;
                }
                world.run_for(Duration::from_millis(1));
            }
            world.run_for(Duration::from_millis(100));
            assert_eq!(
                end_of(world.received(peer)),
                End::Bye(Reason::FLOOD),
                "after {number} packets"
            );
            assert!(number < 1_000, "{number} packets were taken");
        });
    });
}

#[test]
fn invalid_payloads_end_the_session_that_sends_them() {
    undisturbed(1, |world, _| {
        for len in [1, 163, 639, 641, 690] {
            let peer = world.connect(Weather::CALM);
            world.write(peer, &hello("r", "odd"));
            world.write(peer, &voice(1, &vec![1; len]));
            world.run_for(Duration::from_millis(100));
            assert_eq!(
                end_of(world.received(peer)),
                End::Bye(Reason::UNEXPECTED),
                "{len} bytes"
            );
            assert!(!world.is_open(peer));
        }
    });
}

#[test]
fn with_too_many_connections_the_oldest_make_room_and_the_room_continues() {
    undisturbed(1, |world, _| {
        let peers: Vec<_> = (0..2_000)
            .map(|_| {
                world.run_for(Duration::from_micros(1));
                world.connect(Weather::CALM)
            })
            .collect();
        let open = |peers: &[StreamId]| peers.iter().filter(|peer| world.is_open(**peer)).count();
        // The two in the room are connections, too.
        let (oldest, newest) = peers.split_at(2_000 - 1_254);
        assert_eq!(
            (open(oldest), open(newest)),
            (0, 1_000 + 256 - 2),
            "not only the surplus was dropped"
        );
    });
}

/// Drives the hub directly, so that only the hub's own memory is measured.
#[test]
fn the_server_keeps_no_memory_of_hostile_peers() {
    for_each_seed(2, |seed| {
        let mut hub = Hub::new(hub_config(FrameDuration::Ms20));
        let mut rng = Rng::with_seed(seed);
        let mut now = Instant::ZERO;
        let mut round = |hub: &mut Hub| {
            let bytes = hostile_bytes(&mut rng);
            let crashes = rng.bool();
            now += Duration::from_millis(100);
            allocation_counter::measure(|| one_peer(hub, &bytes, crashes, now))
        };
        // By now everything that grows to its full size has done so.
        for _ in 0..1_000 {
            round(&mut hub);
        }
        let rounds: Vec<_> = (0..3_000).map(|_| round(&mut hub)).collect();
        let kept: i64 = rounds.iter().map(|memory| memory.bytes_current).sum();
        let total: u64 = rounds.iter().map(|memory| memory.bytes_total).sum();
        let most = rounds.iter().map(|memory| memory.bytes_max).max();
        assert!(
            total > 1_000_000,
            "the measurement missed the rounds: {total} bytes"
        );
        assert!(
            kept.abs() < 64 * 1024,
            "{kept} bytes are kept of 3,000 peers"
        );
        assert!(most < Some(128 * 1024), "one peer costs {most:?} bytes");
    });
}

fn hostile_bytes(rng: &mut Rng) -> Vec<u8> {
    match rng.u8(0..4) {
        0 => (0..rng.usize(1..3_000)).map(|_| rng.u8(..)).collect(),
        1 => hello("r", "x")[..10].to_vec(),
        2 => [
            hello("mine", "x"),
            voice(1, &[1; 640]).repeat(rng.usize(1..900)),
        ]
        .concat(),
        _ => [hello("r", &"y".repeat(40)), vec![0; 500]].concat(),
    }
}

/// Connects a peer that sends `bytes` and then crashes, or waits to be dropped.
fn one_peer(hub: &mut Hub, bytes: &[u8], crashes: bool, now: Instant) {
    let link = hub.connect(now).expect("there is room");
    // The server reads this much at a time.
    for bytes in bytes.chunks(16 * 1024) {
        hub.handle_bytes(link, bytes, now);
        hub.admit_all(now, || [9; 16]);
    }
    drain(hub, now);
    if crashes {
        hub.handle_closed(link, now);
    }
    while hub.poll_timeout().is_some_and(|due| due <= now) {
        hub.handle_timeout(now);
        drain(hub, now);
    }
}

fn drain(hub: &mut Hub, now: Instant) {
    while let Some(link) = hub.poll_output() {
        hub.write(link, now, |outbox| {
            Some(outbox.packets().map(<[u8]>::len).sum())
        });
    }
    while hub.poll_event().is_some() {}
}
