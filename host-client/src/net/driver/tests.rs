//! A whole stay with a hostile server.

use super::super::{audio_io, event_channel};
use super::*;
use crate::{
    audio::{Captured, Source},
    events::Event,
    testing::{NONCE, entry, join_config, listener_config, roster, stream_of, welcome},
};
use std::{
    future::{Future as _, poll_fn},
    io::{self, Read as _, Write},
    net::{TcpListener, TcpStream as StdStream},
    pin::pin,
    sync::Arc,
    sync::mpsc,
    thread,
};
use talkspurt_core::{
    audio::{codec::CodecId, format::AudioFormat},
    carrier::deframer::{Deframer, Feed},
    time::Duration as CoreDuration,
    wire::{
        ClientPacket, Joined, ParticipantFlags, ParticipantId, Reason, ServerPacket, State, parse,
    },
};

/// Longer than any of these stays; one that hangs is a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// Outcome of a stay.
struct Stayed {
    events: Vec<Event>,
    /// Lines of the log.
    log: Vec<String>,
    /// How often the session was polled. In between the runtime gets its turn.
    polls: u64,
}

/// Runs a stay with `server`, which accepts one connection. Ends when that is lost, or when another
/// task sends `Leave` after `leave_after`.
fn stay(leave_after: Duration, server: impl FnOnce(&mut StdStream) + Send + 'static) -> Stayed {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        // No second try gets through.
        drop(listener);
        server(&mut stream);
    });
    let (done, outcome) = mpsc::channel();
    let (log, logged) = mpsc::channel();
    let (teller, events) = event_channel::channel(Instant::now());
    thread::spawn(move || {
        let subscriber = tracing_subscriber::fmt()
            .with_writer(move || LogLines(log.clone()))
            .finish();
        let polls =
            tracing::subscriber::with_default(subscriber, || run(port, teller, leave_after));
        // If the test has stopped waiting, it has already failed.
        let _ = done.send(polls);
    });
    let Ok(polls) = outcome.recv_timeout(PATIENCE) else {
        panic!("the session does not end")
    };
    Stayed {
        events: events.iter().collect(),
        log: logged.try_iter().collect(),
        polls,
    }
}

/// Returns the number of polls.
fn run(port: u16, teller: Teller, leave_after: Duration) -> u64 {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let local = tokio::task::LocalSet::new();
    let (stayed, polls) = local.block_on(&runtime, async move {
        let (leave, commands) = tokio::sync::mpsc::channel(1);
        // Takes the place of `leave_on_signal`: a task beside the session's.
        tokio::task::spawn_local(async move {
            tokio::time::sleep(leave_after).await;
            leave.send(Command::Leave).await
        });
        let driver = driver(listener_config(port), teller, commands);
        let (mut stay, mut polls) = (pin!(driver.run()), 0);
        let counted = poll_fn(|context| {
            polls += 1;
            stay.as_mut().poll(context)
        });
        (counted.await, polls)
    });
    stayed.unwrap();
    polls
}

pub(super) fn driver(config: JoinConfig, teller: Teller, commands: Receiver<Command>) -> Driver {
    let prepared = audio_io::prepare(&config).unwrap();
    let participant = Box::new(Participant::new(&config));
    let (snapshots, _) = watch::channel(participant.snapshot(CoreInstant::ZERO));
    let mut driver = Driver::new(
        config,
        prepared,
        teller,
        commands,
        participant,
        snapshots,
        Arc::default(),
    );
    // The first session is the one that the tests' servers welcome.
    driver.reconnect = Reconnect::new(u64::from_le_bytes(NONCE) - 1);
    driver
}

/// Sends each line of a log to a channel.
struct LogLines(mpsc::Sender<String>);

impl Write for LogLines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A failed test reads no more.
        let _ = self.0.send(String::from_utf8_lossy(bytes).into_owned());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn losses(events: &[Event]) -> Vec<&str> {
    events
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::Reconnecting { reason, .. } => Some(&**reason),
            _ => None,
        })
        .collect()
}

/// Reads until the client closes.
fn wait_for_the_end(stream: &mut StdStream) {
    // A reset is an end too.
    let _ = io::copy(stream, &mut io::sink());
}

#[test]
fn a_roster_that_comes_again_tells_what_was_missed() {
    let stayed = stay(Duration::from_secs(1), |stream| {
        let both = [welcome(1, &["ann", "bob"]), roster(5, 1, &["ann"])].concat();
        stream.write_all(&both).unwrap();
        wait_for_the_end(stream);
    });
    let told = stayed.events.iter().filter_map(|event| match &event.kind {
        EventKind::Joined { roster, .. } => Some(roster.len()),
        EventKind::ParticipantLeft { id: 2, .. } => Some(0),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [2, 0]);
}

#[test]
fn a_roster_longer_than_a_room_is_kept_as_far_as_it_goes() {
    let stayed = stay(Duration::from_secs(2), |stream| {
        let mut bytes = welcome(1, &["ann"]);
        for id in 1..=5_000 {
            let (revision, entry) = (1 + id, entry(id, "bob"));
            bytes.extend(stream_of(&ServerPacket::Joined(Joined { revision, entry })));
        }
        stream.write_all(&bytes).unwrap();
        wait_for_the_end(stream);
    });
    assert_eq!(losses(&stayed.events), [""; 0]);
}

#[test]
fn garbage_is_logged_as_a_sum_and_too_much_of_it_is_a_loss() {
    let stayed = stay(Duration::from_secs(2), |stream| {
        stream.write_all(&welcome(1, &["ann"])).unwrap();
        // As much as the client tolerates, in the smallest pieces, and then some.
        stream.write_all(&[1, 0].repeat(16_000)).unwrap();
        thread::sleep(Duration::from_millis(300));
        let _ = stream.write_all(&[1, 0].repeat(10_000));
        wait_for_the_end(stream);
    });
    let reason = Reason::DAMAGE.to_string();
    assert_eq!(losses(&stayed.events).first(), Some(&&*reason));
    let about_bytes = |line: &&String| line.contains("not a packet");
    let lines = stayed.log.iter().filter(about_bytes).count();
    assert!(
        (1..=2).contains(&lines),
        "{lines} lines: {:?}",
        stayed.log.first()
    );
}

/// A connection that is closed with bytes in it that were not read is reset, and what was sent last
/// may be lost with it.
#[test]
fn the_bye_of_a_broken_session_arrives_although_the_server_goes_on_sending() {
    let (read, heard) = mpsc::channel();
    stay(Duration::from_secs(2), move |stream| {
        stream.write_all(&welcome(1, &["ann"])).unwrap();
        // Twice of what ends the session: the client has not read the rest of it by then.
        let _ = stream.write_all(&[1, 0].repeat(40_000));
        thread::sleep(Duration::from_millis(300));
        let mut bytes = Vec::new();
        read.send(stream.read_to_end(&mut bytes).map(|_| bytes))
            .unwrap();
    });
    let bytes = heard.recv().unwrap().expect("the connection is not reset");
    let (mut rest, mut last_is_bye) = (&bytes[..], false);
    let mut deframer: Deframer = Deframer::new();
    while !rest.is_empty() {
        let (feed, left) = deframer.feed(rest);
        rest = left;
        if let Feed::Packet(packet) = feed {
            let bye =
                |packet| matches!(packet, ClientPacket::Bye(bye) if bye.reason == Reason::DAMAGE);
            last_is_bye = parse(packet).is_ok_and(bye);
        }
    }
    assert!(last_is_bye, "{} bytes", bytes.len());
}

#[test]
fn a_server_that_never_pauses_keeps_nobody_from_leaving() {
    let stayed = stay(Duration::from_millis(200), |stream| {
        stream.write_all(&welcome(1, &["ann"])).unwrap();
        // Packets about an unknown participant: they cost the session little and never end it.
        let state = ServerPacket::State(State {
            revision: 2,
            id: ParticipantId(99),
            flags: ParticipantFlags::TALKING,
        });
        let flood = stream_of(&state).repeat(100_000);
        while stream.write_all(&flood).is_ok() {}
    });
    let Some(EventKind::Left { reason, counts }) = stayed.events.last().map(|last| &last.kind)
    else {
        panic!("{:?}", stayed.events.last())
    };
    assert_eq!(reason, "left");
    // One round of reads per poll; otherwise signals would wait until the server happens to pause.
    let at_most = stayed.polls * (READS_MAX * READ_BYTES) as u64;
    assert!(
        counts.bytes_received <= at_most,
        "{} bytes in {} turns",
        counts.bytes_received,
        stayed.polls
    );
}

#[test]
fn a_stream_that_never_ends_a_packet_is_a_loss() {
    let stayed = stay(Duration::from_secs(4), |stream| {
        stream.write_all(&welcome(1, &["ann"])).unwrap();
        // At full speed or a byte now and then: only the sum counts.
        while stream.write_all(&[7; 512]).is_ok() {
            thread::sleep(Duration::from_millis(1));
        }
    });
    let reason = Reason::DAMAGE.to_string();
    assert_eq!(losses(&stayed.events).first(), Some(&&*reason));
}

#[test]
fn a_flood_of_events_is_left_out_and_counted() {
    let stayed = stay(Duration::from_secs(2), |stream| {
        let mut bytes = welcome(1, &["ann"]);
        let (revision, entry) = (2, entry(7, "bob"));
        bytes.extend(stream_of(&ServerPacket::Joined(Joined { revision, entry })));
        for revision in 3..40_000 {
            let (id, flags) = (ParticipantId(7), ParticipantFlags(revision % 2));
            bytes.extend(stream_of(&ServerPacket::State(State {
                revision,
                id,
                flags,
            })));
        }
        // The client may have gone before it has everything.
        let _ = stream.write_all(&bytes);
        wait_for_the_end(stream);
    });
    let told = stayed.events.len();
    // Of each kind, the burst and the rate during the stay are let through, however busy the
    // machine is.
    assert!((4_000..20_000).contains(&told), "{told}");
    let missed: u64 = stayed.events.iter().map(|event| event.missed).sum();
    assert!(missed > 10_000, "{missed}");
}

/// What a client that was in its room does about each end: whether it tries again.
#[test]
fn the_class_of_a_reason_decides_whether_another_try_follows() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (teller, _events) = event_channel::channel(Instant::now());
        let (_leave, commands) = tokio::sync::mpsc::channel(1);
        let mut driver = driver(listener_config(address.port()), teller, commands);
        let least = CoreDuration::ZERO;
        // Nobody has been in the room yet: a taken name is for the person to change.
        let mut first = async |reason| {
            driver.connected(TcpStream::connect(address).await).unwrap();
            driver.rejected(reason, least)
        };
        let passing = |reason: &&Reason| !reason.is_permanent() && **reason != Reason::NAME_TAKEN;
        for reason in Reason::ALL.iter().filter(passing) {
            assert!(first(*reason).await.is_ok(), "{reason}");
        }
        assert!(first(Reason(200)).await.is_ok(), "of a later version");
        let taken = first(Reason::NAME_TAKEN).await.unwrap_err().to_string();
        assert!(taken.contains("choose another"), "{taken}");
        driver.welcomed(&PARAMS, Instant::now());
        for number in 0..=u8::MAX {
            let reason = Reason(number);
            for is_reject in [true, false] {
                driver.connected(TcpStream::connect(address).await).unwrap();
                listener.accept().unwrap();
                let outcome = match is_reject {
                    true => driver.rejected(reason, least),
                    false => driver.closed(reason, least, Instant::now()),
                };
                assert_eq!(outcome.is_err(), number < 128, "{number}: {outcome:?}");
                let paused = matches!(driver.phase, Phase::Pausing { .. });
                assert_eq!(paused, number >= 128);
            }
        }
    });
}

const PARAMS: SessionParams = SessionParams {
    id: ParticipantId(1),
    codec_up: CodecId::Pcm16,
    codec_down: CodecId::Pcm16,
    format: AudioFormat::DEFAULT,
    idle_timeout: CoreDuration::from_secs(15),
};

/// Returns the reported pauses of a client that lost its server and is then refused `tries` times,
/// each time with the wish to wait for `least`. Does not wait for them.
fn pauses_ms(least: CoreDuration, tries: usize) -> Vec<u64> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (teller, events) = event_channel::channel(Instant::now());
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (_leave, commands) = tokio::sync::mpsc::channel(1);
        let mut driver = driver(listener_config(address.port()), teller, commands);
        driver.welcomed(&PARAMS, Instant::now());
        for _ in 0..tries {
            driver.connected(TcpStream::connect(address).await).unwrap();
            driver.rejected(Reason::ROOM_FULL, least).unwrap();
        }
    });
    let told = events.iter().map(|event| match event.kind {
        EventKind::Reconnecting { retry_in_ms, .. } => retry_in_ms,
        other => panic!("{other:?}"),
    });
    told.collect()
}

#[test]
fn a_client_waits_for_as_long_as_the_server_asks_and_a_quarter_more_but_for_a_minute_at_most() {
    for (least_ms, most_ms) in [(5_000, 6_250), (10_000, 12_500), (50_000, 60_000)] {
        let pauses = pauses_ms(CoreDuration::from_millis(least_ms), 20);
        let range = least_ms..=most_ms;
        assert!(
            pauses.iter().all(|pause| range.contains(pause)),
            "{pauses:?}"
        );
    }
}

/// A source that always has a frame.
struct Talker;

impl Source for Talker {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        frame.fill(1);
        Captured::Frame
    }
}

#[test]
fn a_server_that_sends_but_reads_nothing_for_the_idle_timeout_is_left() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let (teller, events) = event_channel::channel(Instant::now());
    runtime.block_on(async move {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let config = join_config("--no-gate --input none --output none");
        let (_leave, commands) = tokio::sync::mpsc::channel(1);
        let mut driver = driver(config, teller, commands);
        let address = listener.local_addr().unwrap();
        driver.connected(TcpStream::connect(address).await).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let start = Instant::now();
        driver.transmit(start);
        server.write_all(&welcome(1, &["ann"])).unwrap();
        hear(&mut driver, start, |driver| {
            driver.participant.params().is_some()
        })
        .await;
        // Until both kernels' buffers are full.
        while driver.stuck_until().is_none() {
            driver
                .participant
                .capture(driver.core_time(start), &mut Talker);
            driver.transmit(start);
        }
        let until = driver.stuck_until();
        assert_eq!(
            until,
            Some(driver.core_time(start) + CoreDuration::from_secs(15))
        );
        // The server is still there, and says so.
        let late = start + Duration::from_secs(14);
        let received = |driver: &Driver| driver.counts_now(late).bytes_received;
        let before = received(&driver);
        server
            .write_all(&stream_of(&ServerPacket::Ping(1)))
            .unwrap();
        hear(&mut driver, late, |driver| received(driver) > before).await;
        driver.transmit(late);
        assert_eq!(driver.stuck_until(), until);
        driver
            .handle_timeout(late + Duration::from_millis(999))
            .unwrap();
        assert!(matches!(driver.phase, Phase::Open(_)));
        driver
            .handle_timeout(late + Duration::from_secs(1))
            .unwrap();
        assert!(matches!(driver.phase, Phase::Pausing { .. }));
    });
    let events: Vec<_> = events.iter().collect();
    assert_eq!(losses(&events), [Reason::SLOW_READER.to_string()]);
}

/// Reads at `now` until `done`.
async fn hear(driver: &mut Driver, now: Instant, done: impl Fn(&Driver) -> bool) {
    while !done(driver) {
        if let Phase::Open(link) = &driver.phase {
            link.ready().await;
        }
        driver.read(now).unwrap();
    }
}
