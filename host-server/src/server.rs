//! The running server: the hub connected to sockets, the clock and the pages, on one thread.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::net::SocketAddr;
use std::ops::ControlFlow;
use std::rc::Rc;
use std::task::{Context, Poll};

use slotmap::SecondaryMap;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::Token;
use talkspurt_host_kit::random::random;
use talkspurt_hub::{Hub, HubConfig, LinkId, Work};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinError, JoinSet, LocalSet};

use crate::config::Config;
use crate::http;
use crate::journal::Journal;
use crate::metrics::MixTimes;
use crate::net::{self, Acceptor, Incoming, Socket};
use crate::ticker::Ticker;
use crate::turns::Turns;

/// The most that one read takes: the burst of a stalled TCP connection, 24 packets of PCM16 voice.
/// One buffer serves all connections.
const READ_BYTES: usize = 16 * 1024;
/// How long a stopping server waits until everyone has got a Bye.
const DRAIN_TIMEOUT: std::time::Duration = std::time::Duration::from_millis(1_200);
/// While no descriptor is left, connections are refused until this many linger. Those give theirs
/// back within a second.
const LINGERING_WITHOUT_DESCRIPTORS: usize = 8;
/// How many page requests may wait.
const PAGES_WAITING: usize = 16;

/// Serves voice on `listener` and pages on `http` until `shutdown` resolves. Then says Bye to
/// everyone and returns within 1.2 s.
///
/// Runs on the calling thread. The addresses in `config` are ignored, since the listeners are
/// already bound.
pub async fn run(
    listener: TcpListener,
    http: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()>,
) {
    let serving = async {
        let server = Rc::new(Server::new(&config, Ticker::precise()));
        let (pages, page_requests) = mpsc::channel(PAGES_WAITING);
        let mut tasks = JoinSet::new();
        tasks.spawn(http::serve(http, pages, config.capacity.http));
        tasks.spawn_local(Rc::clone(&server).drive());
        tasks.spawn_local(Rc::clone(&server).send_rest());
        tasks.spawn_local(Rc::clone(&server).answer_pages(page_requests));
        tasks.spawn_local(Rc::clone(&server).accept(listener));
        tokio::select! {
            () = shutdown => {}
            Some(ended) = tasks.join_next() => {
                pass_on_panic(ended);
                panic!("a task of the server ended");
            }
        }
        server.stopping.notify_one();
        server.act(|hub, now| hub.shut_down(now));
        let drained = tokio::time::timeout(DRAIN_TIMEOUT, server.drained()).await;
        if drained.is_err() {
            tracing::warn!(
                connections = server.connections.get(),
                "stopped with connections still open"
            );
        }
    };
    LocalSet::new().run_until(serving).await;
}

/// What a client can resume its session with.
fn random_token() -> Token {
    (u128::from(random()) << 64 | u128::from(random())).to_le_bytes()
}

/// A panic in a task is a bug of ours and must not be hidden: half a server is worse than one that
/// is restarted.
fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && error.is_panic()
    {
        std::panic::resume_unwind(error.into_panic());
    }
}

/// Work that takes the thread's time. Tests on virtual time set its price.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Costly {
    Read,
    Write,
    Tick,
}

struct Server {
    hub: RefCell<Hub>,
    frame: Duration,
    sockets: RefCell<SecondaryMap<LinkId, Rc<Socket>>>,
    ticker: Ticker,
    /// The deadline that the driver sleeps towards.
    armed: Cell<Option<Instant>>,
    turns: RefCell<Turns>,
    /// Signals that there is unwritten output.
    unsent: Notify,
    read_buffer: RefCell<Box<[u8]>>,
    mix_times: MixTimes,
    journal: RefCell<Journal>,
    /// The number of connection tasks, including those that linger.
    connections: Cell<usize>,
    lingering: Cell<usize>,
    lingering_max: usize,
    one_closed: Notify,
    stopping: Notify,
    #[cfg(test)]
    trial: tests::Trial,
}

impl Server {
    fn new(config: &Config, ticker: Ticker) -> Self {
        let hub = Hub::new(HubConfig {
            max_participants: config.capacity.participants,
            max_handshakes: config.capacity.handshakes,
            ..config.hub
        });
        Self {
            hub: RefCell::new(hub),
            frame: config.hub.format.frame.duration(),
            sockets: RefCell::default(),
            ticker,
            armed: Cell::new(None),
            turns: RefCell::default(),
            unsent: Notify::new(),
            read_buffer: RefCell::new(vec![0; READ_BYTES].into()),
            mix_times: MixTimes::default(),
            journal: RefCell::default(),
            connections: Cell::new(0),
            lingering: Cell::new(0),
            lingering_max: config.capacity.lingering,
            one_closed: Notify::new(),
            stopping: Notify::new(),
            #[cfg(test)]
            trial: tests::Trial::default(),
        }
    }

    /// In tests, spends the virtual time that the work costs; otherwise does nothing.
    fn spend(&self, _what: Costly) {
        #[cfg(test)]
        self.trial.spend(_what, self.ticker.now());
    }

    async fn accept(self: Rc<Self>, listener: TcpListener) {
        let server = Rc::clone(&self);
        let mut acceptor =
            Acceptor::new(listener, "a connection", move || server.free_descriptors());
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                (stream, peer) = acceptor.accept() => {
                    self.admit(stream, peer, &mut connections);
                    // Received bytes are read before more connections can push theirs out, and
                    // connections that were pushed out give their descriptors back.
                    tokio::task::yield_now().await;
                }
                Some(ended) = connections.join_next() => pass_on_panic(ended),
                () = self.stopping.notified() => break,
            }
        }
        drop(acceptor);
        while let Some(ended) = connections.join_next().await {
            pass_on_panic(ended);
        }
        std::future::pending().await
    }

    fn admit(self: &Rc<Self>, stream: TcpStream, peer: SocketAddr, connections: &mut JoinSet<()>) {
        self.catch_up();
        let (socket, reader) = match Socket::new(stream, peer) {
            Ok(halves) => halves,
            Err(error) => {
                return tracing::debug!(
                    %peer,
                    %error,
                    "a connection was lost while it was accepted"
                );
            }
        };
        let now = self.ticker.now();
        let Some(id) = self.hub.borrow_mut().connect(now) else {
            return self.journal.borrow_mut().write_turned_away(peer, now);
        };
        let socket = Rc::new(socket);
        self.sockets.borrow_mut().insert(id, Rc::clone(&socket));
        self.connections.set(self.connections.get() + 1);
        connections.spawn_local(Rc::clone(self).attend(id, socket, reader));
        // Another connection may have had to make room.
        self.settle(now);
        self.rearm();
    }

    /// When no descriptor is left, refuses connections that have not joined, to free theirs.
    fn free_descriptors(&self) {
        let most = LINGERING_WITHOUT_DESCRIPTORS.saturating_sub(self.lingering.get());
        self.act(|hub, now| hub.refuse_handshakes(most, now));
    }

    /// Runs one connection until its end.
    async fn attend(self: Rc<Self>, id: LinkId, socket: Rc<Socket>, mut reader: OwnedReadHalf) {
        poll_fn(|cx| {
            loop {
                if let ControlFlow::Break(poll) = self.take_in(id, &socket, &mut reader, cx) {
                    return poll;
                }
            }
        })
        .await;
        self.sockets.borrow_mut().remove(id);
        drop(socket);
        if self.lingering.get() < self.lingering_max {
            self.lingering.set(self.lingering.get() + 1);
            net::linger(reader).await;
            self.lingering.set(self.lingering.get() - 1);
        }
        self.connections.set(self.connections.get() - 1);
        self.one_closed.notify_one();
    }

    /// Handles one input of a connection, after due work. `Break` if there is no more input for
    /// now, or the connection has ended.
    fn take_in(
        &self,
        id: LinkId,
        socket: &Socket,
        reader: &mut OwnedReadHalf,
        cx: &mut Context<'_>,
    ) -> ControlFlow<Poll<()>> {
        self.catch_up();
        let buffer = &mut **self.read_buffer.borrow_mut();
        match net::poll_incoming(socket, reader, buffer, cx) {
            Poll::Pending => return ControlFlow::Break(Poll::Pending),
            Poll::Ready(Incoming::Bytes(count)) => {
                self.spend(Costly::Read);
                self.act(|hub, now| hub.handle_bytes(id, &buffer[..count], now))
            }
            Poll::Ready(Incoming::Writable) => {
                self.act(|hub, now| sending::write(hub, socket, id, now))
            }
            Poll::Ready(Incoming::ClosedByUs) => return ControlFlow::Break(Poll::Ready(())),
            Poll::Ready(Incoming::ClosedByPeer) => {
                self.act(|hub, now| hub.handle_closed(id, now));
                return ControlFlow::Break(Poll::Ready(()));
            }
        }
        ControlFlow::Continue(())
    }

    /// Calls the hub, then logs its events and has its output sent.
    fn act(&self, something: impl FnOnce(&mut Hub, Instant)) {
        let now = self.ticker.now();
        something(&mut self.hub.borrow_mut(), now);
        self.settle(now);
        self.rearm();
    }

    fn settle(&self, now: Instant) {
        let hub = &mut *self.hub.borrow_mut();
        let sockets = self.sockets.borrow();
        hub.admit_all(now, random_token);
        while let Some(event) = hub.poll_event() {
            self.journal.borrow_mut().write(&event, now, |id| {
                sockets.get(id).map(|socket| socket.peer())
            });
        }
        if hub.has_output() {
            self.unsent.notify_one();
        }
    }

    /// Wakes the driver if it sleeps too long.
    fn rearm(&self) {
        let due = self.hub.borrow().poll_timeout();
        if due.is_some_and(|due| self.armed.get().is_none_or(|armed| due < armed)) {
            self.ticker.wake_earlier();
        }
    }

    /// Does all work that is due by time alone, one room at a time. Each room's mixes are sent
    /// before the next room is mixed.
    async fn drive(self: Rc<Self>) {
        loop {
            let due = self.hub.borrow().poll_timeout();
            self.armed.set(due);
            self.ticker.sleep_until(due).await;
            if self.is_behind() && !self.is_due_first() {
                // All connections with input get one turn now; then the due work is done.
                tokio::task::yield_now().await;
            }
            self.do_what_is_due(self.ticker.now());
        }
    }

    /// Does due work if that goes before input, so that a tick does not wait for a crowd of
    /// readers.
    fn catch_up(&self) {
        if self.is_due_first() {
            self.do_what_is_due(self.ticker.now());
            self.rearm();
        }
    }

    fn is_due_first(&self) -> bool {
        let due = self.hub.borrow().poll_timeout();
        let mut turns = self.turns.borrow_mut();
        turns.is_due_first(due, self.ticker.now())
    }

    /// Does the work due in the frame period that begins with the earliest deadline, so that a late
    /// room catches up by one tick at a time. The voice for its next tick may still be in the
    /// sockets.
    fn do_what_is_due(&self, now: Instant) {
        let Some(earliest) = self.hub.borrow().poll_timeout() else {
            return;
        };
        let before = earliest + self.frame;
        let is_due = || {
            let due = self.hub.borrow().poll_timeout();
            due.is_some_and(|due| due <= now && due < before)
        };
        while is_due() {
            let started = self.ticker.now();
            let work = self.hub.borrow_mut().handle_timeout(now);
            if work == Work::Tick {
                self.spend(Costly::Tick);
                self.mix_times
                    .observe(self.ticker.now().duration_since(started).into());
                let next = || self.hub.borrow_mut().poll_voice_output();
                while let Some(id) = next() {
                    self.send_to(id, now);
                }
            }
        }
        self.turns.borrow_mut().worked(now, self.ticker.now());
        self.settle(now);
    }

    /// Returns whether a deadline has already passed, as happens under overload.
    fn is_behind(&self) -> bool {
        let due = self.hub.borrow().poll_timeout();
        due.is_some_and(|due| due <= self.ticker.now())
    }

    async fn drained(&self) {
        while self.connections.get() > 0 {
            self.one_closed.notified().await;
        }
    }
}

mod pages;
mod sending;
#[cfg(test)]
mod tests;
