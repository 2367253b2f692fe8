//! From a host's name to a connection: all of its addresses have their chance (RFC 8305).

use crate::config::Endpoint;
use socket2::SockRef;
use std::{future::Future, io, net::SocketAddr, pin::Pin, time::Duration};
use talkspurt_host_kit::addresses::{ATTEMPT_DELAY, interleave};
use tokio::{
    net::{TcpStream, lookup_host},
    task::JoinSet,
    time::timeout,
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
        let connect = async {
            let addresses = lookup_host((server.host.as_str(), server.port)).await?;
            first_of(interleave(addresses)).await
        };
        let stream = timeout(CONNECT_TIMEOUT, connect).await.map_err(|_| {
            let text = format!("no answer within {} s", CONNECT_TIMEOUT.as_secs());
            io::Error::new(io::ErrorKind::TimedOut, text)
        })??;
        tune(&stream)?;
        Ok(stream)
    })
}

/// The first connection to come about; an address is tried as soon as the one before it fails or takes long.
async fn first_of(addresses: Vec<SocketAddr>) -> io::Result<TcpStream> {
    let mut waiting = addresses.into_iter();
    let mut attempts = JoinSet::new();
    let mut failure = io::Error::new(io::ErrorKind::NotFound, "the name stands for no address");
    loop {
        if let Some(address) = waiting.next() {
            attempts.spawn(TcpStream::connect(address));
        } else if attempts.is_empty() {
            return Err(failure);
        }
        let patience = match waiting.len() {
            // The caller's.
            0 => Duration::MAX,
            _ => ATTEMPT_DELAY,
        };
        match timeout(patience, attempts.join_next()).await {
            Ok(Some(Ok(Ok(stream)))) => return Ok(stream),
            Ok(Some(Ok(Err(error)))) => failure = error,
            Ok(Some(Err(panic))) => failure = io::Error::other(panic),
            Ok(None) | Err(_) => {}
        }
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

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(future)
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
        let stream = block_on(async { timeout(CONNECT_TIMEOUT, first_of(addresses)).await });
        let stream = stream.expect("in time").expect("there is one that answers");
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
        let stream = block_on(connect(server)).unwrap();
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
        let error = block_on(first_of(vec![address, address])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
        let error = block_on(first_of(vec![])).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
