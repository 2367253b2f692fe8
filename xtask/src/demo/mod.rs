//! `cargo xtask demo`: the main job on real speech. Two desktop clients and a node behind a serial line talk in one room,
//! two more desktop clients in another, all over one server on this machine; then what was heard is compared with what
//! was said.

mod plan;
mod stage;
mod verdict;

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use talkspurt_tests::programs::{PACKAGES, use_binaries_in};
use talkspurt_tests::speech::{sentence, speak};

use crate::report::Verdict;
use crate::run::{cargo, shown, target_dir};
use crate::setup::{Purpose, ensure_for};

use plan::{PARTICIPANTS, Plan, UNSPOKEN_BY, rooms};
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
    ensure_for(&[Purpose::Build, Purpose::Speech])?;
    eprintln!("==> building the programs");
    build()?;

    eprintln!("==> making speech");
    let directory = prepare_directory()?;
    let mut speech = Speech {
        directory: directory.clone(),
        made: HashMap::new(),
    };
    let plan = Plan::new(options.seconds, |speaker, nth| {
        speech.sentence(speaker, nth)
    })?;
    let unspoken = speech.sentence(UNSPOKEN_BY, 0)?;

    eprintln!(
        "==> {} participants talk in {} rooms",
        PARTICIPANTS.len(),
        rooms().len()
    );
    let experiences = stage::perform(&plan, &directory)?;

    eprintln!("==> comparing what was heard with what was said");
    let findings = Findings::measure(&plan, &experiences, &unspoken)?;
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
    println!("\nListen to it:");
    for experience in &experiences {
        let path = stage::heard_path(&directory, &experience.participant);
        println!(
            "  {}  ({:.1} s)",
            path.display(),
            seconds(&experience.heard)
        );
    }
    if !options.keep {
        speech.remove()?;
    }
    let verdict = Verdict::from(findings.good());
    match verdict {
        Verdict::Good => println!("\nEveryone heard their own room and nothing else."),
        Verdict::Bad => println!("\nNot as it must be: see WRONG above."),
    }
    Ok(verdict)
}

/// Builds the programs as they are shipped.
fn build() -> Result<()> {
    let packages = PACKAGES
        .iter()
        .filter(|package| **package != "talkspurt-load");
    shown(
        cargo()
            .args(["build", "--release", "--bins"])
            .args(packages.flat_map(|package| ["--package", package])),
    )?;
    use_binaries_in(target_dir().join("release"));
    Ok(())
}

/// `target/demo/`, empty.
fn prepare_directory() -> Result<PathBuf> {
    let directory = target_dir().join("demo");
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    Ok(directory)
}

/// Sentences, each made once.
struct Speech {
    directory: PathBuf,
    made: HashMap<(usize, usize), Vec<i16>>,
}

impl Speech {
    fn sentence(&mut self, speaker: usize, nth: usize) -> Result<Vec<i16>> {
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
    fn remove(&self) -> Result<()> {
        let sentences = self
            .made
            .keys()
            .map(|&(speaker, nth)| self.path(speaker, nth));
        let spoken = PARTICIPANTS
            .iter()
            .map(|participant| stage::spoken_path(&self.directory, participant));
        for path in sentences.chain(spoken) {
            fs::remove_file(&path).with_context(|| format!("cannot remove {}", path.display()))?;
        }
        Ok(())
    }
}
