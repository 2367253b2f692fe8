//! Links without a room: those that have not said Hello, those that wait for the answer to it, and
//! those that are over and have last words to send.

use std::collections::VecDeque;

use slotmap::SecondaryMap;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{ByeReason, RejectReason};

use crate::admission::Incoming;
use crate::deadlines::Deadlines;
use crate::ids::LinkId;
use crate::link::{Input, Link};
use crate::ready::Ready;

/// Bytes that may come between a Hello and its answer: as many as one read of the server brings. A
/// client that waits for the Welcome, as the protocol asks, sends none.
pub const EARLY_BYTES_MAX: usize = 16 * 1024;

/// The lobby.
#[derive(Debug, Default)]
pub struct Lobby {
    guests: SecondaryMap<LinkId, Guest>,
    deadlines: Deadlines<LinkId>,
    /// Hellos that wait for an answer.
    pub incoming: VecDeque<Incoming>,
    /// Links that were refused.
    pub refused: VecDeque<(LinkId, RejectReason)>,
    /// Links for which there is output.
    pub ready: Ready,
}

#[derive(Debug)]
struct Guest {
    link: Box<Link>,
    /// While a Hello waits for its answer: what came after it.
    early: Option<Vec<u8>>,
}

// Who comes, what comes in, who goes
impl Lobby {
    /// Takes in a link: a new one, or one that has left a room.
    pub fn enter(&mut self, link: Box<Link>, now: Instant) {
        let id = link.id;
        self.guests.insert(id, Guest { link, early: None });
        self.settle(id, now);
    }

    /// Takes the bytes that came from a guest, until there are none left.
    pub fn handle_bytes(&mut self, id: LinkId, input: &mut Input<'_>, now: Instant) {
        while !input.rest.is_empty()
            && let Some(Guest { link, early }) = self.guests.get_mut(id)
        {
            if link.is_closing() {
                input.rest = &[];
                return;
            }
            match early {
                None => _ = link.receive(input, now),
                Some(early) if early.len() + input.rest.len() <= EARLY_BYTES_MAX => {
                    early.extend_from_slice(std::mem::take(&mut input.rest));
                    return;
                }
                Some(_) => {
                    let text = "too much was sent before the Hello was answered: wait for that";
                    link.refuse(RejectReason::Malformed, text);
                }
            }
            self.settle(id, now);
        }
    }

    /// Says that a guest's peer is gone.
    pub fn handle_disconnect(&mut self, id: LinkId, now: Instant) {
        if let Some(guest) = self.guests.get_mut(id) {
            guest.link.handle_disconnect();
        }
        self.settle(id, now);
    }

    /// Refuses a guest unless its session is over; returns whether it did.
    pub fn refuse(&mut self, id: LinkId, reason: RejectReason, text: &str, now: Instant) -> bool {
        let guest = self.guests.get_mut(id);
        let is_refused = guest.is_some_and(|guest| guest.link.refuse(reason, text));
        self.settle(id, now);
        is_refused
    }

    /// Refuses the guest that has waited longest to be let in, if it has waited for `least`;
    /// returns whether there was one.
    pub fn refuse_oldest(&mut self, least: Duration, now: Instant) -> bool {
        let guests = self.guests.iter();
        let waiting = guests.filter_map(|(id, guest)| Some((guest.link.waits_since()?, id)));
        let oldest = waiting.min();
        let Some((_, id)) = oldest.filter(|(since, _)| now.duration_since(*since) >= least) else {
            return false;
        };
        let text = "too many connections wait to join: say Hello at once, or try again later";
        self.refuse(id, RejectReason::ServerFull, text, now)
    }

    /// Ends all sessions.
    pub fn end_all(&mut self, reason: ByeReason, now: Instant) {
        let guests: Vec<_> = self.guests.keys().collect();
        for id in guests {
            self.guests[id].link.end(reason);
            self.settle(id, now);
        }
    }

    /// Takes out a guest whose Hello waits for the answer, and what came after that. `None` if
    /// there is no such guest any more.
    pub fn take_waiting(&mut self, id: LinkId) -> Option<(Box<Link>, Vec<u8>)> {
        let guest = self.guests.get(id)?;
        guest.early.as_ref().and(guest.link.waits_since())?;
        let Guest { link, early } = self.remove(id)?;
        Some((link, early.unwrap_or_default()))
    }

    /// Forgets a guest.
    pub fn forget(&mut self, id: LinkId) {
        self.remove(id);
    }

    fn remove(&mut self, id: LinkId) -> Option<Guest> {
        self.deadlines.disarm(id);
        self.guests.remove(id)
    }

    /// Does what the events of a session ask for, and takes what it has to say.
    fn settle(&mut self, id: LinkId, now: Instant) {
        let Some(Guest { link, early }) = self.guests.get_mut(id) else {
            return;
        };
        while let Some(event) = link.poll_event(now) {
            match event {
                ServerEvent::Hello(request) => {
                    *early = Some(Vec::new());
                    self.incoming.push_back(Incoming::new(id, request));
                }
                ServerEvent::Refused(reason) => {
                    *early = None;
                    self.refused.push_back((id, reason));
                }
                ServerEvent::Muted(_) | ServerEvent::Left(_) => {
                    unreachable!("a guest is in no room: {event:?}")
                }
            }
        }
        link.queue_if_due(&mut self.ready);
        if let Some(due) = link.poll_timeout() {
            self.deadlines.arm(id, due, ());
        }
    }
}

// Timers
impl Lobby {
    /// Returns when to call [`Lobby::handle_timeout`]; at times earlier than anything is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Looks at the guest whose deadline is the earliest that has come, if any.
    pub fn handle_timeout(&mut self, now: Instant) {
        let Some(id) = self.deadlines.pop_due(now) else {
            return;
        };
        match self.guests.get_mut(id) {
            Some(Guest { link, .. }) if link.is_done(now) => link.queue_if_due(&mut self.ready),
            Some(Guest { link, .. }) => {
                link.handle_timeout(now);
                self.settle(id, now);
            }
            None => {}
        }
    }
}

// How it stands
impl Lobby {
    /// Returns a guest's link.
    pub fn link(&self, id: LinkId) -> Option<&Link> {
        self.guests.get(id).map(|guest| &*guest.link)
    }

    /// Returns a guest's link.
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.guests.get_mut(id).map(|guest| &mut *guest.link)
    }

    /// Returns how many deadlines are kept, old ones among them.
    pub fn deadlines_kept(&self) -> usize {
        self.deadlines.len()
    }
}
