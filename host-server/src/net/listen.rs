//! Binds addresses of either family, and accepts connections despite errors.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use socket2::SockRef;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_host_kit::log_throttle::LogThrottle;
use talkspurt_host_kit::words;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::ticker::Ticker;

/// Connections that wait to be accepted: all clients of a full server, reconnecting at once after a
/// restart.
const BACKLOG: u32 = 1024;
/// The pause after accepting has failed, so that it does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
/// While accepting keeps failing, one report in this time.
const TROUBLE_EVERY: Duration = Duration::from_secs(60);

/// Why an address cannot be listened on, in one line with advice.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {}; choose another with {flag}", describe(.source))]
pub struct BindError {
    address: SocketAddr,
    flag: &'static str,
    source: io::Error,
}

/// Binds a listener; `flag` is the one that set the address. Needs a runtime.
///
/// `[::]` takes IPv6 and IPv4, whatever the system's default is, or only IPv4 if there is no IPv6.
pub fn bind(address: SocketAddr, flag: &'static str) -> Result<TcpListener, BindError> {
    let bound = match listen(address) {
        Err(error) if address.ip() == Ipv6Addr::UNSPECIFIED && is_ipv6_absent(&error) => {
            listen(SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port())))
        }
        bound => bound,
    };
    bound.map_err(|source| BindError {
        address,
        flag,
        source,
    })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    if address.ip() == Ipv6Addr::UNSPECIFIED {
        SockRef::from(&socket).set_only_v6(false)?;
    }
    // A restarted server gets its port back even while old connections linger in TIME_WAIT.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_ipv6_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable
        || Errno::from_io_error(error) == Some(Errno::AFNOSUPPORT)
}

fn is_out_of_descriptors(error: &io::Error) -> bool {
    matches!(
        Errno::from_io_error(error),
        Some(Errno::MFILE | Errno::NFILE)
    )
}

/// Describes an error for people, without the system's number.
pub fn describe(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => "address in use".to_owned(),
        io::ErrorKind::AddrNotAvailable => "this machine does not have the address".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ if is_out_of_descriptors(error) => {
            "no file descriptor is left: raise the limit of open files (ulimit -Hn, LimitNOFILE=)"
                .to_owned()
        }
        _ => words::without_numbers(error.to_string()),
    }
}

/// Accepts connections, however often that fails.
pub struct Acceptor<F> {
    listener: TcpListener,
    what: &'static str,
    clock: Ticker,
    trouble: LogThrottle,
    free_descriptors: F,
    paused_until: Option<Instant>,
}

impl<F: Fn()> Acceptor<F> {
    /// Makes an acceptor for a bound listener; `what` names its connections in the log. It calls
    /// `free_descriptors`, which may close connections, whenever no descriptor is left.
    pub fn new(listener: TcpListener, what: &'static str, free_descriptors: F) -> Self {
        Self {
            listener,
            what,
            clock: Ticker::default(),
            trouble: LogThrottle::default(),
            free_descriptors,
            paused_until: None,
        }
    }

    /// Returns the next connection and its address. Can be dropped and called again at any time.
    ///
    /// If accepting fails, logs that once a minute and tries again after a pause: descriptors that
    /// are short now become free when somebody leaves or is made to.
    pub async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        loop {
            if self.paused_until.is_some() {
                self.clock.sleep_until(self.paused_until).await;
                self.paused_until = None;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => return (stream, canonical(peer)),
                Err(error) if is_of_one_connection(&error) => {
                    tracing::debug!(%error, "a connection was lost while it was accepted");
                }
                Err(error) => self.handle_trouble(&error),
            }
        }
    }

    fn handle_trouble(&mut self, error: &io::Error) {
        self.paused_until = Some(self.clock.now() + ACCEPT_PAUSE);
        let out_of_descriptors = is_out_of_descriptors(error);
        // Linux looks for a descriptor before it looks for a connection, so perhaps nobody waits.
        if out_of_descriptors && !has_connection(&self.listener) {
            return;
        }
        self.trouble.add(1);
        if let Some(times) = self.trouble.take(self.clock.now(), TROUBLE_EVERY) {
            tracing::warn!(times, "cannot accept {}: {}", self.what, describe(error));
        }
        if out_of_descriptors {
            (self.free_descriptors)();
        }
    }
}

/// Returns whether a connection waits to be accepted.
fn has_connection(listener: &TcpListener) -> bool {
    let mut polled = [PollFd::new(listener, PollFlags::IN)];
    // If that cannot be determined, assume that one waits.
    !matches!(poll(&mut polled, Some(&Timespec::default())), Ok(0))
}

fn is_of_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Returns an address as people know it: IPv4 over an IPv6 socket is shown as IPv4.
pub fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::testing::lines_logged;

    #[tokio::test]
    async fn a_taken_port_is_one_clear_line() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let taken = listener.local_addr().unwrap();
        let message = bind(taken, "--listen").unwrap_err().to_string();
        assert_eq!(
            message,
            format!("cannot listen on {taken}: address in use; choose another with --listen")
        );
    }

    /// The client may consider itself connected a moment before the listener does.
    fn wait_for_connection(listener: &TcpListener) {
        let began = std::time::Instant::now();
        while !has_connection(listener) {
            assert!(began.elapsed().as_secs() < 20, "no connection came");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn only_a_waiting_connection_is_detected() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        assert!(!has_connection(&listener));
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        wait_for_connection(&listener);
        listener.accept().await.unwrap();
        assert!(!has_connection(&listener));
    }

    #[tokio::test(start_paused = true)]
    async fn descriptors_are_freed_for_a_connection_and_after_the_pause_it_is_accepted() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let address = listener.local_addr().unwrap();
        let freed = Cell::new(0);
        let mut acceptor = Acceptor::new(listener, "a connection", || freed.set(freed.get() + 1));
        let no_descriptor = Errno::MFILE.into();
        acceptor.handle_trouble(&no_descriptor);
        assert_eq!(freed.get(), 0, "freed although nobody waits");
        assert!(acceptor.paused_until.is_some(), "no pause");
        let _client = TcpStream::connect(address).await.unwrap();
        wait_for_connection(&acceptor.listener);
        acceptor.handle_trouble(&no_descriptor);
        assert_eq!(freed.get(), 1);
        acceptor.handle_trouble(&io::ErrorKind::OutOfMemory.into());
        assert_eq!(freed.get(), 1, "freed although descriptors are not short");
        let began = acceptor.clock.now();
        let half = std::time::Duration::from_millis(100);
        let waited = tokio::time::timeout(half, acceptor.accept()).await;
        assert!(waited.is_err());
        acceptor.accept().await;
        assert_eq!(
            acceptor.clock.now().duration_since(began),
            Duration::from_millis(200),
            "the pause depends on how often accept is called"
        );
    }

    #[tokio::test]
    async fn failures_to_accept_are_logged_unless_nobody_waits_for_a_descriptor() {
        let lines = |number, what| {
            let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
            let mut acceptor = Acceptor::new(listener, what, || {});
            lines_logged(|| acceptor.handle_trouble(&io::Error::from_raw_os_error(number)))
        };
        let out_of_memory = 12;
        for what in ["a connection", "an HTTP connection"] {
            let told = lines(out_of_memory, what);
            let starts = format!("WARN cannot accept {what}: ");
            assert!(told[0].to_ascii_lowercase().contains("memory"), "{told:?}");
            assert!(told[0].starts_with(&starts), "{told:?}");
        }
        assert!(lines(Errno::MFILE.raw_os_error(), "a connection").is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn failures_that_go_on_are_reported_once_a_minute() {
        let listener = bind("127.0.0.1:0".parse().unwrap(), "--listen").unwrap();
        let mut acceptor = Acceptor::new(listener, "a connection", || {});
        let mut told = Vec::new();
        for _ in 0..150 {
            told.extend(lines_logged(|| {
                acceptor.handle_trouble(&io::ErrorKind::OutOfMemory.into());
            }));
            tokio::time::advance(std::time::Duration::from_secs(1)).await;
        }
        assert_eq!(told.len(), 3, "{told:?}");
        for (line, times) in told.iter().zip([1, 60, 60]) {
            assert!(line.contains(&format!("times={times}")), "{line}");
        }
    }

    #[tokio::test]
    async fn any_address_takes_both_families_and_shows_each_as_it_is() {
        let Ok(listener) = bind("[::]:0".parse().unwrap(), "--listen") else {
            panic!("neither IPv6 nor IPv4")
        };
        let bound = listener.local_addr().unwrap();
        let mut acceptor = Acceptor::new(listener, "a connection", || {});
        let mut targets = vec![SocketAddr::from(([127, 0, 0, 1], bound.port()))];
        // Without IPv6 it is bound to IPv4.
        let has_loopback = std::net::TcpListener::bind("[::1]:0").is_ok();
        if bound.is_ipv6() && has_loopback {
            targets.push(SocketAddr::from((Ipv6Addr::LOCALHOST, bound.port())));
        }
        for target in targets {
            let client = TcpStream::connect(target).await.unwrap();
            let (_, peer) = acceptor.accept().await;
            assert_eq!(peer, client.local_addr().unwrap());
        }
    }

    #[test]
    fn without_ipv6_any_address_is_ipv4() {
        assert!(is_ipv6_absent(&Errno::AFNOSUPPORT.into()));
        assert!(is_ipv6_absent(&io::ErrorKind::AddrNotAvailable.into()));
        assert!(!is_ipv6_absent(&io::ErrorKind::AddrInUse.into()));
    }

    #[test]
    fn errors_are_described_without_numbers() {
        let told = |number| describe(&io::Error::from_raw_os_error(number));
        assert!(told(24).contains("ulimit -Hn") && told(23).contains("ulimit -Hn"));
        for number in 1..100 {
            assert!(!told(number).contains("os error"), "{}", told(number));
        }
    }

    #[tokio::test]
    async fn a_foreign_address_is_one_clear_line() {
        // TEST-NET-1 (RFC 5737) belongs to nobody.
        let message = bind("192.0.2.1:8255".parse().unwrap(), "--http")
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("this machine does not have the address; choose another with --http"),
            "{message}"
        );
    }
}
