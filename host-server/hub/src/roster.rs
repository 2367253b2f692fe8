//! What a room tells of its members: the list for a newcomer, and for everyone when one of them
//! talks, is silent, or has muted.
//!
//! Every change goes to everyone in the room, so that the cost of flickering grows with the square
//! of the room, and a hundred links that mute and unmute could keep a server from mixing. Two
//! budgets bound it, both counted in packets times listeners. While a room is calm its changes are
//! told at once. Beyond that they wait for the next round, in which all that wait are told
//! together: one write to each listener. What changed back meanwhile is not told at all, but for
//! talking: whoever has talked is told to talk, and next to be silent or muted. The last state
//! always is told.

use std::collections::VecDeque;

use talkspurt_core::carrier::stream::PACKET_MAX;
use talkspurt_core::time::Instant;
use talkspurt_core::token_bucket::TokenBucket;
use talkspurt_core::wire::{
    PROTOCOL_VERSION, Roster, RosterEntry, RosterPage, ServerPacket, State, Welcome,
};

use crate::config::HubConfig;
use crate::encodings::encode;
use crate::ids::MemberId;
use crate::member::Members;
use crate::outbound::Outbound;
use crate::outbox::SharedPacket;
use crate::participant::{Participant, STATE_INTERVAL};

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

/// Makes the Welcome of someone.
pub fn welcome(members: &Members, newcomer: &Participant, config: &HubConfig) -> SharedPacket {
    let idle_timeout_ms = config.idle_timeout.as_millis();
    encode(&ServerPacket::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        nonce: newcomer.nonce,
        max_packet: PACKET_MAX as u16,
        features: newcomer.features,
        resume: Some(newcomer.tokens.own),
        id: newcomer.id,
        codec_up: newcomer.codec_up.id(),
        codec_down: newcomer.listener.codec.id(),
        rate_hz: config.format.rate.hz(),
        frame_ms: config.format.frame.ms(),
        idle_timeout_ms: idle_timeout_ms.try_into().unwrap_or(u32::MAX),
        revision: members.revision,
        participants: members.map.len() as u32,
    }))
}

/// Makes the pages of the whole roster, for one who takes packets of so many bytes.
pub fn pages(revision: u32, everyone: &[&Participant], max_packet: usize) -> Vec<SharedPacket> {
    let total = everyone.len() as u32;
    let mut page = Roster {
        revision,
        first: 0,
        total,
        entries: RosterPage::new(),
    };
    let (mut pages, mut bytes) = (Vec::new(), PAGE_HEAD_BYTES);
    for participant in everyone {
        let entry = participant.roster_entry();
        let entry_bytes = RosterEntry::BYTES_AROUND_NAME + participant.name.len();
        if page.entries.is_full() || bytes + entry_bytes > max_packet {
            pages.push(encode(&ServerPacket::Roster(page.clone())));
            page.first += page.entries.len() as u32;
            page.entries.clear();
            bytes = PAGE_HEAD_BYTES;
        }
        bytes += entry_bytes;
        assert!(page.entries.push(entry).is_ok(), "the page has room");
    }
    pages.push(encode(&ServerPacket::Roster(page)));
    pages
}

/// Number, three numbers of up to five bytes, and how many entries there are.
const PAGE_HEAD_BYTES: usize = 1 + 3 * 5 + 1;

/// A room's changes that wait to be told, and how much it may tell.
#[derive(Debug)]
pub struct Announcements {
    at_once: TokenBucket,
    told: TokenBucket,
    /// Whose change waits, longest first; each once.
    pub waiting: VecDeque<MemberId>,
    /// When the next round is due; `None` while nothing waits.
    pub round: Option<Instant>,
    /// No round before this.
    round_from: Instant,
}

impl Default for Announcements {
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

impl Announcements {
    /// Tells everyone what someone is doing, if they do not know: now, or in the next round.
    pub fn tell(&mut self, id: MemberId, members: &mut Members, out: &mut Outbound) {
        let listeners = members.map.len();
        let participant = members.participant_mut(id);
        let Some(participant) = participant.filter(|participant| participant.news().is_some())
        else {
            return;
        };
        let (from, now) = (participant.tell_from, out.now);
        if now >= from && self.takes_at_once(listeners, now) {
            self.tell_news(id, members, now, out);
        } else if !participant.set_waits(true) {
            self.wait(id, from.max(now));
        }
    }

    /// Tells everyone the changes that wait, if a round is due, as far as the room's budget goes.
    pub fn tell_round(&mut self, members: &mut Members, out: &mut Outbound) {
        let (listeners, now) = (members.map.len(), out.now);
        let Some(due) = self.round.filter(|due| *due <= now) else {
            return;
        };
        // The next interval counts from the deadline, so that late rounds of several rooms do not
        // fall together for ever.
        let is_missed = now.duration_since(due) > STATE_INTERVAL;
        let counts_from = if is_missed { now } else { due };
        self.round_from = counts_from + STATE_INTERVAL;
        // Changes that have to wait for another round go behind those that this one does not reach.
        let mut in_turn = std::mem::take(&mut self.waiting);
        while let Some(id) = in_turn.pop_front() {
            let Some(participant) = members.participant_mut(id) else {
                continue;
            };
            let is_news = participant.news().is_some();
            if is_news && participant.tell_from > now {
                // It was told at once a moment ago.
                self.waiting.push_back(id);
                continue;
            }
            if is_news && !self.takes(listeners, now) {
                in_turn.push_front(id);
                break;
            }
            participant.set_waits(false);
            self.tell_news(id, members, counts_from, out);
        }
        in_turn.append(&mut self.waiting);
        self.waiting = in_turn;
        self.round = (!self.waiting.is_empty()).then_some(self.round_from);
    }

    /// Tells everyone what someone is doing; the interval until the next time counts from `at`.
    fn tell_news(
        &mut self,
        member: MemberId,
        members: &mut Members,
        at: Instant,
        out: &mut Outbound,
    ) {
        let Some(participant) = members.participant_mut(member) else {
            return;
        };
        let Some(flags) = participant.news() else {
            return;
        };
        participant.tell(flags, at);
        let id = participant.id;
        // They have talked, and are silent or muted by now: that is told next.
        if participant.news().is_some() && !participant.set_waits(true) {
            self.wait(member, participant.tell_from);
        }
        members.tell_change(&mut out.ready, |revision| {
            ServerPacket::State(State {
                revision,
                id,
                flags,
            })
        });
    }

    /// Whether a change may be told to so many listeners outside a round; charges for it if
    /// so.
    fn takes_at_once(&mut self, listeners: usize, now: Instant) -> bool {
        self.told.has(charge(listeners), now)
            && self.at_once.take(charge(listeners), now)
            && self.takes(listeners, now)
    }

    /// Whether a change may be told to so many listeners in a round; charges for it if so.
    fn takes(&mut self, listeners: usize, now: Instant) -> bool {
        self.told.take(charge(listeners), now)
    }

    /// Has a change wait for a round, at `from` at the earliest if nothing waits yet. Not for one
    /// that waits already.
    fn wait(&mut self, member: MemberId, from: Instant) {
        self.waiting.push_back(member);
        self.round.get_or_insert(from.max(self.round_from));
    }
}

fn charge(listeners: usize) -> u32 {
    listeners.min(LISTENERS_CHARGED_MAX) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::LinkId;
    use crate::link::Link;
    use crate::member::Member;
    use crate::participant::Participant;
    use crate::ready::Ready;
    use crate::testing::{TOKENS, request};
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::audio::format::AudioFormat;
    use talkspurt_core::carrier::deframer::{Deframer, Feed};
    use talkspurt_core::carrier::stream::ENCODED_MAX;
    use talkspurt_core::seq::{Seq, Timestamp};
    use talkspurt_core::time::Duration;
    use talkspurt_core::wire::{ParticipantFlags, ParticipantId, Voice, parse};

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
            let mut states = Announcements::default();
            let told = (0..1_000)
                .filter(|_| states.takes_at_once(listeners, at(0)))
                .count();
            assert_eq!(told, at_once, "{listeners} listeners");
            let mut states = Announcements::default();
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

    /// A room of so many, all of whom have muted.
    fn members(count: u32) -> (Members, Vec<MemberId>) {
        let mut members = Members::default();
        let ids = (0..count).map(|n| {
            let format = AudioFormat::DEFAULT;
            let mut participant = Participant::new(&request("ann"), TOKENS, format);
            participant.id = ParticipantId(n);
            participant.set_muted(true, None, at(0));
            let link = Link::new(LinkId::default(), &HubConfig::default(), at(0));
            members.map.insert(Member {
                link: Box::new(link),
                participant,
            })
        });
        let ids = ids.collect();
        (members, ids)
    }

    /// Reads the packet of one side from its bytes in a stream.
    fn read<T>(packet: &SharedPacket, read: impl FnOnce(ServerPacket<'_>, usize) -> T) -> T {
        let mut deframer = Deframer::<ENCODED_MAX>::new();
        let (Feed::Packet(bytes), _) = deframer.feed(packet) else {
            panic!("no packet")
        };
        read(parse(bytes).unwrap(), bytes.len())
    }

    #[test]
    fn a_page_has_as_many_entries_as_fit_with_all_numbers_at_their_longest() {
        for (name_bytes, max_packet, a_page) in [
            // 17 bytes, and 21 around each name.
            (32, 352, 6),
            (23, 352, 7),
            (20, 352, 8),
            (32, 1_280, 8),
        ] {
            let participants: Vec<_> = (0..20)
                .map(|_| {
                    let request = request(&"n".repeat(name_bytes));
                    let mut it = Participant::new(&request, TOKENS, AudioFormat::DEFAULT);
                    it.id = ParticipantId(u32::MAX);
                    it
                })
                .collect();
            let everyone: Vec<_> = participants.iter().collect();
            let pages = pages(u32::MAX, &everyone, max_packet);
            let mut listed = 0;
            for page in &pages {
                read(page, |packet, bytes| {
                    let ServerPacket::Roster(page) = packet else {
                        panic!("no page")
                    };
                    assert!(bytes <= max_packet);
                    assert_eq!((page.first, page.total), (listed, 20));
                    listed += page.entries.len() as u32;
                    let is_last = listed == 20;
                    assert!(is_last || page.entries.len() == a_page, "{name_bytes}");
                });
            }
            assert_eq!(pages.len(), 20_usize.div_ceil(a_page), "{name_bytes}");
        }
    }

    #[test]
    fn a_welcome_names_the_codec_of_each_direction() {
        let mut request = request("ann");
        request.codec_up = CodecId::ImaAdpcm;
        let newcomer = Participant::new(&request, TOKENS, AudioFormat::DEFAULT);
        let welcome = welcome(&Members::default(), &newcomer, &HubConfig::default());
        read(&welcome, |packet, _| {
            let ServerPacket::Welcome(welcome) = packet else {
                panic!("no Welcome")
            };
            let codecs = [welcome.codec_up, welcome.codec_down];
            assert_eq!(codecs, [CodecId::ImaAdpcm, CodecId::Pcm16].map(CodecId::id));
            assert_eq!(
                (welcome.nonce, welcome.resume),
                (request.nonce, Some(TOKENS.own))
            );
        });
    }

    #[test]
    fn everyone_whose_outbox_is_full_is_noted_in_one_broadcast() {
        let (mut members, ids) = members(3);
        let mut ready = Ready::default();
        let packet = ServerPacket::Count(1);
        for id in &ids[..2] {
            let link = &mut members.map[*id].link;
            while link.push_control(encode(&packet), &mut ready).is_ok() {}
        }
        members.broadcast(&packet, &mut ready, |_| true);
        assert_eq!(members.overflowed, ids[..2]);
    }

    /// Who of them is still to be told of.
    fn untold(members: &Members) -> Vec<u32> {
        let all = members.map.values().map(|member| &member.participant);
        let untold = all.filter(|participant| participant.news().is_some());
        untold.map(|participant| participant.id.0).collect()
    }

    #[test]
    fn a_round_counts_from_when_it_was_due_unless_it_is_later_than_an_interval() {
        for (late_ms, next_ms) in [(0, 150), (100, 150), (101, 251)] {
            let (mut members, ids) = members(1);
            let mut states = Announcements::default();
            states.wait(ids[0], at(50));
            let mut out = Outbound::default();
            states.tell_round(&mut members, out.at(at(50 + late_ms)));
            assert_eq!(untold(&members), [0; 0]);
            let told_from = members.participant_mut(ids[0]).unwrap().tell_from;
            assert_eq!(told_from, at(next_ms), "{late_ms} ms late");
            assert_eq!((states.round, states.round_from), (None, at(next_ms)));
        }
    }

    #[test]
    fn whoever_was_told_of_a_moment_ago_waits_and_the_others_do_not() {
        let (mut members, ids) = members(2);
        let mut states = Announcements::default();
        let ann = members.participant_mut(ids[0]).unwrap();
        ann.tell(ParticipantFlags::MUTED, at(20));
        ann.set_muted(false, None, at(20));
        for id in &ids {
            members.participant_mut(*id).unwrap().set_waits(true);
            states.wait(*id, at(50));
        }
        let mut out = Outbound::default();
        states.tell_round(&mut members, out.at(at(50)));
        assert_eq!(
            (untold(&members), &states.waiting),
            (vec![0], &[ids[0]].into())
        );
        assert_eq!(states.round, Some(at(150)));
        states.tell_round(&mut members, out.at(at(149)));
        assert_eq!(untold(&members), [0], "not before its time");
        states.tell_round(&mut members, out.at(at(150)));
        assert_eq!((untold(&members), states.round), (vec![], None));
        assert!(!members.participant_mut(ids[0]).unwrap().set_waits(false));
    }

    #[test]
    fn what_exceeds_the_budget_waits_for_the_next_round_in_its_order() {
        let (mut members, ids) = members(100);
        let mut states = Announcements::default();
        ids.iter().for_each(|id| states.wait(*id, at(0)));
        let mut out = Outbound::default();
        states.tell_round(&mut members, out.at(at(0)));
        assert_eq!(untold(&members), (10..100).collect::<Vec<_>>());
        assert_eq!(states.waiting, &ids[10..]);
        states.tell_round(&mut members, out.at(at(100)));
        assert_eq!(untold(&members), (11..100).collect::<Vec<_>>());
    }

    #[test]
    fn a_second_telling_waits_behind_those_whose_turn_has_not_come() {
        let (mut members, ids) = members(100);
        let mut states = Announcements::default();
        while states.takes(100, at(0)) {}
        // The first has talked meanwhile: that is told before its mute.
        let first = members.participant_mut(ids[0]).unwrap();
        first.set_muted(false, None, at(0));
        let (payload, seq) = (&[1; 640], Seq(0));
        let voice = Voice {
            seq,
            timestamp: Timestamp(0),
            level: 40,
            stream: 0,
            terminator: false,
            payload,
        };
        assert!(first.push_voice(&voice, at(0), None).unwrap().flags_changed);
        first.set_muted(true, None, at(0));
        ids[..3].iter().for_each(|id| {
            members.participant_mut(*id).unwrap().set_waits(true);
            states.wait(*id, at(100));
        });
        let mut out = Outbound::default();
        states.tell_round(&mut members, out.at(at(100)));
        assert_eq!(states.waiting, [ids[1], ids[2], ids[0]]);
    }

    #[test]
    fn rounds_are_an_interval_apart() {
        let mut states = Announcements::default();
        let mut members = Members::default();
        let mut tell_round = |states: &mut Announcements, ms| {
            states.tell_round(&mut members, Outbound::default().at(at(ms)));
            (states.waiting.len(), states.round)
        };
        let member = MemberId::default();
        assert_eq!(tell_round(&mut states, 0), (0, None));
        states.wait(member, at(30));
        states.wait(member, at(10));
        assert_eq!(tell_round(&mut states, 29), (2, Some(at(30))));
        // Late, which does not move the rounds after it.
        assert_eq!(tell_round(&mut states, 37), (0, None));
        states.wait(member, at(38));
        assert_eq!(
            states.round,
            Some(at(130)),
            "not before the interval is over"
        );
        assert_eq!(tell_round(&mut states, 130), (0, None));
        states.wait(member, at(500));
        assert_eq!(states.round, Some(at(500)));
        tell_round(&mut states, 601);
        states.wait(member, at(602));
        let next = Some(at(701));
        assert_eq!(
            states.round, next,
            "rounds that were missed are not made up for"
        );
    }

    #[test]
    fn a_busy_room_keeps_its_credit_for_telling_at_once() {
        let mut states = Announcements::default();
        while states.takes(100, at(0)) {}
        assert!(!states.takes_at_once(100, at(0)));
        assert!(states.takes_at_once(100, at(100)) && !states.takes_at_once(100, at(100)));
        assert!(states.takes_at_once(100, at(200)), "the second of two");
    }
}
