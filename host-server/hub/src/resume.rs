//! Sessions that can be taken up again: by a token, which a client has from its Welcome.

use std::collections::VecDeque;

use talkspurt_core::session::HelloRequest;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ParticipantId, Token};

use crate::event::Presence;
use crate::ids::MemberId;

/// A session that has ended can be resumed for so long.
const RESUMABLE: Duration = Duration::from_secs(60);

/// Sessions that have ended and are remembered, at most. The longest ago are forgotten first.
const ENDED_MAX: usize = 1_024;

/// How someone gets in.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// With this the session can be resumed.
    pub token: Token,
    /// Whose session this one resumes: it gets their number.
    pub resumes: Option<ParticipantId>,
    /// Who has that session, if it still runs: this one replaces it.
    pub replaces: Option<MemberId>,
}

/// What a session can be resumed with.
#[derive(Clone, Copy, Debug)]
pub struct Tokens {
    /// The token of its Welcome.
    pub own: Token,
    /// The token that it resumed another session with, until something comes that shows that the
    /// Welcome has arrived: the client may have no other.
    pub earlier: Option<Token>,
}

impl Tokens {
    /// Returns whether a Hello that asks for this resumes the session.
    pub fn has(&self, resume: Option<Token>) -> bool {
        resume.is_some() && (resume == Some(self.own) || resume == self.earlier)
    }
}

/// Sessions that have ended, oldest first.
#[derive(Debug, Default)]
pub struct Ended(VecDeque<EndedSession>);

/// A session that has ended.
#[derive(Debug)]
pub struct EndedSession {
    /// What it can be resumed with.
    pub tokens: Tokens,
    /// Whose it was, and where.
    pub presence: Presence,
    /// When it ended.
    pub at: Instant,
}

impl Ended {
    /// Remembers a session.
    pub fn push(&mut self, session: EndedSession) {
        if self.0.len() == ENDED_MAX {
            self.0.pop_front();
        }
        self.0.push_back(session);
    }

    /// Returns the number of the session that a Hello resumes, and forgets it.
    pub fn take(&mut self, request: &HelloRequest, now: Instant) -> Option<ParticipantId> {
        let is_it = |it: &EndedSession| {
            it.tokens.has(request.resume)
                && (&it.presence.room, &it.presence.name) == (&request.room, &request.name)
                && now.duration_since(it.at) <= RESUMABLE
        };
        let at = self.0.iter().position(is_it)?;
        Some(self.0.remove(at)?.presence.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LinkId;
    use crate::testing::request;

    const SECOND: Duration = Duration::from_secs(1);

    /// A session of ann in the kitchen, with this number, whose token is made of its last byte.
    fn session(id: u32) -> EndedSession {
        let HelloRequest { room, name, .. } = request("ann");
        EndedSession {
            tokens: Tokens {
                own: [id as u8; 16],
                earlier: None,
            },
            presence: Presence {
                link: LinkId::default(),
                id: ParticipantId(id),
                name,
                room,
                participants: 1,
            },
            at: Instant::ZERO,
        }
    }

    fn resuming(id: u32) -> HelloRequest {
        HelloRequest {
            resume: Some([id as u8; 16]),
            ..request("ann")
        }
    }

    #[test]
    fn a_token_of_an_ended_session_is_good_once_in_its_room_and_for_its_name() {
        let mut ended = Ended::default();
        (1..=3).for_each(|id| ended.push(session(id)));
        let now = Instant::ZERO + SECOND;
        let elsewhere = HelloRequest {
            room: "cellar".parse().unwrap(),
            ..resuming(2)
        };
        let as_another = HelloRequest {
            name: "bob".parse().unwrap(),
            ..resuming(2)
        };
        for other in [elsewhere, as_another, request("ann")] {
            assert_eq!(ended.take(&other, now), None);
        }
        assert_eq!(ended.take(&resuming(2), now), Some(ParticipantId(2)));
        assert_eq!(ended.take(&resuming(2), now), None);
        assert_eq!(ended.take(&resuming(1), now), Some(ParticipantId(1)));
    }

    #[test]
    fn of_too_many_ended_sessions_the_oldest_are_forgotten() {
        let mut ended = Ended::default();
        let last = ENDED_MAX as u32 + 1;
        for id in 1..=last {
            // Each token for itself.
            let mut session = session(id);
            session.tokens.own[..4].copy_from_slice(&id.to_le_bytes());
            ended.push(session);
        }
        let mut take = |id: u32| {
            let mut hello = resuming(id);
            if let Some(token) = &mut hello.resume {
                token[..4].copy_from_slice(&id.to_le_bytes());
            }
            ended.take(&hello, Instant::ZERO)
        };
        assert_eq!(take(1), None);
        assert_eq!(take(2), Some(ParticipantId(2)));
        assert_eq!(take(last), Some(ParticipantId(last)));
    }
}
