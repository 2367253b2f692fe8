//! What Talkspurt's host programs share. It knows no session, no room and no socket.
//!
//! - [`console`]: standard output and error that may be closed, full or unread, and the log on them.
//! - [`words`]: errors of the system in words for people.
//! - `wav` (feature `wav`): sound files in, at a session's rate, and recordings out.

pub mod console;
#[cfg(feature = "wav")]
pub mod wav;
pub mod words;
