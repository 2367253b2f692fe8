//! Writes the hub's output into the sockets.

use std::rc::Rc;

use talkspurt_core::time::Instant;
use talkspurt_hub::{Close, Hub, LinkId, Outbox};

use super::{Costly, Server};
use crate::net::Socket;

/// How many connections get control packets before readers have their turn: less than 1 ms.
const WRITES_IN_A_ROW: usize = 32;

impl Server {
    /// Writes what ticks leave unwritten: control packets. It runs after all connections that had
    /// input when the first packet was made, so that all packets caused by that input leave in one
    /// write for each connection.
    pub(super) async fn send_rest(self: Rc<Self>) {
        loop {
            self.unsent.notified().await;
            let mut written = 0_usize;
            let next = || self.hub.borrow_mut().poll_output();
            while let Some(id) = next() {
                self.send_to(id, self.ticker.now());
                self.catch_up();
                written += 1;
                if written.is_multiple_of(WRITES_IN_A_ROW) {
                    // Announcements to a large room must not keep voice from being read.
                    tokio::task::yield_now().await;
                }
            }
            self.settle(self.ticker.now());
            self.rearm();
        }
    }

    pub(super) fn send_to(&self, id: LinkId, now: Instant) {
        if let Some(socket) = self.sockets.borrow().get(id) {
            self.spend(Costly::Write);
            write(&mut self.hub.borrow_mut(), socket, id, now);
        }
    }
}

/// Writes a link's output as far as its socket takes it.
pub(super) fn write(hub: &mut Hub, socket: &Socket, id: LinkId, now: Instant) {
    let write = |outbox: &Outbox| socket.write(outbox.packets());
    if let Some(Close { unsent }) = hub.write(id, now, write) {
        socket.close(unsent);
    }
}
