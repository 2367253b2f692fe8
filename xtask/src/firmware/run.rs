//! `cargo xtask firmware run`: a board in QEMU and a desktop client talk with each other, the
//! board's log beside.

use anyhow::{Context, Result};
use talkspurt_testkit::board::BOARDS;

use super::counts;
use crate::demo::plan::{Kind, Participant};
use crate::demo::stage::Shown;
use crate::demo::{build, keep_only_heard, play};
use crate::report::Verdict;
use crate::run::target_dir;
use crate::setup::{Purpose, ensure_for};

#[derive(clap::Args)]
pub struct Options {
    /// The board that QEMU emulates: a Cortex-M4F or a Cortex-M3
    #[arg(long, default_value = BOARDS[0].machine, value_parser = BOARDS.map(|board| board.machine))]
    board: String,
    /// How long they talk; both speak at least once
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
}

/// `cargo xtask firmware run`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Build, Purpose::Speech, Purpose::Firmware])?;
    let board = BOARDS.iter().find(|board| board.machine == options.board);
    let board = *board.context("clap knows the boards")?;
    build(&[board])?;
    let participants = [
        Participant::new("ann", "lab", Kind::Desktop("adpcm"), 0),
        Participant::new("chip", "lab", Kind::Firmware(board), 5),
    ];
    let directory = target_dir().join("firmware-run");
    let what = format!(
        "a desktop and a {} talk, and this is its log",
        board.machine
    );
    let played = play(
        &participants,
        options.seconds,
        &directory,
        Shown::BoardLogs,
        &what,
    )?;
    keep_only_heard(&directory)?;
    played.print_tables();
    let report = played
        .experiences
        .iter()
        .find_map(|experience| experience.report.as_ref());
    let report = report.context("a board reports")?;
    println!(
        "\nWhat the image on {} counted\n{}",
        board.machine,
        counts::table_of(report)?
    );
    played.print_recordings(&directory);
    let verdict = Verdict::from(played.findings.good() && report.get("joins")? == 1);
    match verdict {
        Verdict::Good => println!("\nBoth heard each other."),
        Verdict::Bad => println!(
            "\nNot as it must be: see WRONG above, or more than one joining. {}",
            played.blame()
        ),
    }
    Ok(verdict)
}
