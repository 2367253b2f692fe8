//! `cargo xtask firmware`: the node's image for microcontrollers, on the boards that QEMU emulates.

mod board;
mod test;

use anyhow::Result;

use crate::report::Verdict;

#[derive(clap::Subcommand)]
pub enum Task {
    /// The golden vectors on both boards
    Test,
}

/// `cargo xtask firmware ...`.
pub fn run(task: &Task) -> Result<Verdict> {
    match task {
        Task::Test => test::run(),
    }
}
