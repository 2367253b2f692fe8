//! `cargo xtask fuzz`: every fuzz target for a while, starting from the corpus kept in `fuzz/corpus/`.
//!
//! What a run finds goes to `fuzz/target/found/TARGET`, not into the kept corpus: adding to that is a decision.

use std::fs;
use std::path::{Path, PathBuf};
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
    let targets = match &options.target {
        Some(target) => vec![target.clone()],
        None => output(fuzz(&["list"]).stderr(Stdio::inherit()))?
            .lines()
            .map(str::to_owned)
            .collect(),
    };
    ensure!(!targets.is_empty(), "fuzz/ has no targets");
    let mut table = table(["target", "kept inputs", "runs", "outcome"]);
    let mut good = true;
    for target in &targets {
        eprintln!("\n==> fuzzing {target} for {} s", options.seconds);
        let kept = fs::read_dir(workspace::root().join("fuzz/corpus").join(target))
            .map_or(0, Iterator::count);
        let (runs, outcome) = match fuzz_target(target, options.seconds) {
            Ok(runs) => (runs.to_string(), "nothing found".to_owned()),
            Err(error) => {
                good = false;
                ("-".to_owned(), format!("FAILED: {error:#}"))
            }
        };
        table.add_row([target.clone(), kept.to_string(), runs, outcome]);
    }
    println!("\n{table}");
    Ok(Verdict::from(good))
}

/// Fuzzes one target and returns how many inputs it was given.
fn fuzz_target(target: &str, seconds: u32) -> Result<u64> {
    let folder = workspace::root().join("fuzz");
    let found = folder.join("target/found").join(target);
    fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
    shown(&mut fuzz(&["build", target]))?;
    let log_path = folder.join("target").join(format!("{target}.log"));
    let log = fs::File::create(&log_path)
        .with_context(|| format!("cannot write {}", log_path.display()))?;
    let mut command = fuzz(&["run", target]);
    command.arg(&found);
    let kept = folder.join("corpus").join(target);
    if kept.is_dir() {
        command.arg(kept);
    }
    command.args([
        "--",
        &format!("-max_total_time={seconds}"),
        "-print_final_stats=1",
        "-verbosity=1",
    ]);
    command.stdout(log.try_clone()?).stderr(log);
    eprintln!("  $ {}  (log: {})", line(&command), log_path.display());
    let status = command.status().context("cannot start cargo fuzz")?;
    let log = read_lossy(&log_path)?;
    if !status.success() {
        let lines: Vec<&str> = log.lines().collect();
        eprintln!("{}", lines[lines.len().saturating_sub(40)..].join("\n"));
        bail!(
            "an input makes it fail; see {} and fuzz/artifacts/{target}/",
            log_path.display()
        );
    }
    runs(&log).with_context(|| {
        format!(
            "{} does not say how many inputs were run",
            log_path.display()
        )
    })
}

/// `cargo fuzz ARGUMENTS` on the pinned stable compiler, told to allow the sanitizer flags that cargo-fuzz passes.
fn fuzz(arguments: &[&str]) -> Command {
    let mut command = cargo();
    command
        .arg("fuzz")
        .args(arguments)
        .env("RUSTC_BOOTSTRAP", "1");
    command
}

/// libFuzzer's own count of inputs.
fn runs(log: &str) -> Option<u64> {
    log.lines().find_map(|line| {
        line.strip_prefix("stat::number_of_executed_units:")?
            .trim()
            .parse()
            .ok()
    })
}

fn read_lossy(path: &Path) -> Result<String> {
    let path = PathBuf::from(path);
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_from_the_final_statistics() {
        let log =
            "#1024 pulse\nstat::number_of_executed_units: 5176\nstat::average_exec_per_sec: 12\n";
        assert_eq!(runs(log), Some(5176));
        assert_eq!(runs("#1024 pulse"), None);
    }
}
