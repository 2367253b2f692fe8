//! A host's replacements for a microcontroller's hardware, and what both programs share.

pub mod arguments;
pub mod pace;
pub mod report;
pub mod shutdown;
pub mod simulator;

use std::io::{self, ErrorKind};

/// Whether a read or write of a port or connection had only nothing to do in its time.
pub(crate) fn is_only_waiting(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}
