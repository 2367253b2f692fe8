//! One room: its members, its roster, its ticks. It owns their links, and all its timers.

use talkspurt_core::audio::codec::{AnyCodec, CodecId};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::{HelloRequest, ServerEvent};
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{Joined, Left, ParticipantId, Reason, RoomName, ServerPacket, SetMuted};

use crate::config::HubConfig;
use crate::delay::TickDelays;
use crate::encodings::{SharedEncoders, Stamp, encode};
use crate::event::{Event, Presence, Work};
use crate::ids::{LinkId, MemberId};
use crate::link::{Input, Link, Standing};
use crate::member::{Member, Members};
use crate::mixdown::Mixdown;
use crate::names;
use crate::outbound::Outbound;
use crate::participant::{Participant, VoiceTaken};
use crate::resume::{EndedSession, Entry, Tokens};
use crate::roster::{self, Announcements};

/// Missed ticks that are made up for at once: what a listener's jitter buffer takes without
/// dropping. The rest is given up.
const TICKS_MADE_UP_MAX: u64 = 5;

/// The largest number of a participant: 22 bits, beneath the number of the server.
const ID_MAX: u32 = (1 << 22) - 1;

/// Of a room, so many that have left are still heard, or as many as are in it: coming and going
/// takes no memory that grows.
const PARTING_LEAST: usize = 4;

/// Who hears whom.
#[derive(Debug)]
pub struct Room {
    name: RoomName,
    config: HubConfig,
    pub(crate) members: Members,
    /// Those who have left, and of whom something is still to be heard.
    parting: Vec<Parting>,
    joins: u64,
    last_id: u32,
    /// What its members do, as far as it is not told yet.
    pub(crate) states: Announcements,
    encoders: SharedEncoders,
    /// When the room began, by which its voice is timed.
    began: Instant,
    /// What the next tick is numbered with at the earliest.
    stamp: Stamp,
    /// When to tick next; `None` while nobody talks.
    pub(crate) next_tick: Option<Instant>,
}

/// One who has left: last words are still heard, or the session may go on before the next tick.
#[derive(Debug)]
struct Parting {
    participant: Participant,
    link: LinkId,
    /// Why they have left, if the others are told only when it is over.
    untold: Option<Reason>,
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
    /// The room tells how many are in it.
    Count,
    /// A member's link has to be looked at.
    Link,
}

// What is known of it
impl Room {
    /// Creates an empty room.
    pub(crate) fn new(name: RoomName, config: &HubConfig, now: Instant) -> Self {
        Self {
            name,
            config: *config,
            members: Members::default(),
            parting: Vec::new(),
            joins: 0,
            last_id: 0,
            states: Announcements::default(),
            encoders: CodecId::ALL.map(AnyCodec::from),
            began: now,
            stamp: Stamp::default(),
            next_tick: None,
        }
    }

    /// Its name.
    pub fn name(&self) -> &RoomName {
        &self.name
    }

    /// The format of its members' sessions.
    pub fn format(&self) -> AudioFormat {
        self.config.format
    }

    /// Returns the one in it whose name looks like that.
    pub(crate) fn namesake(&self, name: &str) -> Option<&Participant> {
        let look = names::look(name);
        self.participants().find(|it| it.look == look)
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
        entry: Entry,
        out: &mut Outbound,
    ) -> MemberId {
        let link_id = link.id;
        if let Some(replaced) = entry.replaces {
            let text = "the session went on over another connection";
            self.with(replaced, out, |link| link.end(Reason::RESUMED, text));
        }
        let tokens = Tokens {
            own: entry.token,
            earlier: request.resume.filter(|_| entry.resumes.is_some()),
        };
        let mut participant = Participant::new(request, tokens, self.config.format);
        // Whoever is only played out does not hold the name, and nobody hears themselves fade.
        let is_theirs =
            |it: &mut Parting| it.link == link_id || it.participant.look == participant.look;
        let parted: Vec<Parting> = self.parting.extract_if(.., is_theirs).collect();
        for parting in parted {
            let before = parting.participant;
            match parting.untold {
                Some(_) if entry.resumes == Some(before.id) => participant.resume_from(&before),
                Some(reason) => self.tell_left(before.id, reason, out),
                None => {}
            }
            participant.earlier = before.fade(out.now).or(participant.earlier);
        }
        if participant.id == ParticipantId(0) {
            let again = entry.resumes.filter(|id| !self.is_taken(*id));
            participant.id = again.unwrap_or_else(|| self.new_id());
            self.last_id = self.last_id.max(participant.id.0);
            self.joins += 1;
            participant.joined = self.joins;
            let entry = participant.roster_entry();
            self.members.tell_change(&mut out.ready, |revision| {
                ServerPacket::Joined(Joined { revision, entry })
            });
        }
        link.accept();
        let mut presence = self.presence(link_id, &participant);
        presence.participants += 1;
        out.events.push_back(Event::Joined(presence));
        let member = self.members.map.insert(Member { link, participant });
        self.members.count_changed(out.now);
        self.welcome(member, out);
        self.states.tell(member, &mut self.members, out);
        self.take_events(member, out);
        member
    }

    /// Returns whose session a Hello resumes, if it runs here and the name is theirs.
    pub(crate) fn session(&self, request: &HelloRequest) -> Option<(ParticipantId, MemberId)> {
        let is_it = |it: &Participant| it.tokens.has(request.resume) && it.name == request.name;
        let mut members = self.members.map.iter();
        let (member, found) = members.find(|(_, member)| is_it(&member.participant))?;
        Some((found.participant.id, member))
    }

    /// Sends someone the Welcome, and the roster if they want it.
    fn welcome(&mut self, to: MemberId, out: &mut Outbound) {
        let Some(Member { participant, .. }) = self.members.map.get(to) else {
            return;
        };
        let wants_roster = participant.wants_roster;
        let welcome = roster::welcome(&self.members, participant, &self.config);
        self.members.send(to, welcome, &mut out.ready);
        if wants_roster {
            self.send_roster(to, out);
        }
    }

    /// Sends someone the whole roster. Whoever has not read the last one yet asks again later.
    fn send_roster(&mut self, to: MemberId, out: &mut Outbound) {
        let Some(Member { link, participant }) = self.members.map.get(to) else {
            return;
        };
        if link.outbox.is_half_full() {
            return;
        }
        let max_packet = participant.max_packet;
        let parting = self.parting.iter().filter(|it| it.untold.is_some());
        let parting = parting.map(|it| &it.participant);
        let everyone: Vec<&Participant> = self.participants().chain(parting).collect();
        let pages = roster::pages(self.members.revision, &everyone, max_packet);
        for page in pages {
            self.members.send(to, page, &mut out.ready);
        }
    }

    /// The next number, or the lowest that nobody has when all were given out once.
    fn new_id(&mut self) -> ParticipantId {
        if self.last_id < ID_MAX {
            self.last_id += 1;
            return ParticipantId(self.last_id);
        }
        let mut ids = (1..).map(ParticipantId);
        ids.find(|id| !self.is_taken(*id))
            .expect("a room has fewer participants than numbers")
    }

    fn is_taken(&self, id: ParticipantId) -> bool {
        let parting = self.parting.iter().map(|it| &it.participant);
        let mut everyone = self.participants().chain(parting);
        everyone.any(|participant| participant.id == id)
    }

    /// Takes the bytes that came from a member, until there are none left or it is one no longer.
    pub(crate) fn handle_bytes(&mut self, member: MemberId, bytes: &mut &[u8], out: &mut Outbound) {
        while !bytes.is_empty()
            && let Some(Member { link, participant }) = self.members.map.get_mut(member)
        {
            match link.receive(bytes, out.now, &mut out.counters) {
                Input::Part => {}
                Input::Voice(voice) => {
                    match participant.push_voice(&voice, out.now, self.next_tick) {
                        Ok(taken) => self.take_voice(member, taken, out),
                        Err(_) => {
                            let text = "a payload is no frame of this session";
                            self.with(member, out, |link| link.end(Reason::UNEXPECTED, text));
                        }
                    }
                }
                Input::Other(is_of_session) => {
                    participant.tokens.earlier.take_if(|_| is_of_session);
                    self.take_events(member, out);
                }
            }
        }
    }

    /// Follows what a voice packet changed.
    fn take_voice(&mut self, member: MemberId, taken: VoiceTaken, out: &mut Outbound) {
        if let Some(participant) = self.members.participant_mut(member) {
            participant.tokens.earlier = None;
        }
        self.next_tick = self.next_tick.or(taken.heard_from);
        if let Some(hint) = taken.hint {
            let packet = encode(&ServerPacket::TickHint(hint));
            self.members.send(member, packet, &mut out.ready);
        }
        if taken.flags_changed {
            self.states.tell(member, &mut self.members, out);
        }
    }

    /// Ends all sessions.
    pub(crate) fn end_all(&mut self, reason: Reason, text: &str, out: &mut Outbound) {
        for member in self.members.map.keys().collect::<Vec<_>>() {
            self.with(member, out, |link| link.end(reason, text));
        }
    }

    /// Ends the sessions of those for whom control packets have piled up, which makes control
    /// packets for others.
    pub(crate) fn drop_overflowed(&mut self, out: &mut Outbound) {
        while let Some(member) = self.members.overflowed.pop() {
            self.with(member, out, |link| link.end(Reason::SLOW_READER, ""));
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
                ServerEvent::Muted(SetMuted { muted, after }) => {
                    if let Some(participant) = self.members.participant_mut(id) {
                        let is_news = participant.set_muted(muted, after, out.now);
                        if participant.needs_tick() {
                            self.next_tick.get_or_insert(out.now);
                        }
                        if is_news {
                            self.states.tell(id, &mut self.members, out);
                        }
                    }
                }
                ServerEvent::DelayReported(report) => self.members.delay_reported(id, report),
                ServerEvent::Repeated => self.welcome(id, out),
                ServerEvent::RosterRequested => self.send_roster(id, out),
                ServerEvent::Left(reason, after) => self.let_go(id, reason, after, out),
                _ => {
                    unreachable!("a member was let in already: {event:?}")
                }
            }
        }
    }

    /// Takes out a member whose session is over.
    fn let_go(&mut self, id: MemberId, reason: Reason, after: Option<Seq>, out: &mut Outbound) {
        let Some(member) = self.members.remove(id) else {
            return;
        };
        let (mut link, mut participant) = (member.link, member.participant);
        let presence = self.presence(link.id, &participant);
        if !reason.is_permanent() {
            out.ended.push(EndedSession {
                tokens: participant.tokens,
                presence: presence.clone(),
                at: out.now,
            });
        }
        out.counters.frames.add(&participant.jitter_stats());
        out.counters.left(reason);
        out.events.push_back(Event::Left(presence, reason));
        // Nothing comes behind a Bye: what it names and is not here was lost.
        participant.stop_after(after.and(participant.last_seq), out.now);
        let has_stopped = participant.has_stopped(out.now);
        let event = link.next_event(out.now, Standing::default());
        let goes_on = match &event {
            Some(ServerEvent::Hello(hello)) => participant.tokens.has(hello.resume),
            _ => reason == Reason::RESUMED || (after.is_some() && !has_stopped),
        };
        if !goes_on {
            self.tell_left(participant.id, reason, out);
        }
        if goes_on || !has_stopped {
            self.next_tick.get_or_insert(out.now);
            self.parting.push(Parting {
                participant,
                link: link.id,
                untold: goes_on.then_some(reason),
            });
            if self.parting.len() > self.members.map.len().max(PARTING_LEAST) {
                let longest_gone = self.parting.remove(0);
                self.forget(&longest_gone, out);
            }
        }
        self.members.count_changed(out.now);
        // Control packets go before voice: what waits would follow on the Welcome of the next room.
        link.outbox.drop_voice();
        out.departed.push_back((link, event));
    }

    /// Returns what the log says of someone.
    fn presence(&self, link: LinkId, participant: &Participant) -> Presence {
        Presence {
            link,
            id: participant.id,
            name: participant.name.clone(),
            room: self.name.clone(),
            participants: self.members.map.len(),
        }
    }

    fn forget(&mut self, gone: &Parting, out: &mut Outbound) {
        if let Some(reason) = gone.untold {
            self.tell_left(gone.participant.id, reason, out);
        }
    }

    fn tell_left(&mut self, id: ParticipantId, reason: Reason, out: &mut Outbound) {
        // When the server stops, nobody is told that the others leave: all do.
        if reason != Reason::STOPPING {
            self.members.tell_change(&mut out.ready, |revision| {
                ServerPacket::Left(Left {
                    revision,
                    id,
                    reason,
                })
            });
        }
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
            self.members.count_at.map(|at| (at, Timer::Count)),
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
            Some((_, Timer::Count)) => self.members.tell_count(now, &mut out.ready),
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
        let frame = self.config.format.frame;
        let units = due.duration_since(self.began).as_micros() / 2_500;
        let stamp = self.stamp.take(Timestamp(units as u32), frame);
        mixdown.begin();
        let (mut ended, mut delays) = (Vec::new(), TickDelays::default());
        for (id, Member { participant, .. }) in &mut self.members.map {
            if participant.speak(due, mixdown) {
                ended.push(id);
            }
            if let Some(delay) = participant.delay_of_mixed(out.now) {
                delays.add(id, delay);
            }
        }
        for Parting { participant, .. } in &mut self.parting {
            participant.speak(due, mixdown);
        }
        for member in ended {
            self.states.tell(member, &mut self.members, out);
        }
        let is_gone = |it: &mut Parting| it.participant.is_gone();
        for gone in self.parting.extract_if(.., is_gone).collect::<Vec<_>>() {
            self.forget(&gone, out);
        }
        let mut goes_on = !self.parting.is_empty();
        for (id, Member { link, participant }) in &mut self.members.map {
            let own = participant.own;
            let listener = &mut participant.listener;
            if let Some(packet) = mixdown.packet_for(listener, own, &mut self.encoders, stamp) {
                out.counters.slow_consumer_drops += link.push_voice(packet, &mut out.ready);
                let report = participant.delay_report(out.now, delays.heard_by(id));
                if let Some(packet) = report.map(|delay_ms| delays.packet(delay_ms))
                    && link.push_control(packet, &mut out.ready).is_err()
                {
                    self.members.overflowed.push(id);
                }
            }
            goes_on |= participant.needs_tick();
        }
        // Late ticks are made up for at once, so that the frames that wait for them do not wait for
        // ever; but not without bound. Those that are given up keep their numbers.
        let next = due + frame.duration();
        let missed = out.now.duration_since(next).as_micros() / frame.duration().as_micros();
        let is_too_late = goes_on && missed > TICKS_MADE_UP_MAX;
        let given_up = if is_too_late { missed } else { 0 };
        self.next_tick = goes_on.then(|| next + frame.duration().saturating_mul(given_up));
        self.stamp = self.stamp.plus(given_up, frame);
        out.counters.ticks += 1;
        out.counters.ticks_skipped += given_up;
    }
}
