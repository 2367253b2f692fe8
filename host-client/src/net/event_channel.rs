//! The ordered channel of events from the session to its user.

use super::flood::Floods;
use crate::events::{Event, EventKind};
use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender, TryRecvError, TrySendError},
    },
    time::{Duration, Instant},
};
use talkspurt_core::time::{Duration as CoreDuration, Instant as CoreInstant};
use talkspurt_host_kit::log_throttle::LogThrottle;

/// Most events that may wait for a slow reader. Hours of changes in a room fit. Beyond that events
/// are lost, and the log says so.
const EVENTS_MAX: usize = 16_384;
/// Most heap bytes that they may hold: as many names of 32 bytes are 0.5 MB, and the roster of a
/// full room in each of a hundred joinings 6.4 MB. Does not count the allocator's overhead.
const EVENTS_HEAP_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Least time between two log lines about the same thing.
pub(super) const LOG_EVERY: CoreDuration = CoreDuration::from_secs(1);

/// Creates a channel for events stamped with the time since `epoch`.
pub(crate) fn channel(epoch: Instant) -> (Teller, Events) {
    let (sender, receiver) = mpsc::sync_channel(EVENTS_MAX);
    let waiting = Arc::<Waiting>::default();
    let teller = Teller {
        sender,
        waiting: Arc::clone(&waiting),
        epoch,
    };
    (teller, Events { receiver, waiting })
}

/// State shared by both ends.
#[derive(Default)]
struct Waiting {
    heap_bytes: AtomicUsize,
    /// Events lost since the last one that was sent.
    missed: AtomicU64,
    bounds: Mutex<Bounds>,
}

/// Limits on events, and how many were lost since the log last said so.
#[derive(Default)]
struct Bounds {
    floods: Floods,
    left_out: LogThrottle,
    unread: LogThrottle,
}

/// Sends events.
#[derive(Clone)]
pub(crate) struct Teller {
    sender: SyncSender<Event>,
    waiting: Arc<Waiting>,
    epoch: Instant,
}

impl Teller {
    /// Sends an event. Never blocks: the session has frames to process.
    pub(crate) fn tell(&self, kind: EventKind) {
        let (kind, now) = (kind.for_people(), self.now());
        if !self.bounds(|bounds| bounds.floods.admit(&kind, now)) {
            self.bounds(|bounds| bounds.left_out.add(1));
        } else if !self.try_tell(kind) {
            self.bounds(|bounds| bounds.unread.add(1));
        } else {
            return;
        }
        self.waiting.missed.fetch_add(1, Ordering::Relaxed);
        self.log_lost();
    }

    /// Logs how many events were lost, if any, at most once a second.
    pub(super) fn log_lost(&self) {
        let now = self.now();
        if let Some(events) = self.bounds(|bounds| bounds.unread.take(now, LOG_EVERY)) {
            tracing::error!(events, "nobody reads the events; some are lost");
        }
        if let Some(events) = self.bounds(|bounds| bounds.left_out.take(now, LOG_EVERY)) {
            tracing::warn!(
                events,
                "the server reports more events than a room can cause; some are left out"
            );
        }
    }

    /// Returns false if there is no room for the event.
    fn try_tell(&self, kind: EventKind) -> bool {
        let heap_bytes = kind.heap_bytes();
        let waiting = &self.waiting.heap_bytes;
        let fitting =
            |before| Some(before + heap_bytes).filter(|&sum| sum <= EVENTS_HEAP_BYTES_MAX);
        // Only a count: it orders no other data.
        if waiting
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fitting)
            .is_err()
        {
            return false;
        }
        let missed = self.waiting.missed.swap(0, Ordering::Relaxed);
        let event = Event {
            t_ms: self.epoch.elapsed().as_millis() as u64,
            missed,
            kind,
        };
        match self.sender.try_send(event) {
            // The reader has gone: the program is about to end.
            Ok(()) | Err(TrySendError::Disconnected(_)) => true,
            Err(TrySendError::Full(_)) => {
                waiting.fetch_sub(heap_bytes, Ordering::Relaxed);
                self.waiting.missed.fetch_add(missed, Ordering::Relaxed);
                false
            }
        }
    }

    fn now(&self) -> CoreInstant {
        CoreInstant::from_micros(self.epoch.elapsed().as_micros() as u64)
    }

    fn bounds<T>(&self, with: impl FnOnce(&mut Bounds) -> T) -> T {
        // Sums and budgets stay valid even if a holder panicked.
        let bounds = self.waiting.bounds.lock();
        with(&mut bounds.unwrap_or_else(PoisonError::into_inner))
    }
}

/// Events in order. Ends when the session is over.
pub struct Events {
    receiver: Receiver<Event>,
    waiting: Arc<Waiting>,
}

impl Events {
    /// Returns the next event, if there is one.
    ///
    /// # Errors
    /// Those of the standard library's channels.
    pub fn try_recv(&self) -> Result<Event, TryRecvError> {
        self.receiver.try_recv().inspect(|event| self.taken(event))
    }

    /// Waits for the next event, for `patience` at most.
    ///
    /// # Errors
    /// Those of the standard library's channels.
    pub fn recv_timeout(&self, patience: Duration) -> Result<Event, RecvTimeoutError> {
        self.receiver
            .recv_timeout(patience)
            .inspect(|event| self.taken(event))
    }

    /// Waits for one event after another, until the session is over.
    pub fn iter(&self) -> impl Iterator<Item = Event> + '_ {
        self.receiver.iter().inspect(|event| self.taken(event))
    }

    fn taken(&self, event: &Event) {
        self.waiting
            .heap_bytes
            .fetch_sub(event.kind.heap_bytes(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::{DeviceNotice, DeviceState, Direction};
    use crate::events::{Counts, RosterLine};

    fn joined(id: u32) -> EventKind {
        let line = |id| RosterLine {
            id,
            name: "n".repeat(32),
            talking: false,
            muted: false,
        };
        EventKind::Joined {
            id,
            name: "ann".into(),
            room: "kitchen".into(),
            codec: "pcm16",
            rate_hz: 16_000,
            frame_ms: 20,
            roster: (0..1_000).map(line).collect(),
        }
    }

    #[test]
    fn waiting_events_are_bounded_in_bytes_too() {
        let (teller, events) = channel(Instant::now());
        (0..1_000).for_each(|id| _ = teller.try_tell(joined(id)));
        let mut heap_bytes = 0;
        let mut waited = 0;
        while let Ok(event) = events.try_recv() {
            heap_bytes += event.kind.heap_bytes();
            waited += 1;
        }
        assert!(heap_bytes <= EVENTS_HEAP_BYTES_MAX, "{heap_bytes}");
        assert!((100..200).contains(&waited), "{waited}");
        teller.tell(joined(7));
        assert!(events.try_recv().is_ok(), "what was read makes room");
    }

    #[test]
    fn error_numbers_are_removed_from_event_texts() {
        let (teller, events) = channel(Instant::now());
        let denied = || "permission denied (os error 13); try y".to_owned();
        let (state, file) = ("lost", None);
        teller.tell(EventKind::Device(DeviceNotice {
            direction: Direction::Output,
            state: DeviceState::Lost,
            text: denied(),
        }));
        let (reason, counts) = (denied(), Counts::default());
        teller.tell(EventKind::Left { reason, counts });
        let text = denied();
        teller.tell(EventKind::Recording { state, file, text });
        let problem = Some(denied());
        teller.tell(EventKind::InputEnded { problem });
        teller.tell(EventKind::Failed { text: denied() });
        drop(teller);
        let told: Vec<_> = events.iter().map(|event| event.to_json()).collect();
        assert_eq!(told.len(), 5);
        for line in told {
            let is_plain = line.contains("denied; try y") && !line.contains("os error");
            assert!(is_plain, "{line}");
        }
    }

    #[test]
    fn waiting_events_are_bounded_in_number() {
        let (teller, events) = channel(Instant::now());
        (0..20_000).for_each(|_| teller.tell(EventKind::InputEnded { problem: None }));
        assert!(events.try_recv().is_ok());
        teller.tell(EventKind::InputEnded { problem: None });
        drop(teller);
        let told: Vec<_> = events.iter().collect();
        assert_eq!(told.len(), EVENTS_MAX);
        let missed = told.iter().map(|event| event.missed).sum::<u64>();
        assert_eq!((missed, told[EVENTS_MAX - 1].missed), (3_616, 3_616));
    }
}
