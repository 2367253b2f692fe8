//! One end of the bridge. It has one thread for reading and one for writing, so that neither
//! direction waits for the other.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::queue::ByteQueue;
use crate::host::is_only_waiting;

/// How long a thread may stay in one call before it checks whether its end is closed.
pub const POLL: Duration = Duration::from_millis(50);
/// Bytes moved by one read or write. Small, since a port that does not drain may block a write of
/// this size.
const CHUNK: usize = 256;
/// How long a closing end waits for its threads. A thread stuck in a write to a stalled port is
/// abandoned.
const CLOSE_GRACE: Duration = Duration::from_millis(500);

/// The running threads of one open port or connection.
#[derive(Debug)]
pub struct End {
    state: Arc<OnceLock<io::Error>>,
    threads: Vec<JoinHandle<()>>,
}

impl End {
    /// Starts pumping: bytes from `reader` go to `incoming`, and bytes of `outgoing` to `writer`.
    /// Both must return within about [`POLL`], with `TimedOut` or `WouldBlock` when they had
    /// nothing to do.
    ///
    /// # Errors
    /// When the system cannot start a thread.
    pub fn start(
        name: &str,
        mut reader: impl Read + Send + 'static,
        mut writer: impl Write + Send + 'static,
        incoming: Arc<ByteQueue>,
        outgoing: Arc<ByteQueue>,
    ) -> io::Result<Self> {
        let state = Arc::default();
        let read = move |state: &_| read_loop(state, &mut reader, &incoming);
        let write = move |state: &_| write_loop(state, &mut writer, &outgoing);
        let threads = vec![
            spawn(format!("{name} in"), &state, read)?,
            spawn(format!("{name} out"), &state, write)?,
        ];
        Ok(Self { state, threads })
    }

    /// Returns why this end stopped working, once it did.
    #[must_use]
    pub fn failure(&self) -> Option<&io::Error> {
        self.state.get()
    }

    /// Ends the threads and waits briefly for them, so that the port can be reopened.
    pub fn close(self) {
        let _ = self.state.set(ErrorKind::ConnectionAborted.into());
        let deadline = Instant::now() + CLOSE_GRACE;
        while Instant::now() < deadline && self.threads.iter().any(|thread| !thread.is_finished()) {
            thread::sleep(Duration::from_millis(2));
        }
    }
}

fn spawn(
    name: String,
    state: &Arc<OnceLock<io::Error>>,
    run: impl FnOnce(&OnceLock<io::Error>) -> io::Result<()> + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let state = Arc::clone(state);
    let run = move || {
        if let Err(error) = run(&state) {
            // The first of the two threads to fail says why; the other follows.
            let _ = state.set(error);
        }
    };
    thread::Builder::new().name(name).spawn(run)
}

fn read_loop(
    state: &OnceLock<io::Error>,
    reader: &mut impl Read,
    incoming: &ByteQueue,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    while state.get().is_none() {
        match reader.read(&mut chunk) {
            Ok(0) => {
                return Err(io::Error::new(
                    ErrorKind::UnexpectedEof,
                    "the other side closed it",
                ));
            }
            Ok(count) => incoming.push(&chunk[..count]),
            Err(error) if is_only_waiting(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn write_loop(
    state: &OnceLock<io::Error>,
    writer: &mut impl Write,
    outgoing: &ByteQueue,
) -> io::Result<()> {
    let mut chunk = [0; CHUNK];
    while state.get().is_none() {
        let count = outgoing.pop(&mut chunk, POLL);
        let mut rest = &chunk[..count];
        while !rest.is_empty() && state.get().is_none() {
            match writer.write(rest) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => rest = &rest[written..],
                Err(error) if is_only_waiting(&error) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
