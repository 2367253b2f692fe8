//! The boards, and how their programs are built and run in QEMU.

use std::path::PathBuf;
use std::process::Command;

use talkspurt_tests::programs::workspace;

use crate::run::{cargo, target_dir};

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
    /// `cargo build`, `cargo test` (whose programs run in QEMU) or the like for the board, as it is measured: without the log.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = image_cargo(subcommand);
        cargo.args(["--quiet", "--no-default-features", "--target", self.target]);
        cargo
    }
}
