//! A sound file that is read by a thread of its own.
//!
//! A pipe without a writer, a recorder that pauses, or a dead mount can hold a reader up for ever.
//! Here that costs silence, and nothing else: whoever calls [`BackgroundReader::read`] never waits.

use super::{WavError, WavReader};
use crate::{channels::InputChannel, sample::ROOM_RATE_HZ};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// So much of a regular file is read ahead: no disk that answers at all takes that long.
const AHEAD_FILE: usize = 10 * ROOM_RATE_HZ as usize;
/// And so much of a pipe: what waits here is delay, if the sound is live.
const AHEAD_PIPE: usize = ROOM_RATE_HZ as usize / 4;
/// A file's beginning is waited for; joining goes on without it after this.
const FILE_PATIENCE: Duration = Duration::from_secs(5);
/// A pipe may have nobody at its other end.
const PIPE_PATIENCE: Duration = Duration::from_secs(1);
/// Samples that change hands at a time.
const PIECE_SAMPLES: usize = 512;
/// A reader that is far enough ahead looks again after this, unless it is woken before.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// What [`BackgroundReader::read`] had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameRead {
    /// The frame was filled; the last one of the file with silence behind its end.
    Frame,
    /// The file has nothing now: the frame is silence, and no sample was passed over.
    Missing,
    /// The file is over: the frame is silence.
    End,
}

/// A sound file that never makes its reader wait.
pub struct BackgroundReader {
    ring: Consumer<i16>,
    thread: Thread,
    reports: Receiver<Report>,
    problem: Option<WavError>,
}

/// What the thread tells.
enum Report {
    IsRegular,
    /// It is as far ahead as it goes, or at the end.
    Ready,
    Failed(WavError),
}

impl BackgroundReader {
    /// Opens a file and waits for its beginning, but not for long: after a second (five for a
    /// regular file) it is opened in the background, and silent until then.
    ///
    /// # Errors
    /// What [`WavReader::open`] says, if it says so in time. Later
    /// [`take_problem`](Self::take_problem) tells it.
    pub fn open(path: &Path, channel: InputChannel) -> Result<Self, WavError> {
        let (producer, ring) = RingBuffer::new(AHEAD_FILE);
        let (report, reports) = mpsc::channel();
        let owned = path.to_owned();
        let spawned = thread::Builder::new()
            .name("input file".into())
            .spawn(move || read_ahead(owned, channel, producer, &report));
        let thread = spawned.map_err(|source| WavError::Open {
            path: path.to_owned(),
            source,
        })?;
        let mut reader = Self {
            ring,
            thread: thread.thread().clone(),
            reports,
            problem: None,
        };
        reader.wait_for_beginning();
        match reader.problem.take() {
            Some(problem) => Err(problem),
            None => Ok(reader),
        }
    }

    /// Fills a frame, at once.
    pub fn read(&mut self, frame: &mut [i16]) -> FrameRead {
        // Asked first: what was read before the end is in the ring then.
        let is_over = self.ring.is_abandoned();
        let read = if self.ring.pop_entire_slice(frame).is_ok() {
            FrameRead::Frame
        } else if is_over {
            let (filled, rest) = self.ring.pop_partial_slice(frame);
            rest.fill(0);
            if filled.is_empty() {
                return FrameRead::End;
            }
            FrameRead::Frame
        } else {
            frame.fill(0);
            FrameRead::Missing
        };
        if self.ring.slots() < AHEAD_PIPE / 2 {
            self.thread.unpark();
        }
        read
    }

    /// Nothing more will come.
    #[must_use]
    pub fn is_at_end(&self) -> bool {
        self.ring.is_abandoned() && self.ring.slots() == 0
    }

    /// Why there is nothing more, if that is not the end of the file.
    pub fn take_problem(&mut self) -> Option<WavError> {
        self.reports.try_iter().for_each(|report| {
            if let Report::Failed(problem) = report {
                self.problem = Some(problem);
            }
        });
        self.problem.take()
    }

    fn wait_for_beginning(&mut self) {
        let start = Instant::now();
        let mut patience = PIPE_PATIENCE;
        loop {
            let left = patience.saturating_sub(start.elapsed());
            match self.reports.recv_timeout(left) {
                Ok(Report::IsRegular) => patience = FILE_PATIENCE,
                Ok(Report::Failed(problem)) => {
                    self.problem = Some(problem);
                    return;
                }
                Ok(Report::Ready) | Err(_) => return,
            }
        }
    }
}

/// The thread: ends with the file, with an error, or when nobody reads any more.
fn read_ahead(
    path: PathBuf,
    channel: InputChannel,
    mut ring: Producer<i16>,
    report: &Sender<Report>,
) {
    let is_regular = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_regular {
        // The other end may not listen any more; then the ring is abandoned, too.
        let _ = report.send(Report::IsRegular);
    }
    let mut reader = match WavReader::open(&path, channel) {
        Ok(reader) => reader,
        Err(problem) => {
            let _ = report.send(Report::Failed(problem));
            return;
        }
    };
    let ahead = if is_regular { AHEAD_FILE } else { AHEAD_PIPE };
    let least_free = AHEAD_FILE - ahead;
    let (mut piece, mut is_told) = ([0; PIECE_SAMPLES], false);
    loop {
        let count = reader.read(&mut piece);
        let mut rest = &piece[..count];
        while !rest.is_empty() {
            if ring.is_abandoned() {
                return;
            }
            let free = ring.slots().saturating_sub(least_free).min(rest.len());
            // There are so many slots free: only this thread takes them.
            let _ = ring.push_entire_slice(&rest[..free]);
            rest = &rest[free..];
            if !rest.is_empty() {
                if !std::mem::replace(&mut is_told, true) {
                    let _ = report.send(Report::Ready);
                }
                thread::park_timeout(FULL_PAUSE);
            }
        }
        if count < piece.len() {
            break;
        }
    }
    // Whoever sees the end finds everything in the ring.
    drop(ring);
    let _ = report.send(Report::Ready);
}

#[cfg(test)]
mod tests;
