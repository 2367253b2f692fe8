//! A sound file read by its own thread.
//!
//! A pipe without a writer, a paused recorder or a dead mount can block a reader for ever. Here
//! that costs only silence: [`BackgroundReader::read`] never blocks.

use super::{Fault, WavReader};
use crate::{
    channels::InputChannel,
    sample::ROOM_RATE_HZ,
    sound::{Captured, Source},
};
use rtrb::{Consumer, Producer, RingBuffer};
use std::{
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, Sender},
    thread::{self, Thread},
    time::{Duration, Instant},
};

/// How far a regular file is read ahead. No working disk takes that long to answer.
const AHEAD_FILE: usize = 10 * ROOM_RATE_HZ as usize;
/// How far a pipe is read ahead. If its sound is live, what waits here is delay.
const AHEAD_PIPE: usize = ROOM_RATE_HZ as usize / 4;
/// How long to wait for the beginning of a file. Then joining goes on without it.
const FILE_PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for the beginning of a pipe, whose other end may not be open.
const PIPE_PATIENCE: Duration = Duration::from_secs(1);
/// Samples handed over at a time.
const PIECE_SAMPLES: usize = 512;
/// A reader that is far enough ahead looks again after this, unless it is woken earlier.
const FULL_PAUSE: Duration = Duration::from_millis(100);

/// A sound file whose `read` never blocks.
pub struct BackgroundReader {
    ring: Consumer<i16>,
    thread: Thread,
    reports: Receiver<Report>,
}

/// What the thread reports.
enum Report {
    IsRegular,
    /// It has read ahead as far as it goes, or is at the end.
    Ready,
    Failed(String),
}

impl BackgroundReader {
    /// Opens a file and waits briefly for its beginning. After a second (five for a regular file)
    /// it goes on opening in the background, and is silent until then.
    ///
    /// # Errors
    /// Those of [`WavReader::open`], if they come in time. [`take_problem`](Self::take_problem)
    /// returns a later one.
    pub fn open(path: &Path, channel: InputChannel) -> Result<Self, String> {
        let (producer, ring) = RingBuffer::new(AHEAD_FILE);
        let (report, reports) = mpsc::channel();
        let owned = path.to_owned();
        let spawned = thread::Builder::new()
            .name("input file".into())
            .spawn(move || read_ahead(owned, channel, producer, &report));
        let thread = spawned.map_err(|error| Fault::Io(error).at(path))?;
        let reader = Self {
            ring,
            thread: thread.thread().clone(),
            reports,
        };
        reader.wait_for_beginning()?;
        Ok(reader)
    }

    fn wait_for_beginning(&self) -> Result<(), String> {
        let start = Instant::now();
        let mut patience = PIPE_PATIENCE;
        loop {
            let left = patience.saturating_sub(start.elapsed());
            match self.reports.recv_timeout(left) {
                Ok(Report::IsRegular) => patience = FILE_PATIENCE,
                Ok(Report::Failed(problem)) => return Err(problem),
                Ok(Report::Ready) | Err(_) => return Ok(()),
            }
        }
    }
}

impl Source for BackgroundReader {
    /// Never blocks.
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        // Asked first: then the ring holds all that was read before the end.
        let is_over = self.ring.is_abandoned();
        let read = if self.ring.pop_entire_slice(frame).is_ok() {
            Captured::Frame
        } else if is_over {
            let (filled, rest) = self.ring.pop_partial_slice(frame);
            rest.fill(0);
            if filled.is_empty() {
                return Captured::End;
            }
            Captured::Frame
        } else {
            frame.fill(0);
            Captured::Missing
        };
        if self.ring.slots() < AHEAD_PIPE / 2 {
            self.thread.unpark();
        }
        read
    }

    fn take_problem(&mut self) -> Option<String> {
        self.reports.try_iter().find_map(|report| match report {
            Report::Failed(problem) => Some(problem),
            Report::IsRegular | Report::Ready => None,
        })
    }
}

/// Body of the thread. Ends with the file, with an error, or when the reader is dropped.
fn read_ahead(
    path: PathBuf,
    channel: InputChannel,
    mut ring: Producer<i16>,
    report: &Sender<Report>,
) {
    let is_regular = path.metadata().is_ok_and(|metadata| metadata.is_file());
    if is_regular {
        // If the receiver has gone, the ring is abandoned, too.
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
            // It fits: only this thread fills slots, and `free` of them are free.
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
    // A reader that sees the end must find everything in the ring.
    drop(ring);
    let _ = report.send(Report::Ready);
}

#[cfg(test)]
mod tests;
