//! Sessions that can be taken up again: by a token, which a client has from its Welcome.

use std::collections::VecDeque;

use talkspurt_core::session::HelloRequest;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ParticipantId, ParticipantName, RoomName, Token};

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
    /// Which session this one resumes.
    pub resumes: Option<Resumed>,
}

/// A session that is resumed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resumed {
    /// It still runs: the new one replaces it.
    Running(MemberId),
    /// It has ended: the new one gets its number.
    Ended(ParticipantId),
}

/// Sessions that have ended, oldest first.
#[derive(Debug, Default)]
pub struct Ended(VecDeque<EndedSession>);

/// A session that has ended.
#[derive(Debug)]
pub struct EndedSession {
    /// What names it.
    pub token: Token,
    /// Where it was.
    pub room: RoomName,
    /// Whose it was.
    pub name: ParticipantName,
    /// Their number.
    pub id: ParticipantId,
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

    /// Returns the number of the session that a Hello resumes, and forgets it: a token is good for
    /// once.
    pub fn take(&mut self, request: &HelloRequest, now: Instant) -> Option<ParticipantId> {
        let token = request.resume?;
        let is_it = |it: &EndedSession| {
            (it.token, &it.room, &it.name) == (token, &request.room, &request.name)
                && now.duration_since(it.at) <= RESUMABLE
        };
        let at = self.0.iter().position(is_it)?;
        Some(self.0.remove(at)?.id)
    }
}
