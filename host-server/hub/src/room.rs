//! One room: its members, its roster, its ticks. It owns their links, and all its timers.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::session::{HelloRequest, ServerEvent};
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{ByeReason, ParticipantId, RoomName, ServerPacket};

use crate::config::HubConfig;
use crate::encodings::SharedEncoders;
use crate::event::{Event, Work};
use crate::ids::MemberId;
use crate::link::{Input, Link};
use crate::member::{Member, Members};
use crate::mixdown::Mixdown;
use crate::outbound::Outbound;
use crate::participant::{Fading, Participant};
use crate::roster::{self, Announcements};

/// Missed ticks that are made up for at once: what a listener's jitter buffer takes without
/// dropping. The rest is given up.
const TICKS_MADE_UP_MAX: u64 = 5;

/// Who hears whom.
#[derive(Debug)]
pub struct Room {
    name: RoomName,
    config: HubConfig,
    pub(crate) members: Members,
    joins: u64,
    last_id: u16,
    /// What its members do, as far as it is not told yet.
    pub(crate) states: Announcements,
    encoders: SharedEncoders,
    /// Frame periods that this room has mixed. Stands still while nobody talks.
    ticks: u32,
    /// When to tick next; `None` while nobody talks.
    pub(crate) next_tick: Option<Instant>,
    /// Those who have left in the midst of a word since the last tick.
    fading: Vec<Fading>,
}

/// The timers of a room; where several are due at once, the first of them goes first: voice does
/// not wait for housekeeping.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Timer {
    /// The room mixes its next frame.
    #[default]
    Tick,
    /// The room tells what its participants do.
    Round,
    /// A member's link has to be looked at.
    Link,
}

// What is known of it
impl Room {
    /// Creates an empty room.
    pub(crate) fn new(name: RoomName, config: &HubConfig) -> Self {
        Self {
            name,
            config: *config,
            members: Members::default(),
            joins: 0,
            last_id: 0,
            states: Announcements::default(),
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
        self.config.frame
    }

    /// Whether someone in it has that name.
    pub(crate) fn has_name(&self, name: &str) -> bool {
        self.participants()
            .any(|participant| &*participant.name == name)
    }

    /// Everyone in it, in no order.
    pub fn members(&self) -> impl ExactSizeIterator<Item = &Member> {
        self.members.map.values()
    }

    /// Everyone in it as the others know them, in no order.
    pub fn participants(&self) -> impl Iterator<Item = &Participant> {
        self.members().map(|member| &member.participant)
    }

    /// The link of one of them.
    pub(crate) fn link_mut(&mut self, member: MemberId) -> Option<&mut Link> {
        let member = self.members.map.get_mut(member)?;
        Some(&mut member.link)
    }
}

// Who comes, what comes in, who goes
impl Room {
    /// Lets in someone whose Hello waits for the answer: tells the others, and sends the roster.
    pub(crate) fn join(
        &mut self,
        mut link: Box<Link>,
        request: &HelloRequest,
        out: &mut Outbound,
    ) -> MemberId {
        let (id, link_id, frame) = (self.new_id(), link.id, self.config.frame);
        let mut participant = Participant::new(id, request.name.clone(), request.codec, frame);
        participant.set_muted(request.muted);
        participant.mark_told();
        let earlier = self.fading.iter().position(|fading| fading.link == link_id);
        participant.earlier_fading = earlier.map(|at| Box::new(self.fading.swap_remove(at)));
        self.joins += 1;
        participant.joined = self.joins;
        self.members.broadcast(
            &ServerPacket::Joined(participant.roster_entry()),
            &mut out.ready,
        );
        link.accept();
        let member = self.members.map.insert(Member { link, participant });
        out.events.push_back(Event::Joined {
            link: link_id,
            id,
            name: request.name.clone(),
            room: self.name.clone(),
            participants: self.members.map.len(),
        });
        for packet in roster::welcome(&self.members, id, request.codec, &self.config) {
            self.members.send(member, packet, &mut out.ready);
        }
        self.take_events(member, out);
        member
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
    pub(crate) fn handle_bytes(&mut self, member: MemberId, bytes: &mut &[u8], out: &mut Outbound) {
        while !bytes.is_empty()
            && let Some(Member { link, participant }) = self.members.map.get_mut(member)
        {
            match link.receive(bytes, out.now, &mut out.counters) {
                Input::Part => {}
                Input::Voice(voice) => match participant.push_voice(&voice, out.now) {
                    Ok(taken) => {
                        self.next_tick = self.next_tick.or(taken.heard_from);
                        if taken.flags_changed {
                            self.states.tell(member, &mut self.members, out);
                        }
                    }
                    Err(_) => self.with(member, out, |link| link.end(ByeReason::ProtocolError)),
                },
                Input::Other => self.take_events(member, out),
            }
        }
    }

    /// Ends all sessions.
    pub(crate) fn end_all(&mut self, reason: ByeReason, out: &mut Outbound) {
        for member in self.members.map.keys().collect::<Vec<_>>() {
            self.with(member, out, |link| link.end(reason));
        }
    }

    /// Ends the sessions of those for whom control packets have piled up, which makes control
    /// packets for others.
    pub(crate) fn drop_overflowed(&mut self, out: &mut Outbound) {
        while let Some(member) = self.members.overflowed.pop() {
            self.with(member, out, |link| link.end(ByeReason::SlowConsumer));
        }
    }

    /// Has something done with a member's link, and takes what comes of it.
    pub(crate) fn with(
        &mut self,
        member: MemberId,
        out: &mut Outbound,
        act: impl FnOnce(&mut Link),
    ) {
        if let Some(link) = self.link_mut(member) {
            act(link);
            self.take_events(member, out);
        }
    }

    /// Does what the events of a member's session ask for, and takes what it has to say.
    fn take_events(&mut self, id: MemberId, out: &mut Outbound) {
        while let Some(event) = self.members.next_event(id, out) {
            match event {
                ServerEvent::Muted(muted) => {
                    let participant = self.members.participant_mut(id);
                    if participant.is_some_and(|participant| participant.set_muted(muted)) {
                        self.states.tell(id, &mut self.members, out);
                    }
                }
                ServerEvent::Left(reason) => self.let_go(id, reason, out),
                ServerEvent::Hello(_) | ServerEvent::Refused(_) => {
                    unreachable!("a member was let in already: {event:?}")
                }
            }
        }
    }

    fn let_go(&mut self, id: MemberId, reason: ByeReason, out: &mut Outbound) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        let (mut link, mut participant) = (member.link, member.participant);
        self.fading.extend(participant.fading(link.id));
        // When the server stops, nobody is told that the others leave: all do.
        if reason != ByeReason::Stopping {
            let left = ServerPacket::Left(participant.id);
            self.members.broadcast(&left, &mut out.ready);
        }
        // Control packets go before voice: what waits would follow on the Welcome of the next room.
        link.outbox.drop_voice();
        out.counters.frames.add(&participant.jitter_stats());
        out.counters.left(reason);
        out.events.push_back(Event::Left {
            link: link.id,
            id: participant.id,
            name: participant.name,
            room: self.name.clone(),
            participants: self.members.map.len(),
            reason,
        });
        out.departed.push_back(link);
    }
}

// Timers
impl Room {
    /// Returns when to call [`Room::handle_timeout`], and what is due then.
    pub(crate) fn poll_timeout(&self) -> Option<(Instant, Timer)> {
        let deadline = self.members.deadlines.earliest();
        let timers = [
            self.next_tick.map(|at| (at, Timer::Tick)),
            self.states.round.map(|at| (at, Timer::Round)),
            deadline.map(|at| (at, Timer::Link)),
        ];
        timers.into_iter().flatten().min()
    }

    /// Does the first of what is due, if anything.
    pub(crate) fn handle_timeout(&mut self, mixdown: &mut Mixdown, out: &mut Outbound) -> Work {
        let now = out.now;
        match self.poll_timeout() {
            Some((due, Timer::Tick)) if due <= now => {
                self.tick(due, mixdown, out);
                return Work::Tick;
            }
            Some((_, Timer::Round)) => self.states.tell_round(&mut self.members, out),
            _ => {
                if let Some(member) = self.members.deadlines.pop_due(now) {
                    self.with(member, out, |link| link.handle_timeout(now));
                }
            }
        }
        Work::Other
    }

    /// Mixes one frame for everyone.
    fn tick(&mut self, due: Instant, mixdown: &mut Mixdown, out: &mut Outbound) {
        self.ticks = self.ticks.wrapping_add(1);
        mixdown.begin();
        for fading in self.fading.drain(..) {
            fading.speak(mixdown);
        }
        let mut ended = Vec::new();
        for (id, Member { participant, .. }) in &mut self.members.map {
            if participant.speak(due, mixdown) {
                ended.push(id);
            }
        }
        for member in ended {
            self.states.tell(member, &mut self.members, out);
        }
        let mut goes_on = false;
        let dropped = self.members.send_voice(&mut out.ready, |participant| {
            let own = participant.own;
            let listener = &mut participant.listener;
            let packet = mixdown.packet_for(listener, own, &mut self.encoders, self.ticks);
            goes_on |= participant.needs_tick();
            packet
        });
        // Late ticks are made up for at once, so that the frames that wait for them do not wait for
        // ever; but not without bound.
        let frame = self.config.frame.duration();
        let next = due + frame;
        let missed = out.now.duration_since(next).as_micros() / frame.as_micros();
        let is_too_late = goes_on && missed > TICKS_MADE_UP_MAX;
        let given_up = if is_too_late { missed } else { 0 };
        self.next_tick = goes_on.then(|| next + frame.saturating_mul(given_up));
        out.counters.ticks += 1;
        out.counters.ticks_skipped += given_up;
        out.counters.slow_consumer_drops += dropped;
    }
}
