//! One connection over a real socket whose other end is slow or silent; time is an argument, so nothing waits.

use super::super::connect::connect;
use super::*;
use crate::testing::listener_config;
use std::{
    future::Future,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream as StdStream},
};
use talkspurt_core::{
    carrier::deframer::{Deframer, Feed},
    endpoint::write_to_stream,
    seq::Seq,
    time::Duration as CoreDuration,
    wire::{
        ClientPacket, PROTOCOL_VERSION, ParticipantFlags, ParticipantId, RosterEntry, ServerPacket,
        Voice, Welcome, parse,
    },
};
use talkspurt_host_kit::server_address::ServerAddress;

const FRAME: CoreDuration = CoreDuration::from_millis(20);

fn block_on(test: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test);
}

/// A connection made as the driver makes it, and its other end, which has room for little.
async fn pair() -> (Connection, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let server = ServerAddress {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let stream = connect(server).await.unwrap();
    let config = listener_config(1);
    let settings = VoiceSettings::of(&config);
    let connection = Connection::new(stream, &config, settings, CoreInstant::ZERO);
    (connection, listener.accept().unwrap().0)
}

/// The same in a room, of PCM16 at 20 ms.
async fn joined_pair() -> (Connection, StdStream) {
    let (mut connection, mut server) = pair().await;
    connection.transmit();
    let id = ParticipantId(1);
    let itself = RosterEntry {
        id,
        flags: ParticipantFlags::default(),
        name: "ann",
    };
    let welcome = ServerPacket::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        id,
        codec: 0,
        rate_hz: 16_000,
        frame_ms: 20,
        idle_timeout_ms: 15_000,
        roster_len: 1,
        roster: [itself].into_iter().collect(),
    });
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&welcome, &mut bytes).unwrap();
    server.write_all(&bytes[..len]).unwrap();
    let mut events = Vec::new();
    while connection.voice.is_none() {
        connection.link.ready().await;
        connection.read(CoreInstant::ZERO, &mut events).unwrap();
    }
    (connection, server)
}

/// A frame's time goes by; one frame is said in it.
fn say(connection: &mut Connection, now: CoreInstant, number: u16, events: &mut Vec<ClientEvent>) {
    let packet = ClientPacket::Voice(Voice {
        seq: Seq(number),
        timestamp_frames: u32::from(number),
        terminator: false,
        payload: &[1; 640],
    });
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&packet, &mut bytes).unwrap();
    connection.handle_timeout(now, events);
    connection.link.outbox.push_voice(&bytes[..len]);
    connection.transmit();
}

#[test]
fn a_server_that_does_not_read_its_answers_is_left() {
    block_on(async {
        let (mut connection, _server) = pair().await;
        let mut events = Vec::new();
        // Not flushed: so it is when the socket takes nothing.
        (0..64).for_each(|_| connection.link.outbox.push_control(b"pong"));
        connection.handle_timeout(CoreInstant::ZERO, &mut events);
        assert_eq!(events, []);
        connection.link.outbox.push_control(b"pong");
        connection.handle_timeout(CoreInstant::ZERO, &mut events);
        assert_eq!(events, [ClientEvent::Closed(ByeReason::SlowConsumer)]);
    });
}

/// Beyond what lies in the two kernels, which is little, a stall leaves no old voice behind.
#[test]
fn after_a_stall_of_the_uplink_little_old_voice_comes_and_then_the_newest() {
    block_on(async {
        let (mut connection, mut server) = joined_pair().await;
        let (mut now, mut events) = (CoreInstant::ZERO, Vec::new());
        // 2.9 s: less than it takes to give the server up.
        let last = 145;
        for number in 0..=last {
            now += FRAME;
            say(&mut connection, now, number, &mut events);
        }
        let dropped = connection.link.outbox.dropped_voice();
        // The line recovers.
        let reader = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).map(|_| bytes)
        });
        connection
            .link
            .close(std::time::Duration::from_secs(30))
            .await;
        let bytes = reader.join().unwrap().unwrap();
        let (mut rest, mut heard) = (&bytes[..], Vec::new());
        let mut deframer: Deframer = Deframer::new();
        while !rest.is_empty() {
            let (feed, left) = deframer.feed(rest);
            rest = left;
            match feed {
                Feed::Packet(packet) => {
                    if let Ok(ClientPacket::Voice(voice)) = parse(packet) {
                        heard.push(voice.timestamp_frames);
                    }
                }
                Feed::Bad { .. } => panic!("a packet was torn"),
                Feed::NeedMore => {}
            }
        }
        let all = u64::from(last) + 1;
        assert_eq!(heard.len() as u64 + dropped, all, "counted");
        let newest: Vec<u32> = (u32::from(last) - 14..=u32::from(last)).collect();
        assert!(heard.ends_with(&newest), "{heard:?}");
        // Today's kernels hold 20 to 30 packets; without bounds they hold all.
        assert!(heard.len() < 80, "{} came", heard.len());
        assert_eq!(events, []);
    });
}

#[test]
fn of_own_voice_that_nobody_takes_a_pre_roll_and_300_ms_are_kept_and_the_rest_is_counted() {
    block_on(async {
        let (mut connection, _server) = joined_pair().await;
        connection.handle_timeout(CoreInstant::ZERO, &mut Vec::new());
        for _ in 0..200 {
            connection.link.outbox.push_voice(&[1; 700]);
        }
        let mut counts = Counts::default();
        connection.add_counts(&mut counts);
        // 500 ms and 300 ms, in frames of 20 ms.
        assert_eq!(counts.frames_dropped, 200 - 40);
    });
}

#[test]
fn a_talker_whom_the_server_does_not_answer_for_three_seconds_seeks_it_again() {
    block_on(async {
        let (mut connection, _server) = joined_pair().await;
        let (mut now, mut events) = (CoreInstant::ZERO, Vec::new());
        let mut number = 0;
        while events.is_empty() {
            now += FRAME;
            number += 1;
            say(&mut connection, now, number, &mut events);
        }
        assert_eq!(events, [ClientEvent::Closed(ByeReason::ConnectionLost)]);
        let after_ms = now.duration_since(CoreInstant::ZERO).as_millis();
        assert!((3_000..=4_100).contains(&after_ms), "{after_ms} ms");
    });
}
