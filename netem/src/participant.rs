//! What the world asks of whoever takes part.

use std::any::Any;

use talkspurt_core::time::Instant;
use talkspurt_core::wire::ParticipantId;

/// A participant and the program around it, on virtual time. The world carries its bytes and says
/// what time it is; a sound card, if it has one, is its own affair.
pub trait Participant: Any {
    /// Takes bytes that came.
    fn handle_bytes(&mut self, now: Instant, bytes: &[u8]);

    /// Learns that the stream is closed.
    fn handle_closed(&mut self, now: Instant);

    /// Does what is due.
    fn handle_time(&mut self, now: Instant);

    /// Returns when to call [`Participant::handle_time`] next.
    fn poll_timeout(&self) -> Option<Instant>;

    /// Gives packets to the stream, for as long as it takes all of one: `write` returns how many
    /// bytes it took.
    fn transmit(&mut self, now: Instant, write: &mut dyn FnMut(&[u8]) -> usize);

    /// Returns whether it waits for a new session.
    fn wants_session(&self, now: Instant) -> bool;

    /// Returns whether a new session may begin on the old stream, if that is open still: a node
    /// behind a bridge knows no other.
    fn keeps_stream(&self) -> bool;

    /// Joins, on the stream that it has.
    fn join(&mut self, now: Instant);

    /// Joins over a new stream: what the old one has not taken is lost.
    fn handle_reconnect(&mut self, now: Instant);

    /// Learns that packets about these were lost on the line.
    fn excuse(&mut self, lost: &[ParticipantId]);
}
