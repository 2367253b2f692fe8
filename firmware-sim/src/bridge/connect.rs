//! From the server's name to a connection with the options that the bridge needs.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use talkspurt_host_kit::addresses::{ATTEMPT_DELAY, interleave, more_telling};

/// How long one address may take to answer a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A server host that vanished without a word is noticed after this much silence (then probed every 3 s, 3 times), ...
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;
/// ... or when it has not acknowledged bytes for this long. A node pings its server every few seconds.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(14);
/// The kernel's send buffer, in bytes (Linux doubles it for its own bookkeeping): what is on its way over a long path, and no more.
const SEND_BUFFER_BYTES: usize = 8 * 1024;
/// Bytes that may wait in the kernel unsent: a tenth of a second of a line at 115,200 baud. What else waits is in the bridge's own
/// queue, which drops what is old.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 1024;

/// Connects to `server` (`HOST:PORT`); all addresses that the name stands for have their chance.
/// Every `look` it asks `give_up`; `None` once that says yes.
///
/// # Errors
/// When the name does not resolve, or no address answers: the most telling failure.
pub fn connect(
    server: &str,
    look: Duration,
    give_up: impl FnMut() -> bool,
) -> Option<io::Result<TcpStream>> {
    let server = server.to_owned();
    let attempt = move || {
        let stream = first_of(interleave(server.to_socket_addrs()?), CONNECT_TIMEOUT)?;
        tune(&stream)?;
        notice_a_vanished_server(&stream)?;
        Ok(stream)
    };
    in_background(attempt, look, give_up)
}

/// Runs `attempt` in a thread, since a name server that does not answer holds it for 10 s and more.
/// One that is given up ends by itself, and nobody takes what it comes to.
fn in_background<T: Send + 'static>(
    attempt: impl FnOnce() -> io::Result<T> + Send + 'static,
    look: Duration,
    mut give_up: impl FnMut() -> bool,
) -> Option<io::Result<T>> {
    let (sender, outcome) = channel();
    let run = move || {
        let _ = sender.send(attempt());
    };
    let thread = thread::Builder::new().name("connect".to_owned());
    if let Err(error) = thread.spawn(run) {
        return Some(Err(error));
    }
    loop {
        match outcome.recv_timeout(look) {
            Ok(outcome) => return Some(outcome),
            Err(RecvTimeoutError::Timeout) if give_up() => return None,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                return Some(Err(io::Error::other("the attempt to connect failed")));
            }
        }
    }
}

/// The first connection to come about; an address is tried as soon as the one before it fails or takes long.
fn first_of(addresses: Vec<SocketAddr>, patience_each: Duration) -> io::Result<TcpStream> {
    let (sender, outcomes) = channel();
    let mut waiting = addresses.into_iter();
    let mut attempts = 0;
    let mut failure = None;
    loop {
        if let Some(address) = waiting.next() {
            let sender = sender.clone();
            // Once another attempt has won, nobody takes the outcome, and the connection is closed.
            let attempt = move || {
                let _ = sender.send(TcpStream::connect_timeout(&address, patience_each));
            };
            thread::Builder::new()
                .name("connect".to_owned())
                .spawn(attempt)?;
            attempts += 1;
        } else if attempts == 0 {
            let no_address =
                || io::Error::new(ErrorKind::NotFound, "the name stands for no address");
            return Err(failure.unwrap_or_else(no_address));
        }
        let patience = match waiting.len() {
            // Each attempt ends by itself.
            0 => 2 * patience_each,
            _ => ATTEMPT_DELAY,
        };
        match outcomes.recv_timeout(patience) {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => {
                attempts -= 1;
                failure = Some(match failure {
                    Some(earlier) => more_telling(earlier, error),
                    None => error,
                });
            }
            Err(_) => {}
        }
    }
}

/// A packet waits for nothing, and little waits in the kernel, where it cannot be dropped.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

fn notice_a_vanished_server(stream: &TcpStream) -> io::Result<()> {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_AFTER)
        .with_interval(KEEPALIVE_EVERY);
    #[cfg(not(any(
        target_os = "openbsd",
        target_os = "redox",
        target_os = "solaris",
        target_os = "windows"
    )))]
    let keepalive = keepalive.with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::TcpListener;

    #[cfg(target_os = "linux")]
    #[test]
    fn little_waits_in_the_kernel_and_a_packet_for_nothing() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap().to_string();
        let connected = connect(&server, Duration::from_secs(60), || false);
        let stream = connected.unwrap().unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
        // The system doubles it for its own bookkeeping.
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER_BYTES);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    #[test]
    fn an_address_that_never_answers_does_not_hide_the_next_one() {
        // A listener whose queue is full: the system ignores further attempts, as a firewall does that drops them.
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let silent = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&silent, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has no end");
        }
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = good.local_addr().unwrap();
        // Far longer than the test has to take.
        let patience_each = Duration::from_secs(60);
        let started = std::time::Instant::now();
        let stream = first_of(vec![silent, address], patience_each).unwrap();
        assert_eq!(stream.peer_addr().unwrap(), address);
        assert!(
            started.elapsed() < patience_each,
            "it waited until the first attempt had failed"
        );
    }

    #[test]
    fn where_nobody_listens_that_is_what_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let error = first_of(vec![address, address], CONNECT_TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(
            first_of(vec![], CONNECT_TIMEOUT).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }

    #[test]
    fn an_attempt_that_hangs_is_given_up_when_asked() {
        // As `getaddrinfo` with a name server that does not answer; it ends with the test.
        let (_hold, held) = channel::<()>();
        let hang = move || {
            let _ = held.recv();
            Ok(())
        };
        let mut asked = 0;
        let outcome = in_background(hang, Duration::from_millis(1), || {
            asked += 1;
            asked == 3
        });
        assert!(outcome.is_none());
        assert_eq!(asked, 3);
    }

    #[test]
    fn what_an_attempt_comes_to_is_told() {
        let look = Duration::from_secs(60);
        let good = in_background(|| Ok(7), look, || false);
        assert_eq!(good.unwrap().unwrap(), 7);
        let bad: Option<io::Result<()>> =
            in_background(|| Err(ErrorKind::ConnectionRefused.into()), look, || false);
        let error = bad.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }

    #[test]
    fn a_family_that_this_machine_lacks_does_not_hide_that_nobody_listens() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let refusing = closed.local_addr().unwrap();
        drop(closed);
        // A broadcast address takes no connection, whatever the machine's network is.
        let odd: SocketAddr = "255.255.255.255:9".parse().unwrap();
        let error = first_of(vec![refusing, odd], CONNECT_TIMEOUT).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
