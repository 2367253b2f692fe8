//! How long voice has taken when the room sends it: what its talkers' clients tell, and how long it
//! waits here.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::delay::{DELAY_MS_MAX, Waits};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::{DelayReport, ServerPacket};

use crate::encodings::encode;
use crate::ids::MemberId;
use crate::outbox::SharedPacket;

/// So many frames of one talker that wait are told apart.
pub const FRAMES_MAX: usize = 64;

/// What is known of one talker.
#[derive(Debug, Default)]
pub struct TalkerDelay {
    /// How long its voice takes to here, as its client says; `None` if that says nothing.
    reported: Option<Duration>,
    /// How long it waits here. Who never tells anything, or never talks, costs no memory.
    waits: Option<Box<Waits<FRAMES_MAX>>>,
}

impl TalkerDelay {
    /// Takes what the talker's client says.
    pub fn report(&mut self, report: DelayReport) {
        let delay_ms = report.delay_ms.min(DELAY_MS_MAX);
        self.reported = (delay_ms > 0).then(|| Duration::from_millis(delay_ms.into()));
        if self.reported.is_none() {
            self.waits = None;
        }
    }

    /// Takes note that a frame of this talker has come.
    pub fn arrived(&mut self, now: Instant, frame: FrameDuration) {
        if self.reported.is_some() {
            let waits = self
                .waits
                .get_or_insert_with(|| Box::new(Waits::new(frame)));
            waits.arrived(now);
        }
    }

    /// Takes note that the room has ticked, and that so many frames wait. Returns how long what was
    /// mixed had taken, if that is known.
    pub fn mixed(&mut self, now: Instant, waiting_frames: u16) -> Option<Duration> {
        let (reported, waits) = (self.reported?, self.waits.as_mut()?);
        waits.taken(now, waiting_frames.into(), Duration::ZERO);
        Some(reported + waits.mean()?)
    }
}

/// How long the voices had taken that are heard in one tick.
#[derive(Debug, Default)]
pub struct TickDelays {
    /// That of the talker whose voice takes longest, ...
    longest: Option<(Duration, MemberId)>,
    /// ... and the longest of the others, for whom that talker hears.
    next: Option<Duration>,
    /// The report that was sent last, for all who get the same.
    packet: Option<(u16, SharedPacket)>,
}

impl TickDelays {
    /// Adds a talker who is heard in this tick.
    pub fn add(&mut self, id: MemberId, delay: Duration) {
        match self.longest {
            Some((longest, _)) if delay <= longest => self.next = self.next.max(Some(delay)),
            _ => {
                let before = self.longest.replace((delay, id));
                self.next = before.map(|(delay, _)| delay);
            }
        }
    }

    /// Returns how long the voices had taken that a member hears: the longest that is known.
    pub fn heard_by(&self, id: MemberId) -> Option<Duration> {
        match self.longest {
            Some((_, own)) if own == id => self.next,
            longest => longest.map(|(delay, _)| delay),
        }
    }

    /// Returns the packet that tells it.
    pub fn packet(&mut self, delay_ms: u16) -> SharedPacket {
        match &self.packet {
            Some((same, packet)) if *same == delay_ms => packet.clone(),
            _ => {
                let packet = encode(&ServerPacket::DelayReport(DelayReport { delay_ms }));
                self.packet.insert((delay_ms, packet)).1.clone()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use slotmap::DenseSlotMap;

    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_member_is_told_the_longest_of_the_others() {
        let mut ids = DenseSlotMap::<MemberId, ()>::with_key();
        let [ann, bob, cat, eve] = [(); 4].map(|()| ids.insert(()));
        for order in [[ann, bob, cat], [cat, bob, ann], [bob, cat, ann]] {
            let mut delays = TickDelays::default();
            assert_eq!(delays.heard_by(eve), None);
            for id in order {
                let delay = match id {
                    id if id == ann => MS(30),
                    id if id == bob => MS(70),
                    _ => MS(50),
                };
                delays.add(id, delay);
            }
            assert_eq!(delays.heard_by(ann), Some(MS(70)));
            assert_eq!(delays.heard_by(bob), Some(MS(50)));
            assert_eq!(delays.heard_by(eve), Some(MS(70)));
        }
        let mut alone = TickDelays::default();
        alone.add(ann, MS(30));
        assert_eq!(alone.heard_by(ann), None);
    }

    #[test]
    fn whoever_tells_nothing_has_no_delay_and_takes_no_memory() {
        let at = |ms| Instant::ZERO + MS(ms);
        let mut talker = TalkerDelay::default();
        talker.arrived(at(0), FrameDuration::Ms20);
        assert!(talker.waits.is_none());
        assert_eq!(talker.mixed(at(3), 0), None);
        for (delay_ms, expected) in [(40, Some(43)), (u16::MAX, Some(5_003)), (0, None)] {
            talker.report(DelayReport { delay_ms });
            talker.arrived(at(20), FrameDuration::Ms20);
            assert_eq!(talker.mixed(at(23), 0), expected.map(MS), "{delay_ms}");
        }
    }
}
