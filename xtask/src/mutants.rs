//! `cargo xtask mutants`: would the tests notice if the code were wrong? cargo-mutants changes one
//! place at a time, in the core, in the hub, and in those parts of the server that have no sockets,
//! and runs the package's own tests. `.cargo/mutants.toml` lists the changes that are left out.
//!
//! A whole run takes hours; `--shard` divides it, and the shards of one commit are added up.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;

use crate::report::{Verdict, table};
use crate::run::{cargo, command, find_program, line, output, prepare_directory, target_dir};
use crate::setup::ensure_cargo_tool;

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

/// The index of a part, and how many parts there are.
type Shard = (u32, u32);

/// What is tested.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum Package {
    /// Everything that a microcontroller can do
    Core,
    /// Rooms and all that is in them
    Hub,
    /// The rest of the server, without its sockets
    Server,
}

/// The server's files without sockets, clocks or a command line.
const PURE: [&str; 3] = [
    "host-server/src/capacity.rs",
    "host-server/src/journal.rs",
    "host-server/src/turns.rs",
];

/// How a package is tested.
struct Settings {
    /// Cargo's name for it.
    name: &'static str,
    /// The files that are mutated; none means all of the package.
    files: &'static [&'static str],
    /// The tests that are fast, and whose subject these files are.
    tests: &'static [&'static str],
    /// What it must score.
    least_percent: f64,
}

impl Package {
    fn settings(self) -> Settings {
        let (name, files, tests, least_percent): (_, &[_], &[_], _) = match self {
            Self::Core => ("talkspurt-core", &[], &["--lib", "--tests"], 99.0),
            Self::Hub => ("talkspurt-hub", &[], &["--lib"], 98.0),
            Self::Server => ("talkspurt-server", &PURE, &["--lib"], 98.0),
        };
        Settings {
            name,
            files,
            tests,
            least_percent,
        }
    }
}

/// `cargo xtask mutants`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_cargo_tool("cargo-mutants", None)?;
    let commit = output(command("git").args(["rev-parse", "--short", "HEAD"]));
    let results = target_dir()
        .join("mutants")
        .join(commit.unwrap_or_default());
    let packages = match &options.package {
        Some(package) => std::slice::from_ref(package),
        None => Package::value_variants(),
    };
    let mut good = true;
    let mut table = table([
        "package", "parts", "caught", "hung", "missed", "no build", "score", "least", "",
    ]);
    for package in packages {
        let settings = package.settings();
        let results = results.join(settings.name);
        let (index, of) = options.shard.unwrap_or((0, 1));
        let part = |index| match options.in_diff {
            Some(_) => results.join("diff"),
            None => results.join(format!("{index}-of-{of}")),
        };
        test(&settings, options, &part(index))?;
        let tested: Vec<PathBuf> = (0..of).map(part).filter(|part| part.exists()).collect();
        let counts = counts(&tested)?;
        let score = percent(counts);
        // A part alone is too small a sample to be judged.
        let is_whole = tested.len() == of as usize;
        let passes = !is_whole || score >= settings.least_percent;
        good &= passes;
        let mut row = vec![
            settings.name.to_owned(),
            format!("{} of {of}", tested.len()),
        ];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([score, settings.least_percent].map(|percent| format!("{percent:.1} %")));
        row.push(match (is_whole, passes) {
            (false, _) => "not all parts yet".to_owned(),
            (true, true) => "ok".to_owned(),
            (true, false) => "WRONG".to_owned(),
        });
        table.add_row(row);
    }
    println!("\n{table}");
    Ok(Verdict::from(good))
}

/// Runs cargo-mutants on one package; its results go to `directory`.
fn test(settings: &Settings, options: &Options, directory: &Path) -> Result<()> {
    // Where nothing is to be tested, cargo-mutants would leave the results of another time.
    prepare_directory(directory)?;
    let mut mutants = cargo();
    mutants.args(["mutants", "--package", settings.name, "--no-shuffle"]);
    mutants.args(["--jobs", &options.jobs.to_string()]);
    mutants.arg("--output").arg(directory);
    // A loop in a constant that comes to no end hangs the compiler. Ten minutes are far more than a
    // package and all that it needs take to build, on a busy machine too.
    mutants.args(["--build-timeout", "600"]);
    mutants.args(settings.files.iter().flat_map(|file| ["--file", file]));
    // Building is most of the time: it, too, is to be of these tests only.
    mutants.args(
        settings
            .tests
            .iter()
            .map(|test| format!("--cargo-arg={test}")),
    );
    if let Some((index, of)) = options.shard {
        // Every Nth: each part has something of every file.
        mutants.args([
            "--sharding",
            "round-robin",
            "--shard",
            &format!("{index}/{of}"),
        ]);
    }
    if let Some(diff) = &options.in_diff {
        let context = || format!("cannot find the diff {}", diff.display());
        mutants
            .arg("--in-diff")
            .arg(diff.canonicalize().with_context(context)?);
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
    Ok(())
}

/// How many mutants of these parts were caught, hung, were missed, and did not compile. Names the
/// missed.
fn counts(parts: &[PathBuf]) -> Result<[usize; 4]> {
    let mut counts = [0; 4];
    // There are no results where nothing was to be tested.
    let results = parts.iter().map(|part| part.join("mutants.out"));
    for results in results.filter(|results| results.exists()) {
        let kinds = ["caught", "timeout", "missed", "unviable"];
        for (kind, count) in kinds.into_iter().zip(&mut counts) {
            let path = results.join(kind).with_extension("txt");
            let list = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {}", path.display()))?;
            *count += list.lines().count();
            if kind == "missed" {
                list.lines().for_each(|mutant| println!("MISSED  {mutant}"));
            }
        }
    }
    Ok(counts)
}

/// Of the mutants that compile, the share that a test notices; one that hangs is noticed as well.
fn percent([caught, hung, missed, _]: [usize; 4]) -> f64 {
    let all = caught + hung + missed;
    100.0 - 100.0 * missed as f64 / all.max(1) as f64
}

fn parse_shard(text: &str) -> Result<Shard, String> {
    let parse = || {
        let (index, of) = text.split_once('/')?;
        let shard: Shard = (index.parse().ok()?, of.parse().ok()?);
        (shard.0 < shard.1).then_some(shard)
    };
    parse().ok_or_else(|| "expected K/N with K from 0 to N-1, such as 0/8".to_owned())
}

#[cfg(test)]
mod tests {
    use talkspurt_testkit::workspace;

    use super::*;

    #[test]
    fn a_shard_is_one_of_so_many() {
        assert_eq!(parse_shard("7/8"), Ok((7, 8)));
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

    #[test]
    fn the_lines_whose_changes_are_left_out_are_there() {
        let text = fs::read_to_string(workspace::root().join(".cargo/mutants.toml")).unwrap();
        let mut code = "";
        let mut found = 0;
        for line in text.lines().map(str::trim) {
            if let Some(quoted) = line.strip_prefix("# `") {
                code = quoted.strip_suffix('`').unwrap();
            } else if let Some((file, _)) = line.split_once(":\\d+:") {
                let path = workspace::root().join(file.trim_start_matches('\''));
                let source = fs::read_to_string(path).unwrap();
                let exists = source.lines().any(|line| line.trim() == code);
                assert!(exists, "`{code}` is not in {file} any more: take it out");
                found += 1;
            }
        }
        assert!(found > 0, "nothing was recognised");
    }

    #[test]
    fn results_add_up_and_missing_ones_are_none() {
        let dir = tempfile::tempdir().unwrap();
        let results = dir.path().join("mutants.out");
        fs::create_dir(&results).unwrap();
        for (name, list) in [("caught", "a\nb\n"), ("missed", "x\n"), ("timeout", "c\n")] {
            fs::write(results.join(name).with_extension("txt"), list).unwrap();
        }
        let parts = [
            dir.path().to_owned(),
            dir.path().to_owned(),
            dir.path().join("absent"),
        ];
        assert!(counts(&parts).is_err(), "a list is missing");
        fs::write(results.join("unviable.txt"), "d\ne\nf\n").unwrap();
        assert_eq!(counts(&parts).unwrap(), [4, 2, 2, 6]);
    }

    #[test]
    fn the_score_is_of_those_that_compile() {
        assert!((percent([47, 1, 2, 90]) - 96.0).abs() < 1e-9);
        assert!((percent([0, 0, 0, 90]) - 100.0).abs() < 1e-9);
    }
}
