//! `cargo xtask firmware run`: a board in QEMU and a desktop client talk with each other, the board's log beside.

use anyhow::{Context, Result};
use clap::builder::PossibleValuesParser;
use talkspurt_testkit::board::BOARDS;

use super::counts;
use crate::demo::plan::{Kind, Participant, Plan, UNSPOKEN_BY};
use crate::demo::stage::Shown;
use crate::demo::{Speech, build, play, print_recordings};
use crate::report::Verdict;
use crate::run::{prepare_directory, target_dir};
use crate::setup::{Purpose, ensure_for};

const ROOM: &str = "lab";

#[derive(clap::Args)]
pub struct Options {
    /// The board that QEMU emulates: a Cortex-M4F or a Cortex-M3
    #[arg(long, default_value = BOARDS[0].machine, value_parser = PossibleValuesParser::new(BOARDS.map(|board| board.machine)))]
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
        Participant {
            name: "ann",
            room: ROOM,
            kind: Kind::Desktop("adpcm"),
            speaker: 0,
        },
        Participant {
            name: "chip",
            room: ROOM,
            kind: Kind::Firmware(board),
            speaker: 5,
        },
    ];
    let directory = target_dir().join("firmware-run");
    prepare_directory(&directory)?;
    let mut speech = Speech::new(&directory);
    let plan = Plan::new(&participants, options.seconds, |speaker, nth| {
        speech.sentence(speaker, nth)
    })?;
    let unspoken = speech.sentence(UNSPOKEN_BY, 0)?;

    eprintln!(
        "==> a desktop and a {} talk, and this is its log",
        board.machine
    );
    let played = play(&plan, &directory, Shown::BoardLogs, &unspoken)?;
    speech.remove(&plan)?;

    let (experiences, findings) = (&played.experiences, &played.findings);
    println!(
        "\nWho heard whom (mouth to ear)\n{}",
        findings.heard_table(experiences)
    );
    println!(
        "\nWhat the gate saved\n{}",
        findings.savings_table(experiences)
    );
    let report = experiences
        .iter()
        .find_map(|experience| experience.report.as_ref());
    let report = report.context("a board reports")?;
    println!(
        "\nWhat the image on {} counted\n{}",
        board.machine,
        counts::table_of(report)?
    );
    print_recordings(&directory, experiences);
    let verdict = Verdict::from(findings.good() && report.get("joins")? == 1);
    match verdict {
        Verdict::Good => println!("\nBoth heard each other."),
        Verdict::Bad => println!(
            "\nNot as it must be: see WRONG above, or more than one joining. {}",
            played.blame()
        ),
    }
    Ok(verdict)
}
