//! What Talkspurt's host programs share. It knows no session, no room and no socket.
//!
//! - [`addresses`]: in which order the addresses of a host are tried.
//! - [`console`]: standard output and error that may be closed, full or unread, and the log on them.
//! - `wav` (feature `wav`): sound files in, at a session's rate, and recordings out.

pub mod addresses;
pub mod console;
#[cfg(feature = "wav")]
pub mod wav;
