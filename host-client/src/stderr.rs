//! What libraries write to stderr behind our back (ALSA's plugins, the JACK client) goes where it
//! does no harm.

/// While this lives, what is written to stderr becomes lines to be fetched: in the live view it
/// would tear the picture.
pub(crate) struct StderrLines {
    #[cfg(unix)]
    pipe: Option<unix::Pipe>,
}

#[cfg(unix)]
impl StderrLines {
    /// Only if stderr is a terminal: a file that it was sent to goes on getting everything.
    pub(crate) fn capture() -> Self {
        use std::io::{self, IsTerminal as _};
        let pipe = io::stderr().is_terminal().then(unix::Pipe::open);
        Self {
            pipe: pipe.and_then(Result::ok),
        }
    }

    /// The lines since the last call.
    pub(crate) fn take(&self) -> Vec<String> {
        self.pipe
            .as_ref()
            .map(|pipe| pipe.lines.try_iter().take(unix::LINES_MAX).collect())
            .unwrap_or_default()
    }
}

/// Gives stderr back although a [`StderrLines`] may still live, in a thread that is stuck: the
/// program ends, and has a last line to say.
#[cfg(unix)]
pub(crate) fn give_back() {
    unix::give_back();
}

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

/// Runs `work` with stderr going nowhere: every sound system that is not installed complains there
/// while devices are listed.
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
        fs::OpenOptions,
        io::{self, BufRead as _, BufReader, Read as _},
        os::fd::{AsFd, OwnedFd},
        sync::{
            Mutex, PoisonError,
            mpsc::{self, Receiver, TrySendError},
        },
        thread,
    };

    /// Lines that may wait to be fetched.
    pub(super) const LINES_MAX: usize = 200;
    /// The longest line.
    const LINE_BYTES_MAX: u64 = 1_000;

    /// Where stderr went before it was captured, while it is.
    static CAPTURED: Mutex<Option<OwnedFd>> = Mutex::new(None);

    pub(super) fn give_back() {
        if let Some(before) = captured(None) {
            let _ = rustix::stdio::dup2_stderr(&before);
        }
    }

    fn captured(now: Option<OwnedFd>) -> Option<OwnedFd> {
        let mut captured = CAPTURED.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut captured, now)
    }

    /// stderr goes elsewhere until this is dropped.
    pub(super) struct Redirected {
        before: OwnedFd,
    }

    impl Redirected {
        fn to(target: impl AsFd) -> io::Result<Self> {
            let before = rustix::io::dup(rustix::stdio::stderr())?;
            rustix::stdio::dup2_stderr(target)?;
            Ok(Self { before })
        }

        /// `None` where that does not work: then it is noisy.
        pub(super) fn to_nothing() -> Option<Self> {
            OpenOptions::new()
                .write(true)
                .open("/dev/null")
                .and_then(Self::to)
                .ok()
        }
    }

    impl Drop for Redirected {
        fn drop(&mut self) {
            if let Err(error) = rustix::stdio::dup2_stderr(&self.before) {
                tracing::debug!(%error, "stderr is lost");
            }
        }
    }

    /// stderr redirected into lines, until it is dropped.
    pub(super) struct Pipe {
        pub(super) lines: Receiver<String>,
        _redirected: Redirected,
    }

    impl Pipe {
        pub(super) fn open() -> io::Result<Self> {
            let (reader, writer) = io::pipe()?;
            let (sender, lines) = mpsc::sync_channel(LINES_MAX);
            // Ends when stderr is given back: then nobody holds the pipe's other end.
            let read = move || {
                let mut reader = BufReader::new(reader);
                loop {
                    let mut line = Vec::new();
                    match reader
                        .by_ref()
                        .take(LINE_BYTES_MAX)
                        .read_until(b'\n', &mut line)
                    {
                        Ok(0) | Err(_) => return,
                        Ok(_) => {}
                    }
                    let text: String = String::from_utf8_lossy(&line)
                        .chars()
                        .filter(|c| !c.is_control())
                        .collect();
                    // Lines that nobody has fetched yet are enough: a flood of them must not stop
                    // its writer.
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
