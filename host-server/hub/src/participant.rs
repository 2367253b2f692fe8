//! One participant of a room: who they are, what they say, what they hear.

use talkspurt_core::audio::codec::{CodecError, CodecId};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::jitter::{JitterConfig, JitterStats, PushOutcome};
use talkspurt_core::audio::mixer::TalkerState;
use talkspurt_core::delay::Reports;
use talkspurt_core::seq::Seq;
use talkspurt_core::session::HelloRequest;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::wire::{
    FEATURE_DELAY_REPORT, FEATURE_TICK_HINT, Nonce, ParticipantFlags, ParticipantId,
    ParticipantName, RosterEntry, TickHint, Voice,
};

use crate::delay::{FRAMES_MAX, TalkerDelay};
use crate::framing::Framing;
use crate::mixdown::{Listener, Mixdown, Own};
use crate::names::look;
use crate::resume::Tokens;

/// Voice packets of one talker that wait at most: 1,280 ms in frames of 20 ms, 320 ms in frames of
/// 5 ms. That is the pre-roll of 200 ms that may come at once, and a margin. What a longer stall of
/// their link brings at once is too old to be heard.
const SLOTS: usize = 64;

/// So long what was said before a mute or a Bye is waited for, and heard, at most.
const PLAY_OUT_MAX: Duration = Duration::from_millis(500);

const _: () = assert!(
    size_of::<Downlink<SLOTS>>() <= 43 * 1024,
    "docs/PERFORMANCE.md states what a talker's buffer takes"
);

const _: () = assert!(FRAMES_MAX >= SLOTS, "whatever waits is measured");

/// Frames that a talker's buffer starts with: the first is due at the next tick, and a frame waits
/// for a tick anyhow.
const PREFILL_FRAMES: u16 = 0;

/// How often the others are told what one does, at most, and how often a room has a round. Ten
/// times a second are 120 bytes: someone who changes faster (a gate without a hold, or ill will)
/// must not fill a slow line of everyone else.
pub const STATE_INTERVAL: Duration = Duration::from_millis(100);

/// A participant, as the room sees them.
#[derive(Debug)]
pub struct Participant {
    /// Their number, unique in the room; 0 as long as they have none.
    pub id: ParticipantId,
    /// Their name, which looks like no other in the room.
    pub name: ParticipantName,
    /// How it looks: two that look alike are the same name.
    pub look: String,
    /// Counts the joins to the room: gives the order of joining.
    pub joined: u64,
    /// The nonce of the Hello.
    pub nonce: Nonce,
    /// With these the session can be resumed.
    pub tokens: Tokens,
    /// The longest packet that their client takes.
    pub max_packet: usize,
    /// Whether their client is told who is in the room, and not only how many.
    pub wants_roster: bool,
    /// The features of the session.
    pub features: u32,
    /// The codec of what they say.
    pub codec_up: CodecId,
    /// The number of the last packet of it that came.
    pub last_seq: Option<Seq>,
    /// They are heard up to this packet, and until then at the latest: they have muted, or left.
    stops: Option<(Option<Seq>, Instant)>,
    /// Mix state for this listener.
    pub listener: Listener,
    /// What the participant adds to the tick that is being mixed.
    pub own: Option<Own>,
    flags: ParticipantFlags,
    /// What the others were told of them last.
    pub told: ParticipantFlags,
    /// From when on the others may be told anew.
    pub tell_from: Instant,
    /// A talkspurt has come and gone since the others were told.
    has_talked: bool,
    /// Stands in the room's queue of changes that wait for a round.
    waits: bool,
    format: AudioFormat,
    /// Their voice on its way in. Listeners who never talk cost no buffer.
    voice: Option<Box<Downlink<SLOTS>>>,
    /// From when on the running talkspurt is heard.
    heard_from: Instant,
    /// When their frames come.
    framing: Framing,
    /// How long what they say takes.
    pub delay: TalkerDelay,
    /// What they were told of how long takes what they hear.
    delay_reports: Reports,
    /// Whether this talker counts in the mix.
    talker: TalkerState,
    /// Who they were before they rejoined the room in the midst of a word, which fades: their own,
    /// so that they do not hear it.
    pub earlier: Option<Box<Participant>>,
}

/// What a voice packet changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VoiceTaken {
    /// The flags changed: the roster has to be told.
    pub flags_changed: bool,
    /// There are frames to be mixed, from then on.
    pub heard_from: Option<Instant>,
    /// The client is to be told this.
    pub hint: Option<TickHint>,
}

impl Participant {
    /// One who joins, and has no number yet.
    pub fn new(request: &HelloRequest, tokens: Tokens, format: AudioFormat) -> Self {
        let flags = ParticipantFlags::default().with(ParticipantFlags::MUTED, request.muted);
        Self {
            id: ParticipantId(0),
            name: request.name.clone(),
            look: look(&request.name),
            joined: 0,
            nonce: request.nonce,
            tokens,
            max_packet: request.max_packet.into(),
            wants_roster: request.roster,
            features: request.features,
            codec_up: request.codec_up,
            last_seq: None,
            stops: None,
            listener: Listener::new(request.codec_down),
            own: None,
            flags,
            told: flags,
            tell_from: Instant::ZERO,
            has_talked: false,
            waits: false,
            format,
            voice: None,
            heard_from: Instant::ZERO,
            framing: Framing::new(format.frame),
            delay: TalkerDelay::default(),
            delay_reports: Reports::new(),
            talker: TalkerState::new(format.frame),
            earlier: None,
        }
    }

    /// This participant's line of the roster: what the others were told last. A newcomer who got
    /// the present flags would miss a change that is undone before it is told.
    pub fn roster_entry(&self) -> RosterEntry<'_> {
        RosterEntry::new(self.id, self.told, &self.name)
    }

    /// Goes on for one of whom the others were told this.
    pub fn resume_from(&mut self, before: &Self) {
        (self.id, self.told, self.joined) = (before.id, before.told, before.joined);
        (self.tell_from, self.has_talked) = (before.tell_from, before.has_talked);
    }

    /// Flags that the others do not know. Whoever talked meanwhile is told to talk, and next to be
    /// silent or muted: nobody is heard again and again without being shown.
    pub fn news(&self) -> Option<ParticipantFlags> {
        let flags = if self.has_talked {
            ParticipantFlags::TALKING
        } else {
            self.flags
        };
        (flags != self.told).then_some(flags)
    }

    /// The others are told the news.
    pub fn tell(&mut self, news: ParticipantFlags, now: Instant) {
        self.told = news;
        self.has_talked = false;
        self.tell_from = now + STATE_INTERVAL;
    }

    /// Notes that this participant stands in the room's queue of changes, or no longer does;
    /// returns whether it did.
    pub fn set_waits(&mut self, waits: bool) -> bool {
        std::mem::replace(&mut self.waits, waits)
    }

    /// Whether a talkspurt is running.
    pub fn is_talking(&self) -> bool {
        self.flags.has(ParticipantFlags::TALKING)
    }

    /// Whether the microphone is muted.
    pub fn is_muted(&self) -> bool {
        self.flags.has(ParticipantFlags::MUTED)
    }

    /// Takes a voice packet; `next_tick` is that of the room, if it ticks. Voice of a muted
    /// participant is not heard.
    ///
    /// # Errors
    /// A payload that is no frame of this session.
    pub fn push_voice(
        &mut self,
        voice: &Voice<'_>,
        now: Instant,
        next_tick: Option<Instant>,
    ) -> Result<VoiceTaken, CodecError> {
        let is_after = |seq: Option<Seq>| seq.is_none_or(|it| voice.seq.distance(it) > 0);
        if self.is_muted() || self.stops.is_some_and(|(last, _)| is_after(last)) {
            return Ok(VoiceTaken::default());
        }
        let (codec, format) = (self.codec_up, self.format);
        let downlink = self.voice.get_or_insert_with(|| {
            let jitter = JitterConfig::default_for(format.frame, PREFILL_FRAMES);
            Box::new(Downlink::new(codec.into(), format, jitter))
        });
        let was_active = downlink.is_active();
        let outcome = downlink.push(now, voice)?;
        if is_after(self.last_seq) {
            self.last_seq = Some(voice.seq);
        }
        let taken = matches!(
            outcome,
            PushOutcome::Queued | PushOutcome::QueuedAfterDropping(_)
        );
        if taken {
            self.delay.arrived(now, self.format.frame);
        }
        // What follows at once on a word that was cut off takes that word's place in time: a pause
        // would be a click.
        if taken && !was_active {
            self.framing.begin(now);
            self.heard_from = now + self.framing.lead(now, next_tick.is_some());
        }
        if !voice.payload.is_empty() {
            self.framing.arrived(now);
        }
        // Whoever talks is shown until their last frame was mixed, whatever its packet says: nobody
        // is heard unshown, but for the frame in which a talker fades who was muted or left.
        let flags_changed =
            taken && !voice.payload.is_empty() && self.set(ParticipantFlags::TALKING, true);
        Ok(VoiceTaken {
            flags_changed,
            heard_from: self.is_active().then_some(self.heard_from),
            hint: self.hint(next_tick, voice),
        })
    }

    /// Returns what to tell their client of when its frames come, if it is the time for that.
    fn hint(&mut self, next_tick: Option<Instant>, voice: &Voice<'_>) -> Option<TickHint> {
        let can_shift = self.features & FEATURE_TICK_HINT > 0;
        let tick = next_tick.filter(|_| can_shift)?;
        let (seq, ends) = (voice.seq, voice.terminator);
        let shift_us = self.framing.shift(tick, ends)?;
        Some(TickHint { seq, shift_us })
    }

    /// Returns how long their frame had taken that others hear in this tick, if that is known. What
    /// is silent does not count. Call it in every tick.
    pub fn delay_of_mixed(&mut self, now: Instant) -> Option<Duration> {
        let waiting_frames = self.depth_frames();
        let delay = self.delay.mixed(now, waiting_frames);
        self.own.filter(Own::counts).and(delay)
    }

    /// Returns what to tell their client of how long the voice has taken that it hears, if it is
    /// the time for that.
    pub fn delay_report(&mut self, now: Instant, heard: Option<Duration>) -> Option<u16> {
        let is_told = self.features & FEATURE_DELAY_REPORT > 0;
        is_told.then(|| self.delay_reports.due(now, heard))?
    }

    /// Mutes (when what was said up to the packet `after` has been heard) or unmutes. True if that
    /// changes the flags now.
    pub fn set_muted(&mut self, muted: bool, after: Option<Seq>, now: Instant) -> bool {
        if !muted {
            self.stops = None;
            return self.set(ParticipantFlags::MUTED, false);
        }
        if !self.is_muted() {
            self.stop_after(after, now);
        }
        self.mute_when_stopped(now)
    }

    /// Hears no more of them than what was said up to the packet `after`. Saying so again takes no
    /// more time.
    pub fn stop_after(&mut self, after: Option<Seq>, now: Instant) {
        let until = self.stops.map_or(now + PLAY_OUT_MAX, |(_, until)| until);
        self.stops = Some((after, until));
        if after.is_none() {
            self.clear_voice();
        }
        self.cut_off_what_nothing_ends(after);
    }

    /// Of a word that has no end, the rest would be concealed.
    fn cut_off_what_nothing_ends(&mut self, after: Option<Seq>) {
        if self.has_come(after) && self.depth_frames() == 0 {
            self.clear_voice();
        }
    }

    fn clear_voice(&mut self) {
        if let Some(voice) = &mut self.voice {
            voice.clear();
        }
    }

    /// Whether all has come that is still to be heard.
    fn has_come(&self, after: Option<Seq>) -> bool {
        let has_come = |after| self.last_seq.is_some_and(|last| last.distance(after) >= 0);
        after.is_none_or(has_come)
    }

    /// Whether what was said before a mute or a Bye has been heard, or has had its time.
    pub fn has_stopped(&self, now: Instant) -> bool {
        let is_heard = self.is_active() || self.earlier.is_some();
        let stops = self.stops.filter(|_| !is_heard);
        stops.is_some_and(|(after, until)| self.has_come(after) || now >= until)
    }

    /// Whether the last words of one who has left have been heard.
    pub fn is_gone(&self) -> bool {
        self.stops.is_none()
    }

    /// True if that changes the flags.
    fn mute_when_stopped(&mut self, now: Instant) -> bool {
        if !self.has_stopped(now) {
            return false;
        }
        self.stops = None;
        let silenced = self.fall_silent();
        self.set(ParticipantFlags::MUTED, true) || silenced
    }

    /// Adds this participant's frame of the tick at `due` to the mix. True if the flags changed:
    /// the talkspurt is over, or they are muted now.
    pub fn speak(&mut self, due: Instant, mixdown: &mut Mixdown) -> bool {
        if let Some(mut earlier) = self.earlier.take() {
            // A talker has one frame a tick: a new word begins in the next.
            earlier.speak(due, mixdown);
            self.own = earlier.own;
            return false;
        }
        if let Some((after, until)) = self.stops {
            self.cut_off_what_nothing_ends(after);
            if due >= until {
                self.clear_voice();
            }
        }
        let active = self.is_active();
        self.own = match self.voice.as_deref_mut() {
            Some(voice) if active && due >= self.heard_from => {
                mixdown.add(&mut self.talker, |frame| (voice.pop(frame), voice.level()))
            }
            _ => mixdown.add_nothing(&mut self.talker),
        };
        let fell_silent = !self.is_active() && self.fall_silent();
        self.mute_when_stopped(due) || fell_silent
    }

    /// Returns what is still to be heard of one who has left, and is back: a frame in which they
    /// fade, if they were heard.
    pub fn fade(mut self, now: Instant) -> Option<Box<Self>> {
        self.stop_after(None, now);
        let is_heard = self.is_active().then_some(());
        self.earlier
            .take()
            .or_else(|| is_heard.map(|()| Box::new(self)))
    }

    /// Whether the room has to tick for this participant: there are frames to be mixed, or the end
    /// of what they hear is owed.
    pub fn needs_tick(&self) -> bool {
        self.is_active() || self.stops.is_some() || self.listener.streaming
    }

    /// The level of the latest frame in the mix, as its packet said; `None` when they are not
    /// heard.
    pub fn level(&self) -> Option<u8> {
        let voice = self.voice.as_ref().filter(|voice| voice.is_active())?;
        self.own.map(|_| voice.level())
    }

    /// Frames that wait to be mixed.
    pub fn depth_frames(&self) -> u16 {
        self.voice.as_ref().map_or(0, |voice| voice.depth_frames())
    }

    /// Jitter-buffer outcomes of the frames on their way in.
    pub fn jitter_stats(&self) -> JitterStats {
        let stats = self.voice.as_ref().map(|voice| *voice.stats());
        stats.unwrap_or_default()
    }

    fn is_active(&self) -> bool {
        self.voice.as_ref().is_some_and(|voice| voice.is_active())
    }

    /// True if that changed the flags.
    fn fall_silent(&mut self) -> bool {
        self.has_talked |= self.is_talking() && !self.told.has(ParticipantFlags::TALKING);
        self.set(ParticipantFlags::TALKING, false)
    }

    /// Sets or clears flags; true if that changed them.
    fn set(&mut self, flags: ParticipantFlags, on: bool) -> bool {
        let before = self.flags;
        self.flags = before.with(flags, on);
        self.flags != before
    }
}

#[cfg(test)]
mod tests;
