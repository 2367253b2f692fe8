//! The rooms of a Talkspurt server: who is in, who hears what. No socket, no clock, no runtime, so
//! that tests drive the very same rooms in virtual time.
//!
//! The [`Hub`] says how to drive it. What owns what:
//!
//! ```text
//! Hub ─┬─ Lobby ── links without a room: handshakes, those who wait for an answer, last words
//!      ├─ Directory ── which room has a name
//!      └─ Shard ── the rooms of one worker
//!          └─ Room ── its members, its timers, its roster
//!              └─ Member ─┬─ Link: session, receiver, outbox
//!                         └─ Participant: voice in, listener
//! ```
//!
//! Input goes down once: bytes for a link in a room go to its member and are finished there. What
//! those above need to know comes back as a value, or waits in a queue of the room's.
//!
//! | module | owns |
//! |---|---|
//! | [`hub`] | all of it: which link is where, totals |
//! | [`admission`] | who waits to be let in, and why someone is not |
//! | [`directory`] | the rooms' names |
//! | [`shard`] | the rooms of one worker, and what they share |
//! | [`lobby`] | links without a room |
//! | [`room`] | members and their timers |
//! | [`member`], [`participant`] | one of them: link, voice in, what they hear |
//! | [`roster`] | the list of a room, and when changes to it are told |
//! | [`mixdown`], [`encodings`] | one tick's mixing and encoding, shared where possible |
//! | [`link`], [`outbox`], [`ready`] | one peer's session, and what waits for it |
//! | [`deadlines`] | what is due when |
//! | [`counters`], [`event`] | figures, and what is worth a log line |
//! | [`printable`] | names that look like others |
#![deny(missing_docs)]

pub mod admission;
pub mod config;
pub mod counters;
pub mod deadlines;
pub mod directory;
pub mod encodings;
pub mod event;
pub mod hub;
pub mod ids;
pub mod link;
pub mod lobby;
pub mod member;
pub mod mixdown;
pub mod outbox;
pub mod participant;
pub mod printable;
pub mod ready;
pub mod room;
pub mod roster;
pub mod shard;

pub use admission::Incoming;
pub use config::HubConfig;
pub use event::{Event, Output, Work};
pub use hub::Hub;
pub use ids::LinkId;
