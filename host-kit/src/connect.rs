//! From a server's name to a connection. All of its addresses get a chance (RFC 8305).
//!
//! [`connect`] blocks, for [`PATIENCE`] at most. A program that must not wait calls it in a thread.

mod addresses;

use crate::server_address::ServerAddress;
use addresses::{ATTEMPT_DELAY, interleave, more_telling};
use std::{
    io,
    net::{SocketAddr, TcpStream, ToSocketAddrs as _},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

/// Longest time to connect, including the look-up and all addresses of the host.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Connects to the first address of `server` that answers.
///
/// # Errors
/// When the name has no address, or none of them answers. Then the most telling failure is
/// returned.
pub fn connect(server: &ServerAddress) -> io::Result<TcpStream> {
    let until = Instant::now() + PATIENCE;
    first_of(look_up(server)?, until)
}

/// Looks the name up in a thread: the system may take many seconds longer than we wait.
fn look_up(server: &ServerAddress) -> io::Result<Vec<SocketAddr>> {
    let (sender, answer) = channel();
    let name = (server.host.clone(), server.port);
    in_thread(move || {
        // An answer that comes too late has no receiver.
        let _ = sender.send(name.to_socket_addrs().map(Vec::from_iter));
    })?;
    answer.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let secs = PATIENCE.as_secs();
        Err(io::Error::other(format!(
            "no name server answers within {secs} s; is this machine on the network?"
        )))
    })
}

/// Returns the first connection that succeeds. An address is tried as soon as the one before it
/// fails or takes long, and the two families take turns.
fn first_of(addresses: Vec<SocketAddr>, until: Instant) -> io::Result<TcpStream> {
    let (sender, outcomes) = channel();
    let mut waiting = interleave(addresses).into_iter();
    let mut running = 0;
    let mut failure = None;
    let tell_more = |before: Option<io::Error>, error| match before {
        Some(before) => more_telling(before, error),
        None => error,
    };
    loop {
        if let Some(address) = waiting.next() {
            let sender = sender.clone();
            in_thread(move || {
                // Once another attempt has won, the channel is closed, and this connection is
                // dropped.
                let _ = sender.send(TcpStream::connect_timeout(&address, PATIENCE));
            })?;
            running += 1;
        } else if running == 0 {
            return Err(failure.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the name has no address")
            }));
        }
        let left = until.saturating_duration_since(Instant::now());
        let patience = match waiting.len() {
            0 => left,
            _ => left.min(ATTEMPT_DELAY),
        };
        match outcomes.recv_timeout(patience) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                running -= 1;
                failure = Some(tell_more(failure, error));
            }
            Err(_) if patience == left => {
                let text = format!("no answer within {} s", PATIENCE.as_secs());
                let silence = io::Error::new(io::ErrorKind::TimedOut, text);
                return Err(tell_more(failure, silence));
            }
            Err(_) => {}
        }
    }
}

fn in_thread(work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let thread = thread::Builder::new().name("connect".into());
    thread.spawn(work).map(drop)
}

#[cfg(test)]
mod tests;
