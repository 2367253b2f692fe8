//! One connection over a real socket whose other end is slow or silent.

use super::super::connect::connect;
use super::*;
use crate::{
    audio::{Captured, Source},
    participant::ParticipantEvent,
    testing::{join_config, welcome},
};
use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream as StdStream},
    sync::mpsc,
    thread,
};
use talkspurt_core::{
    carrier::deframer::{Deframer, Feed},
    time::Duration as CoreDuration,
    wire::{ClientPacket, Reason, parse},
};
use talkspurt_host_kit::server_address::ServerAddress;

const FRAME: CoreDuration = CoreDuration::from_millis(20);

fn block_on<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

/// Makes a connection as the driver does. Its other end has small buffers.
async fn pair() -> (Link, StdStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let socket = socket2::SockRef::from(&listener);
    socket.set_recv_buffer_size(4 * 1024).unwrap();
    let server = ServerAddress {
        host: "127.0.0.1".to_owned(),
        port: listener.local_addr().unwrap().port(),
    };
    let link = Link::new(connect(server).await.unwrap());
    (link, listener.accept().unwrap().0)
}

/// Makes such a connection with a participant that has joined, in PCM16 at 20 ms.
async fn joined_pair() -> (Link, StdStream, Participant) {
    let (mut link, mut server) = pair().await;
    let mut participant = Participant::new(&join_config("--no-gate"));
    participant.join(CoreInstant::ZERO, [7; 8]);
    link.transmit(CoreInstant::ZERO, &mut participant).unwrap();
    server.write_all(&welcome(1, &["ann"])).unwrap();
    let mut buffer = [0; READ_BYTES];
    while participant.params().is_none() {
        link.ready().await;
        let Ok(mut bytes) = link.read(&mut buffer) else {
            continue;
        };
        while !bytes.is_empty() {
            bytes = participant.handle_stream(CoreInstant::ZERO, bytes);
            while participant.poll_event().is_some() {}
        }
    }
    (link, server, participant)
}

/// A source that always has a frame.
struct Talker;

impl Source for Talker {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        frame.fill(1);
        Captured::Frame
    }
}

/// Returns all packets of a stream that has ended.
fn packets(bytes: &[u8]) -> Vec<Vec<u8>> {
    let (mut rest, mut packets) = (bytes, Vec::new());
    let mut deframer: Deframer = Deframer::new();
    while !rest.is_empty() {
        let (feed, left) = deframer.feed(rest);
        rest = left;
        match feed {
            Feed::Packet(packet) => packets.push(packet.to_vec()),
            Feed::Bad { .. } => panic!("a packet was torn"),
            Feed::NeedMore => {}
        }
    }
    packets
}

/// Apart from what the two kernels hold, which is little, a stall leaves no old voice behind.
#[test]
fn after_a_stall_of_the_uplink_little_old_voice_comes_then_the_newest_and_then_the_bye() {
    block_on(async {
        let (mut link, mut server, mut participant) = joined_pair().await;
        let mut now = CoreInstant::ZERO;
        // 2.9 s: not enough for the client to give the server up.
        let last = 145;
        for _ in 1..=last {
            now += FRAME;
            participant.handle_timeout(now);
            participant.capture(now, &mut Talker);
            link.transmit(now, &mut participant).unwrap();
        }
        // The line recovers.
        let reader = thread::spawn(move || {
            let mut bytes = Vec::new();
            server.read_to_end(&mut bytes).map(|_| bytes)
        });
        participant.leave(now);
        link.close(Duration::from_secs(30), &mut participant, || now)
            .await;
        let closed = ParticipantEvent::Closed(Reason::LEAVING, Default::default());
        assert_eq!(participant.poll_event(), Some(closed));
        let packets = packets(&reader.join().unwrap().unwrap());
        let voices = packets.iter().filter_map(|packet| match parse(packet) {
            Ok(ClientPacket::Voice(voice)) => Some((voice.timestamp.0 / 8, voice.terminator)),
            _ => None,
        });
        let (ends, heard): (Vec<_>, Vec<_>) = voices.partition(|(_, terminator)| *terminator);
        assert_eq!(ends.len(), 1);
        let heard: Vec<u32> = heard.into_iter().map(|(timestamp, _)| timestamp).collect();
        let dropped = participant.counts().frames_dropped;
        assert_eq!(heard.len() as u64 + dropped, u64::from(last), "counted");
        let newest: Vec<u32> = (last - 14..=last).collect();
        assert!(heard.ends_with(&newest), "{heard:?}");
        // Current kernels hold 20 to 30 packets; without limits they would hold all.
        assert!(heard.len() < 80, "{} came", heard.len());
        let bye = packets.last().map(|packet| parse(packet));
        let is_bye = |bye| matches!(bye, Some(Ok(ClientPacket::Bye(_))));
        assert!(is_bye(bye));
    });
}

#[test]
fn leaving_a_server_that_reads_nothing_takes_no_longer_than_allowed() {
    block_on(async {
        let (mut link, _server, mut participant) = joined_pair().await;
        let now = CoreInstant::ZERO;
        while link.stuck_since().is_none() {
            participant.capture(now, &mut Talker);
            link.transmit(now, &mut participant).unwrap();
        }
        participant.leave(now);
        let began = Instant::now();
        link.close(Duration::from_millis(50), &mut participant, || now)
            .await;
        assert!(began.elapsed() < Duration::from_secs(10));
        assert!(link.stuck_since().is_some(), "nothing was taken");
    });
}

#[test]
fn closing_ends_though_the_server_goes_on_sending() {
    let (closed, outcome) = mpsc::channel();
    thread::spawn(move || {
        let bytes_read = block_on(async {
            let (mut link, mut server) = pair().await;
            thread::spawn(move || while server.write_all(&[7; 64 * 1024]).is_ok() {});
            let mut participant = Participant::new(&join_config(""));
            let patience = Duration::from_secs(3_600);
            link.close(patience, &mut participant, || CoreInstant::ZERO)
                .await;
            link.bytes_received
        });
        closed.send(bytes_read)
    });
    let bytes_read = outcome.recv_timeout(Duration::from_secs(20));
    let at_most = CLOSE_READ_BYTES_MAX + READ_BYTES as u64;
    assert!(
        bytes_read.is_ok_and(|bytes| bytes <= at_most),
        "{bytes_read:?}"
    );
}

#[test]
fn the_greeting_is_the_first_bytes() {
    block_on(async {
        let (mut link, mut server) = pair().await;
        server.write_all(b"SSH-2.0-").unwrap();
        server.write_all(&[b'x'; 1_000]).unwrap();
        let mut buffer = [0; 3];
        while link.bytes_received < 1_000 {
            link.ready().await;
            while link.read(&mut buffer).is_ok() {}
        }
        assert!(link.greeting().starts_with(b"SSH-2.0-xxx"));
        assert_eq!(link.greeting().len(), GREETING_BYTES_MAX);
    });
}
