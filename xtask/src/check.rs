//! `cargo xtask check`: everything that is wrong without running a test.

use anyhow::{Result, bail};
use talkspurt_testkit::board::BOARDS;
use talkspurt_testkit::workspace;

use crate::report::{Outcome, Steps, Verdict};
use crate::run::{cargo, line, run_cargo, shown};
use crate::setup::{BARE_METAL, Purpose, ensure_for};

/// `cargo xtask check`. Every step is run, whatever became of the one before.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Build, Purpose::Check])?;
    let mut steps = Steps::default();
    let mut step = |name: &str, words: &str| steps.run(name, || run_cargo(words));
    step("formatting", "fmt --all --check");
    step(
        "lints",
        "clippy --quiet --workspace --all-targets -- --deny warnings",
    );
    steps.run("documentation", || {
        // Without the programs: `talkspurt` and `talkspurt-node` would be documented twice.
        let doc = ["doc", "--quiet", "--workspace", "--lib", "--no-deps"];
        shown(cargo().args(doc).env("RUSTDOCFLAGS", "--deny warnings"))
    });
    let mut step = |name: &str, words: &str| steps.run(name, || run_cargo(words));
    step("licences and sources", &format!("deny {LICENCES}"));
    steps.run("advisories", advisories);
    for target in BARE_METAL {
        let mut step = |what: &str, package: &str| {
            let words = format!("build --quiet --target {target} --package {package}");
            steps.run(&what.replace("TARGET", target), || run_cargo(&words));
        };
        step("core for TARGET", "talkspurt-core");
        step("core for TARGET, defmt", "talkspurt-core --features defmt");
        step(
            "node for TARGET",
            "talkspurt-node --lib --no-default-features",
        );
    }
    // The node's image for the boards that QEMU emulates: with the log, as it runs, and without, as
    // it is measured.
    let boards = BOARDS.map(|board| board.target);
    let image = ["", " --no-default-features"];
    firmware(
        &mut steps,
        "firmware-sim/image",
        &boards,
        image,
        "--workspace --all-targets",
    );
    // The worked example for a real board. Its tests run on the host: `cargo xtask test`.
    let pico = ["", " --features log"];
    firmware(
        &mut steps,
        "firmware-sim/rp2040",
        &["thumbv6m-none-eabi"],
        pico,
        "",
    );
    Ok(steps.finish())
}

/// Firmware in a folder with a workspace of its own: its formatting; its lints and that it links
/// for its targets, with each choice of features; the licences of what it is made of. Optimised as
/// it is flashed: otherwise it need not fit. `linted` is what is linted beside the program.
fn firmware(steps: &mut Steps, folder: &str, targets: &[&str], features: [&str; 2], linted: &str) {
    let mut step = |name: String, words: &str| {
        let mut cargo = cargo();
        // Its own `.cargo/config.toml` counts.
        cargo
            .current_dir(workspace::root().join(folder))
            .args(words.split_whitespace());
        steps.run(&name, || shown(&mut cargo));
    };
    step(format!("{folder}: formatting"), "fmt --check");
    for target in targets {
        for features in features {
            let with = format!("--quiet --release --target {target}{features}");
            let clippy = format!("clippy {with} {linted} -- --deny warnings");
            step(format!("{folder}{features}: lints for {target}"), &clippy);
            step(
                format!("{folder}{features}: links for {target}"),
                &format!("build {with}"),
            );
        }
    }
    let deny = format!("deny --config ../../deny.toml {LICENCES}");
    step(format!("{folder}: licences and sources"), &deny);
}

/// What cargo-deny looks at that needs no network.
const LICENCES: &str = "--log-level error check bans licenses sources";

/// Known vulnerabilities. The database lives on a server that not every machine reaches.
fn advisories() -> Result<Outcome> {
    let mut deny = cargo();
    deny.args(["deny", "--log-level", "error", "check", "advisories"]);
    eprintln!("  $ {}", line(&deny));
    let output = deny.output()?;
    if output.status.success() {
        return Ok(Outcome::Passed);
    }
    let errors = String::from_utf8_lossy(&output.stderr);
    if is_unreachable(&errors) {
        eprintln!("{}", errors.trim());
        return Ok(Outcome::Skipped(
            "the advisory database cannot be fetched here".to_owned(),
        ));
    }
    bail!("{}", errors.trim())
}

/// Whether cargo-deny failed for want of its database, and not for an advisory in it.
fn is_unreachable(errors: &str) -> bool {
    errors.contains("failed to fetch advisory database")
        || errors.contains("failed to load advisory database")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_advisory_is_not_taken_for_a_lost_network() {
        assert!(is_unreachable(
            "2026-01-01 [ERROR] failed to fetch advisory database https://example.org"
        ));
        assert!(!is_unreachable(
            "error[vulnerability]: Segfault in time\n  ID: RUSTSEC-2020-0071"
        ));
    }
}
