//! Measures how busy the machine was while real programs ran on it. Their sound has to be on time,
//! so a run on a machine that cannot wake a sleeper on time says nothing about the programs.
//! Neither does one over a late pseudo-terminal: the kernel carries its bytes in workers of
//! ordinary priority, which a busy machine keeps waiting for seconds where timers are 5 ms late.
//!
//! Bounds that allow for a busy machine would allow for faults as well. So the bounds stay tight,
//! and a run that fails is repeated if timers or the pseudo-terminal were late.

use std::any::Any;
use std::fmt;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use pseudo_terminal::Line;

mod pseudo_terminal;

/// How long the watch sleeps each time.
const PERIOD: Duration = Duration::from_millis(5);
/// Playout keeps a frame of 20 ms in reserve. A program that is woken later than half of that,
/// twice on a frame's way, misses it.
const LATE: Duration = Duration::from_millis(10);
/// The share of the time during which some program waited for a processor. The watch itself seldom
/// waits, since it needs next to nothing. Programs that work wait longer, so on a crowded machine
/// less lateness is enough.
const CROWDED: f64 = 0.25;
/// The lateness that is enough on a crowded machine. (Programs that others cannot keep waiting see
/// at most 4 ms.)
const LATE_IN_A_CROWD: Duration = Duration::from_millis(6);
/// How often a run is tried while the machine spoils it.
const TRIES: usize = 5;
/// How long to wait for a calm moment before the next try.
const CALM_WITHIN: Duration = Duration::from_secs(20);

/// How late timers and (if watched) a pseudo-terminal were, and how crowded the processors.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lateness {
    /// How often the watch slept.
    pub sleeps: u32,
    /// How often it woke more than 10 ms late, or a byte took longer than that.
    pub late: u32,
    /// The greatest lateness.
    pub worst: Duration,
    /// The share of the time during which some program waited for a processor
    /// (`/proc/pressure/cpu`), if the system reports it.
    pub crowded: Option<f64>,
    /// Whether a pseudo-terminal was watched, too.
    pub line: bool,
}

impl Lateness {
    /// Counts a sleep, and the time that a byte took during it.
    fn note(&mut self, slept: Duration, carried: Duration) {
        let late = slept.saturating_sub(PERIOD).max(carried);
        self.sleeps += 1;
        self.late += u32::from(late > LATE);
        self.worst = self.worst.max(late);
    }

    /// Whether late or missing sound may be the machine's fault.
    pub fn spoils(&self) -> bool {
        let crowded = self.crowded.is_some_and(|share| share > CROWDED);
        self.late > 0 || (crowded && self.worst > LATE_IN_A_CROWD)
    }
}

impl fmt::Display for Lateness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (worst, late) = (self.worst.as_millis(), LATE.as_millis());
        let line = if self.line {
            " and a pseudo-terminal"
        } else {
            ""
        };
        write!(
            f,
            "timers{line} were up to {worst} ms late, {} of {} more than {late} ms",
            self.late, self.sleeps
        )?;
        match self.crowded {
            Some(share) => write!(
                f,
                "; programs waited for a processor {:.0} % of the time",
                share * 100.0
            ),
            None => Ok(()),
        }
    }
}

/// Measures lateness until it is finished.
pub struct Watch {
    stop: Arc<AtomicBool>,
    sleeper: JoinHandle<Lateness>,
    began: Instant,
    waited_before: Option<Duration>,
}

impl Watch {
    /// Starts measuring how late timers are.
    pub fn start() -> Self {
        Self::start_with(None)
    }

    /// Starts measuring how late timers and pseudo-terminals are, for programs that need both.
    ///
    /// # Panics
    /// If the system has no pseudo-terminal to offer.
    pub fn start_with_line() -> Self {
        Self::start_with(Some(Line::open().expect("there is a pseudo-terminal")))
    }

    fn start_with(line: Option<Line>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, began) = (Arc::clone(&stop), Instant::now());
        Self {
            stop,
            sleeper: thread::spawn(move || sleep_until(&stopped, began, line)),
            began,
            waited_before: waited_for_a_processor(),
        }
    }

    /// Stops measuring and returns the result.
    pub fn finish(self) -> Lateness {
        self.stop.store(true, Ordering::Relaxed);
        let waited = waited_for_a_processor();
        let took = self.began.elapsed();
        let lateness = self.sleeper.join().expect("a sleeper does not panic");
        let crowded = self.waited_before.zip(waited).map(|(before, after)| {
            after.saturating_sub(before).as_secs_f64() / took.as_secs_f64().max(1e-3)
        });
        Lateness {
            crowded,
            ..lateness
        }
    }
}

/// Measures until `stop`. A thread that has to wait before it starts counts as late, too.
fn sleep_until(stop: &AtomicBool, began: Instant, mut line: Option<Line>) -> Lateness {
    let mut lateness = Lateness {
        line: line.is_some(),
        ..Lateness::default()
    };
    let mut asleep = began;
    loop {
        thread::sleep(PERIOD);
        let slept = asleep.elapsed();
        let carried = line.as_mut().map_or(Duration::ZERO, Line::carry);
        lateness.note(slept, carried);
        // Checked last, so that even the shortest watch has measured something.
        if stop.load(Ordering::Relaxed) {
            return lateness;
        }
        asleep = Instant::now();
    }
}

/// How long at least one program has waited for a processor since the machine started.
fn waited_for_a_processor() -> Option<Duration> {
    parse_pressure(&fs::read_to_string("/proc/pressure/cpu").ok()?)
}

fn parse_pressure(text: &str) -> Option<Duration> {
    let some = text.lines().find(|line| line.starts_with("some "))?;
    let total = some
        .split(' ')
        .find_map(|word| word.strip_prefix("total="))?;
    Some(Duration::from_micros(total.parse().ok()?))
}

/// Runs `attempt`. If it fails, by an error or a panic, while the machine was too busy to judge, it
/// is run again, up to five times in all; the last error names the lateness. A run that fails on a
/// calm machine has failed.
pub fn repeat_if_spoilt<T>(attempt: impl FnMut() -> Result<T>) -> Result<T> {
    repeat_watched(attempt, Watch::start)
}

/// Like [`repeat_if_spoilt`], for runs over a pseudo-terminal.
pub fn repeat_if_line_spoilt<T>(attempt: impl FnMut() -> Result<T>) -> Result<T> {
    repeat_watched(attempt, Watch::start_with_line)
}

fn repeat_watched<T>(
    mut attempt: impl FnMut() -> Result<T>,
    watch: impl Fn() -> Watch,
) -> Result<T> {
    let attempt = || panic::catch_unwind(AssertUnwindSafe(&mut attempt)).unwrap_or_else(error_of);
    let between = || wait_for_calm(&watch);
    repeat(TRIES, attempt, &watch, Watch::finish, between)
}

/// The error for a panic, whose message was already printed.
fn error_of<T>(panic: Box<dyn Any + Send>) -> Result<T> {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    bail!("{}", text.unwrap_or("a panic without a message"))
}

/// [`repeat_if_spoilt`] on a machine given by `watch` and `finish`.
fn repeat<T, W>(
    tries: usize,
    mut attempt: impl FnMut() -> Result<T>,
    watch: impl Fn() -> W,
    finish: impl Fn(W) -> Lateness,
    between: impl Fn(),
) -> Result<T> {
    let mut tried = 0;
    loop {
        let watch = watch();
        let outcome = attempt();
        let lateness = finish(watch);
        tried += 1;
        let error = match outcome {
            Ok(done) => return Ok(done),
            Err(error) if !lateness.spoils() => return Err(error),
            Err(error) => error,
        };
        if tried == tries {
            return Err(error).with_context(|| {
                format!("this machine was too busy in each of {tries} runs: {lateness}")
            });
        }
        eprintln!("spoilt by a busy machine ({lateness}), trying again: {error:#}");
        between();
    }
}

/// Waits until everything watched was on time for a second, but at most 20 s.
pub fn wait_for_calm(watch: impl Fn() -> Watch) {
    let began = Instant::now();
    while began.elapsed() < CALM_WITHIN {
        let watch = watch();
        thread::sleep(Duration::from_secs(1));
        if !watch.finish().spoils() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    const CALM: Lateness = Lateness {
        sleeps: 1_000,
        late: 0,
        worst: Duration::from_millis(2),
        crowded: Some(0.03),
        line: false,
    };
    const BUSY: Lateness = Lateness {
        late: 7,
        worst: Duration::from_millis(120),
        ..CALM
    };

    /// Makes runs that fail `failures` times on such a machine. Returns how many there were, and
    /// the outcome.
    fn runs(failures: usize, machine: Lateness) -> (usize, Result<usize>) {
        let count = Cell::new(0);
        let attempt = || {
            count.set(count.get() + 1);
            if count.get() <= failures {
                bail!("half a sentence is missing");
            }
            Ok(count.get())
        };
        let calms = Cell::new(0);
        let outcome = repeat(
            TRIES,
            attempt,
            || (),
            |()| machine,
            || calms.set(calms.get() + 1),
        );
        assert_eq!(calms.get() + 1, count.get());
        (count.get(), outcome)
    }

    #[test]
    fn a_run_that_fails_on_a_calm_machine_has_failed() {
        let (count, outcome) = runs(1, CALM);
        assert_eq!(count, 1);
        assert_eq!(
            outcome.unwrap_err().to_string(),
            "half a sentence is missing"
        );
    }

    #[test]
    fn a_run_that_a_busy_machine_spoils_is_repeated_but_not_for_ever() {
        assert_eq!(runs(0, BUSY).1.unwrap(), 1);
        assert_eq!(runs(4, BUSY).1.unwrap(), 5);
        let (count, outcome) = runs(9, BUSY);
        assert_eq!(count, TRIES);
        let error = format!("{:#}", outcome.unwrap_err());
        assert!(
            error.contains("up to 120 ms late") && error.contains("half a sentence"),
            "{error}"
        );
    }

    #[test]
    fn a_panic_is_a_failure_like_any_other() {
        let error = repeat_if_spoilt::<()>(|| panic!("half a {} is missing", "sentence"));
        let error = format!("{:#}", error.unwrap_err());
        assert!(error.contains("half a sentence is missing"), "{error}");
    }

    #[test]
    fn late_timers_spoil_and_so_do_crowded_processors() {
        let crowded = |share| Lateness {
            crowded: share,
            ..CALM
        };
        assert!(!CALM.spoils() && !crowded(None).spoils());
        assert!(BUSY.spoils() && !crowded(Some(0.6)).spoils());
        let once = Lateness {
            worst: Duration::from_millis(8),
            ..CALM
        };
        assert!(!once.spoils());
        let waiting = Lateness {
            worst: Duration::from_millis(8),
            ..crowded(Some(0.6))
        };
        assert!(waiting.spoils());
        assert!(crowded(Some(0.6)).to_string().contains("60 % of the time"));
    }

    #[test]
    fn a_watch_without_a_line_reports_timers_only() {
        let text = |watch: Watch| watch.finish().to_string();
        assert!(text(Watch::start()).starts_with("timers were"));
        let both = text(Watch::start_with_line());
        assert!(
            both.starts_with("timers and a pseudo-terminal were"),
            "{both}"
        );
    }

    #[test]
    fn the_later_of_a_sleep_and_a_byte_counts() {
        let mut lateness = Lateness::default();
        for (slept_ms, carried_ms) in [(5, 120), (17, 0), (15, 10)] {
            let ms = Duration::from_millis;
            lateness.note(ms(slept_ms), ms(carried_ms));
        }
        assert_eq!((lateness.sleeps, lateness.late), (3, 2));
        assert_eq!(lateness.worst, Duration::from_millis(120));
    }

    #[test]
    fn a_late_line_counts_as_late() {
        let lateness = Watch::start_with(Some(Line::stuck())).finish();
        assert_eq!(lateness.late, lateness.sleeps);
        assert!(lateness.late >= 1 && lateness.worst >= pseudo_terminal::CARRIED_WITHIN);
        assert!(lateness.spoils());
    }

    #[test]
    fn the_watch_measures_while_time_passes() {
        let began = Instant::now();
        let watch = Watch::start();
        thread::sleep(Duration::from_millis(200));
        let lateness = watch.finish();
        assert!(
            PERIOD * lateness.sleeps + lateness.worst <= began.elapsed(),
            "{lateness:?}"
        );
        let was_away = lateness.worst > Duration::from_millis(50);
        assert!(lateness.sleeps >= 4 || was_away, "{lateness:?}");
    }

    #[test]
    fn pressure_is_read_as_the_kernel_writes_it() {
        let text = "some avg10=0.54 avg60=0.73 avg300=0.31 total=4276131\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=17\n";
        assert_eq!(parse_pressure(text), Some(Duration::from_micros(4_276_131)));
        assert_eq!(parse_pressure("no such thing"), None);
    }
}
