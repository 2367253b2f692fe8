//! The rooms of a Talkspurt server: who is in, who hears what. No socket, no clock, no runtime, so
//! that tests drive the very same rooms in virtual time.
//!
//! The [`Hub`] says how to drive it. What owns what:
//!
//! ```text
//! Hub ─┬─ Lobby ── links without a room: handshakes, those who wait for an answer, last words
//!      └─ Shard ── the rooms of one worker, their names, and whose link is in which
//!          └─ Room ── its members, its timers
//!              └─ Member ─┬─ Link: session, receiver, outbox
//!                         └─ Participant: voice in, listener
//! ```
//!
//! Input goes down once: bytes for a link in a room go to its member and are finished there. What
//! those above need to know is added to an `Outbound` that is handed down with the input.
//!
//! | module | owns |
//! |---|---|
//! | `hub` | all of it: whether a link is in the lobby or in a room |
//! | `admission` | who waits to be let in, and why someone is not |
//! | `shard` | the rooms of one worker, and what they share |
//! | `lobby` | links without a room |
//! | `room` | members and their timers |
//! | `member`, `participant` | one of them: link, voice in, what they hear |
//! | `framing` | when a talker's frames come, and when they should |
//! | `delay` | how long voice has taken that a room sends |
//! | `roster` | what a room tells of its members, and when |
//! | `mixdown`, `encodings` | one tick's mixing and encoding, shared where possible |
//! | `link`, `outbox` | one peer's session, and what waits for it |
//! | `outbound`, `ready` | what comes out: events, figures, links with output |
//! | `deadlines` | what is due when |
//! | [`counters`], `event` | figures, and what is worth a log line |
//! | `resume` | sessions that can be taken up again |
//! | `names` | what is a name, and which names look the same |
#![deny(missing_docs)]

mod admission;
mod config;
pub mod counters;
mod deadlines;
mod delay;
mod encodings;
mod event;
mod framing;
mod hub;
mod ids;
mod link;
mod lobby;
mod member;
mod mixdown;
mod names;
mod outbound;
mod outbox;
mod participant;
mod ready;
mod resume;
mod room;
mod roster;
mod shard;
#[cfg(test)]
mod testing;

pub use admission::Incoming;
pub use config::{HubConfig, ROOM_CAPACITY_MAX};
pub use event::{Close, Event, Presence, Work};
pub use hub::Hub;
pub use ids::LinkId;
pub use member::Member;
pub use outbox::Outbox;
pub use participant::Participant;
pub use room::Room;
