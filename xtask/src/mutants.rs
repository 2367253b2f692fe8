//! `cargo xtask mutants`: would the tests notice if the code were wrong? cargo-mutants changes one
//! place at a time, in the core, in the hub, and in those parts of the server that have no sockets,
//! and runs the package's own tests. `.cargo/mutants.toml` lists the changes that are left out.
//!
//! A whole run takes hours; `--shard` tests a part of it.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use clap::ValueEnum;
use serde_json::Value;

use crate::report::{Verdict, table};
use crate::run::{cargo, find_program, line, prepare_directory, target_dir};
use crate::setup::ensure_cargo_tool;

#[derive(clap::Args)]
pub struct Options {
    /// Only this package [default: all]
    #[arg(long)]
    package: Option<Package>,
    /// One part of N, K/N from 0/N on, which is too small a sample to be judged
    #[arg(long, value_name = "K/N", value_parser = part_of)]
    shard: Option<String>,
    /// Only what this diff changes: a file as `git diff` writes it
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    in_diff: Option<PathBuf>,
    /// Mutants tested at a time, each with a build directory of its own
    #[arg(long, default_value_t = 1)]
    jobs: u32,
}

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

impl Package {
    /// Cargo's name for it, and what it must score, in percent.
    fn target(self) -> (&'static str, f64) {
        match self {
            Self::Core => ("talkspurt-core", 99.0),
            Self::Hub => ("talkspurt-hub", 98.0),
            Self::Server => ("talkspurt-server", 98.0),
        }
    }
}

/// `cargo xtask mutants`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_cargo_tool("cargo-mutants", None)?;
    let packages = match &options.package {
        Some(package) => std::slice::from_ref(package),
        None => Package::value_variants(),
    };
    let mut good = true;
    let mut table = table([
        "package", "caught", "hung", "missed", "no build", "score", "least", "",
    ]);
    for package in packages {
        let (name, least_percent) = package.target();
        let of = match (&options.shard, &options.in_diff) {
            (Some(shard), _) => shard.replace('/', "-of-"),
            (None, Some(_)) => "diff".to_owned(),
            (None, None) => "whole".to_owned(),
        };
        let results = target_dir().join("mutants").join(name).join(of);
        test(*package, options, &results)?;
        let may_be_empty = options.in_diff.is_some() || options.shard.is_some();
        let counts = counts(&results, may_be_empty)?;
        let score = percent(counts);
        let passes = options.shard.is_some() || score >= least_percent;
        good &= passes;
        let mut row = vec![name.to_owned()];
        row.extend(counts.map(|count| count.to_string()));
        row.extend([score, least_percent].map(|percent| format!("{percent:.1} %")));
        row.push(match options.shard {
            Some(_) => "a part: not judged".to_owned(),
            None if passes => "ok".to_owned(),
            None => "WRONG".to_owned(),
        });
        table.add_row(row);
    }
    println!("\n{table}");
    Ok(Verdict::from(good))
}

/// Runs cargo-mutants on one package; its results go to `directory`.
fn test(package: Package, options: &Options, directory: &Path) -> Result<()> {
    // Where nothing is to be tested, cargo-mutants would leave the results of another time.
    prepare_directory(directory)?;
    let mut mutants = cargo();
    mutants.args(["mutants", "--package", package.target().0, "--no-shuffle"]);
    mutants.args(["--jobs", &options.jobs.to_string()]);
    mutants.arg("--output").arg(directory);
    // A loop in a constant that comes to no end hangs the compiler. Ten minutes are far more than a
    // package and all that it needs take to build, on a busy machine too.
    mutants.args(["--build-timeout", "600"]);
    // The tests that are fast, and whose subject these files are. Building is most of the time: it,
    // too, is to be of these tests only.
    mutants.arg("--cargo-arg=--lib");
    if matches!(package, Package::Core) {
        mutants.arg("--cargo-arg=--tests");
    }
    if matches!(package, Package::Server) {
        mutants.args(PURE.map(|file| format!("--file={file}")));
    }
    if let Some(shard) = &options.shard {
        // Every Nth: each part has something of every file.
        mutants.args(["--sharding", "round-robin", "--shard", shard]);
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

/// How many mutants were caught, hung, were missed, and did not compile. cargo-mutants has named
/// the missed.
fn counts(directory: &Path, may_be_empty: bool) -> Result<[u64; 4]> {
    let path = directory.join("mutants.out/outcomes.json");
    if may_be_empty && !path.exists() {
        // A diff changes nothing that is mutated, or a part is one of more than there are mutants.
        return Ok([0; 4]);
    }
    let text = fs::read_to_string(&path);
    let text = text.with_context(|| format!("cannot read {}", path.display()))?;
    let outcomes: Value = serde_json::from_str(&text)?;
    let mut counts = [0; 4];
    let kinds = ["caught", "timeout", "missed", "unviable"];
    for (kind, count) in kinds.into_iter().zip(&mut counts) {
        let found = outcomes[kind].as_u64();
        *count = found.with_context(|| format!("{} lacks {kind}", path.display()))?;
    }
    Ok(counts)
}

/// Checks that a part is one of so many: it names a directory that is emptied.
fn part_of(text: &str) -> Result<String, String> {
    let numbers = text.split_once('/').and_then(|(part, parts)| {
        let (part, parts): (u32, u32) = (part.parse().ok()?, parts.parse().ok()?);
        (part < parts).then(|| format!("{part}/{parts}"))
    });
    numbers.ok_or_else(|| "a part is K/N with K below N: 0/8 to 7/8".to_owned())
}

/// Of the mutants that compile, the share that a test notices; one that hangs is noticed as well.
fn percent([caught, hung, missed, _]: [u64; 4]) -> f64 {
    let all = caught + hung + missed;
    100.0 - 100.0 * missed as f64 / all.max(1) as f64
}

#[cfg(test)]
mod tests {
    use talkspurt_testkit::workspace;

    use super::*;

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
    fn a_part_is_one_of_so_many() {
        assert_eq!(part_of("7/8").unwrap(), "7/8");
        for wrong in [
            "8/8",
            "1",
            "",
            "..",
            "whole",
            "a/b",
            "-1/2",
            "0/0",
            "0/../../8",
        ] {
            assert!(part_of(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn missing_results_are_none_of_a_diff_or_a_part_and_otherwise_an_error() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(counts(dir.path(), true).unwrap(), [0; 4]);
        let error = counts(dir.path(), false).unwrap_err().to_string();
        assert!(error.starts_with("cannot read"), "{error}");
        fs::create_dir(dir.path().join("mutants.out")).unwrap();
        let path = dir.path().join("mutants.out/outcomes.json");
        let mut outcomes = serde_json::json!({ "caught": 4, "missed": 2, "timeout": 3 });
        fs::write(&path, outcomes.to_string()).unwrap();
        let error = counts(dir.path(), true).unwrap_err().to_string();
        assert!(error.contains("lacks unviable"), "{error}");
        outcomes["unviable"] = 6.into();
        fs::write(&path, outcomes.to_string()).unwrap();
        assert_eq!(counts(dir.path(), false).unwrap(), [4, 3, 2, 6]);
    }

    #[test]
    fn the_score_is_of_those_that_compile() {
        assert!((percent([47, 1, 2, 90]) - 96.0).abs() < 1e-9);
        assert!((percent([0, 0, 0, 90]) - 100.0).abs() < 1e-9);
    }
}
