//! The bridge between pseudo-terminals and real sockets.

use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::symlink;
use std::sync::mpsc::{Receiver, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serialport::{SerialPort, TTYPort};

use super::*;

/// Far longer than any step of these tests. It only bounds a failure.
const PATIENCE: Duration = Duration::from_secs(30);

/// A bridge in its own thread, ended when dropped.
struct Running {
    shutdown: Shutdown,
    events: Receiver<Event>,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    fn start(serial: &str, server: &str) -> Self {
        let config = Config {
            serial: serial.to_owned(),
            baud: 115_200,
            server: ServerAddress::parse(server, 0).unwrap(),
        };
        let (sender, events) = channel();
        let shutdown = Shutdown::default();
        let stop = shutdown.clone();
        let thread = thread::spawn(move || {
            run(&config, &stop, |event| {
                let _ = sender.send(event);
            });
        });
        Self {
            shutdown,
            events,
            thread: Some(thread),
        }
    }

    /// Returns what `wanted` makes of the next event that it accepts, skipping others.
    fn wait_for<T>(&self, mut wanted: impl FnMut(Event) -> Option<T>) -> T {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let event = self
                .events
                .recv_timeout(left)
                .expect("the event that the test waits for");
            if let Some(found) = wanted(event) {
                return found;
            }
        }
    }

    fn wait_until_bridging(&self) {
        self.wait_for(|event| matches!(event, Event::Bridging).then_some(()));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.request();
        let result = self.thread.take().map(JoinHandle::join);
        if !thread::panicking() {
            result.unwrap().unwrap();
        }
    }
}

fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

fn accept(listener: &TcpListener) -> TcpStream {
    let (stream, _) = listener.accept().unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

fn pty() -> (TTYPort, TTYPort, String) {
    let (mut node, port) = TTYPort::pair().unwrap();
    node.set_timeout(PATIENCE).unwrap();
    let path = port.name().unwrap();
    (node, port, path)
}

fn expect(reader: &mut impl Read, bytes: &[u8]) {
    let mut got = vec![0; bytes.len()];
    reader.read_exact(&mut got).unwrap();
    assert_eq!(got, bytes);
}

#[test]
fn waits_double_up_to_a_second_and_start_over_after_a_lasting_success() {
    let mut backoff = backoff();
    let waits = [(); 6].map(|()| backoff.take().as_millis());
    assert_eq!(waits, [100, 200, 400, 800, 1000, 1000]);
    start_over_after(Duration::from_millis(500), &mut backoff);
    assert_eq!(backoff.take().as_millis(), 1000);
    start_over_after(Duration::from_secs(3), &mut backoff);
    assert_eq!(backoff.take().as_millis(), 100);
}

#[test]
fn bytes_of_every_value_pass_both_ways() {
    let (listener, address) = listen();
    let (mut node, _port, path) = pty();
    let bridge = Running::start(&path, &address);
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    let all: Vec<u8> = (0..=255).collect();
    for _ in 0..4 {
        node.write_all(&all).unwrap();
        expect(&mut server, &all);
        server.write_all(&all).unwrap();
        expect(&mut node, &all);
    }
}

#[test]
fn a_lost_server_is_connected_again_without_stale_bytes() {
    let (listener, address) = listen();
    let (mut node, _port, path) = pty();
    let bridge = Running::start(&path, &address);
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    server.write_all(b"last words").unwrap();
    drop(server);
    drop(listener);
    expect(&mut node, b"last words");
    bridge.wait_for(|event| matches!(event, Event::ServerLost(_)).then_some(()));
    // There is no server: these bytes must not greet the next one.
    node.write_all(b"stale").unwrap();
    bridge.wait_for(|event| matches!(event, Event::ServerUnavailable(..)).then_some(()));
    let listener = TcpListener::bind(&address).unwrap();
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    node.write_all(b"fresh").unwrap();
    expect(&mut server, b"fresh");
}

#[test]
fn a_vanished_port_is_opened_again_and_the_room_learns_of_it() {
    let (listener, address) = listen();
    let folder = std::env::temp_dir().join(format!("talkspurt-bridge-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let link = folder.join("port");
    let (node, port, path) = pty();
    symlink(&path, &link).unwrap();
    let bridge = Running::start(link.to_str().unwrap(), &address);
    let mut server = accept(&listener);
    bridge.wait_until_bridging();

    drop((node, port));
    bridge.wait_for(|event| matches!(event, Event::PortLost(_)).then_some(()));
    assert_eq!(
        server.read(&mut [0; 1]).unwrap(),
        0,
        "the connection ends with the port"
    );
    bridge.wait_for(|event| matches!(event, Event::PortUnavailable(..)).then_some(()));

    let (mut node, _port, path) = pty();
    fs::remove_file(&link).unwrap();
    symlink(&path, &link).unwrap();
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    node.write_all(b"back").unwrap();
    expect(&mut server, b"back");
    server.write_all(b"hello").unwrap();
    expect(&mut node, b"hello");
    drop(bridge);
    fs::remove_dir_all(&folder).unwrap();
}

/// A connection that is closed with bytes in it that were not read is reset, and what the kernel
/// has not sent yet is lost.
#[test]
fn the_last_words_arrive_although_the_server_goes_on_sending() {
    let (listener, address) = listen();
    // Accepted sockets inherit the small window: most bytes wait in the bridge's kernel.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(4096)
        .unwrap();
    let stream = TcpStream::connect(address).unwrap();
    socket2::SockRef::from(&stream)
        .set_send_buffer_size(256 * 1024)
        .unwrap();
    let mut server = accept(&listener);
    let queues = Queues::for_baud(115_200 * 40);
    queues.to_server.connect();
    let (incoming, outgoing) = (&queues.to_serial, &queues.to_server);
    let end = ServerEnd::start(stream, Arc::clone(incoming), Arc::clone(outgoing)).unwrap();
    let words = [0x57; 64 * 1024];
    outgoing.push(&words);
    let mut talking = server.try_clone().unwrap();
    let talk = thread::spawn(move || while talking.write_all(&[0x5A; 4_096]).is_ok() {});
    thread::sleep(Duration::from_millis(300));
    let closing = thread::spawn(move || end.close());
    thread::sleep(Duration::from_millis(100));
    let mut heard = Vec::new();
    let ended = server.read_to_end(&mut heard);
    assert!(ended.is_ok(), "the connection was reset: {ended:?}");
    assert_eq!(heard.len(), words.len());
    drop(server);
    closing.join().unwrap();
    talk.join().unwrap();
}

#[test]
fn where_nothing_is_dropped_nothing_is_said() {
    let queues = Queues::for_baud(115_200);
    queues.report_dropped(&mut |event| panic!("{event:?}"));
}

#[test]
fn a_port_that_does_not_drain_neither_grows_the_buffers_nor_stops_the_other_way() {
    let (listener, address) = listen();
    let (mut node, _port, path) = pty();
    let bridge = Running::start(&path, &address);
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    // Far more than the system's and the bridge's buffers hold; the node reads none of it.
    let flood = vec![0xA5; 200_000];
    server.write_all(&flood).unwrap();
    node.write_all(b"still here").unwrap();
    expect(&mut server, b"still here");
    let dropped = bridge.wait_for(|event| match event {
        Event::DroppedForSerial(bytes) => Some(bytes),
        _ => None,
    });
    assert!(dropped > 0);
    // Once it drains again, the newest bytes come out.
    server.write_all(b"!").unwrap();
    let mut got = [0; 256];
    loop {
        let count = node.read(&mut got).unwrap();
        if got[..count].ends_with(b"!") {
            break;
        }
    }
}

#[test]
fn a_server_that_does_not_read_neither_grows_the_buffers_nor_stops_the_other_way() {
    let (listener, address) = listen();
    let (mut node, _port, path) = pty();
    // Accepted sockets inherit the small window: the stall starts early.
    socket2::SockRef::from(&listener)
        .set_recv_buffer_size(4096)
        .unwrap();
    let bridge = Running::start(&path, &address);
    let mut server = accept(&listener);
    bridge.wait_until_bridging();
    let mut writer = node.try_clone_native().unwrap();
    let feeding = Shutdown::default();
    let stop = feeding.clone();
    let mut packet = [0x5A; 128];
    packet[127] = 0;
    let feeder = thread::spawn(move || {
        let mut left = &packet[..];
        while !stop.is_requested() || left.len() < packet.len() {
            match writer.write(left) {
                Ok(count) if count < left.len() => left = &left[count..],
                Ok(_) => left = &packet,
                Err(error) => assert_eq!(error.kind(), ErrorKind::TimedOut),
            }
        }
    });
    let dropped = bridge.wait_for(|event| match event {
        Event::DroppedForServer(bytes) => Some(bytes),
        _ => None,
    });
    assert!(dropped > 0);
    server.write_all(b"to the node").unwrap();
    expect(&mut node, b"to the node");
    feeding.request();
    feeder.join().unwrap();
    // Little waited in the bridge and in both kernels, and none of it was torn.
    server
        .set_read_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    let (mut waited, mut chunk) = (Vec::new(), [0; 4096]);
    while let Ok(count @ 1..) = server.read(&mut chunk) {
        waited.extend_from_slice(&chunk[..count]);
    }
    assert!(waited.len() < 64 * 1024, "{} bytes waited", waited.len());
    let packets: Vec<&[u8]> = waited.split(|byte| *byte == 0).collect();
    let (_, whole) = packets.split_last().unwrap();
    assert!(whole.len() > 10);
    assert!(whole.iter().all(|bytes| *bytes == &packet[..127]));
}
