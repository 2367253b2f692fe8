//! Standard output and error that may be closed, full or unread, and the log on them.
//!
//! Nothing here panics because a stream cannot be written, and nothing that an audio program calls
//! waits for a reader:
//!
//! - [`start_log`] sends the log to stderr through a thread. Lines that stderr does not take are
//!   lost, at no other cost.
//! - [`print()`] writes the answer of a program that does one thing and exits. It may block, as
//!   `ls` does.
//! - [`Lines`] writes the events of a long-running program. It never blocks.
//! - [`report`] writes a last line for people to stderr.
//! - [`exit`] turns the outcome of a program into that line and the exit code.

mod lines;
mod log;
mod watch;

pub use lines::Lines;
pub use log::{Log, LogFormat, start_log};
pub use watch::{stdout_is_closed, terminal_is_gone};

use crate::words;
use std::{
    fmt,
    io::{self, Write as _},
    process::ExitCode,
    time::Duration,
};

/// Exit code for a flag or variable that cannot be used, the same as clap's.
const EXIT_USAGE: u8 = 2;
/// Exit code for anything else.
const EXIT_FAILURE: u8 = 1;
/// How long [`report`] waits for a stderr that takes nothing, such as a terminal stopped by Ctrl-S.
const REPORT_PATIENCE: Duration = Duration::from_millis(200);

/// Why stdout takes no more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OutputError {
    /// The reader has closed it and wants no more, which is not a failure.
    #[error("stdout was closed")]
    Closed,
    /// It cannot be written.
    #[error("cannot write to stdout: {0}")]
    Failed(String),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(words::describe(&error)),
        }
    }
}

/// Why a program ends without having done its job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A flag or variable that cannot be used: exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Stdout takes no more: exit code 1, or 0 without a message when its reader has closed it.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// Anything else: exit code 1.
    #[error("{0}")]
    Failed(String),
}

impl Problem {
    /// A flag or argument that cannot be used: as the user types it, what is wrong with it, and
    /// what to write instead.
    pub fn with_flag(flag: &str, problem: impl fmt::Display) -> Self {
        Self::Usage(format!("{flag}: {problem}"))
    }
}

/// Returns the exit code for a program's outcome, after reporting what went wrong in one line on
/// stderr.
pub fn exit(program: &str, outcome: Result<(), Problem>) -> ExitCode {
    ExitCode::from(exit_code(program, outcome))
}

/// Does the same, and returns a number.
pub(crate) fn exit_code(program: &str, outcome: Result<(), Problem>) -> u8 {
    let (text, code) = match outcome {
        Ok(()) | Err(Problem::Output(OutputError::Closed)) => return 0,
        Err(Problem::Usage(text)) => (text, EXIT_USAGE),
        Err(problem) => (problem.to_string(), EXIT_FAILURE),
    };
    // Libraries put the system's own errors into their texts.
    report(&format!("{program}: {}", words::without_numbers(text)));
    code
}

/// Writes text to stdout, and waits until it is written.
///
/// # Errors
/// [`OutputError::Closed`] if its reader has gone, [`OutputError::Failed`] if it cannot be written.
pub fn print(text: &str) -> Result<(), OutputError> {
    let mut stdout = io::stdout().lock();
    let written = stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush());
    match written {
        Ok(()) => Ok(()),
        // A terminal that has gone gives an input/output error.
        Err(_) if stdout_is_closed(Duration::ZERO) => Err(OutputError::Closed),
        Err(error) => Err(error.into()),
    }
}

/// Writes a line to stderr. Ignores a failure: there is nobody to tell.
pub fn report(line: &str) {
    show(&format!("{line}\n"));
}

/// Writes text to stderr without a line end, such as a meter that is redrawn.
pub fn show(text: &str) {
    if watch::stderr_takes_more(REPORT_PATIENCE) {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_stdout_is_no_failure_and_a_full_one_is() {
        let failed = OutputError::Failed("no space left".to_owned());
        for (error, code) in [(OutputError::Closed, 0), (failed, 1)] {
            assert_eq!(exit_code("talkspurt", Err(error.into())), code);
        }
    }
}
