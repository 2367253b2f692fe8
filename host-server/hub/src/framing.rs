//! When a talker's frames arrive, modulo a frame: how long the first one of a talkspurt waits, and
//! by how much the talker should shift its frames to wait less.
//!
//! A frame waits for the room's tick, which stands still as long as anyone talks. How long depends
//! on when the talker's own frames end. So only the talker can shorten it, and the server tells it.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};

/// For so long the first frame of a talkspurt waits if nothing is known of the talker. The frames
/// after it may then come so much later than their period says before one has to be concealed.
pub const TALKSPURT_LEAD: Duration = Duration::from_millis(3);

/// The wait that is aimed at for the latest frames, and the least that is tolerated. Linux wakes a
/// thread within 1 ms on a machine that is not overloaded.
const WANTED_MICROS: i32 = 2_000;
const LEAST_MICROS: i32 = 1_000;

/// Half of the spread of the arrivals is added to the wait that is aimed at, and a quarter to the
/// least: where the latest of a hundred frames comes late, a later one is to be expected.
const WANTED_PER_SPREAD: i32 = 2;
const LEAST_PER_SPREAD: i32 = 4;

/// A talker is told to shift its frames if they wait for so much longer than is aimed at. With the
/// spread of a local network it keeps the wait below 5 ms.
const TOLERATED_MICROS: i32 = 2_000;

/// No frame waits for longer because of the spread of its talker's arrivals.
const LEAD_MAX_MICROS: i32 = 5_000;

/// So many arrivals say where the next ones will be.
const ARRIVALS_MIN: u16 = 10;

/// Arrivals are remembered for so long, and for twice as long at most.
const WINDOW_MS: u32 = 1_000;

/// A talkspurt that begins outside what is known by more than this, or after such a pause, begins
/// with nothing known: something has moved its frames, or the clocks have drifted (25 ppm are 1.5
/// ms in a minute).
const STRAY_MICROS: i32 = 1_500;
const TRUSTED: Duration = Duration::from_secs(60);

/// Arrivals, as offsets in microseconds from a reference, each taken the shorter way round.
#[derive(Clone, Copy, Debug)]
struct Span {
    earliest: i32,
    latest: i32,
    arrivals: u16,
}

impl Span {
    const EMPTY: Self = Self {
        earliest: i32::MAX,
        latest: i32::MIN,
        arrivals: 0,
    };

    fn and(self, other: Self) -> Self {
        Self {
            earliest: self.earliest.min(other.earliest),
            latest: self.latest.max(other.latest),
            arrivals: self.arrivals + other.arrivals,
        }
    }

    fn spread(self) -> i32 {
        self.latest - self.earliest
    }

    fn wanted(self) -> i32 {
        (WANTED_MICROS + self.spread() / WANTED_PER_SPREAD).min(LEAD_MAX_MICROS)
    }

    fn least(self) -> i32 {
        LEAST_MICROS + self.spread() / LEAST_PER_SPREAD
    }
}

/// What is known of when one talker's frames arrive.
#[derive(Debug)]
pub struct Framing {
    frame_micros: i32,
    /// Arrivals in a window.
    window_arrivals: u16,
    /// Where the offsets are counted from: microseconds, less than a frame.
    reference: i32,
    recent: Span,
    before: Span,
    arrived_at: Instant,
    /// Arrivals since the talkspurt began.
    spurt_arrivals: u16,
    /// By so much the talker was told in this talkspurt to shift its frames.
    told: Option<i32>,
}

impl Framing {
    /// Nothing is known yet.
    pub fn new(frame: FrameDuration) -> Self {
        Self {
            frame_micros: frame.duration().as_micros() as i32,
            window_arrivals: frame.frames_in_ms(WINDOW_MS) as u16,
            reference: 0,
            recent: Span::EMPTY,
            before: Span::EMPTY,
            arrived_at: Instant::ZERO,
            spurt_arrivals: 0,
            told: None,
        }
    }

    /// A talkspurt begins with the frame that arrives next, at `now`.
    pub fn begin(&mut self, now: Instant) {
        self.spurt_arrivals = 0;
        self.follow_hint(now);
        let all = self.recent.and(self.before);
        let offset = self.offset(now);
        let is_stray = offset < all.earliest - STRAY_MICROS || offset > all.latest + STRAY_MICROS;
        let is_old = now.duration_since(self.arrived_at) > TRUSTED;
        if all.arrivals == 0 || is_stray || is_old {
            self.reference = self.within_frame(now.as_micros() as i64);
            (self.recent, self.before) = (Span::EMPTY, Span::EMPTY);
        }
    }

    /// The talker was told to shift its frames. Whether it has shows where this one arrives.
    fn follow_hint(&mut self, now: Instant) {
        let Some(shift) = self.told.take() else {
            return;
        };
        let before = self.reference;
        let distance = self.offset(now).abs();
        self.reference = self.within_frame((before + shift).into());
        if self.offset(now).abs() > distance {
            self.reference = before;
        }
    }

    /// A frame arrives. Those that come with it, as a pre-roll does, say nothing more.
    pub fn arrived(&mut self, now: Instant) {
        if self.spurt_arrivals > 0 && self.arrived_at == now {
            return;
        }
        self.arrived_at = now;
        self.spurt_arrivals = self.spurt_arrivals.saturating_add(1);
        let offset = self.offset(now);
        self.recent = self.recent.and(Span {
            earliest: offset,
            latest: offset,
            arrivals: 1,
        });
        if self.recent.arrivals >= self.window_arrivals {
            self.begin_window();
        }
    }

    /// Returns how long the first frame of a talkspurt, which arrives at `now`, waits at least.
    pub fn lead(&self, now: Instant, is_ticking: bool) -> Duration {
        let lead_micros = match self.known() {
            Some(all) => {
                let later = (all.latest - self.offset(now)).max(0);
                let margin = if is_ticking {
                    all.least()
                } else {
                    all.wanted()
                };
                (later + margin).min(LEAD_MAX_MICROS)
            }
            None => return TALKSPURT_LEAD,
        };
        Duration::from_micros(lead_micros.unsigned_abs().into())
    }

    /// Returns by how much the talker should begin its frames later, in microseconds and less than
    /// a frame, if that is worth telling: once a talkspurt, when enough of it has come or it
    /// `ends`. `tick` is any tick of the room.
    pub fn shift(&mut self, tick: Instant, ends: bool) -> Option<u16> {
        if self.told.is_some() || !(ends || self.spurt_arrivals >= self.window_arrivals) {
            return None;
        }
        let all = self.known()?;
        let latest = i64::from(self.reference + all.latest);
        let waited = self.within_frame(tick.as_micros() as i64 - latest);
        if (all.least()..=all.wanted() + TOLERATED_MICROS).contains(&waited) {
            return None;
        }
        let shift = self.within_frame((waited - all.wanted()).into());
        self.told = Some(shift);
        u16::try_from(shift).ok()
    }

    /// Returns all that is remembered, if it says when frames arrive: what is spread over more than
    /// half a frame does not.
    fn known(&self) -> Option<Span> {
        let all = self.recent.and(self.before);
        (all.arrivals >= ARRIVALS_MIN && all.spread() <= self.frame_micros / 2).then_some(all)
    }

    /// The oldest arrivals are forgotten, and the reference follows the others, as clocks drift.
    fn begin_window(&mut self) {
        let centre = self.recent.earliest.midpoint(self.recent.latest);
        self.reference = self.within_frame((self.reference + centre).into());
        self.before = Span {
            earliest: self.recent.earliest - centre,
            latest: self.recent.latest - centre,
            ..self.recent
        };
        self.recent = Span::EMPTY;
    }

    /// From half a frame before the reference to half a frame behind it.
    fn offset(&self, at: Instant) -> i32 {
        let half = self.frame_micros / 2;
        let micros = at.as_micros() as i64 + i64::from(half - self.reference);
        self.within_frame(micros) - half
    }

    fn within_frame(&self, micros: i64) -> i32 {
        micros.rem_euclid(self.frame_micros.into()) as i32
    }
}

#[cfg(test)]
mod tests;
