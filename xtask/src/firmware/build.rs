//! The programs that are measured and tested on the boards, built without the log.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;
use talkspurt_testkit::board::Board;

use crate::run::{line, output};

/// Builds the image as it is shipped and measured: optimised. Returns its ELF file.
pub fn node(board: &Board) -> Result<PathBuf> {
    build(board, "build", &["--release", "--bin", "node"])
}

/// Builds the golden test and returns its ELF file.
pub fn golden(board: &Board) -> Result<PathBuf> {
    build(
        board,
        "test",
        &["--release", "--no-run", "--test", "golden"],
    )
}

/// Builds the program that counts instructions and returns its ELF file.
pub fn cost(board: &Board) -> Result<PathBuf> {
    build(board, "bench", &["--no-run", "--bench", "cost"])
}

/// The last of the arguments names the program.
fn build(board: &Board, subcommand: &str, arguments: &[&str]) -> Result<PathBuf> {
    let mut cargo = board.cargo(subcommand);
    cargo.arg("--no-default-features").args(arguments);
    executable(&mut cargo, arguments[arguments.len() - 1])
}

/// Runs a cargo that builds a program of this name (and others, perhaps), and returns where it is.
pub fn executable(build: &mut Command, name: &str) -> Result<PathBuf> {
    build
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    eprintln!("  $ {}", line(build));
    let messages = output(build)?;
    let built = messages.lines().rev().find_map(|message| {
        let message: Value = serde_json::from_str(message).ok()?;
        let is_it = message["target"]["name"] == name;
        message["executable"]
            .as_str()
            .filter(|_| is_it)
            .map(PathBuf::from)
    });
    built.with_context(|| format!("`{}` names no program {name}", line(build)))
}
