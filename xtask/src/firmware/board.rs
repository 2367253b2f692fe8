//! The boards, and how their programs are built and run in QEMU.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use talkspurt_tests::programs::workspace;

use crate::run::{cargo, command, line, target_dir};

/// A board that QEMU emulates, and the target that stands for it in `firmware-sim/image/build.rs`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What QEMU calls it.
    pub machine: &'static str,
    /// What rustc calls its processor.
    pub target: &'static str,
    /// What people call its processor.
    pub processor: &'static str,
}

/// All boards.
pub const BOARDS: [Board; 2] = [
    Board {
        machine: "mps2-an386",
        target: "thumbv7em-none-eabihf",
        processor: "Cortex-M4F",
    },
    Board {
        machine: "lm3s6965evb",
        target: "thumbv7m-none-eabi",
        processor: "Cortex-M3",
    },
];

/// Semihosting to our own standard output; the exit code is the program's.
pub const SEMIHOSTING: [&str; 2] = ["-semihosting-config", "enable=on,target=native"];

/// The folder of the image's own workspace.
pub fn image_folder() -> PathBuf {
    workspace().join("firmware-sim/image")
}

/// A cargo in the image's folder, where its own configuration holds. It builds into one place whoever calls it.
pub fn image_cargo(subcommand: &str) -> Command {
    let mut cargo = cargo();
    cargo
        .current_dir(image_folder())
        .env("CARGO_TARGET_DIR", image_target_dir())
        .arg(subcommand);
    cargo
}

/// The directory of what is built for the boards.
pub fn image_target_dir() -> PathBuf {
    target_dir().join("firmware")
}

impl Board {
    /// `cargo build` or the like for the board, as it is measured: without the log.
    fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = image_cargo(subcommand);
        cargo.args(["--quiet", "--no-default-features", "--target", self.target]);
        cargo
    }

    /// The image as it is shipped and measured: optimised, without the log. Returns its ELF file.
    pub fn build_node(&self) -> Result<PathBuf> {
        let mut build = self.cargo("build");
        build.args(["--release", "--bin", "node"]);
        executable(&mut build, "node")
    }

    /// Builds one of the test programs and returns its ELF file.
    pub fn build_golden(&self) -> Result<PathBuf> {
        let mut build = self.cargo("test");
        build.args(["--release", "--no-run", "--test", "golden"]);
        executable(&mut build, "golden")
    }

    /// Builds the program that counts instructions and returns its ELF file.
    pub fn build_cost(&self) -> Result<PathBuf> {
        let mut build = self.cargo("bench");
        build.args(["--no-run", "--bench", "cost"]);
        executable(&mut build, "cost")
    }

    /// This board in QEMU, with a program in its flash, and with QEMU's monitor somewhere (`none`).
    pub fn qemu(&self, program: &Path, monitor: &str) -> Command {
        let mut qemu = command("qemu-system-arm");
        qemu.args(["-M", self.machine, "-nographic", "-monitor", monitor])
            .arg("-kernel")
            .arg(program);
        qemu
    }
}

/// Runs a cargo that builds a program of this name (and others, perhaps), and returns where it is.
pub fn executable(build: &mut Command, name: &str) -> Result<PathBuf> {
    build
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit());
    eprintln!("  $ {}", line(build));
    let output = build.output().context("cannot start cargo")?;
    ensure!(output.status.success(), "`{}` failed", line(build));
    let messages = String::from_utf8(output.stdout).context("cargo's messages")?;
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
