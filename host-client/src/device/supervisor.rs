//! Keeps a device open: opens it, watches it, reopens it after a loss.
//!
//! One thread per direction owns the stream. It passes each new stream's ring to the session
//! through a channel and reports what happened as a [`DeviceNotice`]. The session never waits for a
//! device, and neither does the end of the program. Opening and closing are calls into the sound
//! system that may never return (a hung sound server), so they run in their own threads, which are
//! abandoned if necessary.

use super::{
    DeviceNotice, DeviceState, Direction,
    choice::DeviceChoice,
    health::Health,
    period::Period,
    stream::{Opened, quietly},
};
use std::{
    convert::Infallible,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};
use talkspurt_host_kit::words;

/// How often a stream is checked.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// The first pause before a device is opened again; it doubles up to the last one.
const REOPEN_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const REOPEN_LAST: Duration = Duration::from_secs(4);
/// A stream that lived this long was good: after it the pauses start over.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// A device that takes longer to open is reported. Busy machines and Bluetooth take a second or
/// two.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// How long closing may take, so that the remaining sound is played.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Opens a device that calls once a period; the type says whether it is a microphone or a speaker.
pub(super) type Open<L> =
    Arc<dyn Fn(&DeviceChoice, Duration) -> Result<(Opened, L), String> + Send + Sync>;

/// Why a stream is no longer watched.
enum End {
    /// The owner has stopped.
    Stopped,
    /// It was lost, for this reason.
    Lost(String),
    /// Its period was too short.
    TooTight,
}

/// One device's thread, and its ends of all channels.
pub(super) struct Supervisor<L> {
    pub(super) direction: Direction,
    pub(super) choice: DeviceChoice,
    pub(super) open: Open<L>,
    pub(super) links: Sender<L>,
    pub(super) notices: Box<dyn Fn(DeviceNotice) + Send>,
    /// Nothing is ever sent: the owner stops the thread by dropping the other end.
    pub(super) stop: Receiver<Infallible>,
}

impl<L: Send + 'static> Supervisor<L> {
    /// Runs until the owner stops it.
    pub(super) fn run(self) {
        let mut pause = REOPEN_FIRST;
        let mut told_absent = false;
        let mut period = Period::default();
        let mut is_news = true;
        loop {
            let Some(result) = self.open(period.get(), &mut told_absent) else {
                return;
            };
            match result {
                Ok((opened, link)) => {
                    let opened_at = Instant::now();
                    told_absent = false;
                    if is_news {
                        self.tell(DeviceState::Opened, opened.description.clone());
                    }
                    is_news = true;
                    if self.links.send(link).is_err() {
                        close(opened);
                        return;
                    }
                    let end = self.watch(&opened, &mut period);
                    close(opened);
                    match end {
                        End::Stopped => return,
                        End::Lost(reason) => self.tell(DeviceState::Lost, reason),
                        End::TooTight => {
                            let (direction, period) = (self.direction, period.get());
                            tracing::debug!(%direction, ?period, "opened anew: there were gaps");
                            is_news = false;
                            continue;
                        }
                    }
                    if opened_at.elapsed() >= GOOD_LIFE {
                        pause = REOPEN_FIRST;
                    }
                }
                // Reported once: another failure every few seconds is not news.
                Err(problem) if !told_absent => {
                    (told_absent, is_news) = (true, true);
                    self.tell(DeviceState::Absent, problem);
                }
                Err(problem) => {
                    tracing::debug!(direction = %self.direction, problem, "still no device")
                }
            }
            if self.stopped_within(pause) {
                return;
            }
            pause = (pause * 2).min(REOPEN_LAST);
        }
    }

    /// Opens the device. Returns `None` if the owner stops meanwhile. Reports once if the sound
    /// system does not answer.
    fn open(
        &self,
        period: Duration,
        told_absent: &mut bool,
    ) -> Option<Result<(Opened, L), String>> {
        let direction = self.direction;
        let (open, choice) = (Arc::clone(&self.open), self.choice.clone());
        let (sender, result) = mpsc::sync_channel(1);
        let spawned = thread::Builder::new()
            .name("device open".into())
            .spawn(move || {
                // A device that opens too late is closed by this thread.
                let _ = sender.send(quietly(|| open(&choice, period)));
            });
        if let Err(error) = spawned {
            let error = words::describe(&error);
            return Some(Err(format!("no thread for the {direction}: {error}")));
        }
        let started = Instant::now();
        loop {
            match result.recv_timeout(WATCH_EVERY) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Err(format!("opening the {direction} failed")));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.stopped_within(Duration::ZERO) {
                return None;
            }
            if !*told_absent && started.elapsed() >= OPEN_LIMIT {
                *told_absent = true;
                let problem = format!(
                    "the sound system does not answer; the {direction} is used as soon as it does"
                );
                self.tell(DeviceState::Absent, problem);
            }
        }
    }

    /// Returns when the stream is to be closed.
    fn watch(&self, opened: &Opened, period: &mut Period) -> End {
        let mut health = Health::new(Instant::now());
        period.restart();
        loop {
            if self.stopped_within(WATCH_EVERY) {
                return End::Stopped;
            }
            let now = Instant::now();
            if let Some(loss) = health.observe(&opened.shared, now) {
                return End::Lost(loss.to_string());
            }
            if period.grows(&opened.shared, now) {
                return End::TooTight;
            }
        }
    }

    fn stopped_within(&self, pause: Duration) -> bool {
        match self.stop.recv_timeout(pause) {
            Ok(never) => match never {},
            Err(RecvTimeoutError::Timeout) => false,
            Err(RecvTimeoutError::Disconnected) => true,
        }
    }

    fn tell(&self, state: DeviceState, text: String) {
        tracing::info!(direction = %self.direction, ?state, text);
        (self.notices)(DeviceNotice {
            direction: self.direction,
            state,
            text,
        });
    }
}

/// Closes a device, and goes on without waiting if the sound system does not release it.
fn close(opened: Opened) {
    let (sender, closed) = mpsc::channel::<Infallible>();
    let spawned = thread::Builder::new()
        .name("device close".into())
        .spawn(move || {
            quietly(|| drop(opened));
            drop(sender);
        });
    match spawned {
        // Nothing is ever sent: the other end is dropped when the device is closed.
        Ok(_) if closed.recv_timeout(CLOSE_LIMIT) == Err(RecvTimeoutError::Timeout) => {
            tracing::warn!("the sound system does not release a device");
        }
        Ok(_) => {}
        Err(error) => {
            let error = words::describe(&error);
            tracing::error!(error, "no thread to close a device");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::callback::CaptureLink;

    /// Opens a device with a hung sound server.
    fn never(_: &DeviceChoice, _: Duration) -> Result<(Opened, CaptureLink), String> {
        loop {
            thread::park();
        }
    }

    #[test]
    fn a_hung_sound_system_is_reported_and_does_not_block_the_end() {
        let (notices, told) = mpsc::channel();
        let (stop, stopped) = mpsc::channel();
        let supervisor = Supervisor {
            direction: Direction::Input,
            choice: DeviceChoice::Default,
            open: Arc::new(never),
            links: mpsc::channel().0,
            notices: Box::new(move |notice| notices.send(notice).unwrap()),
            stop: stopped,
        };
        let (done, ended) = mpsc::channel::<Infallible>();
        thread::spawn(move || {
            supervisor.run();
            drop(done);
        });
        // Far longer than this takes on a busy machine: exceeding it means a hang.
        let hang = Duration::from_secs(60);
        let notice: DeviceNotice = told.recv_timeout(hang).expect("a word");
        assert_eq!(notice.state, DeviceState::Absent);
        assert!(notice.text.contains("does not answer"), "{notice:?}");
        drop(stop);
        assert_eq!(
            ended.recv_timeout(hang),
            Err(RecvTimeoutError::Disconnected)
        );
    }
}
