//! What a client knows of how long voice takes, from mouth to ear.

use crate::audio::format::FrameDuration;
use crate::delay::{DELAY_MAX, MeanDelay, Reports, Waits};
use crate::session::ClientSession;
use crate::time::{Duration, Instant};

/// So many frames that wait to be played are told apart; beyond that nothing is measured.
const FRAMES_MAX: usize = 64;

/// The round trip is the middle of so many.
const ROUND_TRIPS: usize = 8;

/// How often it is measured while voice is sent or heard, ...
const PING_EVERY: Duration = Duration::from_secs(2);

/// ... and as long as it is not known, or changes.
const PING_SOON: Duration = Duration::from_millis(500);

/// Round trips that differ by less are taken for the same.
const SAME_MICROS: u32 = 10_000;

/// Where the delay lies that a client adds, as means of late. `None` where nothing was measured in
/// this session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DelayParts {
    /// What lies in the microphone's device and buffers. The frame itself comes on top of it.
    pub microphone: Option<Duration>,
    /// What is left of the pre-roll's delay.
    pub held_back: Option<Duration>,
    /// Half of the round trip to the server.
    pub one_way: Option<Duration>,
    /// From the arrival of a frame to its turn, and what is being compressed behind it.
    pub jitter_buffer: Option<Duration>,
    /// What lies in the speaker's device and buffers.
    pub speaker: Option<Duration>,
}

/// How long a frame has taken that was sent: its own length, what waits behind it in the
/// microphone, and what is left of the pre-roll's delay.
pub(super) struct Captured {
    pub(super) frame: Duration,
    pub(super) waiting: Duration,
    pub(super) held_back: Duration,
}

/// How many frames wait behind one that was played, how much decoded sound does, as it is being
/// compressed, and how long the speaker takes.
pub(super) struct Played {
    pub(super) waiting_frames: u16,
    pub(super) held_back: Duration,
    pub(super) speaker: Duration,
}

/// Measures how long voice takes. A [`Client`](super::Client) that shows it, or tells it, keeps one
/// beside it: the memory that this takes is for those who want it.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct DelayMeter {
    round_trip: RoundTrip,
    /// From the microphone to the carrier.
    captured: MeanDelay,
    /// Parts of that, and of `played`.
    microphone: MeanDelay,
    held_back: MeanDelay,
    speaker: MeanDelay,
    reports: Reports,
    /// From the carrier to the ear.
    played: Waits<FRAMES_MAX>,
    /// Frames that waited to be played when that was looked at last.
    waiting_frames: u16,
}

impl DelayMeter {
    /// Knows nothing yet. Make another one for each session.
    pub const fn new(frame: FrameDuration) -> Self {
        Self {
            round_trip: RoundTrip::NEW,
            captured: MeanDelay::new(frame),
            microphone: MeanDelay::new(frame),
            held_back: MeanDelay::new(frame),
            speaker: MeanDelay::new(frame),
            reports: Reports::new(),
            played: Waits::new(frame),
            waiting_frames: 0,
        }
    }

    /// Returns what of the delay lies where, of late.
    pub fn parts(&self) -> DelayParts {
        let (played, speaker) = (self.played.mean(), self.speaker.get());
        DelayParts {
            microphone: self.microphone.get(),
            held_back: self.held_back.get(),
            one_way: self.one_way(),
            jitter_buffer: played.map(|it| it - speaker.unwrap_or_default()),
            speaker,
        }
    }

    /// A frame was sent. Returns what to tell the server.
    pub(super) fn captured(
        &mut self,
        now: Instant,
        captured: Captured,
        session: &mut ClientSession,
    ) -> Option<u16> {
        let Captured {
            frame,
            waiting,
            held_back,
        } = captured;
        self.round_trip.measure(now, session);
        self.microphone.add(waiting);
        self.held_back.add(held_back);
        self.captured.add(frame + waiting + held_back);
        let to_server = self.captured.get()? + self.one_way()?;
        self.reports.due(now, Some(to_server))
    }

    /// So many frames wait to be played.
    pub(super) fn received(&mut self, now: Instant, waiting_frames: u16) {
        for _ in self.waiting_frames..waiting_frames {
            self.played.arrived(now);
        }
        self.waiting_frames = waiting_frames;
    }

    /// Frames were passed over, and so many wait behind them.
    pub(super) fn passed(&mut self, waiting_frames: u16) {
        self.played.passed(waiting_frames.into());
        self.waiting_frames = waiting_frames;
    }

    /// A frame was played.
    pub(super) fn played(&mut self, now: Instant, played: Played, session: &mut ClientSession) {
        let Played {
            waiting_frames,
            held_back,
            speaker,
        } = played;
        self.round_trip.measure(now, session);
        self.speaker.add(speaker);
        let more = held_back + speaker;
        self.played.taken(now, waiting_frames.into(), more);
        self.waiting_frames = waiting_frames;
    }

    /// From the server to the ear.
    pub(super) fn server_to_ear(&self) -> Option<Duration> {
        Some(self.one_way()? + self.played.mean()?)
    }

    fn one_way(&self) -> Option<Duration> {
        Some(self.round_trip.get()? / 2)
    }
}

/// The round trip of late. A single one may be anything: whoever answered was busy, or a packet was
/// lost and sent again.
#[derive(Clone, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
struct RoundTrip {
    /// The newest first, in microseconds.
    micros: [u32; ROUND_TRIPS],
    measured: usize,
    /// Whether a measurement that was asked for was not taken yet.
    is_awaited: bool,
    next_at: Instant,
}

impl RoundTrip {
    /// A session measures it once when it begins.
    const NEW: Self = Self {
        micros: [0; ROUND_TRIPS],
        measured: 0,
        is_awaited: true,
        next_at: Instant::ZERO,
    };

    /// Takes what was measured, and has it measured again when it is time.
    fn measure(&mut self, now: Instant, session: &mut ClientSession) {
        if session.is_pinging() {
            return;
        }
        if let Some(round_trip) = session.round_trip()
            && core::mem::take(&mut self.is_awaited)
        {
            self.micros.rotate_right(1);
            self.micros[0] = round_trip.min(DELAY_MAX).as_micros() as u32;
            self.measured = ROUND_TRIPS.min(self.measured + 1);
            if self.is_settled() {
                self.next_at += PING_EVERY - PING_SOON;
            }
        }
        if now >= self.next_at && session.reports_delay() {
            session.ping(now);
            self.is_awaited = true;
            self.next_at = now + PING_SOON;
        }
    }

    fn is_settled(&self) -> bool {
        let spread = self.micros.iter().max().zip(self.micros.iter().min());
        self.measured == ROUND_TRIPS
            && spread.is_some_and(|(most, least)| most - least < SAME_MICROS)
    }

    /// The middle one, or the mean of the two.
    fn get(&self) -> Option<Duration> {
        let mut sorted = self.micros;
        let sorted = &mut sorted[..self.measured];
        sorted.sort_unstable();
        let above = *sorted.get(sorted.len() / 2)?;
        let below = *sorted.get((sorted.len() - 1) / 2)?;
        let micros = below.midpoint(above);
        Some(Duration::from_micros(micros.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::codec::CodecId;
    use crate::session::JoinRequest;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn each_part_of_the_delay_is_known_by_itself() {
        let (room, name) = ("r".parse().unwrap(), "n".parse().unwrap());
        let mut session = ClientSession::new(JoinRequest::new(room, name, &CodecId::ALL));
        let mut meter = DelayMeter::new(FrameDuration::Ms20);
        assert_eq!(meter.parts(), DelayParts::default());
        let now = Instant::ZERO + MS(1_000);
        let captured = Captured {
            frame: MS(20),
            waiting: MS(5),
            held_back: MS(9),
        };
        meter.captured(now, captured, &mut session);
        meter.received(now, 1);
        let played = Played {
            waiting_frames: 0,
            held_back: MS(2),
            speaker: MS(7),
        };
        meter.played(now + MS(3), played, &mut session);
        let parts = DelayParts {
            microphone: Some(MS(5)),
            held_back: Some(MS(9)),
            one_way: None,
            jitter_buffer: Some(MS(3 + 2)),
            speaker: Some(MS(7)),
        };
        assert_eq!(meter.parts(), parts);
    }
}
