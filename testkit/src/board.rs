//! The boards that QEMU emulates, and how the node's image for them is built.
//!
//! `TALKSPURT_IMAGE_DIR` names a directory with ready images, each `BOARD.elf` (`cargo xtask test`
//! sets it). Without it each test program brings them up to date with one `cargo build` for each
//! board.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;

use anyhow::{Context, Result, ensure};

use crate::workspace;

/// A board that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// QEMU's name for it.
    pub machine: &'static str,
    /// rustc's name for its processor; it selects the board (`firmware-sim/image/build.rs`).
    pub target: &'static str,
    /// The processor's common name.
    pub processor: &'static str,
}

/// Arm MPS2 with the AN386 image.
pub const MPS2_AN386: Board = Board {
    machine: "mps2-an386",
    target: "thumbv7em-none-eabihf",
    processor: "Cortex-M4F",
};
/// Texas Instruments (Luminary) LM3S6965.
pub const LM3S6965EVB: Board = Board {
    machine: "lm3s6965evb",
    target: "thumbv7m-none-eabi",
    processor: "Cortex-M3",
};
/// All boards.
pub const BOARDS: [Board; 2] = [MPS2_AN386, LM3S6965EVB];

/// The variable that names a directory with ready images.
pub const IMAGE_DIR: &str = "TALKSPURT_IMAGE_DIR";

/// Advice for when something is missing.
pub(crate) const SETUP: &str =
    "`cargo xtask setup` installs QEMU and Rust's targets for the boards";

/// Built one at a time: two builds would wait for each other anyway.
static BUILT: Mutex<Vec<(Board, PathBuf)>> = Mutex::new(Vec::new());

impl Board {
    /// Returns the board's image, which logs. The first call builds it, unless
    /// `TALKSPURT_IMAGE_DIR` promises that it is ready.
    pub fn image(&self) -> Result<PathBuf> {
        if let Some(directory) = env::var_os(IMAGE_DIR) {
            let image = self.image_in(Path::new(&directory));
            ensure!(
                image.is_file(),
                "{} is missing ({IMAGE_DIR} promised it)",
                image.display()
            );
            return Ok(image);
        }
        let mut built = BUILT.lock().expect("no build panics");
        if let Some((_, image)) = built.iter().find(|(board, _)| board == self) {
            return Ok(image.clone());
        }
        let image = self.build(&image_dir())?;
        built.push((*self, image.clone()));
        Ok(image)
    }

    /// Builds the image, and puts it into `directory` under the board's name.
    pub fn build(&self, directory: &Path) -> Result<PathBuf> {
        self.run(self.cargo("build").args(["--release", "--bin", "node"]))?;
        // The image gets a name of its own. The next build may be without the log, which only the
        // very image that logs can decode.
        let made = image_target_dir().join(self.target).join("release/node");
        let image = self.image_in(directory);
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        fs::copy(&made, &image).with_context(|| format!("cannot make {}", image.display()))?;
        Ok(image)
    }

    /// Runs a test program of the image's package (`firmware-sim/image/tests/`) on the board and
    /// returns what it printed.
    pub fn run_test(&self, name: &str) -> Result<String> {
        let mut cargo = self.cargo("test");
        self.run(cargo.args(["--release", "--no-default-features", "--test", name]))
    }

    /// Makes a command that builds for the board.
    pub fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = image_cargo(subcommand);
        cargo.args(["--target", self.target]);
        cargo
    }

    /// Makes a command that powers the board up in QEMU with `program` in its flash, QEMU's monitor
    /// at `monitor` (or `none`), and `words` as the program's command line.
    pub fn qemu(&self, program: &Path, monitor: &str, words: &[String]) -> Command {
        let mut qemu = Command::new("qemu-system-arm");
        qemu.args(["-machine", self.machine, "-display", "none"])
            .args(["-monitor", monitor])
            .args(["-semihosting-config", &semihosting(words)])
            .arg("-kernel")
            .arg(program)
            .stdin(Stdio::null());
        qemu
    }

    /// Runs a cargo command and returns its output, which an error quotes.
    fn run(&self, cargo: &mut Command) -> Result<String> {
        let output = cargo.output().context("cannot start cargo")?;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(
            output.status.success(),
            "cargo failed for {} ({SETUP}):\n{printed}{}",
            self.machine,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(printed)
    }

    fn image_in(&self, directory: &Path) -> PathBuf {
        directory.join(self.machine).with_extension("elf")
    }
}

/// Returns the directory for images that log.
pub fn image_dir() -> PathBuf {
    image_target_dir().join("images")
}

/// Returns the folder of the image's own workspace.
pub fn image_folder() -> PathBuf {
    workspace::root().join("firmware-sim/image")
}

/// Makes a cargo command in the image's folder, where its own configuration applies. It always
/// builds into the same place, whoever calls it.
pub fn image_cargo(subcommand: &str) -> Command {
    let mut cargo = workspace::cargo();
    cargo
        .current_dir(image_folder())
        .env("CARGO_TARGET_DIR", image_target_dir())
        .args([subcommand, "--quiet"]);
    cargo
}

fn image_target_dir() -> PathBuf {
    workspace::target_dir().join("firmware")
}

/// QEMU's option for a command line of these words: commas are doubled, words with spaces quoted.
/// The program's output goes to our own, and its exit code becomes QEMU's.
fn semihosting(words: &[String]) -> String {
    let mut option = "enable=on,target=native".to_owned();
    for word in words {
        let word = word.replace(',', ",,");
        let quote = if word.contains(' ') { "'" } else { "" };
        option += &format!(",arg={quote}{word}{quote}");
    }
    option
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_with_spaces_and_commas_stay_whole() {
        let words = ["room=the kitchen".to_owned(), "name=a,b".to_owned()];
        let option = semihosting(&words);
        assert_eq!(
            option,
            "enable=on,target=native,arg='room=the kitchen',arg=name=a,,b"
        );
    }
}
