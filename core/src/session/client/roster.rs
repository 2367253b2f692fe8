//! Whether the caller's list is the room's: what was lost on the way shows, and is asked for.

use super::ClientSession;
use crate::session::join::{ClientEvent, Participant};
use crate::time::{Duration, Instant};
use crate::wire::{ParticipantId, ParticipantName, Roster, RosterEntry};

/// The roster is asked for at most so often, ...
const ASK_EVERY: Duration = Duration::from_secs(1);

/// ... and again if it has not come after so long, twice as long the next time, ...
const PATIENCE_S: u8 = 2;

/// ... up to this.
const PATIENCE_S_MAX: u8 = 16;

/// What is known of the room, without the list itself.
#[derive(Clone, Debug, Default)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub(super) struct RosterWatch {
    /// The revision of the caller's list.
    revision: u32,
    /// The roster that is being listed: its revision, how many it has, and how many have come.
    listing: Option<(u32, u32, u32)>,
    /// When to ask for the roster, unless it has come by then.
    ask_at: Option<Instant>,
    asked_at: Instant,
    patience_s: u8,
    request_due: bool,
}

impl RosterWatch {
    /// A Welcome says which revision there is, and its roster is to follow.
    pub(super) fn expect(&mut self, now: Instant, revision: u32) {
        *self = Self {
            revision,
            ask_at: Some(now + seconds(PATIENCE_S)),
            asked_at: self.asked_at,
            patience_s: 2 * PATIENCE_S,
            ..Self::default()
        };
    }

    /// The server has told a change. Returns whether it is news.
    pub(super) fn handle_change(&mut self, now: Instant, revision: u32) -> bool {
        // No change is told between the pages of a roster: the rest of it was lost.
        if self.listing.take().is_some() {
            self.miss(now);
        }
        let next = self.revision.checked_add(1).unwrap_or(1);
        self.handle_revision(now, revision, next)
    }

    /// The server's list has this revision.
    pub(super) fn handle_pong(&mut self, now: Instant, revision: u32) {
        self.handle_revision(now, revision, self.revision);
    }

    /// Returns whether `revision` is a later one. If it is not even the `expected` one, something
    /// was missed; pages that are on their way tell of it.
    fn handle_revision(&mut self, now: Instant, revision: u32, expected: u32) -> bool {
        let is_later = revision.wrapping_sub(self.revision).cast_signed() > 0;
        if is_later {
            self.revision = revision;
            if revision != expected && self.ask_at.is_none() {
                self.miss(now);
            }
        }
        is_later
    }

    /// Takes a page. Returns whether it is the next one of a roster.
    fn handle_page(&mut self, now: Instant, page: &Roster<'_>) -> bool {
        if page.first == 0 {
            self.listing = Some((page.revision, page.total, 0));
        }
        let listed = page.first.saturating_add(page.entries.len() as u32);
        let continues = self.listing == Some((page.revision, page.total, page.first));
        let is_empty = page.entries.is_empty() && page.total > 0;
        if !continues || is_empty || listed > page.total {
            self.listing = None;
            self.miss(now);
            return false;
        }
        self.listing = Some((page.revision, page.total, listed));
        if listed == page.total {
            self.listing = None;
            self.revision = page.revision;
            self.ask_at = None;
        }
        true
    }

    /// Something was lost.
    // Inlined, it costs a Cortex-M0 150 bytes more.
    #[inline(never)]
    fn miss(&mut self, now: Instant) {
        let at = now.max(self.asked_at + ASK_EVERY);
        self.ask_at = Some(self.ask_at.map_or(at, |ask_at| ask_at.min(at)));
        self.patience_s = PATIENCE_S;
        self.handle_timeout(now);
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if self.ask_at.is_some_and(|at| now >= at) {
            self.request_due = true;
            self.asked_at = now;
            self.ask_at = Some(now + seconds(self.patience_s));
            self.patience_s = (self.patience_s * 2).min(PATIENCE_S_MAX);
        }
    }

    pub(super) const fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Whether to send a RosterRequest now.
    pub(super) fn take_request(&mut self) -> bool {
        core::mem::take(&mut self.request_due)
    }
}

impl ClientSession {
    #[inline(never)]
    pub(super) fn handle_page(&mut self, now: Instant, page: &Roster<'_>) {
        if !self.run.roster.handle_page(now, page) {
            return;
        }
        let mut is_first = page.first == 0;
        let nobody = ParticipantId(0);
        for entry in page.entries.iter().filter(|entry| entry.id != nobody) {
            let participant = owned(entry);
            self.event(ClientEvent::Listed {
                participant,
                is_first,
            });
            is_first = false;
        }
        if self.run.roster.listing.is_none() {
            self.event(ClientEvent::RosterComplete);
        }
    }
}

fn seconds(count: u8) -> Duration {
    Duration::from_secs(count.into())
}

pub(super) fn owned(entry: &RosterEntry<'_>) -> Participant {
    Participant {
        id: entry.id,
        flags: entry.flags,
        name: ParticipantName::from_server(entry.name),
    }
}
