//! The members of a room: participants and their links.

use slotmap::DenseSlotMap;
use talkspurt_core::session::ServerEvent;
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{ByeReason, ServerPacket};

use crate::deadlines::Deadlines;
use crate::encodings::encode;
use crate::ids::MemberId;
use crate::link::{Input, Link};
use crate::outbox::SharedPacket;
use crate::participant::{Participant, VoiceTaken};
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

impl Member {
    /// Takes the bytes of `input` up to the end of a packet. Voice in it goes to the participant;
    /// the link has events for all else.
    pub fn handle_bytes(&mut self, input: &mut Input<'_>, now: Instant) -> VoiceTaken {
        let voice = self.link.receive(input, now);
        match voice.map(|voice| self.participant.push_voice(&voice, now)) {
            Some(Ok(taken)) => taken,
            Some(Err(_)) => {
                self.link.end(ByeReason::ProtocolError);
                VoiceTaken::NOTHING
            }
            None => VoiceTaken::NOTHING,
        }
    }
}

/// All members of a room, when which of their links is to be looked at, and which have output.
#[derive(Debug, Default)]
pub struct Members {
    map: DenseSlotMap<MemberId, Member>,
    deadlines: Deadlines<MemberId>,
    /// Those whose control packets have piled up.
    overflowed: Vec<MemberId>,
    ready: Ready,
}

// Who they are
impl Members {
    /// Returns how many there are.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Returns whether there is none.
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    /// Returns their places.
    pub fn ids(&self) -> Vec<MemberId> {
        self.map.keys().collect()
    }

    /// Returns all of them, in no order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.map.values()
    }

    /// Returns all participants and their places, in no order.
    pub fn participants_mut(&mut self) -> impl Iterator<Item = (MemberId, &mut Participant)> {
        let members = self.map.iter_mut();
        members.map(|(id, member)| (id, &mut member.participant))
    }

    /// Returns one of them, if they are still there.
    pub fn get_mut(&mut self, id: MemberId) -> Option<&mut Member> {
        self.map.get_mut(id)
    }

    /// Adds one.
    pub fn insert(&mut self, member: Member) -> MemberId {
        self.map.insert(member)
    }

    /// Removes one.
    pub fn remove(&mut self, id: MemberId) -> Option<Member> {
        self.deadlines.disarm(id);
        self.map.remove(id)
    }
}

// What they get
impl Members {
    /// Returns the links for which there is output.
    pub fn ready_mut(&mut self) -> &mut Ready {
        &mut self.ready
    }

    /// Sends a control packet to one of them.
    pub fn send(&mut self, to: MemberId, packet: SharedPacket) {
        if let Some(member) = self.map.get_mut(to)
            && member.link.push_control(packet, &mut self.ready).is_err()
        {
            self.overflowed.push(to);
        }
    }

    /// Sends a control packet to all of them.
    pub fn broadcast(&mut self, packet: &ServerPacket<'_>) {
        if self.is_empty() {
            return;
        }
        let packet = encode(packet);
        for (id, member) in &mut self.map {
            let packet = SharedPacket::clone(&packet);
            if member.link.push_control(packet, &mut self.ready).is_err() {
                self.overflowed.push(id);
            }
        }
    }

    /// Sends each the voice packet that `packet_for` makes for them. Returns how many older packets
    /// were dropped for that.
    pub fn send_voice(
        &mut self,
        mut packet_for: impl FnMut(&mut Participant) -> Option<SharedPacket>,
    ) -> u64 {
        let mut dropped = 0;
        for Member { link, participant } in self.map.values_mut() {
            if let Some(packet) = packet_for(participant) {
                dropped += link.push_voice(packet, &mut self.ready);
            }
        }
        dropped
    }

    /// Returns the next of those whose control packets have piled up.
    pub fn poll_overflowed(&mut self) -> Option<MemberId> {
        self.overflowed.pop()
    }

    /// Returns the next event of a member's session. When there is none left, takes note of the
    /// link's output and deadline.
    pub fn poll_event(&mut self, id: MemberId, now: Instant) -> Option<ServerEvent> {
        let Member { link, .. } = self.map.get_mut(id)?;
        if let Some(event) = link.poll_event(now) {
            return Some(event);
        }
        link.queue_if_due(&mut self.ready);
        if let Some(due) = link.poll_timeout() {
            self.deadlines.arm(id, due, ());
        }
        None
    }
}

// Timers of their links
impl Members {
    /// Returns when the next link is to be looked at; at times earlier than that.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.deadlines.earliest()
    }

    /// Returns whose link is to be looked at now, if that has come to be the earliest deadline.
    pub fn poll_due(&mut self, now: Instant) -> Option<(MemberId, &mut Member)> {
        let id = self.deadlines.pop_due(now)?;
        Some((id, self.map.get_mut(id)?))
    }

    /// Returns how many deadlines are kept, old ones among them.
    pub fn deadlines_kept(&self) -> usize {
        self.deadlines.len()
    }
}
