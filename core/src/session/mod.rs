//! The two ends of a session, from the Hello to the Bye: packets in, packets out, as values.
//!
//! ```text
//! client                                     server
//!   Hello ──────────────────────────────────▶  (within the handshake timeout)
//!   ◀─────────── Welcome, Roster.. │ Reject    the caller decides
//!   Voice, SetMuted, Ping, RosterRequest ───▶
//!   ◀── Voice, Joined, Left, State, Count, Pong
//!   Bye ────────────────────────────────────▶  or ◀── Bye
//! ```

pub use client::ClientSession;
pub use hello::HelloRequest;
pub use join::{ClientEvent, JoinRequest, Participant, SessionParams};
pub use server::{ServerEvent, ServerSession, ServerSessionConfig};

mod client;
mod hello;
mod join;
mod server;

use crate::time::{Duration, Instant};
use crate::token_bucket::TokenBucket;

/// How long a peer may be silent by default, in milliseconds.
pub const IDLE_TIMEOUT_DEFAULT_MS: u32 = 15_000;

/// How long a handshake may take by default.
pub const HANDSHAKE_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);

/// Damaged bytes that either side tolerates at once, and in a second. A noisy serial line behind a
/// bridge stays well below: at 115,200 baud all of it makes 11,520 bytes a second, and voice that
/// is damaged that often helps nobody.
pub(crate) const fn tolerated_garbage(now: Instant) -> TokenBucket {
    TokenBucket::new(16_384, 4_096, now)
}

/// Pings in an idle timeout: two may be lost before a peer counts as gone.
const PINGS_PER_TIMEOUT: u32 = 3;
