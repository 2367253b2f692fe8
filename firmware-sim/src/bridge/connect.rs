//! From the server's name to a connection with the options that the bridge needs.

use std::io;
use std::net::TcpStream;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};
use talkspurt_host_kit::connect;
use talkspurt_host_kit::server_address::ServerAddress;
use talkspurt_host_kit::socket::{SendLimits, tune};

/// A server host that vanished silently is noticed after this much silence (then probed every 3 s,
/// 3 times), ...
const KEEPALIVE_AFTER: Duration = Duration::from_secs(5);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(3);
const KEEPALIVE_PROBES: u32 = 3;
/// ... or when it has not acknowledged bytes for this long. A node pings its server every few
/// seconds.
#[cfg(target_os = "linux")]
const UNACKNOWLEDGED: Duration = Duration::from_secs(14);
/// Holds what is in flight over a long path, and a tenth of a second of a line at 115,200 baud. The
/// rest waits in the bridge's own queue, which drops old bytes.
const SEND_LIMITS: SendLimits = SendLimits {
    buffer_bytes: 8 * 1024,
    unsent_bytes: 1024,
};

/// Connects to `server`. Calls `give_up` every `look`, and returns `None` once that returns true.
///
/// # Errors
/// When the name does not resolve, or no address answers. Then the most telling failure is
/// returned.
pub fn connect(
    server: &ServerAddress,
    look: Duration,
    give_up: impl FnMut() -> bool,
) -> Option<io::Result<TcpStream>> {
    let server = server.clone();
    let attempt = move || {
        let stream = connect::connect(&server)?;
        tune(&stream, SEND_LIMITS)?;
        notice_a_vanished_server(&stream)?;
        Ok(stream)
    };
    in_background(attempt, look, give_up)
}

/// Runs `attempt` in a thread, since a server that does not answer blocks it for seconds. An
/// abandoned attempt ends by itself, and its result is dropped.
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
    use std::io::ErrorKind;
    use std::net::TcpListener;

    #[cfg(target_os = "linux")]
    #[test]
    fn little_waits_in_the_kernel_and_packets_are_not_delayed() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = ServerAddress::parse("127.0.0.1", port).unwrap();
        let connected = connect(&server, Duration::from_secs(60), || false);
        let stream = connected.unwrap().unwrap();
        let socket = SockRef::from(&stream);
        assert!(stream.nodelay().unwrap());
        assert_eq!(
            socket.tcp_notsent_lowat().unwrap(),
            SEND_LIMITS.unsent_bytes
        );
        // The system doubles it for its own bookkeeping.
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_LIMITS.buffer_bytes);
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_AFTER);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_EVERY);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(UNACKNOWLEDGED));
    }

    #[test]
    fn an_attempt_that_hangs_is_given_up_when_asked() {
        // Like `getaddrinfo` with a name server that does not answer. It ends with the test.
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
    fn the_result_of_an_attempt_is_returned() {
        let look = Duration::from_secs(60);
        let good = in_background(|| Ok(7), look, || false);
        assert_eq!(good.unwrap().unwrap(), 7);
        let bad: Option<io::Result<()>> =
            in_background(|| Err(ErrorKind::ConnectionRefused.into()), look, || false);
        let error = bad.unwrap().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    }
}
