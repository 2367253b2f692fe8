//! A serial line that can be noisy or cut: a pump between two pseudo-terminals that damages or
//! drops bytes on request.

use std::io::{ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use anyhow::{Context, Result};
use fastrand::Rng;
use rustix::fs::{Mode, OFlags};
use rustix::termios::ioctl_tiocnxcl;
use serialport::{SerialPort, TTYPort};

/// A serial line between two pseudo-terminals. Ends when dropped.
pub struct NoisyLine {
    /// The path of its near end, where the node is.
    pub node_path: String,
    /// The path of its far end, for a bridge.
    pub path: String,
    shared: Arc<Shared>,
    pumps: Vec<JoinHandle<()>>,
    /// Kept open so that the line survives when its ends are closed and reopened.
    far_end: OwnedFd,
    _near_end: Option<OwnedFd>,
}

#[derive(Default)]
struct Shared {
    damage_per_million: AtomicU32,
    damaged: AtomicU64,
    cut: AtomicBool,
    stop: AtomicBool,
}

/// How long a pump waits for bytes before it checks whether to end.
const READ_TIMEOUT: Duration = Duration::from_millis(20);

impl NoisyLine {
    /// Puts a line, initially free of noise, behind a node's pseudo-terminal. The seed chooses the
    /// damage.
    pub fn behind(node: &str, seed: u64) -> Result<Self> {
        // A pseudo-terminal's baud rate means nothing; the node's simulated UART keeps the real
        // one.
        let near = serialport::new(node, 115_200)
            .timeout(READ_TIMEOUT)
            .open_native()
            .with_context(|| format!("cannot open {node}"))?;
        Self::start(near, node.to_owned(), None, seed)
    }

    /// Like [`NoisyLine::behind`], with a near end for a node to open (QEMU's `-chardev serial`).
    pub fn with_two_ends(seed: u64) -> Result<Self> {
        let (near, node_path, kept_open) = end()?;
        Self::start(near, node_path, Some(kept_open), seed)
    }

    fn start(
        near: TTYPort,
        node_path: String,
        near_end: Option<OwnedFd>,
        seed: u64,
    ) -> Result<Self> {
        let (inner, path, far_end) = end()?;
        let shared = Arc::new(Shared::default());
        let pump = |from: &TTYPort, to: &TTYPort, seed: u64| -> Result<JoinHandle<()>> {
            let (from, to) = (from.try_clone_native()?, to.try_clone_native()?);
            let shared = Arc::clone(&shared);
            Ok(thread::spawn(move || {
                pump(from, to, &shared, Rng::with_seed(seed));
            }))
        };
        let pumps = vec![pump(&near, &inner, seed)?, pump(&inner, &near, !seed)?];
        Ok(Self {
            node_path,
            path,
            shared,
            pumps,
            far_end,
            _near_end: near_end,
        })
    }

    /// Makes this many in a million bytes arrive changed from now on, in both directions.
    pub fn set_damage(&self, per_million: u32) {
        self.shared
            .damage_per_million
            .store(per_million, Ordering::Relaxed);
    }

    /// Cuts the line in both directions, or mends it.
    pub fn set_cut(&self, cut: bool) {
        self.shared.cut.store(cut, Ordering::Relaxed);
    }

    /// Unlocks the far end: a killed bridge leaves it locked against everyone but root.
    pub fn unlock(&self) -> Result<()> {
        ioctl_tiocnxcl(&self.far_end).context("cannot unlock the line")
    }

    /// Returns how many bytes were damaged so far.
    pub fn damaged_bytes(&self) -> u64 {
        self.shared.damaged.load(Ordering::Relaxed)
    }
}

impl Drop for NoisyLine {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        for pump in self.pumps.drain(..) {
            // A panic in a pump was already reported.
            let _ = pump.join();
        }
    }
}

/// Makes one end of the line: the port to pump, its path, and the descriptor that keeps it open.
fn end() -> Result<(TTYPort, String, OwnedFd)> {
    let (mut inner, outer) = TTYPort::pair().context("cannot make a pseudo-terminal")?;
    inner.set_timeout(READ_TIMEOUT)?;
    let path = outer.name().context("a pseudo-terminal has a path")?;
    // As a serial port it would be locked against the bridge, so it must be opened again before it
    // is closed.
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let kept_open = rustix::fs::open(path.as_str(), flags, Mode::empty())?;
    drop(outer);
    Ok((inner, path, kept_open))
}

fn pump(mut from: TTYPort, mut to: TTYPort, shared: &Shared, mut rng: Rng) {
    let mut buffer = [0; 512];
    while !shared.stop.load(Ordering::Relaxed) {
        let count = match from.read(&mut buffer) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::TimedOut => continue,
            // Nobody has the other end open at the moment, or ever again.
            Err(_) => {
                thread::sleep(READ_TIMEOUT);
                continue;
            }
        };
        if shared.cut.load(Ordering::Relaxed) {
            continue;
        }
        let per_million = shared.damage_per_million.load(Ordering::Relaxed);
        for byte in &mut buffer[..count] {
            if rng.u32(0..1_000_000) < per_million {
                *byte ^= rng.u8(1..);
                shared.damaged.fetch_add(1, Ordering::Relaxed);
            }
        }
        write_all(&mut to, &buffer[..count], shared);
    }
}

/// Waits for a slow reader, but not for ever.
fn write_all(to: &mut TTYPort, mut bytes: &[u8], shared: &Shared) {
    while !bytes.is_empty() && !shared.stop.load(Ordering::Relaxed) {
        match to.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::TimedOut => {}
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    #[test]
    fn a_cut_line_loses_everything_and_a_mended_one_nothing() {
        let line = NoisyLine::with_two_ends(7).unwrap();
        let open = |path: &str| serialport::new(path, 115_200).timeout(SOON).open_native();
        let mut node = open(&line.node_path).unwrap();
        let mut bridge = open(&line.path).unwrap();
        line.set_cut(true);
        node.write_all(b"lost").unwrap();
        // Longer than a pump sleeps.
        thread::sleep(READ_TIMEOUT * 5);
        line.set_cut(false);
        node.write_all(b"kept").unwrap();
        let mut received = [0; 4];
        bridge.read_exact(&mut received).unwrap();
        assert_eq!(&received, b"kept");
        drop(bridge);
        line.unlock().unwrap();
        assert!(open(&line.path).is_ok(), "it can be opened again");
    }

    #[test]
    fn a_clean_line_changes_nothing_and_a_noisy_one_some_bytes() {
        let (mut node, node_end) = TTYPort::pair().unwrap();
        let node_path = node_end.name().unwrap();
        drop(node_end);
        let line = NoisyLine::behind(&node_path, 7).unwrap();
        let mut bridge = serialport::new(&line.path, 115_200)
            .timeout(SOON)
            .open_native()
            .unwrap();
        node.set_timeout(SOON).unwrap();
        let sent: Vec<u8> = (0..=255).collect();
        let mut received = vec![0; sent.len()];
        node.write_all(&sent).unwrap();
        bridge.read_exact(&mut received).unwrap();
        assert_eq!(received, sent);
        line.set_damage(100_000);
        bridge.write_all(&sent).unwrap();
        node.read_exact(&mut received).unwrap();
        let changed = received.iter().zip(&sent).filter(|(a, b)| a != b).count();
        assert!((5..80).contains(&changed), "{changed} of 256 bytes");
        assert_eq!(line.damaged_bytes(), changed as u64);
    }
}
