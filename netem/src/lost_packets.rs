//! Which packets damage has cost a stream, and which participants they were about. Damage excuses
//! no other fault in a roster.

use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::wire::{ParticipantId, ServerPacket, parse};

/// Follows a server's stream, comparing what was sent with what arrived.
#[derive(Debug, Default)]
pub struct Losses {
    sent: Deframer,
    /// A byte of the current packet, or the zero before it, arrived changed.
    hit: bool,
}

impl Losses {
    /// Hands `arrived` to `deliver` in the order of the stream, each time with the participants
    /// whose packets were lost before it. Damaged bytes are handed over one by one, so that a loss
    /// is known before the next packet.
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
            // A zero that arrived changed joins this packet to the next one.
            self.hit = arrived != 0;
        }
        lost
    }
}

/// Returns the participants that a packet is about.
fn about(packet: &[u8]) -> Vec<ParticipantId> {
    match parse(packet).expect("the server sends packets") {
        ServerPacket::Roster(page) => page.entries.iter().map(|entry| entry.id).collect(),
        ServerPacket::Joined(joined) => vec![joined.entry.id],
        ServerPacket::Left(left) => vec![left.id],
        ServerPacket::State(state) => vec![state.id],
        ServerPacket::Reject(_)
        | ServerPacket::Welcome(_)
        | ServerPacket::Count(_)
        | ServerPacket::TickHint(_)
        | ServerPacket::DelayReport(_)
        | ServerPacket::Voice(_)
        | ServerPacket::Ping(_)
        | ServerPacket::Pong(_)
        | ServerPacket::Bye(_) => Vec::new(),
    }
}
