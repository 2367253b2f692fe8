//! The list of a room, and when the room tells everyone what one of them does: talks, is silent,
//! has muted.
//!
//! Every change goes to everyone in the room, so that the cost of flickering grows with the square
//! of the room, and a hundred links that mute and unmute could keep a server from mixing. Two
//! budgets bound it, both counted in packets times listeners. While a room is calm its changes are
//! told at once. Beyond that they wait for the next round, in which all that wait are told
//! together: one write to each listener. What changed back meanwhile is not told at all, but for
//! talking: whoever has talked is told to talk, and next to be silent or muted. The last state
//! always is told.

use std::collections::VecDeque;

use talkspurt_core::time::Instant;
use talkspurt_core::token_bucket::TokenBucket;
use talkspurt_core::wire::{RosterPage, ServerPacket, Welcome};

use crate::encodings::encode;
use crate::ids::MemberId;
use crate::member::{Member, Members};
use crate::outbox::SharedPacket;
use crate::participant::STATE_INTERVAL;

/// Packets to one listener that a room tells at once, and in a second of that: a room of 8 in which
/// everyone begins or ends a talkspurt every two thirds of a second. Each is a write of its own:
/// 1,000 participants in rooms of any size cause 30,000 writes a second at worst, a tenth of a
/// core.
const AT_ONCE_BURST: u32 = 200;
const AT_ONCE_PER_SECOND: u32 = 100;
/// Packets to one listener that a room tells in all, and in a second of that: a room of 10 at one
/// change in 100 ms each. In a room of 64 a listener gets 15 a second, 200 bytes.
const TOLD_BURST: u32 = 1_000;
const TOLD_PER_SECOND: u32 = 1_000;
/// More listeners than this cost no more, so that even a room of 1,000 tells 10 changes a second: a
/// fifth of its voice packets.
const LISTENERS_CHARGED_MAX: usize = 100;

/// Makes what a newcomer gets first: the Welcome, whose own list is left out of `welcome`, and the
/// pages of the list that do not fit it.
pub fn welcome(members: &Members, welcome: Welcome<'_>) -> Vec<SharedPacket> {
    let mut pages = vec![RosterPage::new()];
    for member in members.iter() {
        let entry = member.participant.roster_entry();
        if pages.last().is_none_or(|page| page.is_full()) {
            pages.push(RosterPage::new());
        }
        let pushed = pages.last_mut().map(|page| page.push(entry));
        debug_assert!(
            pushed.is_some_and(|pushed| pushed.is_ok()),
            "the last page had room"
        );
    }
    let mut pages = pages.into_iter();
    let welcome = ServerPacket::Welcome(Welcome {
        roster_len: members.len() as u16,
        roster: pages.next().unwrap_or_default(),
        ..welcome
    });
    let others = pages.map(ServerPacket::Roster);
    let packets = [welcome].into_iter().chain(others);
    packets.map(|packet| encode(&packet)).collect()
}

/// A room's changes that wait to be told, and how much it may tell.
#[derive(Debug)]
pub struct StateTelling {
    at_once: TokenBucket,
    told: TokenBucket,
    /// Whose change waits, longest first; each once.
    waiting: VecDeque<MemberId>,
    /// When the next round is due; `None` while nothing waits.
    round: Option<Instant>,
    /// No round before this.
    round_from: Instant,
}

impl Default for StateTelling {
    /// Nothing waits.
    fn default() -> Self {
        Self {
            at_once: TokenBucket::new(AT_ONCE_BURST, AT_ONCE_PER_SECOND, Instant::ZERO),
            told: TokenBucket::new(TOLD_BURST, TOLD_PER_SECOND, Instant::ZERO),
            waiting: VecDeque::new(),
            round: None,
            round_from: Instant::ZERO,
        }
    }
}

// Telling
impl StateTelling {
    /// Tells everyone what someone is doing, if they do not know: now, or in the next round.
    pub fn tell(&mut self, id: MemberId, members: &mut Members, now: Instant) {
        let listeners = members.len();
        let Some(Member { participant, .. }) = members.get_mut(id) else {
            return;
        };
        if participant.news().is_none() {
            return;
        }
        let from = participant.tell_from();
        if now >= from && self.takes_at_once(listeners, now) {
            self.tell_news(id, members, now);
        } else if !participant.set_waits(true) {
            self.wait(id, from.max(now));
        }
    }

    /// Tells everyone the changes that wait, as far as the room's budget goes.
    pub fn tell_round(&mut self, members: &mut Members, now: Instant) {
        let listeners = members.len();
        let Some((waiting, counts_from)) = self.begin_round(now) else {
            return;
        };
        for _ in 0..waiting {
            let Some(id) = self.first() else {
                break;
            };
            let mut participant = members.get_mut(id).map(|member| &mut member.participant);
            let news_from = participant.as_ref().and_then(|participant| {
                let news = participant.news();
                news.map(|_| participant.tell_from())
            });
            if news_from.is_some_and(|from| from > now) {
                // Told at once a moment ago, and another's round has come.
                self.put_first_back();
                continue;
            }
            if news_from.is_some() && !self.takes(listeners, now) {
                break;
            }
            self.drop_first();
            if let Some(participant) = &mut participant {
                participant.set_waits(false);
            }
            self.tell_news(id, members, counts_from);
        }
        self.end_round();
    }

    /// Tells everyone what someone is doing; the interval until the next time counts from `at`.
    fn tell_news(&mut self, id: MemberId, members: &mut Members, at: Instant) {
        let Some(Member { participant, .. }) = members.get_mut(id) else {
            return;
        };
        let Some(flags) = participant.news() else {
            return;
        };
        participant.tell(flags, at);
        let packet = ServerPacket::State(participant.id, flags);
        // They have talked, and are silent or muted by now: that is told next.
        if participant.news().is_some() && !participant.set_waits(true) {
            self.wait(id, participant.tell_from());
        }
        members.broadcast(&packet);
    }
}

// Budgets and rounds
impl StateTelling {
    /// Whether a change may be told to so many listeners now, outside a round; charges for it if
    /// so.
    pub fn takes_at_once(&mut self, listeners: usize, now: Instant) -> bool {
        self.told.has(charge(listeners), now)
            && self.at_once.take(charge(listeners), now)
            && self.takes(listeners, now)
    }

    /// Whether a change may be told to so many listeners in a round; charges for it if so.
    pub fn takes(&mut self, listeners: usize, now: Instant) -> bool {
        self.told.take(charge(listeners), now)
    }

    /// Has a change wait for a round, at `from` at the earliest if nothing waits yet. Not for one
    /// that waits already.
    pub fn wait(&mut self, member: MemberId, from: Instant) {
        self.waiting.push_back(member);
        self.round.get_or_insert(from.max(self.round_from));
    }

    /// When the next round is due.
    pub fn round(&self) -> Option<Instant> {
        self.round
    }

    /// Begins the round that is due, if one is; returns how many changes wait for it, and the
    /// moment from which the next interval counts: the deadline, so that late rounds of several
    /// rooms do not fall together for ever. [`StateTelling::end_round`] has to follow.
    pub fn begin_round(&mut self, now: Instant) -> Option<(usize, Instant)> {
        let due = self.round.filter(|due| *due <= now)?;
        let counts_from = if now.duration_since(due) > STATE_INTERVAL {
            now
        } else {
            due
        };
        self.round_from = counts_from + STATE_INTERVAL;
        Some((self.waiting.len(), counts_from))
    }

    /// How many changes wait.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The change that has waited longest.
    pub fn first(&self) -> Option<MemberId> {
        self.waiting.front().copied()
    }

    /// The change that has waited longest waits for the next round.
    pub fn put_first_back(&mut self) {
        self.waiting.rotate_left(self.waiting.len().min(1));
    }

    /// The change that has waited longest waits no more.
    pub fn drop_first(&mut self) {
        self.waiting.pop_front();
    }

    /// Ends a round: changes for which the budget did not suffice wait for the next.
    pub fn end_round(&mut self) {
        self.round = (!self.waiting.is_empty()).then_some(self.round_from);
    }
}

fn charge(listeners: usize) -> u32 {
    listeners.min(LISTENERS_CHARGED_MAX) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::time::Duration;

    fn at(ms: u64) -> Instant {
        Instant::ZERO + Duration::from_millis(ms)
    }

    #[test]
    fn what_a_room_may_tell_shrinks_with_its_size_down_to_ten_a_second() {
        for (listeners, at_once, a_second) in [
            (2, 100, 500),
            (8, 25, 125),
            (64, 3, 15),
            (100, 2, 10),
            (1_000, 2, 10),
        ] {
            let mut states = StateTelling::default();
            let told = (0..1_000)
                .filter(|_| states.takes_at_once(listeners, at(0)))
                .count();
            assert_eq!(told, at_once, "{listeners} listeners");
            let mut states = StateTelling::default();
            while states.takes(listeners, at(0)) {}
            let told = (0..10_000)
                .filter(|ms| states.takes(listeners, at(*ms)))
                .count();
            assert!(
                told.abs_diff(10 * a_second) <= 10,
                "{listeners} listeners: {told} in 10 s"
            );
        }
    }

    #[test]
    fn a_round_counts_from_when_it_was_due_unless_it_is_later_than_an_interval() {
        for (late_ms, counts_from_ms) in [(0, 50), (100, 50), (101, 151)] {
            let mut states = StateTelling::default();
            states.wait(MemberId::default(), at(50));
            let begun = states.begin_round(at(50 + late_ms));
            assert_eq!(begun, Some((1, at(counts_from_ms))), "{late_ms} ms late");
        }
    }

    #[test]
    fn who_is_put_back_waits_behind_the_others() {
        let mut members = slotmap::SlotMap::<MemberId, ()>::with_key();
        let [ann, ben] = [members.insert(()), members.insert(())];
        let mut states = StateTelling::default();
        states.put_first_back();
        states.wait(ann, at(0));
        states.wait(ben, at(0));
        states.put_first_back();
        assert_eq!(states.first(), Some(ben));
        states.drop_first();
        assert_eq!(states.first(), Some(ann));
    }

    #[test]
    fn rounds_are_an_interval_apart() {
        let mut states = StateTelling::default();
        let member = MemberId::default();
        assert_eq!((states.round(), states.begin_round(at(0))), (None, None));
        states.wait(member, at(30));
        states.wait(member, at(10));
        assert_eq!(states.round(), Some(at(30)));
        assert_eq!(states.begin_round(at(29)), None);
        // Late, which does not move the rounds after it.
        assert_eq!(states.begin_round(at(37)), Some((2, at(30))));
        states.drop_first();
        states.end_round();
        assert_eq!(
            states.round(),
            Some(at(130)),
            "what was left waits for the next round"
        );
        assert_eq!(states.begin_round(at(130)), Some((1, at(130))));
        states.drop_first();
        states.end_round();
        assert_eq!((states.round(), states.first()), (None, None));
        states.wait(member, at(131));
        assert_eq!(
            states.round(),
            Some(at(230)),
            "not before the interval is over"
        );
        states.begin_round(at(230));
        states.drop_first();
        states.end_round();
        states.wait(member, at(500));
        assert_eq!(states.round(), Some(at(500)));
        assert_eq!(
            states.begin_round(at(601)),
            Some((1, at(601))),
            "rounds that were missed are not made up for"
        );
    }

    #[test]
    fn a_busy_room_keeps_its_credit_for_telling_at_once() {
        let mut states = StateTelling::default();
        while states.takes(100, at(0)) {}
        assert!(!states.takes_at_once(100, at(0)));
        assert!(states.takes_at_once(100, at(100)) && !states.takes_at_once(100, at(100)));
        assert!(states.takes_at_once(100, at(200)), "the second of two");
    }
}
