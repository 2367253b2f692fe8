//! The node's firmware image on a board that QEMU emulates: built, started, its log decoded, what its speaker played.
//!
//! ```text
//! file of samples -> semihosting -> image -> UART -> NoisyLine -> bridge -> server
//! file of samples <- semihosting <- image <- UART <- NoisyLine <- bridge <- server
//!                                   image -> semihosting -> talkspurt-log -> lines
//! ```
//!
//! `TALKSPURT_IMAGE_DIR` names a directory with ready images, `BOARD.elf` each (`cargo xtask test` sets it). Without it each test
//! program brings them up to date with one `cargo build` for each board.
//!
//! QEMU runs without `-icount`: the board's clock is then the machine's, as the sound of the other participants is, and a board
//! that sleeps (WFI) costs nothing. A byte that arrives costs 40 us of this machine (24 us on lm3s6965evb), so that ADPCM takes a
//! third of a processor; two boards at once want two processors.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tempfile::TempDir;

use crate::process::{Line, Process};
use crate::programs::{self, START_LIMIT, workspace};

/// A board that QEMU emulates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Board {
    /// What QEMU calls it.
    pub machine: &'static str,
    /// What rustc calls its processor; it chooses the board (`firmware-sim/image/build.rs`).
    pub target: &'static str,
}

/// Arm MPS2 with the AN386 image, a Cortex-M4F.
pub const MPS2_AN386: Board = Board {
    machine: "mps2-an386",
    target: "thumbv7em-none-eabihf",
};
/// Texas Instruments (Luminary) LM3S6965, a Cortex-M3.
pub const LM3S6965EVB: Board = Board {
    machine: "lm3s6965evb",
    target: "thumbv7m-none-eabi",
};
/// All of them.
pub const BOARDS: [Board; 2] = [MPS2_AN386, LM3S6965EVB];

/// The variable that names a directory with ready images.
pub const IMAGE_DIR: &str = "TALKSPURT_IMAGE_DIR";

/// The socket of QEMU's monitor.
const MONITOR: &str = "monitor";

/// What to do where something is missing.
const SETUP: &str = "`cargo xtask setup` installs QEMU and Rust's targets for the boards";

/// One at a time: two builds would wait for each other anyway.
static BUILT: Mutex<Vec<(Board, PathBuf)>> = Mutex::new(Vec::new());

impl Board {
    /// The board's image, which logs. Built by the first who asks, where nobody promised that it is ready.
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
        let mut built = BUILT.lock().expect("no builder panics");
        if let Some((_, image)) = built.iter().find(|(board, _)| board == self) {
            return Ok(image.clone());
        }
        let image = self.build(&image_dir())?;
        built.push((*self, image.clone()));
        Ok(image)
    }

    /// Builds the image, and puts it into `directory` under the board's name.
    pub fn build(&self, directory: &Path) -> Result<PathBuf> {
        run(self.cargo("build").args(["--bin", "node"]), self)?;
        // Under a name of its own: the next build may be without the log, which decodes only with the very image that logs.
        let made = target_dir()
            .join("firmware")
            .join(self.target)
            .join("release/node");
        let image = self.image_in(directory);
        fs::create_dir_all(directory).with_context(|| directory.display().to_string())?;
        fs::copy(&made, &image).with_context(|| format!("cannot make {}", image.display()))?;
        Ok(image)
    }

    /// Runs a test program of the image's package (`firmware-sim/image/tests/`) on the board, and returns what it printed.
    pub fn run_test(&self, name: &str) -> Result<String> {
        let mut cargo = self.cargo("test");
        run(cargo.args(["--no-default-features", "--test", name]), self)
    }

    /// A cargo in the image's folder, where its own configuration holds.
    fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(workspace().join("firmware-sim/image"));
        cargo.args([subcommand, "--quiet", "--release", "--target", self.target]);
        cargo.arg("--target-dir").arg(target_dir().join("firmware"));
        cargo
    }

    fn image_in(&self, directory: &Path) -> PathBuf {
        directory.join(self.machine).with_extension("elf")
    }
}

/// Runs cargo for a board; its output, which an error quotes.
fn run(cargo: &mut Command, board: &Board) -> Result<String> {
    let output = cargo.output().context("cannot start cargo")?;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "cargo failed for {} ({SETUP}):\n{printed}{}",
        board.machine,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(printed)
}

/// Where images that log are put.
pub fn image_dir() -> PathBuf {
    target_dir().join("firmware/images")
}

fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace().join("target"), PathBuf::from)
}

/// A node in QEMU.
pub struct Firmware {
    /// QEMU.
    pub emulator: Process,
    /// Its log as lines of text: seconds since power-up, level, text.
    pub log: Process,
    speaker: PathBuf,
    /// What the emulator reads and writes, in a directory with a short name: the paths of sockets
    /// are bounded.
    files: TempDir,
}

/// What a node is told at its start.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// Where to join.
    pub room: &'a str,
    /// As whom.
    pub name: &'a str,
    /// What the microphone hears from joining on.
    pub says: &'a [i16],
    /// More words of its command line (`firmware-sim/image/src/arguments.rs`).
    pub words: &'a [&'a str],
}

impl Firmware {
    /// Powers a board up, with its serial line at `serial` (a pseudo-terminal).
    pub fn start(board: Board, serial: &str, told: &Told<'_>) -> Result<Self> {
        let image = board.image()?;
        let files = tempfile::tempdir().context("cannot make a directory")?;
        let file = |name: &str| files.path().join(name);
        let (microphone, speaker) = (file("mic.raw"), file("speaker.raw"));
        let bytes: Vec<u8> = told
            .says
            .iter()
            .flat_map(|sample| sample.to_le_bytes())
            .collect();
        fs::write(&microphone, bytes)
            .with_context(|| format!("cannot write {}", microphone.display()))?;
        let mut words = vec![
            format!("room={}", told.room),
            format!("name={}", told.name),
            format!("microphone={}", microphone.display()),
            format!("speaker={}", speaker.display()),
        ];
        words.extend(told.words.iter().map(|word| (*word).to_owned()));
        let mut emulator = Command::new("qemu-system-arm");
        emulator
            .args(["-machine", board.machine, "-display", "none", "-chardev"])
            .arg(format!("serial,id=line,path={serial}"))
            .args(["-serial", "chardev:line", "-monitor"])
            .arg(format!(
                "unix:{},server=on,wait=off",
                file(MONITOR).display()
            ))
            .args(["-semihosting-config", &semihosting(&words)])
            .arg("-kernel")
            .arg(&image);
        let mut decoder = programs::command("talkspurt-log")?;
        let (emulator, log) = Process::spawn_pair(
            (board.machine, &mut emulator),
            (told.name, decoder.arg(&image)),
        )
        .with_context(|| SETUP)?;
        Ok(Self {
            emulator,
            log,
            speaker,
            files,
        })
    }

    /// Waits for a line of the log with `text` in it, after `mark` ([`Process::mark`] of the log).
    pub fn wait_for(&self, mark: usize, text: &str, within: Duration) -> Result<Line> {
        let line =
            self.log
                .wait_for_after(mark, &format!("line with \"{text}\""), within, |line| {
                    line.text.contains(text).then(|| line.clone())
                });
        line.with_context(|| format!("{} said:\n{}", self.emulator.name(), self.emulator.log()))
    }

    /// Presses the board's reset button.
    pub fn reset(&self) -> Result<()> {
        let press = || -> std::io::Result<()> {
            let mut monitor = UnixStream::connect(self.files.path().join(MONITOR))?;
            monitor.set_read_timeout(Some(START_LIMIT))?;
            // QEMU forgets what it has not read yet when its reader hangs up: it is left when it asks for the next command.
            wait_for_prompt(&mut monitor)?;
            monitor.write_all(b"system_reset\n")?;
            wait_for_prompt(&mut monitor)
        };
        press().context("QEMU's monitor does not answer")
    }

    /// Waits until the node has left and the board is off; its counts, and a time-out with all that it said.
    pub fn finish(&mut self, within: Duration) -> Result<Counts> {
        self.emulator.wait_for_success(within)?;
        self.log.wait_for_success(within)?;
        let lines = self.log.lines().into_iter().map(|line| line.text);
        Ok(Counts(lines.collect()))
    }

    /// What the speaker has played since the node first joined.
    pub fn heard(&self) -> Result<Vec<i16>> {
        let bytes = fs::read(&self.speaker)
            .with_context(|| format!("cannot read {}", self.speaker.display()))?;
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(samples.collect())
    }
}

/// What QEMU's monitor says before each command.
const PROMPT: &[u8] = b"(qemu) ";

fn wait_for_prompt(monitor: &mut UnixStream) -> std::io::Result<()> {
    let mut said = Vec::new();
    let mut byte = [0];
    while !said.ends_with(PROMPT) {
        monitor.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(())
}

/// What a node reports at its end: `name=number` words in its log.
pub struct Counts(Vec<String>);

impl Counts {
    /// The last number of this name.
    pub fn get(&self, name: &str) -> Result<u64> {
        let mut words = self.0.iter().rev().flat_map(|line| line.split_whitespace());
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            .with_context(|| format!("no {name} in the image's report:\n{}", self.0.join("\n")))
    }
}

/// QEMU's option for a command line of these words: commas are doubled, words with spaces quoted.
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
    fn words_reach_the_image_whole() {
        let words = ["room=the kitchen".to_owned(), "name=a,b".to_owned()];
        let option = semihosting(&words);
        assert_eq!(
            option,
            "enable=on,target=native,arg='room=the kitchen',arg=name=a,,b"
        );
    }

    #[test]
    fn counts_are_read_from_the_log() {
        let lines = [
            "1.0 INFO  frames: sent=7 received=8",
            "1.0 INFO  line: in=9",
        ];
        let counts = Counts(lines.map(str::to_owned).to_vec());
        assert_eq!(
            (counts.get("received").unwrap(), counts.get("in").unwrap()),
            (8, 9)
        );
        assert!(counts.get("eceived").is_err());
    }
}
