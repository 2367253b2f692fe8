//! Keeps a device open: opens it, watches it, reopens it after a loss.
//!
//! One thread per direction owns the cpal stream. It hands each new stream's ring to the session over a channel and says
//! what happened as a [`DeviceNotice`]. The session never waits for a device.

use super::{
    DeviceNotice, DeviceState, Direction,
    choice::DeviceChoice,
    health::Health,
    stream::{Opened, quietly},
};
use std::{
    convert::Infallible,
    sync::mpsc::{Receiver, RecvTimeoutError, Sender},
    time::{Duration, Instant},
};

/// How often a stream is looked at.
const WATCH_EVERY: Duration = Duration::from_millis(50);
/// The first pause before a device is opened again; it doubles up to the last one.
const REOPEN_FIRST: Duration = Duration::from_millis(250);
/// The longest pause.
const REOPEN_LAST: Duration = Duration::from_secs(4);
/// A stream that lived this long was a good one: after it the pauses begin anew.
const GOOD_LIFE: Duration = Duration::from_secs(10);

/// Opens a device; the type says whether it is a microphone or a speaker.
pub(super) type Open<L> = fn(&DeviceChoice) -> Result<Opened<L>, String>;

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

impl<L> Supervisor<L> {
    /// Returns when the owner stops it.
    pub(super) fn run(self) {
        let mut pause = REOPEN_FIRST;
        let mut told_absent = false;
        loop {
            match quietly(|| (self.open)(&self.choice)) {
                Ok(mut opened) => {
                    let opened_at = Instant::now();
                    told_absent = false;
                    self.tell(DeviceState::Opened, opened.description.clone());
                    let handed = opened
                        .link
                        .take()
                        .is_some_and(|link| self.links.send(link).is_ok());
                    let lost = handed.then(|| self.watch(&opened)).flatten();
                    quietly(|| drop(opened));
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
