//! Looks at stdout and stderr without writing to them.

pub(super) use platform::stderr_takes_more;
pub use platform::{stdout_is_closed, terminal_is_gone};

#[cfg(unix)]
mod platform {
    use rustix::{
        event::{PollFd, PollFlags, Timespec, poll},
        stdio,
    };
    use std::{os::fd::BorrowedFd, time::Duration};

    /// Returns what happened to a descriptor within `patience`. Errors and hang-ups are always
    /// included.
    fn events(fd: BorrowedFd<'_>, wanted: PollFlags, patience: Duration) -> PollFlags {
        let mut fds = [PollFd::from_borrowed_fd(fd, wanted)];
        let timeout = Timespec::try_from(patience).unwrap_or_default();
        match poll(&mut fds, Some(&timeout)) {
            Ok(_) => fds[0].revents(),
            // Interrupted by a signal: nothing is known, and the caller asks again.
            Err(_) => PollFlags::empty(),
        }
    }

    /// Returns whether the reader of stdout has gone: the other end of a pipe is closed, or the
    /// terminal has hung up. Waits up to `patience` for that to happen.
    ///
    /// A program with nothing to write finds out only here. A write would tell it, but there may be
    /// none for hours.
    #[must_use]
    pub fn stdout_is_closed(patience: Duration) -> bool {
        let gone = PollFlags::ERR | PollFlags::HUP | PollFlags::NVAL;
        events(stdio::stdout(), PollFlags::empty(), patience).intersects(gone)
    }

    /// Returns whether the terminal on stdin or stdout has hung up, as when its window was closed.
    /// Reading from such a terminal gives end of file for ever. Only for programs that were started
    /// on a terminal: a pipe whose writer has gone looks the same.
    #[must_use]
    pub fn terminal_is_gone() -> bool {
        [stdio::stdin(), stdio::stdout()]
            .into_iter()
            .any(|fd| events(fd, PollFlags::empty(), Duration::ZERO).intersects(PollFlags::HUP))
    }

    /// Returns whether stderr can be written at once. Waits up to `patience` for it.
    pub fn stderr_takes_more(patience: Duration) -> bool {
        !events(stdio::stderr(), PollFlags::OUT, patience).is_empty()
    }
}

#[cfg(not(unix))]
mod platform {
    use std::{thread, time::Duration};

    pub fn stdout_is_closed(patience: Duration) -> bool {
        thread::sleep(patience);
        false
    }

    pub fn terminal_is_gone() -> bool {
        false
    }

    pub fn stderr_takes_more(_patience: Duration) -> bool {
        true
    }
}
