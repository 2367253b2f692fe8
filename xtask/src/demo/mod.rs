//! `cargo xtask demo`: the main job on synthetic voices. Two desktop clients and a node behind a
//! serial line talk in one room, with them the same node as a firmware image on a Cortex-M4F where
//! QEMU is there, two more desktop clients in another, all over one server on this machine; then
//! what was heard is compared with what was said.

pub mod cast;
mod listen;
pub mod plan;
pub mod stage;
pub mod verdict;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use talkspurt_testkit::board::{Board, MPS2_AN386};
use talkspurt_testkit::busy_machine::{Lateness, Watch, wait_for_calm};
use talkspurt_testkit::programs::use_binaries_in;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::wav::millis;

use crate::firmware::counts;
use crate::report::Verdict;
use crate::run::{cargo, prepare_directory, shown, target_dir};
use crate::setup::{Purpose, board_is_ready, ensure_for};

use cast::{Experience, HEARD, heard_path};
use plan::{Participant, Plan, UNSPOKEN_BY, participants, rooms};
use stage::Shown;
use verdict::Findings;

#[derive(clap::Args)]
pub struct Options {
    /// How long they talk; everyone speaks at least once
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Keep the spoken files beside the heard ones
    #[arg(long)]
    keep: bool,
    /// Add a Cortex-M in QEMU, and install what that needs [default: only where it is there
    /// already]
    #[arg(long)]
    board: bool,
    /// Play what was heard at the end [default: only on a terminal]
    #[arg(long)]
    play: bool,
}

/// `cargo xtask demo`.
pub fn run(options: &Options) -> Result<Verdict> {
    let mut purposes = vec![Purpose::Build, Purpose::Speech];
    purposes.extend(options.board.then_some(Purpose::Firmware));
    ensure_for(&purposes)?;
    let with_board = options.board || board_is_ready(MPS2_AN386);
    if !with_board {
        eprintln!(
            "==> without a Cortex-M: `cargo xtask demo --board` adds one (and installs QEMU)"
        );
    }
    let participants = participants(with_board);
    build(if with_board { &[MPS2_AN386] } else { &[] })?;
    let what = format!(
        "{} participants talk in {} rooms",
        participants.len(),
        rooms(&participants).len()
    );
    let directory = target_dir().join("demo");
    let played = play(
        &participants,
        options.seconds,
        &directory,
        Shown::Speakers,
        &what,
    )?;
    played.print_tables();
    println!(
        "\nWhat nobody may hear (similarity; \"nobody\": to a sentence that was not said)\n{}",
        played.findings.traces_table()
    );
    for Experience {
        participant,
        report,
        ..
    } in &played.experiences
    {
        if let Some(report) = report {
            let counts = counts::table_of(report)?;
            println!("\nWhat {}'s image counted\n{counts}", participant.name);
        }
    }
    if !options.keep {
        keep_only_heard(&directory)?;
    }
    let verdict = Verdict::from(played.findings.good());
    match verdict {
        Verdict::Good => println!("\nEveryone heard their own room and nothing else."),
        Verdict::Bad => println!("\nNot as it must be: see WRONG above. {}", played.blame()),
    }
    played.print_recordings(&directory);
    listen::offer(&heard_path(&directory, &participants[0]), options.play);
    Ok(verdict)
}

/// A conversation, what came of it, and how late this machine's timers were meanwhile.
pub struct Played {
    pub experiences: Vec<Experience>,
    pub findings: Findings,
    lateness: Lateness,
}

impl Played {
    /// Who heard whom, and what the gate saved.
    pub fn print_tables(&self) {
        println!(
            "\nWho heard whom (one talker at a time, mouth to ear)\n{}",
            self.findings.heard_table()
        );
        println!("\nWhat the gate saved\n{}", self.findings.savings_table());
    }

    /// Where to listen to what was heard.
    pub fn print_recordings(&self, directory: &Path) {
        println!("\nWhat each of them heard:");
        for Experience {
            participant, heard, ..
        } in &self.experiences
        {
            let path = heard_path(directory, participant);
            let seconds = millis(heard.len()) / 1_000.0;
            println!("  {}  ({seconds:.1} s)", path.display());
        }
    }

    /// Whether the machine or the programs are to blame for what is wrong.
    pub fn blame(&self) -> String {
        let lateness = self.lateness;
        if lateness.spoils() {
            format!(
                "This machine was too busy for live sound, twice: {lateness}. \
                 End what else runs here, and try again."
            )
        } else {
            format!("The machine is not to blame: {lateness}.")
        }
    }
}

/// Lets the participants talk for about so many seconds, with `directory` for their files, and
/// compares what was heard with what was said. Once more where that is not as it must be and the
/// machine was too busy to judge.
pub fn play(
    participants: &[Participant],
    seconds: u32,
    directory: &Path,
    shown: Shown,
    what: &str,
) -> Result<Played> {
    eprintln!("==> making speech");
    prepare_directory(directory)?;
    let make = |speaker, nth| {
        let file = directory.join(format!("sentence-{speaker}-{nth}.wav"));
        speak(&sentence(speaker, nth), &file)
    };
    let plan = Plan::new(participants, seconds, make)?;
    let unspoken = make(UNSPOKEN_BY, 0)?;
    eprintln!("==> {what}");
    let attempt = || {
        let watch = Watch::start_with_line();
        let experiences = stage::perform(&plan, directory, shown);
        let lateness = watch.finish();
        let played = experiences.map(|experiences| {
            eprintln!("==> comparing what was heard with what was said");
            let findings = Findings::measure(&plan, &experiences, &unspoken);
            Played {
                experiences,
                findings,
                lateness,
            }
        });
        (played, lateness)
    };
    once_more_if_spoilt(attempt, || wait_for_calm(Watch::start_with_line))
}

/// Removes the single sentences and what was spoken.
pub fn keep_only_heard(directory: &Path) -> Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if !path.to_string_lossy().ends_with(HEARD) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
    }
    Ok(())
}

fn once_more_if_spoilt(
    mut attempt: impl FnMut() -> (Result<Played>, Lateness),
    between: impl Fn(),
) -> Result<Played> {
    let (played, lateness) = attempt();
    let good = played.as_ref().is_ok_and(|played| played.findings.good());
    if good || !lateness.spoils() {
        return played;
    }
    let wrong = match &played {
        Ok(played) => played.findings.faults().join("; "),
        Err(error) => format!("{error:#}"),
    };
    eprintln!(
        "==> this run was spoilt by load: {lateness}\n    wrong was: {wrong}\n    once more:"
    );
    between();
    let (played, lateness) = attempt();
    played.with_context(|| format!("two runs failed; in the second {lateness}"))
}

/// Builds the programs that are run, and images that log for these boards.
///
/// As the tests build them: what this program shares with them is there already, and nobody waits
/// for an optimisation that the sound of six participants does not need.
pub fn build(boards: &[Board]) -> Result<()> {
    eprintln!("==> building the programs (the first time takes a few minutes)");
    let mut packages = vec!["talkspurt-server", "talkspurt-client", "talkspurt-node"];
    // It decodes what the image logs.
    packages.extend((!boards.is_empty()).then_some("talkspurt-log"));
    let packages = packages.iter().flat_map(|package| ["--package", package]);
    shown(cargo().args(["build", "--bins"]).args(packages))?;
    use_binaries_in(target_dir().join("debug"));
    for board in boards {
        eprintln!("==> building the image for {}", board.machine);
        board.image()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::time::Duration;

    use super::*;

    const BUSY: Lateness = Lateness {
        sleeps: 1_000,
        late: 9,
        worst: Duration::from_millis(140),
        crowded: Some(0.7),
        line: true,
    };

    fn nothing_heard(lateness: Lateness) -> Played {
        Played {
            experiences: Vec::new(),
            findings: Findings::default(),
            lateness,
        }
    }

    /// How often it was played, where the first time fails with such timers.
    fn times_played(lateness: Lateness) -> u32 {
        let count = Cell::new(0);
        let attempt = || {
            count.set(count.get() + 1);
            let played = if count.get() == 1 {
                Err(anyhow::anyhow!("door left before its time"))
            } else {
                Ok(nothing_heard(lateness))
            };
            (played, lateness)
        };
        let _ = once_more_if_spoilt(attempt, || ());
        count.get()
    }

    #[test]
    fn only_what_load_has_spoilt_is_played_again_and_once() {
        assert_eq!(times_played(BUSY), 2);
        assert_eq!(times_played(Lateness::default()), 1);
        let twice = once_more_if_spoilt(|| (Err(anyhow::anyhow!("no")), BUSY), || ());
        let error = format!("{:#}", twice.err().unwrap());
        assert!(error.contains("140 ms late"), "{error}");
    }

    #[test]
    fn the_blame_names_the_lateness() {
        let blame = nothing_heard(BUSY).blame();
        assert!(
            blame.contains("too busy") && blame.contains("140 ms late"),
            "{blame}"
        );
        let blame = nothing_heard(Lateness::default()).blame();
        assert!(blame.contains("not to blame"), "{blame}");
    }
}
