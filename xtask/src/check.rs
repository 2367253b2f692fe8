//! `cargo xtask check`: everything that is wrong without running a test.

use anyhow::{Result, bail};
use talkspurt_testkit::board::BOARDS;
use talkspurt_testkit::workspace;

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
    IMAGE.check(&mut steps);
    RP2040.check(&mut steps);
    Ok(steps.finish())
}

/// Firmware in a folder with a workspace of its own.
struct Firmware {
    folder: &'static str,
    targets: &'static [&'static str],
    /// The choices of features that it is built with.
    features: &'static [&'static [&'static str]],
    /// What is linted beside the program.
    linted: &'static [&'static str],
}

/// The node's image for the boards that QEMU emulates: with the log, as it runs, and without, as it is measured.
const IMAGE: Firmware = Firmware {
    folder: "firmware-sim/image",
    targets: &[BOARDS[0].target, BOARDS[1].target],
    features: &[&[], &["--no-default-features"]],
    linted: &["--workspace", "--all-targets"],
};

/// The worked example for a real board. Its tests run on the host: `cargo xtask test`.
const RP2040: Firmware = Firmware {
    folder: "firmware-sim/rp2040",
    targets: &["thumbv6m-none-eabi"],
    features: &[&[], &["--features", "log"]],
    linted: &[],
};

impl Firmware {
    /// Its formatting; its lints and that it links for its targets, with each choice of features; the licences of what it is made of.
    /// Optimised as it is flashed: otherwise it need not fit.
    fn check(&self, steps: &mut Steps) {
        let folder = self.folder;
        steps.run(&format!("{folder}: formatting"), || {
            passes_in(folder, &["fmt", "--check"])
        });
        for target in self.targets {
            for features in self.features {
                let name = [&[folder], *features].concat().join(" ");
                let with = [&["--quiet", "--release", "--target", target], *features].concat();
                steps.run(&format!("{name}: lints for {target}"), || {
                    let denied = ["--", "--deny", "warnings"];
                    passes_in(
                        folder,
                        &[&["clippy"], &with[..], self.linted, &denied].concat(),
                    )
                });
                steps.run(&format!("{name}: links for {target}"), || {
                    passes_in(folder, &[&["build"], &with[..]].concat())
                });
            }
        }
        steps.run(&format!("{folder}: licences and sources"), || {
            let manifest = format!("{folder}/Cargo.toml");
            let deny = [
                "deny",
                "--config",
                "deny.toml",
                "--manifest-path",
                &manifest,
            ];
            let which = [
                "--log-level",
                "error",
                "check",
                "bans",
                "licenses",
                "sources",
            ];
            cargo_passes(&[&deny[..], &which].concat())
        });
    }
}

/// As [`cargo_passes`], in a folder whose own `.cargo/config.toml` counts.
fn passes_in(folder: &str, arguments: &[&str]) -> Result<Outcome> {
    let mut cargo = cargo();
    cargo
        .current_dir(workspace::root().join(folder))
        .args(arguments);
    shown(&mut cargo).map(|()| Outcome::Passed)
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
