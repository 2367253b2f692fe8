//! The deepest stack of the image as it is shipped: without the log, it cannot report it. So both
//! boards join a room and talk to each other, through a server and their emulated UARTs, until each
//! has heard enough; then their RAM is read from outside, and what has lost the paint of
//! cortex-m-rt's reset was in use.

use std::fs;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use talkspurt_testkit::board::{BOARDS, Board};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{Server, use_binaries_in};

use super::build;
use super::elf::Elf;
use crate::budget::Figures;
use crate::run::{line, run_cargo, target_dir};

/// What cortex-m-rt paints the stack with at reset (its feature `paint-stack`).
const PAINT: [u8; 4] = 0xcccc_cccc_u32.to_le_bytes();
/// The node's samples in a second.
const RATE_HZ: usize = 16_000;
/// Two boards and a server on a busy machine.
const LIMIT: Duration = Duration::from_secs(90);
/// Sound that each must have heard: several talkspurts of the other.
const HEARD_SAMPLES: usize = 3 * RATE_HZ;

/// Measures both boards, and adds the deepest stack and its sum with the static RAM to `figures`.
pub fn measure(figures: &mut Figures) -> Result<()> {
    run_cargo("build --quiet --package talkspurt-server --bins")?;
    use_binaries_in(target_dir().join("debug"));
    let folder = target_dir().join("firmware/stack");
    fs::create_dir_all(&folder)?;
    let server = Server::start(&[])?;
    let microphone = folder.join("microphone.raw");
    fs::write(&microphone, voice())?;
    let start = |board: &Board| Node::start(board, &server.address, &microphone, &folder);
    let nodes = BOARDS.iter().map(start).collect::<Result<Vec<Node>>>()?;
    for node in &nodes {
        node.wait_until_heard()?;
    }
    for node in &nodes {
        let on = node.board.machine;
        let deepest = node.deepest_bytes()?;
        let all = node.elf.ram_bytes() + deepest;
        figures.insert(format!("{on}/image_stack_bytes"), deepest);
        figures.insert(format!("{on}/image_ram_and_stack_bytes"), all);
    }
    Ok(())
}

/// Twenty seconds of pulses at 125 Hz, 0.7 s of each 1.2: talkspurts with pauses in which the gate
/// closes.
fn voice() -> Vec<u8> {
    let samples = (0..20 * RATE_HZ).map(|i| {
        let talks = i % (RATE_HZ * 12 / 10) < RATE_HZ * 7 / 10;
        let level = if i / 64 % 2 == 0 { 6_000 } else { -6_000 };
        i16::from(talks) * level
    });
    samples.flat_map(i16::to_le_bytes).collect()
}

struct Node {
    board: Board,
    elf: Elf,
    qemu: Process,
    monitor: PathBuf,
    speaker: PathBuf,
    ram: PathBuf,
}

impl Node {
    /// Powers the board up, with the server at the other end of its serial line.
    fn start(board: &Board, server: &str, microphone: &Path, folder: &Path) -> Result<Self> {
        let file = |what: &str| folder.join(format!("{}.{what}", board.machine));
        let (monitor, speaker, ram) = (file("monitor"), file("raw"), file("ram"));
        for old in [&monitor, &speaker, &ram] {
            let _ = fs::remove_file(old);
        }
        let program = build::node(board)?;
        let words = [
            "room=stack".to_owned(),
            format!("name={}", board.machine),
            format!("microphone={}", microphone.display()),
            format!("speaker={}", speaker.display()),
        ];
        let at = format!("unix:{},server=on,wait=off", monitor.display());
        let mut qemu = board.qemu(&program, &at, &words);
        qemu.args(["-serial", &format!("tcp:{server}")]);
        eprintln!("  $ {}", line(&qemu));
        Ok(Self {
            board: *board,
            elf: Elf::read(&program)?,
            qemu: Process::spawn(board.machine, &mut qemu)?,
            monitor,
            speaker,
            ram,
        })
    }

    fn wait_until_heard(&self) -> Result<()> {
        let began = Instant::now();
        while began.elapsed() < LIMIT {
            let played = fs::read(&self.speaker).unwrap_or_default();
            let loud = played.chunks_exact(2).filter(|sample| **sample != [0, 0]);
            if loud.count() >= HEARD_SAMPLES {
                return Ok(());
            }
            ensure!(
                self.qemu.is_running()?,
                "{} ended early: {}",
                self.board.machine,
                self.qemu.log()
            );
            sleep(Duration::from_millis(200));
        }
        bail!(
            "{} did not hear the other board for {} s within {LIMIT:?}; it said: {}",
            self.board.machine,
            HEARD_SAMPLES / RATE_HZ,
            self.qemu.log()
        )
    }

    /// Reads the stack's memory through QEMU's monitor, which ends QEMU.
    fn deepest_bytes(&self) -> Result<u64> {
        let [bottom, top] = ["_stack_end", "_stack_start"].map(|name| self.elf.address_of(name));
        let (bottom, top) = (bottom?, top?);
        ensure!(bottom < top, "the image's stack is upside down");
        let mut monitor = UnixStream::connect(&self.monitor).context("QEMU's monitor")?;
        write!(
            monitor,
            "stop\npmemsave {bottom:#x} {} \"{}\"\nquit\n",
            top - bottom,
            self.ram.display()
        )?;
        monitor.shutdown(Shutdown::Write)?;
        // Ends when QEMU does.
        let mut answer = Vec::new();
        let _ = monitor.read_to_end(&mut answer);
        let stack = fs::read(&self.ram).with_context(|| {
            format!("QEMU saved no memory: {}", String::from_utf8_lossy(&answer))
        })?;
        ensure!(stack.len() as u64 == top - bottom, "QEMU saved half of it");
        deepest_of(&stack).with_context(|| format!("the stack of {}", self.board.machine))
    }
}

/// Bytes in use at the deepest moment, of a stack from its lowest address on.
fn deepest_of(stack: &[u8]) -> Result<u64> {
    let painted = stack.chunks_exact(4).take_while(|word| **word == PAINT);
    let untouched = painted.count() * 4;
    ensure!(
        untouched > 0,
        "it is used to its very end, or was not painted"
    );
    ensure!(untouched < stack.len(), "nothing of it was ever used");
    Ok((stack.len() - untouched) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_word_without_paint_counts() {
        let mut stack = [PAINT; 100].concat();
        stack[399] = 1;
        assert_eq!(deepest_of(&stack).unwrap(), 4);
        stack[80] = 0;
        assert_eq!(deepest_of(&stack).unwrap(), 320);
        stack[1] = 0;
        assert!(deepest_of(&stack).is_err());
        assert!(deepest_of(&[PAINT; 9].concat()).is_err());
    }

    #[test]
    fn the_voice_talks_and_pauses() {
        let voice = voice();
        assert_eq!(voice.len(), 2 * 20 * RATE_HZ);
        let silent = voice.chunks_exact(2).filter(|sample| **sample == [0, 0]);
        assert!((RATE_HZ * 7..RATE_HZ * 9).contains(&silent.count()));
    }
}
