//! `cargo xtask firmware`: the node's image for microcontrollers, on the boards that QEMU emulates.

mod areas;
mod build;
mod core_alone;
mod cost;
pub mod counts;
mod elf;
mod forbidden;
mod measure;
mod run;
mod stack;
mod test;

use anyhow::Result;

use crate::report::Verdict;

#[derive(clap::Subcommand)]
pub enum Task {
    /// The golden vectors on both boards, and what must not be in the image
    Test,
    /// Flash, RAM, stack, instructions a frame and bytes on the line, compared with what was kept
    Measure(measure::Options),
    /// A board and a desktop client talk with each other in a room
    Run(run::Options),
}

/// `cargo xtask firmware ...`.
pub fn run(task: &Task) -> Result<Verdict> {
    match task {
        Task::Test => test::run(),
        Task::Measure(options) => measure::run(options),
        Task::Run(options) => run::run(options),
    }
}
