//! `cargo xtask`: the demo, the tests and the checks of the workspace, on a machine where nothing
//! is prepared.
//!
//! Each command first sees to the system packages and tools that it needs (`setup`), says what it
//! does, and ends with a table. The exit code is 0 only where everything is as it must be.

mod bench;
mod budget;
mod check;
mod demo;
mod docker;
mod firmware;
mod fuzz;
mod mutants;
mod quality;
mod report;
mod run;
mod setup;
mod test;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::report::Verdict;

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "Demo, tests and checks of Talkspurt"
)]
struct Arguments {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Synthetic voices in two rooms, five participants and, where QEMU is installed, a Cortex-M:
    /// who heard whom, how late and how faithfully
    Demo(demo::Options),
    /// Every test of the workspace, end to end ones included; ends with a table per suite
    Test(test::Options),
    /// Formatting, lints, documentation, licences and the microcontroller builds
    Check,
    /// Fuzzes the deframer, the sessions and the sound files, starting from the kept corpus
    Fuzz(fuzz::Options),
    /// Instruction counts of one frame's way through the core, against the kept budget
    Bench(bench::Options),
    /// Whether the tests of the core and the server notice changes of the code, against the kept
    /// score; takes hours
    Mutants(mutants::Options),
    /// How speech gets through: what the gate misses, what lost packets cost, and the delay from
    /// mouth to ear; ends with tables
    Quality(quality::Options),
    /// The node's image for microcontrollers, in QEMU
    #[command(subcommand)]
    Firmware(firmware::Task),
    /// Builds the server's image and checks its size
    Docker,
    /// Installs the system packages and tools that the other commands need
    Setup(setup::Options),
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().task {
        Task::Demo(options) => demo::run(&options),
        Task::Test(options) => test::run(&options),
        Task::Check => check::run(),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Bench(options) => bench::run(&options),
        Task::Mutants(options) => mutants::run(&options),
        Task::Quality(options) => quality::run(&options),
        Task::Firmware(task) => firmware::run(&task),
        Task::Docker => docker::run(),
        Task::Setup(options) => setup::run(&options),
    };
    match outcome {
        Ok(Verdict::Good) => ExitCode::SUCCESS,
        Ok(Verdict::Bad) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }
}
