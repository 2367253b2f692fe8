//! Options of the socket that carries a session's voice.

use socket2::SockRef;
use std::io;

/// What may wait in the kernel of one connection, where it cannot be dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SendLimits {
    /// The send buffer, in bytes (Linux doubles it for its own bookkeeping): what is on its way.
    pub buffer_bytes: usize,
    /// Bytes that may wait unsent. Only Linux can be told.
    pub unsent_bytes: u32,
}

/// Sets what voice needs: a packet waits for nothing, and little waits in the kernel.
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
