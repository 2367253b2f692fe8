//! The node's firmware image on a board that QEMU emulates: starts it, decodes its log, and returns
//! what its speaker played.
//!
//! ```text
//! file of samples -> semihosting -> image -> UART -> NoisyLine -> bridge -> server
//! file of samples <- semihosting <- image <- UART <- NoisyLine <- bridge <- server
//!                                   image -> semihosting -> talkspurt-log -> lines
//! ```
//!
//! QEMU runs without `-icount`. The board's clock is then the machine's, like that of the other
//! participants' sound, and a board that sleeps (WFI) costs nothing. A byte that arrives costs 40
//! us of this machine (24 us on lm3s6965evb), so ADPCM takes a third of a processor, and two boards
//! at once need two processors.

use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::board::{Board, SETUP};
use crate::process::{Line, Process};
use crate::programs::{self, START_LIMIT};

/// The socket of QEMU's monitor.
const MONITOR: &str = "monitor";

/// A node in QEMU.
pub struct Firmware {
    /// QEMU.
    pub emulator: Process,
    /// Its log as lines of text: seconds since power-up, level, text.
    pub log: Process,
    speaker: PathBuf,
    /// What the emulator reads and writes, in a directory with a short name because socket paths
    /// are limited.
    files: TempDir,
}

/// What a node is told when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a> {
    /// The room to join.
    pub room: &'a str,
    /// The name to join under.
    pub name: &'a str,
    /// What the microphone hears after joining.
    pub says: &'a [i16],
    /// Further words of its command line (`firmware-sim/image/src/arguments.rs`).
    pub words: &'a [&'a str],
}

impl Firmware {
    /// Powers a board up with its serial line at `serial` (a pseudo-terminal).
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
        let monitor = format!("unix:{},server=on,wait=off", file(MONITOR).display());
        let mut emulator = board.qemu(&image, &monitor, &words);
        emulator
            .arg("-chardev")
            .arg(format!("serial,id=line,path={serial}"))
            .args(["-serial", "chardev:line"]);
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

    /// Waits for a log line with `text` in it, after `mark` ([`Process::mark`] of the log).
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
            // QEMU forgets unread input when its reader hangs up, so hang up only once it asks for
            // the next command.
            wait_for_prompt(&mut monitor)?;
            monitor.write_all(b"system_reset\n")?;
            wait_for_prompt(&mut monitor)
        };
        press().context("QEMU's monitor does not answer")
    }

    /// Waits until the node has left and the board is off, and returns its counts. A time-out
    /// quotes everything it said.
    pub fn finish(&mut self, within: Duration) -> Result<Counts> {
        self.emulator.wait_for_success(within)?;
        self.log.wait_for_success(within)?;
        let lines = self.log.lines().into_iter().map(|line| line.text);
        Ok(Counts(lines.collect()))
    }

    /// Returns what the speaker has played since the node first joined.
    pub fn heard(&self) -> Result<Vec<i16>> {
        let bytes = fs::read(&self.speaker)
            .with_context(|| format!("cannot read {}", self.speaker.display()))?;
        let samples = bytes
            .chunks_exact(2)
            .map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
        Ok(samples.collect())
    }
}

/// The prompt of QEMU's monitor.
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

/// What a node reports when it ends: `name=number` words in its log.
pub struct Counts(Vec<String>);

impl Counts {
    /// Returns the last number with this name.
    pub fn get(&self, name: &str) -> Result<u64> {
        let mut words = self.0.iter().rev().flat_map(|line| line.split_whitespace());
        words
            .find_map(|word| word.strip_prefix(name)?.strip_prefix('=')?.parse().ok())
            .with_context(|| format!("no {name} in the image's report:\n{}", self.0.join("\n")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
