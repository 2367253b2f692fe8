//! Redirects what libraries write to stderr behind our back (ALSA's plugins, the JACK client).

/// While this lives, text written to stderr becomes lines to fetch. In the live view it would
/// garble the screen.
pub(crate) struct StderrLines {
    #[cfg(unix)]
    pipe: Option<unix::Pipe>,
}

#[cfg(unix)]
impl StderrLines {
    /// Starts capturing if stderr is a terminal. A file still gets everything.
    pub(crate) fn capture() -> Self {
        use std::io::{self, IsTerminal as _};
        let pipe = io::stderr().is_terminal().then(unix::Pipe::open);
        Self {
            pipe: pipe.and_then(Result::ok),
        }
    }

    /// Takes the lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        let lines = |pipe: &unix::Pipe| pipe.lines.try_iter().take(unix::LINES_MAX).collect();
        self.pipe.as_ref().map_or_else(Vec::new, lines)
    }
}

#[cfg(unix)]
pub(crate) use unix::give_back;

#[cfg(not(unix))]
pub(crate) fn give_back() {}

#[cfg(not(unix))]
impl StderrLines {
    pub(crate) fn capture() -> Self {
        Self {}
    }

    pub(crate) fn take(&self) -> Vec<String> {
        Vec::new()
    }
}

/// Runs `work` with stderr discarded: while devices are listed, every sound system that is not
/// installed complains there.
#[cfg(unix)]
pub(crate) fn muffled<R>(work: impl FnOnce() -> R) -> R {
    let muffled = unix::Redirected::to_nothing();
    let result = work();
    drop(muffled);
    result
}

#[cfg(not(unix))]
pub(crate) fn muffled<R>(work: impl FnOnce() -> R) -> R {
    work()
}

#[cfg(unix)]
mod unix {
    use std::{
        fs::File,
        io::{self, BufRead as _, BufReader, Read as _},
        os::fd::{AsFd, OwnedFd},
        sync::{
            Mutex, PoisonError,
            mpsc::{self, Receiver, TrySendError},
        },
        thread,
    };

    /// Most lines that may wait to be fetched.
    pub(super) const LINES_MAX: usize = 200;
    /// The longest line.
    const LINE_BYTES_MAX: u64 = 1_000;

    /// The original stderr, while it is captured.
    static CAPTURED: Mutex<Option<OwnedFd>> = Mutex::new(None);

    /// Restores stderr even if a [`StderrLines`](super::StderrLines) still lives in a thread that
    /// is stuck: the program ends, and has a last line to write.
    pub(crate) fn give_back() {
        if let Some(before) = captured(None) {
            let _ = rustix::stdio::dup2_stderr(&before);
        }
    }

    fn captured(now: Option<OwnedFd>) -> Option<OwnedFd> {
        let mut captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut captured, now)
    }

    /// Redirects stderr until it is dropped.
    pub(super) struct Redirected {
        before: OwnedFd,
    }

    impl Redirected {
        fn to(target: impl AsFd) -> io::Result<Self> {
            let before = rustix::io::dup(rustix::stdio::stderr())?;
            rustix::stdio::dup2_stderr(target)?;
            Ok(Self { before })
        }

        /// Returns `None` if that fails: then it is noisy.
        pub(super) fn to_nothing() -> Option<Self> {
            let nothing = File::options().write(true).open("/dev/null");
            nothing.and_then(Self::to).ok()
        }
    }

    impl Drop for Redirected {
        fn drop(&mut self) {
            if let Err(error) = rustix::stdio::dup2_stderr(&self.before) {
                tracing::debug!(%error, "stderr is lost");
            }
        }
    }

    /// Redirects stderr into lines until it is dropped.
    pub(super) struct Pipe {
        pub(super) lines: Receiver<String>,
        _redirected: Redirected,
    }

    impl Pipe {
        pub(super) fn open() -> io::Result<Self> {
            let (reader, writer) = io::pipe()?;
            let (sender, lines) = mpsc::sync_channel(LINES_MAX);
            // Ends when stderr is restored: then the pipe's other end is closed.
            let read = move || {
                let mut reader = BufReader::new(reader);
                let mut line = Vec::new();
                loop {
                    line.clear();
                    let mut rest = reader.by_ref().take(LINE_BYTES_MAX);
                    let Ok(1..) = rest.read_until(b'\n', &mut line) else {
                        return;
                    };
                    let text = String::from_utf8_lossy(&line);
                    let text = text.chars().filter(|c| !c.is_control()).collect();
                    // Once enough lines wait, more are dropped: a flood must not block its writer.
                    if let Err(TrySendError::Disconnected(_)) = sender.try_send(text) {
                        return;
                    }
                }
            };
            thread::Builder::new().name("stderr".into()).spawn(read)?;
            let redirected = Redirected::to(writer)?;
            captured(redirected.before.try_clone().ok());
            Ok(Self {
                lines,
                _redirected: redirected,
            })
        }
    }

    impl Drop for Pipe {
        fn drop(&mut self) {
            captured(None);
        }
    }
}
