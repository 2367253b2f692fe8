//! `cargo xtask mutants`: would the tests notice if the code were wrong? cargo-mutants changes one
//! place at a time, in the core, in the hub, and in those parts of the server that have no sockets,
//! and runs the package's own tests.
//!
//! What must be caught, and which changes change nothing, is kept in `tests/mutants.json`. A whole
//! run takes hours; `--shard` divides it, and the shards of one commit are added up.

mod kept;
mod outcome;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use talkspurt_testkit::workspace;

use crate::report::{Verdict, table};
use crate::run::{cargo, command, find_program, line, output, target_dir};
use crate::setup::ensure_cargo_tool;

use kept::Kept;
use outcome::{Mutant, Outcome};

#[derive(clap::Args)]
pub struct Options {
    /// Only this package [default: all]
    #[arg(long)]
    package: Option<Package>,
    /// One part of N, K/N from 0/N on; with all N parts of a commit tested, the score is that of
    /// the whole
    #[arg(long, value_name = "K/N", value_parser = parse_shard)]
    shard: Option<Shard>,
    /// Only what this diff changes: a file as `git diff` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    in_diff: Option<PathBuf>,
    /// Mutants tested at a time, each with a build directory of its own
    #[arg(long, default_value_t = 1)]
    jobs: u32,
}

/// What is tested.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Package {
    /// Everything that a microcontroller can do
    Core,
    /// Rooms and all that is in them
    Hub,
    /// The rest of the server, without its sockets
    Server,
}

/// A part of all mutants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    index: u32,
    of: u32,
}

/// The server's files without sockets, clocks or a command line.
const PURE: [&str; 4] = [
    "host-server/src/capacity.rs",
    "host-server/src/journal.rs",
    "host-server/src/trouble.rs",
    "host-server/src/turns.rs",
];

/// Far more than a package and all that it needs take to build, on a busy machine too.
const BUILD_TIMEOUT: Duration = Duration::from_secs(600);

impl Package {
    /// Cargo's name for it.
    fn name(self) -> &'static str {
        match self {
            Self::Core => "talkspurt-core",
            Self::Hub => "talkspurt-hub",
            Self::Server => "talkspurt-server",
        }
    }

    /// The files that are mutated; none means all of the package.
    fn files(self) -> &'static [&'static str] {
        match self {
            Self::Core | Self::Hub => &[],
            Self::Server => &PURE,
        }
    }

    /// The tests that are fast, and whose subject these files are.
    fn tests(self) -> &'static [&'static str] {
        match self {
            Self::Core => &["--lib", "--tests"],
            Self::Hub | Self::Server => &["--lib"],
        }
    }
}

/// `cargo xtask mutants`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_cargo_tool("cargo-mutants", None)?;
    let commit = output(command("git").args(["rev-parse", "HEAD"])).unwrap_or_default();
    let kept = Kept::read(&workspace::root().join("tests/mutants.json"))?;
    let packages = match &options.package {
        Some(package) => std::slice::from_ref(package),
        None => Package::value_variants(),
    };
    let mut rows = Vec::new();
    for &package in packages {
        let directory = test(package, options, &commit)?;
        rows.push(Row::gather(
            package,
            &directory,
            options.shard,
            &commit,
            &kept,
        )?);
    }
    report(&rows);
    Ok(Verdict::from(rows.iter().all(Row::good)))
}

/// Runs cargo-mutants on one package; the directory of its results.
fn test(package: Package, options: &Options, commit: &str) -> Result<PathBuf> {
    let directory = results_dir(package, options.shard, options.in_diff.is_some());
    // Where nothing is to be tested, cargo-mutants would leave the results of another time.
    if directory.exists() {
        fs::remove_dir_all(&directory)
            .with_context(|| format!("cannot empty {}", directory.display()))?;
    }
    fs::create_dir_all(&directory)
        .with_context(|| format!("cannot make {}", directory.display()))?;
    fs::write(directory.join("commit"), commit)?;
    let mut mutants = cargo();
    mutants.args(["mutants", "--package", package.name(), "--no-shuffle"]);
    mutants.args(["--jobs", &options.jobs.to_string()]);
    mutants.arg("--output").arg(&directory);
    // A loop in a constant that comes to no end hangs the compiler.
    mutants.args(["--build-timeout", &BUILD_TIMEOUT.as_secs().to_string()]);
    for file in package.files() {
        mutants.args(["--file", file]);
    }
    // Building is most of the time: it, too, is to be of these tests only.
    for test in package.tests() {
        mutants.arg(format!("--cargo-arg={test}"));
    }
    if let Some(Shard { index, of }) = options.shard {
        // Every Nth: each part has something of every file.
        mutants.args([
            "--shard",
            &format!("{index}/{of}"),
            "--sharding",
            "round-robin",
        ]);
    }
    if let Some(diff) = &options.in_diff {
        mutants.arg("--in-diff").arg(diff.canonicalize()?);
    }
    if find_program("cargo-nextest").is_some() {
        // It stops at the first test that fails, whichever program that is in.
        mutants.args(["--test-tool", "nextest"]);
    }
    // Properties are tried less often than otherwise, and nobody reads a smaller counterexample.
    mutants.envs([("PROPTEST_CASES", "64"), ("PROPTEST_MAX_SHRINK_ITERS", "0")]);
    eprintln!("  $ {}", line(&mutants));
    let status = mutants.status().context("cannot start cargo mutants")?;
    // 2: some were missed, 3: some hung. All else is no result.
    ensure!(
        matches!(status.code(), Some(0 | 2 | 3)),
        "cargo mutants failed ({status}); its logs are in {}",
        directory.display()
    );
    Ok(directory)
}

fn results_dir(package: Package, shard: Option<Shard>, of_diff: bool) -> PathBuf {
    let part = match shard {
        Some(Shard { index, of }) => format!("{index}-of-{of}"),
        None if of_diff => "diff".to_owned(),
        None => "whole".to_owned(),
    };
    target_dir().join("mutants").join(package.name()).join(part)
}

/// A package's score.
struct Row {
    package: Package,
    outcome: Outcome,
    /// Those missed that do change something.
    missed: Vec<Mutant>,
    equivalent: usize,
    least_percent: f64,
    /// Parts that were tested, and how many there are.
    parts: (u32, u32),
}

impl Row {
    /// The results in `directory`, and of all other parts of this commit.
    fn gather(
        package: Package,
        directory: &Path,
        shard: Option<Shard>,
        commit: &str,
        kept: &Kept,
    ) -> Result<Self> {
        let mut outcome = Outcome::default();
        let mut parts = (0, 1);
        match shard {
            None => {
                outcome.add(directory)?;
                parts.0 = 1;
            }
            Some(Shard { of, .. }) => {
                parts.1 = of;
                for index in 0..of {
                    let part = results_dir(package, Some(Shard { index, of }), false);
                    if fs::read_to_string(part.join("commit")).is_ok_and(|of| of == commit) {
                        outcome.add(&part)?;
                        parts.0 += 1;
                    }
                }
            }
        }
        let (equivalent, missed) =
            kept.sort_out(package.name(), &outcome.missed, workspace::root())?;
        Ok(Self {
            package,
            outcome,
            missed,
            equivalent,
            least_percent: kept.least_percent(package.name())?,
            parts,
        })
    }

    /// Of the mutants that compile and change something, the share that was caught.
    fn percent(&self) -> f64 {
        let caught = self.outcome.caught + self.outcome.timeouts;
        let all = caught + self.missed.len();
        if all == 0 {
            return 100.0;
        }
        100.0 * caught as f64 / all as f64
    }

    fn is_whole(&self) -> bool {
        self.parts.0 == self.parts.1
    }

    /// A part alone is too small a sample to be judged.
    fn good(&self) -> bool {
        !self.is_whole() || self.percent() >= self.least_percent
    }
}

fn report(rows: &[Row]) {
    let titles = [
        "package", "parts", "caught", "hung", "missed", "equal", "no build", "score", "least", "",
    ];
    let mut table = table(titles);
    for row in rows {
        let verdict = match (row.is_whole(), row.good()) {
            (false, _) => "not all parts yet",
            (true, true) => "ok",
            (true, false) => "WRONG",
        };
        table.add_row([
            row.package.name().to_owned(),
            format!("{} of {}", row.parts.0, row.parts.1),
            row.outcome.caught.to_string(),
            row.outcome.timeouts.to_string(),
            row.missed.len().to_string(),
            row.equivalent.to_string(),
            row.outcome.unviable.to_string(),
            format!("{:.1} %", row.percent()),
            format!("{:.1} %", row.least_percent),
            verdict.to_owned(),
        ]);
    }
    for mutant in rows.iter().flat_map(|row| &row.missed) {
        println!("MISSED  {mutant}");
    }
    println!("\n{table}");
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(index, of)| {
        let shard = Shard {
            index: index.parse().ok()?,
            of: of.parse().ok()?,
        };
        (shard.index < shard.of).then_some(shard)
    });
    parts.ok_or_else(|| "expected K/N with K from 0 to N-1, such as 0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!(parse_shard("7/8"), Ok(Shard { index: 7, of: 8 }));
        for wrong in ["8/8", "1", "a/b", "-1/3"] {
            assert!(parse_shard(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_pure_files_are_there() {
        for file in PURE {
            assert!(workspace::root().join(file).exists(), "{file}");
        }
    }

    fn row(caught: usize, missed: usize, parts: (u32, u32)) -> Row {
        let mutant = Mutant::parse("core/src/gate.rs:46:15: replace > with >= in f").unwrap();
        Row {
            package: Package::Core,
            outcome: Outcome {
                caught,
                timeouts: 1,
                ..Outcome::default()
            },
            missed: vec![mutant; missed],
            equivalent: 2,
            least_percent: 96.0,
            parts,
        }
    }

    #[test]
    fn the_score_is_of_those_that_change_something() {
        assert!((row(47, 2, (1, 1)).percent() - 96.0).abs() < 1e-9);
        assert!(row(47, 2, (1, 1)).good());
        assert!(!row(46, 3, (1, 1)).good());
        assert!(row(46, 3, (3, 8)).good(), "five parts are missing");
        assert!(!row(46, 3, (8, 8)).good());
    }
}
