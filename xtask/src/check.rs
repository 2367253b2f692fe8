//! `cargo xtask check`: everything that is wrong without running a test.

use anyhow::{Result, bail};

use crate::firmware;
use crate::report::{Outcome, Steps, Verdict};
use crate::run::{cargo, line, shown};
use crate::setup::{BARE_METAL, Purpose, ensure_for};

/// `cargo xtask check`. Every step is run, whatever became of the one before.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Build, Purpose::Check])?;
    let mut steps = Steps::default();
    steps.run("formatting", || cargo_passes(&["fmt", "--all", "--check"]));
    steps.run("lints", || {
        cargo_passes(&[
            "clippy",
            "--quiet",
            "--workspace",
            "--all-targets",
            "--",
            "--deny",
            "warnings",
        ])
    });
    steps.run("documentation", documentation);
    steps.run("licences and sources", || {
        cargo_passes(&[
            "deny",
            "--log-level",
            "error",
            "check",
            "bans",
            "licenses",
            "sources",
        ])
    });
    steps.run("advisories", advisories);
    for target in BARE_METAL {
        steps.run(&format!("core for {target}"), || core_for(target, &[]));
        steps.run(&format!("core for {target}, defmt"), || {
            core_for(target, &["--features", "defmt"])
        });
        steps.run(&format!("node for {target}"), || {
            let node = [
                "--package",
                "talkspurt-node",
                "--lib",
                "--no-default-features",
            ];
            cargo_passes(&[&["build", "--quiet", "--target", target], &node[..]].concat())
        });
    }
    firmware::check::run(&mut steps);
    Ok(steps.finish())
}

fn cargo_passes(arguments: &[&str]) -> Result<Outcome> {
    shown(cargo().args(arguments)).map(|()| Outcome::Passed)
}

fn documentation() -> Result<Outcome> {
    // Without the programs: `talkspurt` and `talkspurt-node` would be documented twice.
    let arguments = ["doc", "--quiet", "--workspace", "--lib", "--no-deps"];
    shown(
        cargo()
            .args(arguments)
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
    .map(|()| Outcome::Passed)
}

fn core_for(target: &str, features: &[&str]) -> Result<Outcome> {
    let core = [
        "build",
        "--quiet",
        "--package",
        "talkspurt-core",
        "--target",
        target,
    ];
    cargo_passes(&[&core[..], features].concat())
}

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
