//! Options of the socket that carries a session's voice.

use socket2::SockRef;
use std::io;

/// How much may wait in the kernel for one connection, where it cannot be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// Size of the send buffer in bytes (Linux doubles it for its own bookkeeping): data in flight.
    pub buffer_bytes: usize,
    /// Bytes that may wait unsent. Only Linux has this limit.
    pub unsent_bytes: u32,
}

/// Sets what voice needs: packets are not delayed, and little waits in the kernel.
///
/// # Errors
/// When the system refuses an option.
pub fn tune<'s, S>(stream: &'s S, limits: SendLimits) -> io::Result<()>
where
    SockRef<'s>: From<&'s S>,
{
    let socket = SockRef::from(stream);
    socket.set_tcp_nodelay(true)?;
    #[cfg(any(target_os = "linux", target_os = "android"))]
    socket.set_tcp_notsent_lowat(limits.unsent_bytes)?;
    socket.set_send_buffer_size(limits.buffer_bytes)
}
