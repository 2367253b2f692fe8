//! One room: its members, its roster, its ticks. It owns their links, and all its timers.
//!
//! What the room's owner has to know waits in [`Room::ready_mut`] and [`Room::departures`].

use std::collections::VecDeque;

use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::jitter::JitterStats;
use talkspurt_core::session::{HelloRequest, ServerEvent};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{
    ByeReason, PROTOCOL_VERSION, ParticipantId, RoomName, RosterPage, ServerPacket, Welcome,
};

use crate::deadlines::Timer;
use crate::encodings::SharedEncoders;
use crate::event::Event;
use crate::ids::MemberId;
use crate::link::{Input, Link};
use crate::member::{Member, Members};
use crate::mixdown::Mixdown;
use crate::participant::{Fading, Participant};
use crate::ready::Ready;
use crate::roster::{self, StateTelling};

/// Missed ticks that are made up for at once: what a listener's jitter buffer takes without
/// dropping. The rest is given up.
const TICKS_MADE_UP_MAX: u64 = 5;

/// Who hears whom.
#[derive(Debug)]
pub struct Room {
    name: RoomName,
    format: AudioFormat,
    idle_timeout: Duration,
    members: Members,
    joins: u64,
    last_id: u16,
    states: StateTelling,
    encoders: SharedEncoders,
    /// Frame periods that this room has mixed. Stands still while nobody talks.
    ticks: u32,
    /// When to tick next; `None` while nobody talks.
    next_tick: Option<Instant>,
    /// Those who have left in the midst of a word since the last tick.
    fading: Vec<Fading>,
    /// Those who have left. Their links wait for another owner.
    pub departures: VecDeque<Departure>,
}

/// What a tick cost the listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticked {
    /// Ticks that were given up because it is too late for them.
    pub given_up: u64,
    /// Voice packets that made room for newer ones.
    pub voice_dropped: u64,
}

/// Someone who has left, and the link by which they were there.
#[derive(Debug)]
pub struct Departure {
    /// It may have more to say.
    pub link: Box<Link>,
    /// Why.
    pub reason: ByeReason,
    /// Jitter-buffer outcomes of their frames.
    pub frames: JitterStats,
    /// What is worth a log line about it.
    pub event: Event,
}

// What is known of it
impl Room {
    /// Creates an empty room, whose members are told that they may be silent for `idle_timeout`.
    pub fn new(name: RoomName, format: AudioFormat, idle_timeout: Duration) -> Self {
        Self {
            name,
            format,
            idle_timeout,
            members: Members::default(),
            joins: 0,
            last_id: 0,
            states: StateTelling::default(),
            encoders: SharedEncoders::default(),
            ticks: 0,
            next_tick: None,
            fading: Vec::new(),
            departures: VecDeque::new(),
        }
    }

    /// Its name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// The format of its members' sessions.
    pub fn format(&self) -> AudioFormat {
        self.format
    }

    /// Whether someone in it has that name.
    pub fn has_name(&self, name: &str) -> bool {
        self.participants()
            .any(|participant| &*participant.name == name)
    }

    /// Everyone in it, in no order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.iter()
    }

    /// Everyone in it as the others know them, in no order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.members().map(|member| &member.participant)
    }

    /// Links for which there is output.
    pub fn ready_mut(&mut self) -> &mut Ready {
        self.members.ready_mut()
    }

    /// How many changes wait for a round.
    pub fn changes_waiting(&self) -> usize {
        self.states.waiting()
    }

    /// The link of one of them.
    pub fn link_mut(&mut self, member: MemberId) -> Option<&mut Link> {
        self.members.get_mut(member).map(|member| &mut *member.link)
    }
}

// Who comes, what comes in, who goes
impl Room {
    /// Lets in someone whose Hello waits for the answer: tells the others, and sends the roster.
    pub fn join(
        &mut self,
        mut link: Box<Link>,
        request: &HelloRequest,
        now: Instant,
    ) -> (MemberId, Event) {
        let id = self.new_id();
        let link_id = link.id;
        let mut participant =
            Participant::new(id, request.name.clone(), request.codec, self.format);
        participant.set_muted(request.muted);
        participant.introduced();
        let own_fading = |fading: &Fading| fading.link() == link_id;
        if let Some(at) = self.fading.iter().position(own_fading) {
            participant.take_over(self.fading.swap_remove(at));
        }
        self.joins += 1;
        participant.joined = self.joins;
        self.members
            .broadcast(&ServerPacket::Joined(participant.roster_entry()));
        link.accept();
        let member = self.members.insert(Member { link, participant });
        let event = Event::Joined {
            link: link_id,
            id,
            name: request.name.clone(),
            room: self.name.clone(),
            participants: self.members.len(),
        };
        for packet in roster::welcome(&self.members, self.terms(id, request)) {
            self.members.send(member, packet);
        }
        self.settle(member, true, now);
        self.drop_overflowed(now);
        (member, event)
    }

    /// What a newcomer is told, but for the list of members.
    fn terms(&self, id: ParticipantId, request: &HelloRequest) -> Welcome<'static> {
        let idle_timeout_ms = self.idle_timeout.as_millis();
        Welcome {
            version: PROTOCOL_VERSION,
            id,
            codec: request.codec.id(),
            rate_hz: self.format.rate.hz(),
            frame_ms: self.format.frame.ms(),
            idle_timeout_ms: idle_timeout_ms.try_into().unwrap_or(u32::MAX),
            roster_len: 0,
            roster: RosterPage::new(),
        }
    }

    /// The next number that nobody in the room has; numbers come back as late as possible. There
    /// are fewer participants than numbers.
    fn new_id(&mut self) -> ParticipantId {
        loop {
            self.last_id = self.last_id.wrapping_add(1);
            let id = ParticipantId(self.last_id);
            if self.participants().all(|participant| participant.id != id) {
                return id;
            }
        }
    }

    /// Takes the bytes that came from a member, until there are none left or it is one no longer.
    pub fn handle_bytes(&mut self, member: MemberId, input: &mut Input<'_>, now: Instant) {
        while !input.rest.is_empty()
            && let Some(talker) = self.members.get_mut(member)
        {
            let taken = talker.handle_bytes(input, now);
            if taken.flags_changed {
                self.states.tell(member, &mut self.members, now);
            }
            if self.next_tick.is_none() {
                self.next_tick = taken.heard_from;
            }
            self.settle(member, true, now);
        }
        self.drop_overflowed(now);
    }

    /// Says that a member's peer is gone.
    pub fn handle_disconnect(&mut self, member: MemberId, now: Instant) {
        if let Some(link) = self.link_mut(member) {
            link.handle_disconnect();
        }
        self.settle(member, true, now);
        self.drop_overflowed(now);
    }

    /// Ends all sessions. Nobody is told that the others leave: all do.
    pub fn end_all(&mut self, reason: ByeReason, now: Instant) {
        for member in self.members.ids() {
            self.end(member, reason, false, now);
        }
    }

    fn end(&mut self, member: MemberId, reason: ByeReason, tell_others: bool, now: Instant) {
        if let Some(link) = self.link_mut(member) {
            link.end(reason);
        }
        self.settle(member, tell_others, now);
    }

    /// Does what the events of a member's session ask for, and takes what it has to say.
    fn settle(&mut self, id: MemberId, tell_others: bool, now: Instant) {
        while let Some(event) = self.members.poll_event(id, now) {
            match event {
                ServerEvent::Muted(muted) => {
                    if let Some(Member { participant, .. }) = self.members.get_mut(id)
                        && participant.set_muted(muted)
                    {
                        self.states.tell(id, &mut self.members, now);
                    }
                }
                ServerEvent::Left(reason) => self.let_go(id, reason, tell_others),
                ServerEvent::Hello(_) | ServerEvent::Refused(_) => {
                    unreachable!("a member was let in already: {event:?}")
                }
            }
        }
    }

    fn let_go(&mut self, id: MemberId, reason: ByeReason, tell_others: bool) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        let (mut link, mut participant) = (member.link, member.participant);
        self.fading.extend(participant.fading(link.id));
        if tell_others {
            self.members.broadcast(&ServerPacket::Left(participant.id));
        }
        // Control packets go before voice: what waits would follow on the Welcome of the next room.
        link.outbox.drop_voice();
        let event = Event::Left {
            link: link.id,
            id: participant.id,
            name: participant.name.clone(),
            room: self.name.clone(),
            participants: self.members.len(),
            reason,
        };
        self.departures.push_back(Departure {
            link,
            reason,
            frames: participant.jitter_stats(),
            event,
        });
    }

    /// Ends the sessions of those for whom control packets have piled up, which makes control
    /// packets for others.
    fn drop_overflowed(&mut self, now: Instant) {
        while let Some(member) = self.members.poll_overflowed() {
            self.end(member, ByeReason::SlowConsumer, true, now);
        }
    }
}

// Timers
impl Room {
    /// Returns when to call [`Room::handle_timeout`], and what is due then.
    pub fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let timers = [
            self.next_tick.map(|at| (at, Timer::Tick)),
            self.states.round().map(|at| (at, Timer::Round)),
            self.members.poll_timeout().map(|at| (at, Timer::Link)),
        ];
        timers.into_iter().flatten().min()
    }

    /// Does the first of what is due, if anything. Returns what a tick cost, if it was one.
    pub fn handle_timeout(&mut self, now: Instant, mixdown: &mut Mixdown) -> Option<Ticked> {
        let (due, timer) = self.poll_timeout().filter(|(due, _)| *due <= now)?;
        let mut ticked = None;
        match timer {
            Timer::Tick => ticked = Some(self.tick(due, now, mixdown)),
            Timer::Round => self.states.tell_round(&mut self.members, now),
            Timer::Link => {
                if let Some((member, Member { link, .. })) = self.members.poll_due(now) {
                    link.handle_timeout(now);
                    self.settle(member, true, now);
                }
            }
        }
        self.drop_overflowed(now);
        ticked
    }

    /// Returns when to tick next; `None` while nobody talks.
    pub fn next_tick(&self) -> Option<Instant> {
        self.next_tick
    }

    /// Returns how many deadlines of links are kept, old ones among them.
    pub fn deadlines_kept(&self) -> usize {
        self.members.deadlines_kept()
    }
}

// Ticks
impl Room {
    /// Mixes one frame for everyone.
    fn tick(&mut self, due: Instant, now: Instant, mixdown: &mut Mixdown) -> Ticked {
        self.ticks = self.ticks.wrapping_add(1);
        mixdown.begin();
        for fading in self.fading.drain(..) {
            fading.speak(mixdown);
        }
        let mut ended = Vec::new();
        for (id, participant) in self.members.participants_mut() {
            if participant.speak(due, mixdown) {
                ended.push(id);
            }
        }
        for member in ended {
            self.states.tell(member, &mut self.members, now);
        }
        let mut goes_on = false;
        let voice_dropped = self.members.send_voice(|participant| {
            let own = participant.own;
            let listener = &mut participant.listener;
            let packet = mixdown.packet_for(listener, own, &mut self.encoders, self.ticks);
            goes_on |= participant.needs_tick();
            packet
        });
        Ticked {
            given_up: self.schedule(due, now, goes_on),
            voice_dropped,
        }
    }

    /// Late ticks are made up for at once, so that the frames that wait for them do not wait for
    /// ever; but not without bound.
    fn schedule(&mut self, due: Instant, now: Instant, goes_on: bool) -> u64 {
        if !goes_on {
            self.next_tick = None;
            return 0;
        }
        let frame = self.format.frame.duration();
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
}
