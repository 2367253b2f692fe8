//! What goes before what on the one thread.

use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{ClientPacket, ENCODED_MAX, Hello, PROTOCOL_VERSION, Voice, emit};

use super::*;

fn packet(packet: &ClientPacket<'_>) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = emit(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

fn hello() -> Vec<u8> {
    let mut hello = Hello {
        version: PROTOCOL_VERSION,
        room: "kitchen",
        name: "ada",
        codecs: &[0],
        rates_hz: Default::default(),
        muted: false,
        credentials: &[],
    };
    hello.rates_hz.push(16_000).unwrap();
    packet(&ClientPacket::Hello(hello))
}

fn voice() -> Vec<u8> {
    packet(&ClientPacket::Voice(Voice {
        seq: Seq(1),
        timestamp_frames: 1,
        terminator: false,
        payload: &[1; 640],
    }))
}

/// A server without its driver and its flusher, and a connection with the client's end of it.
async fn server_and_connection() -> (Server, TcpStream, ConnId, Rc<Socket>, OwnedReadHalf) {
    let server = Server::new(HubConfig::from(&Config::default()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap());
    let (client, accepted) = tokio::join!(client, listener.accept());
    let (stream, peer) = accepted.unwrap();
    let (socket, reader) = Socket::new(stream, peer).unwrap();
    let id = server
        .hub
        .borrow_mut()
        .connect(server.ticker.now())
        .unwrap();
    let socket = Rc::new(socket);
    server.sockets.borrow_mut().insert(id, Rc::clone(&socket));
    (server, client.unwrap(), id, socket, reader)
}

#[tokio::test]
async fn a_reader_does_what_is_due_before_it_reads() {
    let (server, client, id, socket, mut reader) = server_and_connection().await;
    let talker = server
        .hub
        .borrow_mut()
        .connect(server.ticker.now())
        .unwrap();
    server.act(|hub, now| hub.handle_bytes(talker, &hello(), now));
    server.act(|hub, now| hub.handle_bytes(talker, &voice(), now));
    client.try_write(&hello()).unwrap();
    // Whatever wakes the driver has no chance to: this thread is busy, as with a crowd of readers.
    std::thread::sleep(Duration::from_millis(30));
    let took = poll_fn(|cx| Poll::Ready(server.take_in(id, &socket, &mut reader, cx))).await;
    // Reading may or may not have been possible yet; the tick has been done in any case.
    assert!(!matches!(took, ControlFlow::Break(Poll::Ready(()))));
    assert!(server.hub.borrow().counters().ticks >= 1);
}

#[tokio::test]
async fn control_packets_wait_until_all_input_is_read_and_leave_together() {
    let (server, client, id, ..) = server_and_connection().await;
    let (ping, pings) = (packet(&ClientPacket::Ping(7)), 5);
    server.act(|hub, now| hub.handle_bytes(id, &hello(), now));
    for _ in 0..pings {
        server.act(|hub, now| hub.handle_bytes(id, &ping, now));
    }
    assert_eq!(server.hub.borrow().counters().packets_out, 0);
    server.unsent.notified().await;
    server.send_to(id, server.ticker.now());
    assert_eq!(server.hub.borrow().counters().packets_out, 1 + pings);
    client.readable().await.unwrap();
    // One write, so one piece: the Welcome and the Pongs.
    let read = client.try_read(&mut [0; 4_096]).unwrap();
    assert_eq!(read as u64, server.hub.borrow().counters().bytes_out);
}
