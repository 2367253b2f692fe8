//! Links without a room: those that have not said Hello, those that wait for the answer to it, and
//! those that are over and have last words to send.

use std::collections::VecDeque;

use slotmap::SecondaryMap;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::Reason;

use crate::admission::Incoming;
use crate::deadlines::Deadlines;
use crate::event::Event;
use crate::ids::LinkId;
use crate::link::{Link, Standing};
use crate::outbound::Outbound;

/// Bytes that may come between a Hello and its answer, beside those that came with the Hello in one
/// call: three packets of PCM16 voice. A client that waits for the Welcome, as the protocol asks,
/// sends none.
pub const EARLY_BYTES_MAX: usize = 2 * 1024;

/// The lobby.
#[derive(Debug)]
pub struct Lobby {
    links: SecondaryMap<LinkId, LobbyLink>,
    /// When each link has to be looked at.
    pub deadlines: Deadlines<LinkId>,
    /// Hellos that wait for an answer.
    pub incoming: VecDeque<Incoming>,
    /// So long a Hello waits for an answer at most.
    answer_timeout: Duration,
}

/// A link of the lobby.
#[derive(Debug)]
pub struct LobbyLink {
    link: Box<Link>,
    /// Since when it has been here, or waited for an answer.
    since: Instant,
    /// While a Hello waits for its answer: what came after it.
    early: Option<Early>,
}

/// Bytes behind a Hello that is not answered yet.
#[derive(Debug, Default)]
struct Early {
    bytes: Vec<u8>,
    /// How many of them came in later calls than the Hello.
    later: usize,
}

// Input and time
impl Lobby {
    /// Creates an empty lobby, in which a Hello waits for an answer for so long at most.
    pub fn new(answer_timeout: Duration) -> Self {
        Self {
            links: SecondaryMap::new(),
            deadlines: Deadlines::default(),
            incoming: VecDeque::new(),
            answer_timeout,
        }
    }

    /// Takes in a link: a new one, or one that has left a room, where the first of its events may
    /// have been taken.
    pub fn enter(&mut self, link: Box<Link>, event: Option<ServerEvent>, out: &mut Outbound) {
        let (id, since, early) = (link.id, out.now, None);
        self.links.insert(id, LobbyLink { link, since, early });
        self.handle_events(id, event, out);
    }

    /// Takes all the bytes that came from a peer, unless its link leaves the lobby. `has_hello`: a
    /// room has already taken a Hello from the same call.
    pub fn handle_bytes(
        &mut self,
        id: LinkId,
        bytes: &mut &[u8],
        mut has_hello: bool,
        out: &mut Outbound,
    ) {
        while !bytes.is_empty()
            && let Some(LobbyLink { link, early, .. }) = self.links.get_mut(id)
        {
            match early {
                None if link.is_closing() => *bytes = &[],
                None => {
                    link.receive(bytes, out.now, &mut out.counters);
                    has_hello = true;
                }
                Some(early) if has_hello => early.bytes.extend_from_slice(std::mem::take(bytes)),
                Some(early) if early.later + bytes.len() <= EARLY_BYTES_MAX => {
                    early.later += bytes.len();
                    early.bytes.extend_from_slice(std::mem::take(bytes));
                }
                Some(_) => link.end(
                    Reason::FLOOD,
                    "too much was sent before the Hello was answered: wait for that",
                ),
            }
            self.handle_events(id, None, out);
        }
    }

    /// Forgets a link whose peer is gone.
    pub fn handle_closed(&mut self, id: LinkId, out: &mut Outbound) {
        let link = self.links.get(id).map(|it| &it.link);
        if link.is_some_and(|link| link.is_probe()) {
            out.counters.probes += 1;
            out.events.push_back(Event::Probed { link: id });
        } else {
            self.with(id, out, Link::handle_disconnect);
        }
        self.remove(id);
    }

    /// Refuses a link, unless its session is over.
    pub fn refuse(&mut self, id: LinkId, reason: Reason, text: &str, out: &mut Outbound) {
        self.with(id, out, |link| link.end(reason, text));
    }

    /// Refuses the link that has waited longest to be let in, if it has waited for `least`; returns
    /// whether there was one.
    pub fn refuse_oldest(&mut self, least: Duration, out: &mut Outbound) -> bool {
        let waiting = self.links.iter().filter(|(_, it)| !it.link.is_closing());
        let oldest = waiting.map(|(id, it)| (it.since, id)).min();
        let Some((_, id)) = oldest.filter(|(since, _)| out.now.duration_since(*since) >= least)
        else {
            return false;
        };
        let text = "too many connections wait to join: say Hello at once, or try again later";
        self.refuse(id, Reason::CROWDED, text, out);
        true
    }

    /// Ends all sessions.
    pub fn end_all(&mut self, reason: Reason, text: &str, out: &mut Outbound) {
        for id in self.links.keys().collect::<Vec<_>>() {
            self.with(id, out, |link| link.end(reason, text));
        }
    }

    /// Looks at the link whose deadline is the earliest that has come, if any.
    pub fn handle_timeout(&mut self, out: &mut Outbound) {
        let now = out.now;
        let Some(id) = self.deadlines.pop_due(now) else {
            return;
        };
        if self.answer_due(id).is_some_and(|due| due <= now) {
            let text = "the server is too busy to answer: try again later";
            self.refuse(id, Reason::SERVER_FULL, text, out);
        }
        self.with(id, out, |link| link.handle_timeout(now));
    }

    /// Has something done with a link, and takes what comes of it.
    fn with(&mut self, id: LinkId, out: &mut Outbound, act: impl FnOnce(&mut Link)) {
        if let Some(link) = self.link_mut(id) {
            act(link);
            self.handle_events(id, None, out);
        }
    }

    /// Does what the events of a session ask for, and takes what it has to say. `next` is an event
    /// that was taken already.
    fn handle_events(&mut self, id: LinkId, mut next: Option<ServerEvent>, out: &mut Outbound) {
        let Some(LobbyLink { link, since, early }) = self.links.get_mut(id) else {
            return;
        };
        while let Some(event) = next
            .take()
            .or_else(|| link.next_event(out.now, Standing::default()))
        {
            match event {
                ServerEvent::Hello(request) => {
                    (*since, *early) = (out.now, Some(Early::default()));
                    self.incoming.push_back(Incoming { link: id, request });
                }
                ServerEvent::Refused(reason) => {
                    if early.take().is_some() {
                        self.incoming.retain(|incoming| incoming.link != id);
                    }
                    out.counters.refused(reason);
                    out.events.push_back(Event::Refused { link: id, reason });
                }
                _ => {
                    unreachable!("a link in the lobby is in no room: {event:?}")
                }
            }
        }
        link.queue_output(&mut out.ready);
        let due = link.poll_timeout().filter(|_| !link.is_done(out.now));
        let deadlines = [due, self.answer_due(id)];
        if let Some(due) = deadlines.into_iter().flatten().min() {
            self.deadlines.arm(id, due, ());
        }
    }
}

// Links
impl Lobby {
    /// Takes out a link whose Hello waits for the answer, and what came after that. `None` if there
    /// is no such link any more.
    pub fn take_waiting(&mut self, id: LinkId) -> Option<(Box<Link>, Vec<u8>)> {
        self.answer_due(id)?;
        let LobbyLink { link, early, .. } = self.remove(id)?;
        Some((link, early?.bytes))
    }

    /// Forgets a link.
    pub fn remove(&mut self, id: LinkId) -> Option<LobbyLink> {
        self.deadlines.disarm(id);
        self.links.remove(id)
    }

    /// Returns one of the links.
    pub fn link_mut(&mut self, id: LinkId) -> Option<&mut Link> {
        self.links.get_mut(id).map(|it| &mut *it.link)
    }

    /// Until when a link's Hello has to be answered, if it waits for that.
    fn answer_due(&self, id: LinkId) -> Option<Instant> {
        let LobbyLink { since, early, .. } = self.links.get(id)?;
        early.as_ref().map(|_| *since + self.answer_timeout)
    }
}
