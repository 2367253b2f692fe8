//! Records what is heard, in its own thread.
//!
//! A disk can be full, slow, or hang. None of that may block a caller: [`Recorder::write`] only
//! hands the samples over, and what happens to them comes back as [`RecordingNotice`]s.

use super::DATA_BYTES_MAX;
use crate::{
    sample::ROOM_RATE_HZ,
    sound::{RecordingNotice, Sink},
    words::describe,
};
use rtrb::{Producer, RingBuffer};
use std::{
    io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
        mpsc::{self, Receiver},
    },
    thread::{self, Thread},
    time::Duration,
};
use writing::{Phase, Writing};

mod writing;

/// How much sound may wait for a disk that hangs. Any more is lost, and silence fills its time.
const WAITING_SAMPLES: usize = 30 * ROOM_RATE_HZ as usize;
/// The thread is woken after this much sound. A killed process loses no more than that.
const BATCH_SAMPLES: usize = ROOM_RATE_HZ as usize / 2;
/// A file that takes longer to open is on a dead mount, or a pipe that nobody reads.
const OPEN_PATIENCE: Duration = Duration::from_secs(2);

/// A recording: one file, or several if it outgrows one.
pub struct Recorder {
    ring: Producer<i16>,
    thread: Thread,
    phase: Arc<AtomicU8>,
    notices: Receiver<RecordingNotice>,
    done: Receiver<()>,
    /// Samples that did not fit. Silence will replace them.
    missing: u64,
    /// Samples of the current gap still to be filled with silence.
    gap: u64,
    /// Samples lost that [`next_notice`](Self::next_notice) has not reported yet.
    lost: u64,
    /// Samples handed over since the thread was last woken.
    unannounced: usize,
}

impl Recorder {
    /// Opens the file. Its content stays until [`begin`](Self::begin); a new file is removed again
    /// if that is never called.
    ///
    /// # Errors
    /// When the file cannot be opened: a line that names it and says why.
    pub fn open(path: &Path) -> Result<Self, String> {
        Self::open_limited(path, DATA_BYTES_MAX)
    }

    /// Opens a file that takes `limit_bytes` of samples, at most [`DATA_BYTES_MAX`].
    fn open_limited(path: &Path, limit_bytes: u32) -> Result<Self, String> {
        let (ring, samples) = RingBuffer::new(WAITING_SAMPLES);
        let (notify, notices) = mpsc::channel();
        let (opened, opening) = mpsc::channel();
        let (finished, done) = mpsc::channel();
        let phase = Arc::new(AtomicU8::new(Phase::WAIT));
        let writing = Writing {
            first: path.to_owned(),
            path: path.to_owned(),
            number: 1,
            samples,
            limit_bytes,
            phase: phase.clone(),
            notify,
        };
        let failed = |problem: &str| format!("cannot write {}: {problem}", path.display());
        let thread = thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writing.run(&opened, &finished))
            .map_err(|error| failed(&describe(&error)))?;
        match opening.recv_timeout(OPEN_PATIENCE) {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(failed(&describe(&error))),
            Err(_) => {
                return Err(failed(
                    "it does not open; is it a pipe that nobody reads, or on a disk that hangs?",
                ));
            }
        }
        Ok(Self {
            ring,
            thread: thread.thread().clone(),
            phase,
            notices,
            done,
            missing: 0,
            gap: 0,
            lost: 0,
            unannounced: 0,
        })
    }

    fn tell(&self, phase: u8) {
        self.phase.store(phase, Ordering::Release);
        self.thread.unpark();
    }

    /// Fills the time of the samples that did not fit with silence.
    fn fill_gap(&mut self) {
        while self.missing > 0 && self.ring.push(0).is_ok() {
            self.missing -= 1;
        }
        if self.missing == 0 {
            self.lost += std::mem::take(&mut self.gap);
        }
    }
}

/// A recording that cannot go on does not end a session; [`next_notice`](Sink::next_notice) reports
/// it.
impl Sink for Recorder {
    /// Starts the recording, which replaces the file's content.
    fn begin(&mut self) {
        self.tell(Phase::RECORD);
    }

    /// Hands samples over. Never blocks.
    fn write(&mut self, samples: &[i16]) {
        if self.ring.is_abandoned() {
            // It has stopped, and has reported that.
            return;
        }
        self.fill_gap();
        if self.missing > 0 || self.ring.push_entire_slice(samples).is_err() {
            self.missing += samples.len() as u64;
            self.gap += samples.len() as u64;
        }
        self.unannounced += samples.len();
        if self.unannounced >= BATCH_SAMPLES {
            self.unannounced = 0;
            self.thread.unpark();
        }
    }

    fn next_notice(&mut self) -> Option<RecordingNotice> {
        let ms = self.lost * 1_000 / u64::from(ROOM_RATE_HZ);
        if ms > 0 {
            self.lost -= ms * u64::from(ROOM_RATE_HZ) / 1_000;
            return Some(RecordingNotice::Lost { ms });
        }
        self.notices.try_recv().ok()
    }

    /// Not an error: a recording that has stopped earlier. A notice reports that.
    fn finish(&mut self, patience: Duration) -> io::Result<()> {
        if self.phase.load(Ordering::Acquire) == Phase::WAIT {
            return Ok(());
        }
        self.fill_gap();
        // No later call fills it.
        self.missing = 0;
        self.lost += std::mem::take(&mut self.gap);
        self.tell(Phase::FINISH);
        match self.done.recv_timeout(patience) {
            Ok(()) | Err(mpsc::RecvTimeoutError::Disconnected) => Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(io::Error::other(
                "the disk does not take the end of the recording",
            )),
        }
    }
}

impl Drop for Recorder {
    /// A recording that never began leaves nothing behind.
    fn drop(&mut self) {
        if self.phase.load(Ordering::Acquire) == Phase::WAIT {
            self.tell(Phase::CANCEL);
            // The thread has ended, or hangs with its disk. Neither needs more from here.
            let _ = self.done.recv_timeout(OPEN_PATIENCE);
        }
    }
}

#[cfg(test)]
mod tests;
