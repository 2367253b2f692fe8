//! What becomes of a stay whose connection was refused or lost: the end, or a pause and another try.

use super::super::{Failure, backoff, greeting};
use super::{Driver, Ending, Phase};
use crate::events::EventKind;
use std::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RejectReason};

/// The longest pause while our old self is still listed. It goes as soon as the server misses it, and nobody is in the way who
/// would be helped by our patience.
const NAME_TAKEN_PAUSE_LONGEST: Duration = Duration::from_secs(1);

/// A session that lived this long was a good one: after it the pauses begin anew.
const GOOD_LIFE: Duration = Duration::from_secs(2);

impl Driver {
    /// The roster is longer than a room can be: ends the session, as whoever says that is no server.
    pub(super) fn refuse_roster(&mut self) -> Ending {
        if let Phase::Open(connection) = &mut self.phase {
            connection.session.end(ByeReason::ProtocolError);
        }
        Ending::Closed(ByeReason::ProtocolError)
    }

    /// Refused at first: that is the end. Refused after a loss: our old self may still be listed, so try again.
    pub(super) fn rejected(&mut self, reason: RejectReason) -> Result<(), Failure> {
        let Phase::Open(connection) = &self.phase else {
            return Ok(());
        };
        let text = match connection.session.reject_text() {
            "" => reason.to_string(),
            text => text.to_owned(),
        };
        let passing = matches!(
            reason,
            RejectReason::NameTaken
                | RejectReason::RoomFull
                | RejectReason::ServerFull
                | RejectReason::Stopping
                | RejectReason::HandshakeTimeout
        );
        if self.stay.is_none() || !passing {
            return Err(Failure::Refused { reason, text });
        }
        connection.add_counts(&mut self.counts);
        let longest = match reason {
            RejectReason::NameTaken => NAME_TAKEN_PAUSE_LONGEST,
            _ => backoff::LONGEST,
        };
        self.pause_within(longest, text);
        Ok(())
    }

    pub(super) fn lost(&mut self, reason: String, now: Instant) -> Result<(), Failure> {
        let Phase::Open(connection) = &mut self.phase else {
            return Ok(());
        };
        if self.stay.is_none() {
            let server = &self.config.server;
            let what = greeting::explain(server, connection.link.greeting());
            return Err(Failure::NotTalkspurt {
                server: server.to_string(),
                problem: what.unwrap_or(reason),
            });
        }
        if connection.voice.is_some() && now - connection.since >= GOOD_LIFE {
            self.backoff.reset();
        }
        self.counts.reconnects += u32::from(connection.voice.is_some());
        // What the session still has to say (a Bye after a protocol error) goes if the socket takes it.
        connection.transmit();
        connection.add_counts(&mut self.counts);
        self.pause(reason);
        Ok(())
    }

    pub(super) fn pause(&mut self, reason: String) {
        self.pause_within(backoff::LONGEST, reason);
    }

    fn pause_within(&mut self, longest: Duration, reason: String) {
        let (attempt, pause) = self.backoff.next(longest);
        let retry_in_ms = pause.as_millis() as u64;
        self.teller.tell(EventKind::Reconnecting {
            reason,
            attempt,
            retry_in_ms,
        });
        self.roster.clear();
        self.phase = Phase::Pausing {
            until: Instant::now() + pause,
        };
    }
}
