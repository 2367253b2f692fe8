//! Keeps a device open: opens it, watches it, reopens it after a loss.
//!
//! One thread per direction owns the stream. It hands each new stream's ring to the session over a
//! channel and says what happened as a [`DeviceNotice`]. The session never waits for a device, and
//! neither does the end of the program: opening and closing are calls into the sound system that
//! may never return (a sound server that hangs), so they run in threads of their own, which are
//! left behind if need be.

use super::{
    DeviceNotice, DeviceState, Direction,
    choice::DeviceChoice,
    health::Health,
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

/// How often a stream is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// The first pause before a device is opened again; it doubles up to the last one.
const REOPEN_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const REOPEN_LAST: Duration = Duration::from_secs(4);
/// A stream that lived this long was a good one: after it the pauses begin anew.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// A device that takes longer to open is told about. Busy machines and Bluetooth take a second or
/// two.
const OPEN_LIMIT: Duration = Duration::from_secs(5);
/// Closing is waited for only this long, so that what is left to play is played.
const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// Opens a device; the type says whether it is a microphone or a speaker.
pub(super) type Open<L> = Arc<dyn Fn(&DeviceChoice) -> Result<Opened<L>, String> + Send + Sync>;

/// The thread's own side of everything it is connected to.
pub(super) struct Supervisor<L> {
    pub(super) direction: Direction,
    pub(super) choice: DeviceChoice,
    pub(super) open: Open<L>,
    pub(super) links: Sender<L>,
    pub(super) notices: Box<dyn Fn(DeviceNotice) + Send>,
    /// Nothing is ever sent: its owner's end says stop by going away.
    pub(super) stop: Receiver<Infallible>,
}

impl<L: Send + 'static> Supervisor<L> {
    /// Returns when the owner stops it.
    pub(super) fn run(self) {
        let mut pause = REOPEN_FIRST;
        let mut told_absent = false;
        loop {
            let Some(result) = self.open(&mut told_absent) else {
                return;
            };
            match result {
                Ok(mut opened) => {
                    let opened_at = Instant::now();
                    told_absent = false;
                    self.tell(DeviceState::Opened, opened.description.clone());
                    let handed = opened
                        .link
                        .take()
                        .is_some_and(|link| self.links.send(link).is_ok());
                    let lost = handed.then(|| self.watch(&opened)).flatten();
                    close(opened);
                    let Some(reason) = lost else { return };
                    self.tell(DeviceState::Lost, reason);
                    if opened_at.elapsed() >= GOOD_LIFE {
                        pause = REOPEN_FIRST;
                    }
                }
                // Told once: trying again every few seconds is no news.
                Err(problem) if !told_absent => {
                    told_absent = true;
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

    /// Opens the device; `None` when the owner stops meanwhile. Says once if the sound system does
    /// not answer.
    fn open(&self, told_absent: &mut bool) -> Option<Result<Opened<L>, String>> {
        let (open, choice) = (Arc::clone(&self.open), self.choice.clone());
        let (sender, result) = mpsc::sync_channel(1);
        let spawned = thread::Builder::new()
            .name("device open".into())
            .spawn(move || {
                // A device that comes too late is closed by this very thread.
                let _ = sender.send(quietly(|| open(&choice)));
            });
        if let Err(error) = spawned {
            let error = words::describe(&error);
            return Some(Err(format!(
                "no thread for the {}: {error}",
                self.direction
            )));
        }
        let started = Instant::now();
        loop {
            match result.recv_timeout(WATCH_EVERY) {
                Ok(result) => return Some(result),
                Err(RecvTimeoutError::Disconnected) => {
                    return Some(Err(format!("opening the {} failed", self.direction)));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
            if self.stopped_within(Duration::ZERO) {
                return None;
            }
            if !*told_absent && started.elapsed() >= OPEN_LIMIT {
                *told_absent = true;
                let problem = format!(
                    "the sound system does not answer; the {} is used as soon as it does",
                    self.direction
                );
                self.tell(DeviceState::Absent, problem);
            }
        }
    }

    /// Why the stream was lost; `None` when the owner stops.
    fn watch(&self, opened: &Opened<L>) -> Option<String> {
        let mut health = Health::new(Instant::now());
        loop {
            if self.stopped_within(WATCH_EVERY) {
                return None;
            }
            if let Some(loss) = health.observe(&opened.shared, Instant::now()) {
                return Some(loss.to_string());
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

/// Closes a device, and goes on without it if the sound system does not let go of it.
fn close<L: Send + 'static>(opened: Opened<L>) {
    let (sender, closed) = mpsc::channel::<Infallible>();
    let spawned = thread::Builder::new()
        .name("device close".into())
        .spawn(move || {
            quietly(|| drop(opened));
            drop(sender);
        });
    match spawned {
        // Nothing is ever sent: the other end goes away when the device is closed.
        Ok(_) if closed.recv_timeout(CLOSE_LIMIT) == Err(RecvTimeoutError::Timeout) => {
            tracing::warn!("the sound system does not let go of a device");
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

    /// What a hung sound server does to whoever opens a device.
    fn never(_: &DeviceChoice) -> Result<Opened<CaptureLink>, String> {
        loop {
            thread::park();
        }
    }

    #[test]
    fn a_sound_system_that_does_not_answer_is_told_of_and_does_not_hold_up_the_end() {
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
        // Far longer than it takes on a busy machine: what fails here hangs.
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
