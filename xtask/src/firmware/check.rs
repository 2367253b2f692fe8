//! The image's part of `cargo xtask check`: it is a workspace of its own, for targets of its own.

use anyhow::Result;
use talkspurt_tests::programs::workspace;

use super::board::{BOARDS, image_cargo};
use crate::report::{Outcome, Steps};
use crate::run::shown;

/// With the log, as it runs, and without, as it is measured.
const FEATURES: [(&str, &[&str]); 2] = [("log", &[]), ("no log", &["--no-default-features"])];

/// Formatting, lints, licences and builds.
pub fn run(steps: &mut Steps) {
    steps.run("image: formatting", || passes("fmt", &["--check"]));
    for board in BOARDS {
        for (name, features) in FEATURES {
            let on = ["--quiet", "--target", board.target];
            steps.run(&format!("image: lints, {}, {name}", board.machine), || {
                let all = ["--workspace", "--all-targets"];
                let lints = ["--", "--deny", "warnings"];
                passes("clippy", &[&on[..], &all, features, &lints].concat())
            });
            steps.run(&format!("image for {}, {name}", board.machine), || {
                let node = ["--release", "--bin", "node"];
                passes("build", &[&on[..], &node, features].concat())
            });
        }
    }
    steps.run("image: licences and sources", licences);
}

fn passes(subcommand: &str, arguments: &[&str]) -> Result<Outcome> {
    shown(image_cargo(subcommand).args(arguments)).map(|()| Outcome::Passed)
}

/// By the same rules as the rest.
fn licences() -> Result<Outcome> {
    let rules = workspace().join("deny.toml");
    let mut deny = image_cargo("deny");
    deny.args(["--log-level", "error", "--config"]).arg(rules);
    shown(deny.args(["check", "bans", "licenses", "sources"])).map(|()| Outcome::Passed)
}
