//! The end of a stay: a goodbye to the server, the end of the recording, closed devices, the last
//! event.

use super::super::{Failure, link::CLOSE_PATIENCE};
use super::{Driver, Phase};
use crate::{audio::Sink, events::EventKind};
use std::{
    io, mem,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};
use talkspurt_core::time::Instant as CoreInstant;
use talkspurt_host_kit::words;
use tokio::task::yield_now;

/// How long to wait for a disk to take the end of a recording.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same in a hurry: after the terminal has hung up, or a second signal has come.
const HURRIED_PATIENCE: Duration = Duration::from_secs(1);
/// How soon a hurry is noticed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

impl Driver {
    /// Says Bye, completes the output, closes the devices, and reports the last event.
    pub(super) async fn leave(mut self, end: Result<&'static str, Failure>) -> Result<(), Failure> {
        // A signal that comes later finds it closed, and asks for hurry.
        self.commands.close();
        let now = Instant::now();
        let closed = Phase::Pausing { until: now };
        if let Phase::Open(mut link) = mem::replace(&mut self.phase, closed) {
            let (participant, epoch) = (&mut *self.participant, self.epoch);
            let clock = || CoreInstant::from_micros(epoch.elapsed().as_micros() as u64);
            participant.leave(clock());
            link.close(CLOSE_PATIENCE, participant, clock).await;
            link.add_counts(&mut self.counts);
        }
        let counts = self.counts_now(now);
        let Some(mut audio) = self.audio.take() else {
            if let Err(failure) = &end {
                let text = failure.to_string();
                self.teller.tell(EventKind::Failed { text });
            }
            return end.map(drop);
        };
        // The devices close while the recording is completed.
        audio.io.devices.stop();
        let finished = finish(&mut *audio.io.sink, &self.hurry).await;
        audio.tell_of_recording(&self.teller);
        drop(audio);
        let reason = match &end {
            Ok(reason) => (*reason).to_owned(),
            Err(failure) => failure.to_string(),
        };
        self.teller.tell(EventKind::Left { reason, counts });
        end.and(finished.map_err(|error| {
            let error = words::describe(&error);
            Failure::Sound(format!("cannot complete the output: {error}"))
        }))
    }
}

/// Completes a recording, and regularly checks for a hurry.
async fn finish(sink: &mut dyn Sink, hurry: &AtomicBool) -> io::Result<()> {
    let (mut waited, mut patience) = (Duration::ZERO, PATIENCE);
    loop {
        let finished = sink.finish(LOOK_EVERY);
        waited += LOOK_EVERY;
        if finished.is_ok() || waited >= patience {
            return finished;
        }
        if hurry.load(Ordering::Relaxed) {
            patience = patience.min(waited + HURRIED_PATIENCE);
        }
        // Signals are handled by another task.
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes nothing more. The hurry starts with the given call.
    struct Hung<'a> {
        calls: u32,
        hurried_at: u32,
        hurry: &'a AtomicBool,
    }

    impl Sink for Hung<'_> {
        fn write(&mut self, _frame: &[i16]) {}

        fn finish(&mut self, _patience: Duration) -> io::Result<()> {
            self.calls += 1;
            let is_hurried = self.calls >= self.hurried_at;
            self.hurry.fetch_or(is_hurried, Ordering::Relaxed);
            Err(io::Error::other("hung"))
        }
    }

    fn calls(hurried_at: u32) -> u32 {
        let hurry = AtomicBool::new(false);
        let mut disk = Hung {
            calls: 0,
            hurried_at,
            hurry: &hurry,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build();
        let finished = runtime.unwrap().block_on(finish(&mut disk, &hurry));
        assert!(finished.is_err());
        disk.calls
    }

    #[test]
    fn a_hung_disk_is_waited_for_but_less_in_a_hurry() {
        assert_eq!(calls(u32::MAX), 50, "5 s by 100 ms");
        assert_eq!(calls(3), 13, "1 s more");
        assert_eq!(calls(48), 50);
    }
}
