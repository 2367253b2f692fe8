//! `cargo xtask demo`: the main job on real speech. Two desktop clients, a node behind a serial line and the same node as a
//! firmware image on a Cortex-M4F in QEMU talk in one room, two more desktop clients in another, all over one server on this
//! machine; then what was heard is compared with what was said.

pub mod cast;
mod hearing;
pub mod plan;
pub mod stage;
pub mod verdict;

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use talkspurt_tests::firmware::{Board, MPS2_AN386};
use talkspurt_tests::programs::{PACKAGES, use_binaries_in};
use talkspurt_tests::speech::{sentence, speak};

use crate::firmware::counts;
use crate::report::Verdict;
use crate::run::{cargo, shown, target_dir};
use crate::setup::{Purpose, ensure_for};

use cast::{Experience, heard_path, spoken_path};
use plan::{PARTICIPANTS, Plan, UNSPOKEN_BY, rooms};
use stage::Shown;
use verdict::{Findings, seconds};

#[derive(clap::Args)]
pub struct Options {
    /// How long they talk; everyone speaks at least once
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=3600))]
    seconds: u32,
    /// Keep the spoken files beside the heard ones
    #[arg(long)]
    keep: bool,
}

/// `cargo xtask demo`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Build, Purpose::Speech, Purpose::Firmware])?;
    build(&[MPS2_AN386])?;

    eprintln!("==> making speech");
    let directory = prepare_directory("demo")?;
    let mut speech = Speech::new(&directory);
    let plan = Plan::new(&PARTICIPANTS, options.seconds, |speaker, nth| {
        speech.sentence(speaker, nth)
    })?;
    let unspoken = speech.sentence(UNSPOKEN_BY, 0)?;

    eprintln!(
        "==> {} participants talk in {} rooms",
        PARTICIPANTS.len(),
        rooms(&PARTICIPANTS).len()
    );
    let experiences = stage::perform(&plan, &directory, Shown::Speakers)?;

    eprintln!("==> comparing what was heard with what was said");
    let findings = Findings::measure(&plan, &experiences, &unspoken);
    println!(
        "\nWho heard whom (one talker at a time, mouth to ear)\n{}",
        findings.heard_table(&experiences)
    );
    println!(
        "\nWhat the gate saved\n{}",
        findings.savings_table(&experiences)
    );
    println!(
        "\nWhat nobody may hear (similarity; the last column is chance)\n{}",
        findings.traces_table(&experiences)
    );
    for Experience {
        participant,
        report,
        ..
    } in &experiences
    {
        if let Some(report) = report {
            let counts = counts::table_of(report)?;
            println!("\nWhat {}'s image counted\n{counts}", participant.name);
        }
    }
    print_recordings(&directory, &experiences);
    if !options.keep {
        speech.remove(&plan)?;
    }
    let verdict = Verdict::from(findings.good());
    match verdict {
        Verdict::Good => println!("\nEveryone heard their own room and nothing else."),
        Verdict::Bad => println!("\nNot as it must be: see WRONG above."),
    }
    Ok(verdict)
}

/// Where to listen to what was heard.
pub fn print_recordings(directory: &Path, experiences: &[Experience]) {
    println!("\nListen to it:");
    for experience in experiences {
        let path = heard_path(directory, &experience.participant);
        println!(
            "  {}  ({:.1} s)",
            path.display(),
            seconds(&experience.heard)
        );
    }
}

/// Builds the programs as they are shipped, and images that log for these boards.
pub fn build(boards: &[Board]) -> Result<()> {
    eprintln!("==> building the programs");
    let packages = PACKAGES
        .iter()
        .filter(|package| **package != "talkspurt-load");
    shown(
        cargo()
            .args(["build", "--release", "--bins"])
            .args(packages.flat_map(|package| ["--package", package])),
    )?;
    use_binaries_in(target_dir().join("release"));
    for board in boards {
        eprintln!("==> building the image for {}", board.machine);
        board.image()?;
    }
    Ok(())
}

/// `target/NAME/`, empty.
pub fn prepare_directory(name: &str) -> Result<PathBuf> {
    let directory = target_dir().join(name);
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// Sentences, each made once.
pub struct Speech {
    directory: PathBuf,
    made: HashMap<(usize, usize), Vec<i16>>,
}

impl Speech {
    /// To be made in `directory`.
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            made: HashMap::new(),
        }
    }

    /// The `nth` sentence of a speaker.
    pub fn sentence(&mut self, speaker: usize, nth: usize) -> Result<Vec<i16>> {
        if let Some(made) = self.made.get(&(speaker, nth)) {
            return Ok(made.clone());
        }
        let sound = speak(&sentence(speaker, nth), &self.path(speaker, nth))?;
        self.made.insert((speaker, nth), sound.clone());
        Ok(sound)
    }

    fn path(&self, speaker: usize, nth: usize) -> PathBuf {
        self.directory.join(format!("sentence-{speaker}-{nth}.wav"))
    }

    /// Removes the single sentences and what was spoken.
    pub fn remove(&self, plan: &Plan) -> Result<()> {
        let sentences = self
            .made
            .keys()
            .map(|&(speaker, nth)| self.path(speaker, nth));
        let spoken = plan
            .participants
            .iter()
            .map(|participant| spoken_path(&self.directory, participant));
        for path in sentences.chain(spoken) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}
