//! From a host's name to a connection: all of its addresses have their chance (RFC 8305).

use crate::config::Endpoint;
use socket2::SockRef;
use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};
use talkspurt_host_kit::addresses::{ATTEMPT_DELAY, interleave, more_telling};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::{Instant, timeout_at},
};

/// How long a connection may take to come about, all addresses of the host together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The kernel's send buffer, in bytes (Linux doubles it for its own bookkeeping): what is on its way over a long line, and no more.
const SEND_BUFFER_BYTES: usize = 16 * 1024;
/// Bytes that may wait in the kernel unsent: three packets of PCM16 voice. What else waits is in the outbox, which drops what is old.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNSENT_BYTES_MAX: u32 = 2 * 1024;

/// A connection on its way.
pub(super) type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Starts to connect.
pub(super) fn connect(server: Endpoint) -> Connecting {
    Box::pin(async move {
        let until = Instant::now() + CONNECT_TIMEOUT;
        let lookup = lookup_host((server.host.as_str(), server.port));
        let addresses = timeout_at(until, lookup).await.map_err(|_| {
            let secs = CONNECT_TIMEOUT.as_secs();
            io::Error::other(format!(
                "no name server answers within {secs} s; is this machine on the network?"
            ))
        })??;
        let stream = first_of(addresses, until).await?;
        tune(&stream)?;
        Ok(stream)
    })
}

/// The first connection to come about; an address is tried as soon as the one before it fails or
/// takes long, and the two families take turns. If there is none, the failure that tells most.
async fn first_of(
    addresses: impl IntoIterator<Item = SocketAddr>,
    until: Instant,
) -> io::Result<TcpStream> {
    let mut waiting = interleave(addresses).into_iter();
    let mut attempts = JoinSet::new();
    let mut failure: Option<io::Error> = None;
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(failure.unwrap_or_else(|| {
                io::Error::new(io::ErrorKind::NotFound, "the name stands for no address")
            }));
        }
        let patience = match waiting.len() {
            0 => until,
            _ => until.min(Instant::now() + ATTEMPT_DELAY),
        };
        let failed = match timeout_at(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => error,
            Ok(Some(Err(panic))) => io::Error::other(panic),
            Err(_) if patience == until => {
                let secs = CONNECT_TIMEOUT.as_secs();
                let text = format!("no answer within {secs} s");
                let silence = io::Error::new(io::ErrorKind::TimedOut, text);
                return Err(add(failure, silence));
            }
            Ok(None) | Err(_) => continue,
        };
        failure = Some(add(failure, failed));
    }
}

fn add(before: Option<io::Error>, failure: io::Error) -> io::Error {
    match before {
        Some(before) => more_telling(before, failure),
        None => failure,
    }
}

/// Sets what voice needs: a packet waits for nothing, and little of it waits in the kernel, where it cannot be dropped.
fn tune(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(stream);
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(UNSENT_BYTES_MAX)?;
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::net::{TcpListener, TcpStream as StdStream};

    /// A listener whose queue is full: the system ignores further attempts, as a firewall does that drops them.
    fn one_that_never_answers() -> (Socket, Vec<StdStream>, SocketAddr) {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        listener.bind(&any.into()).unwrap();
        listener.listen(0).unwrap();
        let address = listener.local_addr().unwrap().as_socket().unwrap();
        let mut queued = Vec::new();
        while let Ok(stream) = StdStream::connect_timeout(&address, Duration::from_millis(300)) {
            queued.push(stream);
            assert!(queued.len() < 100, "the queue has no end");
        }
        (listener, queued, address)
    }

    fn run<T>(connecting: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(connecting)
    }

    fn within(patience: Duration, addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
        run(async { first_of(addresses, Instant::now() + patience).await })
    }

    #[test]
    fn an_address_that_never_answers_does_not_hide_the_next_one() {
        let (_listener, _queued, silent) = one_that_never_answers();
        let good = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = good.local_addr().unwrap();
        let refusing = {
            let closed = TcpListener::bind("127.0.0.1:0").unwrap();
            closed.local_addr().unwrap()
        };
        let addresses = vec![silent, refusing, silent, address];
        let stream = within(CONNECT_TIMEOUT, addresses).expect("there is one that answers");
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[test]
    fn a_family_that_never_answers_does_not_hide_the_other_one() {
        let Ok(good) = TcpListener::bind("[::1]:0") else {
            return; // This machine has no IPv6.
        };
        let address = good.local_addr().unwrap();
        let (_listener, _queued, silent) = one_that_never_answers();
        let mut addresses = vec![silent; 40];
        addresses.push(address);
        let stream = within(CONNECT_TIMEOUT, addresses).expect("the other family is tried second");
        assert_eq!(stream.peer_addr().unwrap(), address);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn little_waits_in_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Endpoint {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let stream = run(connect(server)).unwrap();
        let socket = SockRef::from(&stream);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), UNSENT_BYTES_MAX);
        // The system doubles it for its own bookkeeping.
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_BUFFER_BYTES);
        assert!(stream.nodelay().unwrap());
    }

    #[test]
    fn where_nobody_listens_that_is_what_is_told() {
        let closed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = closed.local_addr().unwrap();
        drop(closed);
        let failure = |addresses| within(CONNECT_TIMEOUT, addresses).unwrap_err().kind();
        let refused = io::ErrorKind::ConnectionRefused;
        assert_eq!(failure(vec![address, address]), refused);
        assert_eq!(failure(vec![]), io::ErrorKind::NotFound);
        // Which the system gives no way to.
        let nowhere: SocketAddr = "255.255.255.255:9".parse().unwrap();
        assert_ne!(failure(vec![nowhere]), refused);
        assert_eq!(failure(vec![address, nowhere]), refused);
        assert_eq!(failure(vec![nowhere, address]), refused);
        let (_listener, _queued, silent) = one_that_never_answers();
        let patience = Duration::from_secs(1);
        let kind = |addresses| within(patience, addresses).unwrap_err().kind();
        assert_eq!(kind(vec![silent]), io::ErrorKind::TimedOut);
        assert_eq!(kind(vec![silent, address]), refused);
    }
}
