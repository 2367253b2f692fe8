//! The members of a room: participants and their links.

use slotmap::DenseSlotMap;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{DelayReport, FEATURE_DELAY_REPORT, ServerPacket};

use crate::deadlines::Deadlines;
use crate::encodings::encode;
use crate::ids::MemberId;
use crate::link::Link;
use crate::outbound::Outbound;
use crate::outbox::SharedPacket;
use crate::participant::Participant;
use crate::ready::Ready;

/// A member of a room.
#[derive(Debug)]
pub struct Member {
    /// Their link. In a box, so that it moves between lobby and rooms at no cost, and so that the
    /// members whom a tick walks through lie close together.
    pub link: Box<Link>,
    /// What the room knows of them.
    pub participant: Participant,
}

/// All members of a room, and when which of their links is to be looked at.
#[derive(Debug, Default)]
pub struct Members {
    /// The members.
    pub map: DenseSlotMap<MemberId, Member>,
    /// When the link of each has to be looked at.
    pub deadlines: Deadlines<MemberId>,
    /// Those whose control packets have piled up.
    pub overflowed: Vec<MemberId>,
    /// The revision of the roster: counts the changes that were told.
    pub revision: u32,
    /// When to tell those who want to know only that how many are in the room.
    pub count_at: Option<Instant>,
    counted_at: Instant,
}

/// How often it is told how many are in the room, at most.
const COUNT_EVERY: Duration = Duration::from_secs(1);

impl Members {
    /// Returns what the room knows of one of them, if they are still there.
    pub fn participant_mut(&mut self, id: MemberId) -> Option<&mut Participant> {
        self.map.get_mut(id).map(|member| &mut member.participant)
    }

    /// Takes what the client of one says of how long its voice takes.
    pub fn delay_reported(&mut self, id: MemberId, report: DelayReport) {
        if let Some(participant) = self.participant_mut(id)
            && participant.features & FEATURE_DELAY_REPORT > 0
        {
            participant.delay.report(report);
        }
    }

    /// Removes one.
    pub fn remove(&mut self, id: MemberId) -> Option<Member> {
        self.deadlines.disarm(id);
        self.map.remove(id)
    }

    /// Sends a control packet to one of them.
    pub fn send(&mut self, to: MemberId, packet: SharedPacket, ready: &mut Ready) {
        if let Some(member) = self.map.get_mut(to)
            && member.link.push_control(packet, ready).is_err()
        {
            self.overflowed.push(to);
        }
    }

    /// Tells those who want the roster a change of it, which `packet` makes for its revision.
    pub fn tell_change<'a>(
        &mut self,
        ready: &mut Ready,
        packet: impl FnOnce(u32) -> ServerPacket<'a>,
    ) {
        self.revision = self.revision.checked_add(1).unwrap_or(1);
        let packet = packet(self.revision);
        self.broadcast(&packet, ready, |participant| participant.wants_roster);
    }

    /// Says that someone came or went.
    pub fn count_changed(&mut self, now: Instant) {
        let wants_it = |member: &Member| !member.participant.wants_roster;
        if self.map.values().any(wants_it) {
            let at = now.max(self.counted_at + COUNT_EVERY);
            self.count_at.get_or_insert(at);
        }
    }

    /// Tells how many are in the room, if that is due.
    pub fn tell_count(&mut self, now: Instant, ready: &mut Ready) {
        if self.count_at.take_if(|at| *at <= now).is_some() {
            self.counted_at = now;
            let packet = ServerPacket::Count(self.map.len() as u32);
            self.broadcast(&packet, ready, |participant| !participant.wants_roster);
        }
    }

    /// Sends a control packet to those for whom it is.
    pub fn broadcast(
        &mut self,
        packet: &ServerPacket<'_>,
        ready: &mut Ready,
        is_for: impl Fn(&Participant) -> bool,
    ) {
        if self.map.is_empty() {
            return;
        }
        let packet = encode(packet);
        for (id, member) in &mut self.map {
            if is_for(&member.participant)
                && member.link.push_control(packet.clone(), ready).is_err()
            {
                self.overflowed.push(id);
            }
        }
    }

    /// Returns the next event of a member's session. When there is none left, takes note of the
    /// link's output and deadline.
    pub fn next_event(&mut self, id: MemberId, out: &mut Outbound) -> Option<ServerEvent> {
        let Member { link, participant } = self.map.get_mut(id)?;
        let standing = (self.revision, participant.told);
        if let Some(event) = link.next_event(out.now, standing) {
            return Some(event);
        }
        link.queue_output(&mut out.ready);
        if let Some(due) = link.poll_timeout() {
            self.deadlines.arm(id, due, ());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_revision_is_0_where_the_numbers_wrap() {
        let mut members = Members {
            revision: u32::MAX,
            ..Members::default()
        };
        let mut told = None;
        members.tell_change(&mut Ready::default(), |revision| {
            told = Some(revision);
            ServerPacket::Count(0)
        });
        assert_eq!(told, Some(1));
    }
}
