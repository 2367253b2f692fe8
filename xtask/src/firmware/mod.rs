//! `cargo xtask firmware`: the node's image for microcontrollers, on the boards that QEMU emulates.

mod board;
pub mod counts;
mod run;
mod test;

use anyhow::Result;

use crate::report::Verdict;

#[derive(clap::Subcommand)]
pub enum Task {
    /// The golden vectors on both boards
    Test,
    /// A board and a desktop client talk with each other in a room
    Run(run::Options),
}

/// `cargo xtask firmware ...`.
pub fn run(task: &Task) -> Result<Verdict> {
    match task {
        Task::Test => test::run(),
        Task::Run(options) => run::run(options),
    }
}
