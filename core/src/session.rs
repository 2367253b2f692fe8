//! Layer 3: the two ends of a session, from the Hello to the Bye. Sans-I/O; the contract is in the crate's documentation.
//!
//! ```text
//! client                                     server
//!   Hello ──────────────────────────────────▶  (within the handshake timeout)
//!   ◀────────── Welcome, Roster.. │ Reject     the caller decides
//!   Voice, SetMuted, Ping ──────────────────▶
//!   ◀── Voice, Joined, Left, State, Pong
//!   Bye ────────────────────────────────────▶  or ◀── Bye
//! ```

pub use budget::Budget;
pub use client::ClientSession;
pub use hello::HelloRequest;
pub use join::{ClientConfig, ClientEvent, JoinRequest, Participant, SessionParams};
pub use server::{ServerEvent, ServerSession, ServerSessionConfig};

mod budget;
mod client;
mod hello;
mod join;
mod server;

use crate::frame::{FrameDuration, SampleRate};

/// The rate at which sessions run today.
pub const SESSION_RATE: SampleRate = SampleRate::Hz16000;

/// How long a peer may be silent by default, in milliseconds.
pub const IDLE_TIMEOUT_DEFAULT_MS: u32 = 15_000;

/// How long a handshake may take by default, in milliseconds.
pub const HANDSHAKE_TIMEOUT_DEFAULT_MS: u32 = 5_000;

/// Pings in an idle timeout: two may be lost before a peer counts as gone.
const PINGS_PER_TIMEOUT: u64 = 3;

/// Samples in a frame of a session at this frame duration: 80, 160 or 320.
pub const fn session_frame_samples(frame: FrameDuration) -> usize {
    frame.samples(SESSION_RATE)
}
