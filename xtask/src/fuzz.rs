//! `cargo xtask fuzz`: every fuzz target for a while, starting from the corpus kept in
//! `fuzz/corpus/`.
//!
//! What a run finds goes to `fuzz/target/found/TARGET`, not into the kept corpus: adding to that is
//! a decision.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use talkspurt_testkit::workspace;

use crate::report::{Verdict, table};
use crate::run::{cargo, line, output, shown};
use crate::setup::{Purpose, ensure_for};

#[derive(clap::Args)]
pub struct Options {
    /// How long each target is fuzzed
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// Only this target
    target: Option<String>,
}

/// `cargo xtask fuzz`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Fuzz])?;
    let list = match &options.target {
        Some(target) => target.clone(),
        None => output(fuzz(&["list"]).stderr(Stdio::inherit()))?,
    };
    ensure!(!list.is_empty(), "fuzz/ has no targets");
    let mut table = table(["target", "kept inputs", "runs", "outcome"]);
    let mut verdict = Verdict::Good;
    for target in list.lines() {
        eprintln!("\n==> fuzzing {target} for {} s", options.seconds);
        let corpus = workspace::root().join("fuzz/corpus").join(target);
        let kept = fs::read_dir(&corpus).map_or(0, Iterator::count);
        let (runs, outcome) = match fuzz_target(target, &corpus, options.seconds) {
            Ok(runs) => (runs, "nothing found".to_owned()),
            Err(error) => {
                verdict = Verdict::Bad;
                ("-".to_owned(), format!("FAILED: {error:#}"))
            }
        };
        table.add_row([target.to_owned(), kept.to_string(), runs, outcome]);
    }
    println!("\n{table}");
    Ok(verdict)
}

/// Fuzzes one target and returns how many inputs it was given.
fn fuzz_target(target: &str, corpus: &Path, seconds: u32) -> Result<String> {
    let results = workspace::root().join("fuzz/target");
    let found = results.join("found").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    shown(&mut fuzz(&["build", target]))?;
    let path = results.join(format!("{target}.log"));
    let log =
        fs::File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let mut command = fuzz(&["run", target]);
    command.arg(&found).args(corpus.is_dir().then_some(corpus));
    command.args(["--", "-print_final_stats=1", "-verbosity=1"]);
    command.arg(format!("-max_total_time={seconds}"));
    eprintln!("  $ {}  (log: {})", line(&command), path.display());
    let status = command.stdout(log.try_clone()?).stderr(log).status();
    let status = status.context("cannot start cargo fuzz")?;
    let log = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let log = String::from_utf8_lossy(&log);
    if !status.success() {
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        bail!(
            "an input makes it fail; see {} and fuzz/artifacts/{target}/",
            path.display()
        );
    }
    runs(&log)
        .map(str::to_owned)
        .with_context(|| format!("{} does not say how many inputs were run", path.display()))
}

/// `cargo fuzz ARGUMENTS` on the pinned stable compiler, told to allow the sanitizer flags that
/// cargo-fuzz passes.
fn fuzz(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command
        .arg("fuzz")
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

/// libFuzzer's own count of inputs.
fn runs(log: &str) -> Option<&str> {
    let mut lines = log.lines();
    lines
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_the_final_statistics() {
        let log =
            "#1024 pulse\nstat::number_of_executed_units: 5176\nstat::average_exec_per_sec: 12\n";
        assert_eq!(runs(log), Some("5176"));
        assert_eq!(runs("#1024 pulse"), None);
    }
}
