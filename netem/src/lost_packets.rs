//! Which packets a damaged stream has lost, and whom they were about: the only faults of a roster
//! that damage excuses.

use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::wire::{ParticipantId, ServerPacket, parse};

/// Follows a server's stream as it was sent beside the bytes that arrived.
#[derive(Debug, Default)]
pub struct Losses {
    sent: Deframer,
    /// A byte of the packet that is under way, or the zero before it, arrived as another one.
    hit: bool,
}

impl Losses {
    /// Hands `arrived` to `deliver` in the order of the stream, each time after those whose packets
    /// were lost before. Bytes come one by one where there is damage, so that a loss is known
    /// before the packet after it.
    pub fn follow(
        &mut self,
        sent: &[u8],
        arrived: &[u8],
        mut deliver: impl FnMut(&[ParticipantId], &[u8]),
    ) {
        assert_eq!(
            sent.len(),
            arrived.len(),
            "damage changes bytes and loses none"
        );
        if !self.hit && sent == arrived {
            let mut rest = sent;
            while !rest.is_empty() {
                rest = self.sent.feed(rest).1;
            }
            return deliver(&[], arrived);
        }
        for (&sent, &arrived) in sent.iter().zip(arrived) {
            let lost = self.byte(sent, arrived);
            deliver(&lost, &[arrived]);
        }
    }

    fn byte(&mut self, sent: u8, arrived: u8) -> Vec<ParticipantId> {
        self.hit |= sent != arrived;
        let lost = match self.sent.feed(&[sent]).0 {
            Feed::Packet(packet) if self.hit => about(packet),
            _ => Vec::new(),
        };
        if sent == 0 {
            // A zero that arrived as something else joins this packet to the next one.
            self.hit = arrived != 0;
        }
        lost
    }
}

/// Whom a packet tells something about.
fn about(packet: &[u8]) -> Vec<ParticipantId> {
    match parse(packet).expect("the server sends packets") {
        ServerPacket::Welcome(welcome) => welcome.roster.iter().map(|entry| entry.id).collect(),
        ServerPacket::Roster(page) => page.iter().map(|entry| entry.id).collect(),
        ServerPacket::Joined(entry) => vec![entry.id],
        ServerPacket::Left(id) | ServerPacket::State(id, _) => vec![id],
        ServerPacket::Reject(..)
        | ServerPacket::Voice(_)
        | ServerPacket::Ping(_)
        | ServerPacket::Pong(_)
        | ServerPacket::Bye(_) => Vec::new(),
    }
}
