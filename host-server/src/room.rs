//! One room: its participants, its roster, its ticks. Pure: packets go into an [`Outlet`], time is an argument.

use slotmap::DenseSlotMap;
use talkspurt_core::audio::codec::CodecError;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{ROSTER_PAGE, RoomName, RosterPage, ServerPacket, Voice};

use crate::hub::ConnId;
use crate::mixdown::{Mixdown, SharedEncoders, encode};
use crate::outbox::Encoded;
use crate::participant::{Fading, Participant, VoiceTaken};
use crate::states::StateTelling;

slotmap::new_key_type! {
    /// A participant's place in his room.
    pub struct MemberId;
}

/// Missed ticks that are made up for at once: what a listener's jitter buffer takes without dropping. The rest is given up.
const TICKS_MADE_UP_MAX: u64 = 5;

/// Where a room's packets go.
pub trait Outlet {
    /// Never dropped.
    fn control(&mut self, to: ConnId, packet: &Encoded);
    /// The newest counts.
    fn voice(&mut self, to: ConnId, packet: Encoded);
}

/// Who hears whom.
#[derive(Debug)]
pub struct Room {
    name: RoomName,
    frame: FrameDuration,
    members: DenseSlotMap<MemberId, Participant>,
    joins: u64,
    states: StateTelling,
    encoders: SharedEncoders,
    /// Frame periods that this room has mixed. Stands still while nobody talks.
    ticks: u32,
    /// When to tick next; `None` while nobody talks.
    next_tick: Option<Instant>,
    /// Those who have left in the midst of a word since the last tick.
    fading: Vec<Fading>,
}

/// What a Welcome needs to know of the room.
pub struct Roster<'a> {
    /// Everyone, the newcomer among them.
    pub len: u16,
    /// The first page.
    pub first: RosterPage<'a>,
    /// The rest.
    pub others: Vec<RosterPage<'a>>,
}

impl Room {
    /// An empty room.
    pub fn new(name: RoomName, frame: FrameDuration) -> Self {
        Self {
            name,
            frame,
            members: DenseSlotMap::with_key(),
            joins: 0,
            states: StateTelling::default(),
            encoders: SharedEncoders::default(),
            ticks: 0,
            next_tick: None,
            fading: Vec::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// How long its frames are.
    pub fn frame(&self) -> FrameDuration {
        self.frame
    }

    /// How many are in it.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Nobody is in it.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether someone in it has that name.
    pub fn has_name(&self, name: &str) -> bool {
        self.members.values().any(|member| &*member.name == name)
    }

    /// Everyone in it, in no order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.members.values()
    }

    /// Lets someone in and tells the others. He gets the roster from [`Room::roster`].
    pub fn join(&mut self, mut participant: Participant, outlet: &mut impl Outlet) -> MemberId {
        participant.introduced();
        let conn = participant.conn;
        if let Some(at) = self.fading.iter().position(|fading| fading.conn() == conn) {
            participant.take_over(self.fading.swap_remove(at));
        }
        self.broadcast(&ServerPacket::Joined(participant.roster_entry()), outlet);
        self.joins += 1;
        participant.joined = self.joins;
        self.members.insert(participant)
    }

    /// Lets someone go and tells the others. Gives who it was.
    pub fn leave(&mut self, member: MemberId, outlet: &mut impl Outlet) -> Option<Participant> {
        let participant = self.remove(member)?;
        self.broadcast(&ServerPacket::Left(participant.id), outlet);
        Some(participant)
    }

    /// Lets someone go and tells nobody, as when all go.
    pub fn remove(&mut self, member: MemberId) -> Option<Participant> {
        let mut participant = self.members.remove(member)?;
        self.fading.extend(participant.fading());
        Some(participant)
    }

    /// The list of those in it now, in pages.
    pub fn roster(&self) -> Roster<'_> {
        let mut pages: Vec<RosterPage<'_>> = Vec::with_capacity(self.len().div_ceil(ROSTER_PAGE));
        for member in self.members.values() {
            if pages.last().is_none_or(|page| page.is_full()) {
                pages.push(RosterPage::new());
            }
            let pushed = pages
                .last_mut()
                .map(|page| page.push(member.roster_entry()));
            debug_assert!(
                pushed.is_some_and(|pushed| pushed.is_ok()),
                "the last page had room"
            );
        }
        let mut pages = pages.into_iter();
        Roster {
            len: self.len() as u16,
            first: pages.next().unwrap_or_default(),
            others: pages.collect(),
        }
    }

    /// Takes a talker's packet; the caller then passes what it changed to [`Room::voice_taken`].
    ///
    /// # Errors
    /// A payload that is no frame of this session.
    pub fn push_voice(
        &mut self,
        member: MemberId,
        voice: &Voice<'_>,
        now: Instant,
    ) -> Result<VoiceTaken, CodecError> {
        self.members
            .get_mut(member)
            .map_or(Ok(VoiceTaken::NOTHING), |participant| {
                participant.push_voice(voice, now)
            })
    }

    /// Tells everyone what a voice packet changed. If the room begins to tick by it, gives when.
    pub fn voice_taken(
        &mut self,
        member: MemberId,
        taken: VoiceTaken,
        now: Instant,
        outlet: &mut impl Outlet,
    ) -> Option<Instant> {
        if taken.flags_changed {
            self.tell_state(member, now, outlet);
        }
        if self.next_tick.is_some() {
            return None;
        }
        self.next_tick = taken.heard_from;
        self.next_tick
    }

    /// Someone muted or unmuted himself.
    pub fn set_muted(
        &mut self,
        member: MemberId,
        muted: bool,
        now: Instant,
        outlet: &mut impl Outlet,
    ) {
        if self
            .members
            .get_mut(member)
            .is_some_and(|participant| participant.set_muted(muted))
        {
            self.tell_state(member, now, outlet);
        }
    }

    /// When to [`Room::tick`] next; `None` while nobody talks.
    pub fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// Mixes one frame for everyone. Gives how many ticks were given up because it is too late for them.
    pub fn tick(&mut self, now: Instant, mixdown: &mut Mixdown, outlet: &mut impl Outlet) -> u64 {
        let Some(due) = self.next_tick else { return 0 };
        self.ticks = self.ticks.wrapping_add(1);
        mixdown.begin();
        for fading in self.fading.drain(..) {
            fading.speak(mixdown);
        }
        let mut ended = Vec::new();
        for (member, participant) in &mut self.members {
            if participant.speak(due, mixdown) {
                ended.push(member);
            }
        }
        for member in ended {
            self.tell_state(member, now, outlet);
        }
        let mut goes_on = false;
        for participant in self.members.values_mut() {
            let own = participant.own;
            if let Some(packet) = mixdown.packet_for(
                &mut participant.listener,
                own,
                &mut self.encoders,
                self.ticks,
            ) {
                outlet.voice(participant.conn, packet);
            }
            goes_on |= participant.needs_tick();
        }
        self.schedule(due, now, goes_on)
    }

    /// Late ticks are made up for at once, so that the frames that wait for them do not wait for ever; but not without bound.
    fn schedule(&mut self, due: Instant, now: Instant, goes_on: bool) -> u64 {
        if !goes_on {
            self.next_tick = None;
            return 0;
        }
        let frame = self.frame.duration();
        let next = due + frame;
        let missed = now.duration_since(next).as_micros() / frame.as_micros();
        let given_up = if missed > TICKS_MADE_UP_MAX {
            missed
        } else {
            0
        };
        self.next_tick = Some(next + frame.saturating_mul(given_up));
        given_up
    }

    fn broadcast(&self, packet: &ServerPacket<'_>, outlet: &mut impl Outlet) {
        if self.members.is_empty() {
            return;
        }
        let packet = encode(packet);
        for member in self.members.values() {
            outlet.control(member.conn, &packet);
        }
    }

    /// Tells everyone what someone is doing, if they do not know: now, or in the next round.
    fn tell_state(&mut self, member: MemberId, now: Instant, outlet: &mut impl Outlet) {
        let listeners = self.members.len();
        let Some(participant) = self.members.get_mut(member) else {
            return;
        };
        if participant.news().is_none() {
            return;
        }
        let from = participant.tell_from();
        if now >= from && self.states.takes_at_once(listeners, now) {
            self.tell_news(member, now, outlet);
        } else {
            self.wait_for_round(member, from.max(now));
        }
    }

    /// Queues a member's change for a round, `from` at the earliest; at most once.
    fn wait_for_round(&mut self, member: MemberId, from: Instant) {
        if let Some(participant) = self.members.get_mut(member)
            && !participant.set_waits(true)
        {
            self.states.wait(member, from);
        }
    }

    /// When [`Room::tell_states`] is to be called.
    pub fn states_due(&self) -> Option<Instant> {
        self.states.round()
    }

    /// When [`Room::tell_states`] is to be called, if that has not been asked since it was fixed.
    pub fn poll_states_due(&mut self) -> Option<Instant> {
        self.states.poll_round()
    }

    #[cfg(test)]
    pub(crate) fn changes_waiting(&self) -> usize {
        self.states.waiting()
    }

    /// Tells everyone the changes that wait, as far as the room's budget goes.
    pub fn tell_states(&mut self, now: Instant, outlet: &mut impl Outlet) {
        let listeners = self.members.len();
        let Some((waiting, counts_from)) = self.states.begin_round(now) else {
            return;
        };
        for _ in 0..waiting {
            let Some(member) = self.states.first() else {
                break;
            };
            let news_from = self
                .members
                .get(member)
                .and_then(|participant| participant.news().map(|_| participant.tell_from()));
            if news_from.is_some_and(|from| from > now) {
                // Told at once a moment ago, and another's round has come.
                self.states.put_first_back();
                continue;
            }
            if news_from.is_some() && !self.states.takes(listeners, now) {
                break;
            }
            self.states.drop_first();
            if let Some(participant) = self.members.get_mut(member) {
                participant.set_waits(false);
            }
            self.tell_news(member, counts_from, outlet);
        }
        self.states.end_round();
    }

    /// Tells everyone what someone is doing; the interval until the next time counts from `at`.
    fn tell_news(&mut self, member: MemberId, at: Instant, outlet: &mut impl Outlet) {
        let Some(participant) = self.members.get_mut(member) else {
            return;
        };
        let Some(flags) = participant.news() else {
            return;
        };
        participant.tell(flags, at);
        let packet = ServerPacket::State(participant.id, flags);
        // They have talked, and are silent or muted by now: that is told next.
        let next = participant.news().map(|_| participant.tell_from());
        self.broadcast(&packet, outlet);
        if let Some(from) = next {
            self.wait_for_round(member, from);
        }
    }
}
