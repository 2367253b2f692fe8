//! The order of work on the server's one thread.

use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{ClientPacket, Voice};

use super::*;
use crate::testing::{config, hello_of, packet};

mod busy;

/// What tests of a busy thread set and read in the server under test.
#[derive(Debug, Default)]
pub struct Trial {
    /// The cost of each kind of work in virtual time.
    prices: Cell<Prices>,
    /// When each tick was done.
    ticks: RefCell<Vec<Instant>>,
}

/// The cost of work in microseconds.
#[derive(Clone, Copy, Debug, Default)]
struct Prices {
    read: u64,
    write: u64,
    tick: u64,
}

impl Trial {
    pub fn spend(&self, what: Costly, now: Instant) {
        let prices = self.prices.get();
        let micros = match what {
            Costly::Read => prices.read,
            Costly::Write => prices.write,
            Costly::Tick => prices.tick,
        };
        if what == Costly::Tick {
            self.ticks.borrow_mut().push(now);
        }
        if micros > 0 {
            advance(micros);
        }
    }
}

/// Advances the paused clock without letting anything else run.
fn advance(micros: u64) {
    let advancing = std::pin::pin!(tokio::time::advance(std::time::Duration::from_micros(
        micros
    )));
    // The first poll advances the clock. What it would wait for then is a turn of the others.
    let _ = advancing.poll(&mut Context::from_waker(std::task::Waker::noop()));
}

fn hello() -> Vec<u8> {
    hello_of("kitchen", "ada")
}

fn voice(number: u16) -> Vec<u8> {
    packet(&ClientPacket::Voice(Voice {
        seq: Seq(number),
        timestamp: Timestamp(8 * u32::from(number)),
        level: 40,
        stream: 0,
        terminator: false,
        payload: &[1; 640],
    }))
}

/// Makes a server without its driver and its sender, and a connection with its client's end.
async fn server_and_connection() -> (Server, TcpStream, LinkId, Rc<Socket>, OwnedReadHalf) {
    let server = Server::new(&config(), Ticker::default());
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

#[tokio::test(start_paused = true)]
async fn a_reader_does_due_work_before_it_reads() {
    let (server, client, id, socket, mut reader) = server_and_connection().await;
    server.act(|hub, now| hub.handle_bytes(id, &hello(), now));
    server.act(|hub, now| hub.handle_bytes(id, &voice(1), now));
    client.try_write(&voice(2)).unwrap();
    // The tick has been due for a moment, and the driver cannot run: this thread is busy, as with a
    // crowd of readers.
    advance(4_000);
    let mut took = ControlFlow::Break(Poll::Pending);
    while took.is_break() {
        took = poll_fn(|cx| Poll::Ready(server.take_in(id, &socket, &mut reader, cx))).await;
        tokio::task::yield_now().await;
    }
    let hub = server.hub.borrow();
    assert_eq!((hub.counters().ticks, hub.counters().packets_in), (1, 3));
    let depth_frames = hub
        .rooms()
        .flat_map(|room| room.participants())
        .map(|p| p.depth_frames());
    assert_eq!(
        depth_frames.sum::<u16>(),
        1,
        "the voice was read before the tick"
    );
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
    assert_eq!(server.hub.borrow().counters().packets_out, 2 + pings);
    client.readable().await.unwrap();
    // Welcome, roster and Pongs were written at once, so they are read at once.
    let read = client.try_read(&mut [0; 4_096]).unwrap();
    assert_eq!(read as u64, server.hub.borrow().counters().bytes_out);
}

#[tokio::test(start_paused = true)]
async fn without_descriptors_at_most_eight_connections_are_closing() {
    let server = Server::new(&config(), Ticker::default());
    for _ in 0..20 {
        server
            .hub
            .borrow_mut()
            .connect(server.ticker.now())
            .unwrap();
    }
    tokio::time::advance(std::time::Duration::from_secs(1)).await;
    for (lingering, refused) in [(3, 5), (0, 8), (8, 0), (9, 0)] {
        server.lingering.set(lingering);
        server.free_descriptors();
        let closing = std::iter::from_fn(|| server.hub.borrow_mut().poll_output());
        assert_eq!(closing.count(), refused, "{lingering} linger");
    }
}

#[tokio::test]
async fn a_connection_lingers_until_the_peer_closes_and_is_counted() {
    use tokio::io::AsyncReadExt;
    let (server, mut client, id, socket, reader) = server_and_connection().await;
    let server = Rc::new(server);
    server.connections.set(1);
    let local = LocalSet::new();
    let task = local.spawn_local(Rc::clone(&server).attend(id, socket, reader));
    local
        .run_until(async {
            server.act(|hub, now| hub.shut_down(now));
            while !server.sockets.borrow().is_empty() {
                let next = || server.hub.borrow_mut().poll_output();
                while let Some(id) = next() {
                    server.send_to(id, server.ticker.now());
                }
                tokio::task::yield_now().await;
            }
            tokio::task::yield_now().await;
            assert_eq!(server.lingering.get(), 1);
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await.unwrap();
            drop(client);
            task.await.unwrap();
        })
        .await;
    assert_eq!((server.lingering.get(), server.connections.get()), (0, 0));
}
