//! `cargo xtask test`: every test of the workspace, with cargo's own output passed through and a
//! table at the end.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use talkspurt_testkit::board::{BOARDS, IMAGE_DIR, image_dir};
use talkspurt_testkit::docker::{Docker, Progress};
use talkspurt_testkit::workspace;

use crate::report::{Verdict, duration, table};
use crate::run::{cargo, line, run_cargo, target_dir};
use crate::setup::{Purpose, ensure_for};

#[derive(clap::Args)]
pub struct Options {
    /// Fail where Docker cannot run, instead of skipping the image's test
    #[arg(long, conflicts_with = "no_docker")]
    docker: bool,
    /// Leave the image's test out
    #[arg(long)]
    no_docker: bool,
    /// Only tests whose name contains this
    filter: Option<String>,
}

/// The test that needs Docker.
const DOCKER_TEST: &str = "the_image_is_small_healthy_talks_and_stops";

/// `cargo xtask test`.
pub fn run(options: &Options) -> Result<Verdict> {
    let mut purposes = vec![Purpose::Build, Purpose::Speech, Purpose::Test];
    purposes.push(Purpose::Firmware);
    purposes.extend((!options.no_docker).then_some(Purpose::Docker));
    ensure_for(&purposes)?;
    let no_docker = prepare_docker(options)?;

    eprintln!("==> building");
    run_cargo("build --workspace --bins")?;
    for board in BOARDS {
        eprintln!("==> building the firmware image for {}", board.machine);
        board.build(&image_dir())?;
    }
    let started = Instant::now();
    let (suites, cargo_succeeded) = run_cargo_test(options, no_docker.is_some())?;
    print_report(&suites, started.elapsed(), no_docker.as_deref());
    let [passed, failed, _] = sum(&suites);
    println!("{passed} passed, {failed} failed");
    // For scripts that print more after the tests.
    fs::write(
        target_dir().join("test-counts.txt"),
        format!("{passed} passed, {failed} failed\n"),
    )?;
    if passed + failed == 0 {
        eprintln!("error: no test was run");
    }
    Ok(Verdict::from(cargo_succeeded && failed == 0 && passed > 0))
}

/// Gets the image's test what it needs. The reason where it will be left out.
fn prepare_docker(options: &Options) -> Result<Option<String>> {
    if options.no_docker {
        return Ok(Some("--no-docker".to_owned()));
    }
    if options.filter.is_some() && !options.docker {
        return Ok(None);
    }
    eprintln!("==> Docker: a daemon and the base images");
    match Docker::ready() {
        Ok(docker) => docker.ensure_base_images(Progress::Shown).map(|()| None),
        Err(unavailable) if options.docker => Err(unavailable.into()),
        Err(unavailable) => {
            eprintln!("\n!!! {unavailable}\n!!! The test of the server's image will be SKIPPED.\n");
            Ok(Some(unavailable.0))
        }
    }
}

/// Runs `cargo test` in the workspace and for what of the firmware runs on the host, and returns
/// what became of each suite.
fn run_cargo_test(options: &Options, without_docker: bool) -> Result<(Vec<Suite>, bool)> {
    let mut workspace_tests = cargo();
    workspace_tests
        .args(["test", "--workspace", "--no-fail-fast"])
        .args(&options.filter)
        .env("TALKSPURT_BIN_DIR", target_dir().join("debug"))
        .env(IMAGE_DIR, image_dir());
    if without_docker {
        // A test that returns early would count as passed.
        workspace_tests.args(["--", "--skip", DOCKER_TEST]);
    }
    // A workspace of its own, whose default target is the board.
    let mut board_tests = cargo();
    board_tests
        .current_dir(workspace::root().join("firmware-sim/rp2040"))
        .args(["test", "--lib", "--target", "host-tuple"])
        .args(&options.filter);
    let mut suites = Vec::new();
    let workspace_passed = watch(workspace_tests, &mut suites)?;
    let board_passed = watch(board_tests, &mut suites)?;
    Ok((suites, workspace_passed && board_passed))
}

/// Runs a `cargo test`, passing its output through and reading the suites in it, and says whether
/// it succeeded.
fn watch(mut cargo: Command, suites: &mut Vec<Suite>) -> Result<bool> {
    // One pipe for both of its outputs: which suite runs is said on one, its result on the other.
    let (reader, writer) = io::pipe().context("cannot make a pipe")?;
    cargo
        .env("CARGO_TERM_COLOR", "never")
        .stdout(writer.try_clone()?)
        .stderr(writer);
    eprintln!("  $ {}", line(&cargo));
    let mut child = cargo.spawn().context("cannot start cargo")?;
    // The command holds the writing ends: without them the pipe ends when cargo does.
    drop(cargo);
    let mut output = io::stdout().lock();
    let mut raw = Vec::new();
    let mut reader = BufReader::new(reader);
    while reader.read_until(b'\n', &mut raw)? > 0 {
        output.write_all(&raw)?;
        output.flush()?;
        read_line(String::from_utf8_lossy(&raw).trim_end(), suites);
        raw.clear();
    }
    Ok(child.wait()?.success())
}

fn print_report(suites: &[Suite], took: Duration, no_docker: Option<&str>) {
    let mut table = table(["suite", "passed", "failed", "ignored", "time"]);
    let mut row = |name: &str, counts: [u32; 3], time: &str| {
        let [passed, failed, ignored] = counts.map(|count| count.to_string());
        table.add_row([name, &passed, &failed, &ignored, time]);
    };
    for suite in suites
        .iter()
        .filter(|suite| suite.result != Some([0, 0, 0]))
    {
        let ended = suite.result.map_or("ended early", |_| &suite.time);
        row(&suite.name, suite.counts(), ended);
    }
    row("all", sum(suites), &duration(took));
    println!("\n{table}");
    for suite in suites {
        for name in &suite.failures {
            println!("FAILED  {}: {name}", suite.name);
        }
        if suite.result.is_none() {
            println!(
                "FAILED  {}: its program ended before its result",
                suite.name
            );
        }
    }
    if let Some(why) = no_docker {
        println!("SKIPPED the server's Docker image: {why}");
    }
}

/// What one test program did.
#[derive(Debug, Default)]
struct Suite {
    name: String,
    /// passed, failed, ignored; `None` where the program ended before it said so.
    result: Option<[u32; 3]>,
    failures: BTreeSet<String>,
    /// How long its tests took, in cargo's words.
    time: String,
}

impl Suite {
    /// passed, failed, ignored. A program that ended early counts as one failed test.
    fn counts(&self) -> [u32; 3] {
        self.result.unwrap_or([0, 1, 0])
    }
}

/// passed, failed, ignored, of all suites.
fn sum(suites: &[Suite]) -> [u32; 3] {
    [0, 1, 2].map(|kind| suites.iter().map(|suite| suite.counts()[kind]).sum())
}

/// Reads a line of cargo test's output.
fn read_line(line: &str, suites: &mut Vec<Suite>) {
    if let Some(name) = suite_name(line) {
        suites.push(Suite {
            name,
            ..Suite::default()
        });
    } else if let Some(suite) = suites.last_mut() {
        if let Some(result) = line.strip_prefix("test result: ") {
            let (_, time) = result.rsplit_once("finished in ").unwrap_or_default();
            suite.time = time.to_owned();
            // A doc test program may print two results, one for each edition; they add up.
            let [before, more] = [suite.result.unwrap_or_default(), counts(result)];
            suite.result = Some([0, 1, 2].map(|kind| before[kind] + more[kind]));
        } else if let Some(test) = line.strip_prefix("test ") {
            let failed = test.strip_suffix(" ... FAILED");
            suite.failures.extend(failed.map(str::to_owned));
        }
    }
}

/// The suite that a line of cargo announces: `talkspurt_core unit`, `tests/rooms.rs`,
/// `talkspurt_core docs`.
fn suite_name(line: &str) -> Option<String> {
    let line = line.trim_start();
    if let Some(package) = line.strip_prefix("Doc-tests ") {
        return Some(format!("{package} docs"));
    }
    let (source, program) = line
        .strip_prefix("Running ")?
        .strip_suffix(')')?
        .split_once(" (")?;
    let program = program.rsplit('/').next()?;
    let name = program
        .rsplit_once('-')
        .map_or(program, |(name, _hash)| name);
    match source.strip_prefix("unittests ") {
        Some("src/lib.rs") => Some(format!("{name} unit")),
        Some(file) => Some(format!("{name} {file}")),
        None => Some(source.to_owned()),
    }
}

/// passed, failed, ignored in `ok. 3 passed; 0 failed; 1 ignored; ...`.
fn counts(result: &str) -> [u32; 3] {
    ["passed", "failed", "ignored"].map(|kind| {
        let mut parts = result.split([';', '.']).map(str::trim);
        let count = parts.find_map(|part| part.strip_suffix(kind)?.trim().parse().ok());
        count.unwrap_or(0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(output: &str) -> Vec<Suite> {
        let mut suites = Vec::new();
        output.lines().for_each(|line| read_line(line, &mut suites));
        suites
    }

    #[test]
    fn the_test_that_needs_docker_is_there() {
        let file = workspace::root().join("tests/tests/docker_image.rs");
        let tests = fs::read_to_string(file).unwrap();
        assert!(tests.contains(&format!("fn {DOCKER_TEST}()")));
        assert_eq!(tests.matches("#[test]").count(), 1, "the others run");
    }

    #[test]
    fn suites_are_counted_and_failures_named() {
        let suites = parse(
            "     Running unittests src/lib.rs (target/debug/deps/talkspurt_core-0a1b)\n\
             running 2 tests\n\
             test gate::opens ... ok\n\
             test gate::closes ... FAILED\n\
             test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n\
             \x20    Running tests/rooms.rs (target/debug/deps/rooms-77)\n\
             test result: ok. 12 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 9.10s\n",
        );
        assert_eq!(
            suites.iter().map(|s| s.name.as_str()).collect::<Vec<_>>(),
            ["talkspurt_core unit", "tests/rooms.rs"]
        );
        assert_eq!(
            suites[0].failures,
            BTreeSet::from(["gate::closes".to_owned()])
        );
        assert_eq!(sum(&suites), [13, 1, 2]);
    }

    #[test]
    fn a_program_that_dies_is_a_failure() {
        let suites = parse(
            "     Running unittests src/main.rs (target/debug/deps/talkspurt-0a1b)\n\
             running 2 tests\n\
             error: test failed, to rerun pass `-p talkspurt-client --bin talkspurt`\n\
             \x20  Doc-tests talkspurt_core\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert_eq!(suites[0].name, "talkspurt src/main.rs");
        assert_eq!(suites[1].name, "talkspurt_core docs");
        assert_eq!(sum(&suites), [1, 1, 0]);
    }

    #[test]
    fn two_results_of_one_program_add_up() {
        let suites = parse(
            "   Doc-tests talkspurt_core\n\
             test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n\
             test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.10s\n",
        );
        assert_eq!(suites[0].result, Some([3, 0, 0]));
    }

    #[test]
    fn what_cargo_says_while_building_is_no_suite() {
        assert!(
            parse("   Compiling talkspurt-core v0.1.0 (/x/core)\nrunning 3 tests\n").is_empty()
        );
        assert_eq!(suite_name("     Running `target/debug/xtask`"), None);
    }
}
