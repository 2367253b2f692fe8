//! From a server's name to a connection suitable for voice.

use std::{future::Future, io, pin::Pin};
use talkspurt_host_kit::{
    connect,
    server_address::ServerAddress,
    socket::{SendLimits, tune},
};
use tokio::{net::TcpStream, task::spawn_blocking};

/// Holds what is in flight on a long line, and three waiting packets of PCM16 voice. Anything else
/// waits in the core's endpoint, which drops old voice.
const SEND_LIMITS: SendLimits = SendLimits {
    buffer_bytes: 16 * 1024,
    unsent_bytes: 2 * 1024,
};

/// A connection on its way.
pub(super) type Connecting = Pin<Box<dyn Future<Output = io::Result<TcpStream>>>>;

/// Starts to connect.
pub(super) fn connect(server: ServerAddress) -> Connecting {
    Box::pin(async move {
        let connecting = spawn_blocking(move || connect::connect(&server));
        let stream = connecting.await.map_err(io::Error::other)??;
        tune(&stream, SEND_LIMITS)?;
        stream.set_nonblocking(true)?;
        let stream = TcpStream::from_std(stream)?;
        // Until the reactor has polled it once, it does not seem to be writable.
        stream.writable().await?;
        Ok(stream)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;
    use std::net::TcpListener;

    #[cfg(target_os = "linux")]
    #[test]
    fn little_waits_in_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = ServerAddress {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr().unwrap().port(),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let stream = runtime.block_on(connect(server)).unwrap();
        let socket = SockRef::from(&stream);
        assert_eq!(
            socket.tcp_notsent_lowat().unwrap(),
            SEND_LIMITS.unsent_bytes
        );
        // The system doubles it for its own bookkeeping.
        assert!(socket.send_buffer_size().unwrap() <= 2 * SEND_LIMITS.buffer_bytes);
        assert!(stream.nodelay().unwrap());
    }
}
