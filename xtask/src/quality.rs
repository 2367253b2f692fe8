//! `cargo xtask quality`: how speech gets through, measured by `tests/quality` (Python) in an
//! environment of its own: what the gate misses, what lost packets and a jittery network cost, and
//! the delay from mouth to ear.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use talkspurt_testkit::workspace;

use crate::report::{Steps, Verdict};
use crate::run::{command, output, run_cargo, shown, target_dir};
use crate::setup::{Purpose, ensure_for};

#[derive(clap::Args)]
pub struct Options {
    /// A small part without downloads, against the kept values: what CI runs
    #[arg(long, conflicts_with_all = ["update", "held_out", "minutes", "stall", "busy", "mumble"])]
    short: bool,
    /// With --short: keep its values from now on, in tests/quality/kept.json
    #[arg(long, requires = "short")]
    keep: bool,
    /// Fill the tables of docs/PERFORMANCE.md and docs/plots with what is measured
    #[arg(long)]
    update: bool,
    /// Measure on the voices and noises that are held out, to which nothing was tuned
    #[arg(long, conflicts_with = "update")]
    held_out: bool,
    /// A setting of the gate that is not the default, as in `open_rms=1000`
    #[arg(long, value_name = "NAME=VALUE", conflicts_with = "update")]
    gate: Vec<String>,
    /// Seconds of speech in each run that measures delay
    #[arg(long, value_name = "SECS", default_value_t = 30)]
    seconds: u32,
    /// Also a run of so many minutes
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u32>,
    /// Also the delay after programs were stopped for 1 s
    #[arg(long)]
    stall: bool,
    /// Also the delay beside two programs that compute without a pause
    #[arg(long)]
    busy: bool,
    /// Also Mumble's delay; its packages are installed
    #[arg(long)]
    mumble: bool,
    /// What is measured: delay, gate, loss, network [default: all]
    #[arg(value_parser = ["delay", "gate", "loss", "network"])]
    parts: Vec<String>,
}

/// `cargo xtask quality`. Measure delays on a machine that does nothing else.
pub fn run(options: &Options) -> Result<Verdict> {
    let mut purposes = vec![Purpose::Build, Purpose::Speech, Purpose::Test];
    purposes.push(Purpose::Quality);
    purposes.extend(options.mumble.then_some(Purpose::Mumble));
    ensure_for(&purposes)?;
    let out = target_dir().join("quality");
    fs::create_dir_all(&out).with_context(|| format!("cannot make {}", out.display()))?;
    let mut python = PathBuf::new();
    let mut steps = Steps::default();
    steps.run("environment", || {
        python = environment(&out)?;
        Ok(())
    });
    steps.run("programs", || build(options));
    if steps.have_failed() {
        return Ok(steps.finish());
    }
    steps.run("the measure's own tests", || own_tests(&python));
    steps.run("measurement", || measure(&python, &out, options));
    Ok(steps.finish())
}

/// Where the measure's sources are.
fn sources() -> PathBuf {
    workspace::root().join("tests/quality")
}

/// Returns the Python of the environment, which is made anew when what it needs has changed.
fn environment(out: &Path) -> Result<PathBuf> {
    let folder = out.join("environment");
    let python = folder.join("bin/python");
    let needed = fs::read_to_string(sources().join("requirements.txt"))?;
    // Written last: what was interrupted is made again.
    let stamp = folder.join("requirements.txt");
    if fs::read_to_string(&stamp).is_ok_and(|made| made == needed)
        && output(command(&text(&python)).arg("--version")).is_ok()
    {
        return Ok(python);
    }
    let venv = ["-m", "venv", "--clear"];
    shown(command("python3").args(venv).arg(&folder))?;
    let install = ["-m", "pip", "install", "--quiet", "--requirement"];
    shown(
        command(&text(&python))
            .args(install)
            .arg(sources().join("requirements.txt")),
    )?;
    fs::write(&stamp, needed)?;
    Ok(python)
}

/// The short form takes the profile that the tests have built already: it judges no time.
fn build(options: &Options) -> Result<()> {
    let profile = if options.short { "" } else { "--release" };
    run_cargo(&format!(
        "build {profile} --package talkspurt-server --package talkspurt-client --bins"
    ))?;
    run_cargo(&format!(
        "build {profile} --package talkspurt-tests --examples"
    ))
}

fn own_tests(python: &Path) -> Result<()> {
    let discover = ["-m", "unittest", "discover", "--buffer"];
    shown(
        command(&text(python))
            .args(discover)
            .arg(sources())
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}

fn measure(python: &Path, out: &Path, options: &Options) -> Result<()> {
    let profile = if options.short { "debug" } else { "release" };
    let mut measure = command(&text(python));
    // Each process computes one thing at a time.
    measure
        .env("OPENBLAS_NUM_THREADS", "1")
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .arg(sources().join("quality.py"))
        .arg("--bin-dir")
        .arg(target_dir().join(profile))
        .arg("--out")
        .arg(out)
        .args(["--seconds", &options.seconds.to_string()]);
    let flags = [
        ("--short", options.short),
        ("--keep", options.keep),
        ("--update", options.update),
        ("--held-out", options.held_out),
        ("--stall", options.stall),
        ("--busy", options.busy),
        ("--mumble", options.mumble),
    ];
    measure.args(flags.iter().filter(|flag| flag.1).map(|flag| flag.0));
    if let Some(minutes) = options.minutes {
        measure.args(["--minutes", &minutes.to_string()]);
    }
    for setting in &options.gate {
        measure.args(["--gate", setting]);
    }
    shown(measure.args(&options.parts))?;
    println!("\ntables, plots and every figure: {}", out.display());
    Ok(())
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
