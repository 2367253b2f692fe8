//! Lines to stdout from a program that must not wait for their reader.

use super::{OutputError, stdout_is_closed};
use std::{
    io::{self, Write},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};

/// Most lines that may wait to be written.
const LINES_MAX: usize = 4_096;
/// Most bytes that they may hold together.
const BYTES_MAX: usize = 1024 * 1024;

/// Writes lines to stdout in its own thread. Lines that do not fit into the queue are counted, and
/// the next one that fits can report how many were lost.
#[derive(Debug)]
pub struct Lines {
    sender: SyncSender<String>,
    shared: Arc<Shared>,
    done: Receiver<()>,
    missed: u64,
}

#[derive(Debug, Default)]
struct Shared {
    waiting_bytes: AtomicUsize,
    failure: OnceLock<OutputError>,
}

impl Lines {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn to_stdout() -> io::Result<Self> {
        Self::to(io::stdout())
    }

    /// Starts a thread that writes to something else, such as a pipe.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn to(output: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = mpsc::sync_channel::<String>(LINES_MAX);
        // Nothing is sent: it closes when the thread ends.
        let (alive, done) = mpsc::sync_channel(0);
        let shared = Arc::new(Shared::default());
        let written = Arc::clone(&shared);
        let write = move || {
            let _alive: SyncSender<()> = alive;
            if let Err(error) = write_all(output, &lines, &written) {
                let _ = written.failure.set(error.into());
            }
        };
        thread::Builder::new().name("stdout".into()).spawn(write)?;
        Ok(Self {
            sender,
            shared,
            done,
            missed: 0,
        })
    }

    /// Queues a line (without its line end). `line` makes it from the number of lines lost before
    /// it. If this one does not fit either, it is counted as lost. Never blocks.
    pub fn push(&mut self, line: impl FnOnce(u64) -> String) {
        let mut line = line(self.missed);
        line.push('\n');
        let bytes = line.len();
        // Only this thread adds to the count.
        let fits = self.shared.waiting_bytes.load(Ordering::Relaxed) + bytes <= BYTES_MAX;
        // Added before the line is sent: the writer subtracts it afterwards.
        self.shared
            .waiting_bytes
            .fetch_add(bytes, Ordering::Relaxed);
        if fits && self.sender.try_send(line).is_ok() {
            self.missed = 0;
        } else {
            self.missed += 1;
            self.shared
                .waiting_bytes
                .fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Returns how many lines did not fit since the last one that did.
    #[must_use]
    pub fn missed(&self) -> u64 {
        self.missed
    }

    /// Checks that stdout still takes lines. Returns at once. Call it every now and then, even when
    /// there is nothing to write.
    ///
    /// # Errors
    /// [`OutputError::Closed`] if its reader has gone, [`OutputError::Failed`] if it cannot be
    /// written.
    pub fn check(&self) -> Result<(), OutputError> {
        self.shared.failed()?;
        match stdout_is_closed(Duration::ZERO) {
            true => Err(OutputError::Closed),
            false => Ok(()),
        }
    }

    /// Waits until all lines are written, for `patience` at most: a reader that does not read must
    /// not block the end of the program.
    ///
    /// # Errors
    /// Same as [`Self::check`].
    pub fn finish(self, patience: Duration) -> Result<(), OutputError> {
        drop(self.sender);
        match self.done.recv_timeout(patience) {
            Err(RecvTimeoutError::Timeout) => Ok(()),
            Ok(()) | Err(RecvTimeoutError::Disconnected) => self.shared.failed(),
        }
    }
}

impl Shared {
    fn failed(&self) -> Result<(), OutputError> {
        self.failure.get().cloned().map_or(Ok(()), Err)
    }
}

fn write_all(mut output: impl Write, lines: &Receiver<String>, shared: &Shared) -> io::Result<()> {
    for line in lines {
        output.write_all(line.as_bytes())?;
        output.flush()?;
        shared
            .waiting_bytes
            .fetch_sub(line.len(), Ordering::Relaxed);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{BufRead as _, BufReader};

    #[test]
    fn unread_lines_are_counted_and_reported_in_the_next_line_that_fits() {
        let (reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        // More than the pipe and the queue hold.
        let mut pushed = 0;
        while lines.missed() < 7 {
            lines.push(|missed| format!("{missed} {}", "x".repeat(1_000)));
            pushed += 1;
            assert!(pushed < 10_000, "the queue never fills");
        }
        assert!(BYTES_MAX / 1_000 + 200 > pushed, "{pushed} lines of 1,000");
        let mut read = BufReader::new(reader).lines().map(Result::unwrap);
        let (mut accounted, mut told) = (0, 0);
        // Reading makes room, and the next line that fits reports how many were lost.
        while lines.missed() > 0 || accounted < pushed {
            if lines.missed() > 0 {
                lines.push(|missed| missed.to_string());
                pushed += 1;
            }
            while accounted < pushed - lines.missed() as usize {
                let line = read.next().unwrap();
                let missed: usize = line.split(' ').next().unwrap().parse().unwrap();
                accounted += 1 + missed;
                told += missed;
            }
        }
        assert_eq!(accounted, pushed, "each line came or was reported missing");
        assert!(told >= 7, "{told}");
        lines.push(|missed| missed.to_string());
        assert_eq!(read.next().unwrap(), "0");
        assert_eq!(lines.finish(Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn a_reader_that_does_not_read_does_not_block_the_end() {
        let (_reader, writer) = io::pipe().unwrap();
        let mut lines = Lines::to(writer).unwrap();
        (0..200).for_each(|_| lines.push(|_| "x".repeat(1_000)));
        assert_eq!(lines.finish(Duration::from_millis(10)), Ok(()));
    }

    #[test]
    fn the_cause_of_a_failed_write_is_known() {
        let (reader, writer) = io::pipe().unwrap();
        drop(reader);
        let mut lines = Lines::to(writer).unwrap();
        lines.push(|_| "x".into());
        let end = lines.finish(Duration::from_secs(60));
        assert_eq!(end, Err(OutputError::Closed));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_full_disk_is_reported_in_words() {
        let full = std::fs::File::options().write(true).open("/dev/full");
        let mut lines = Lines::to(full.unwrap()).unwrap();
        lines.push(|_| "x".into());
        let end = lines.finish(Duration::from_secs(60)).unwrap_err();
        assert_eq!(
            end.to_string(),
            "cannot write to stdout: no space left on device"
        );
    }
}
