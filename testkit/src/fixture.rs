//! The set-up of a test with real processes: a server of its own on free ports, a directory for WAV
//! files, and clients that speak and hear files.

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::bit_exact::{covered_in_time, exact_runs};
use crate::heard_speech::due;
use crate::process::{Event, Process};
use crate::programs::{Server, client};
use crate::wav::{self, samples};

/// Enough time for a client to join or leave on a busy machine.
pub const SOON: Duration = Duration::from_secs(30);

/// How many samples late sound between two desktop clients may be: 300 ms.
pub const LATEST: usize = samples(300);

/// A server and a directory, both removed when dropped.
pub struct Stage {
    /// The server.
    pub server: Server,
    dir: TempDir,
}

impl Stage {
    /// Starts a server with these flags in addition to its addresses.
    pub fn new(server_flags: &[&str]) -> Result<Self> {
        Ok(Self {
            server: Server::start(server_flags)?,
            dir: tempfile::tempdir()?,
        })
    }

    /// Returns a path in the directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Starts a client with these flags. It records what it hears into a file of its own, and says
    /// `says` unless that is empty. Returns once it is in the room.
    pub fn join(&self, room: &str, name: &str, says: &[i16], flags: &[&str]) -> Result<Process> {
        let input = if says.is_empty() {
            "none".to_owned()
        } else {
            let path = self.path(&format!("{room}-{name}-says.wav"));
            wav::write(&path, says)?;
            path.display().to_string()
        };
        let output = self.heard_path(room, name).display().to_string();
        let mut all = vec!["--input", &input, "--output", &output];
        all.extend(flags);
        let process = client(&self.server.address, room, name, &all)?;
        process.wait_for_event("joined", SOON)?;
        Ok(process)
    }

    /// Returns what someone has heard since joining. Their process must have ended.
    pub fn heard(&self, room: &str, name: &str) -> Result<Vec<i16>> {
        wav::read(&self.heard_path(room, name))
    }

    /// Returns the share of a part of what `talker` says that `listener` heard bit for bit, in
    /// order, and at most 300 ms late. Both must have joined once, and ended.
    pub fn share_in_time(
        &self,
        (talker, says, part): (&Process, &[i16], Range<usize>),
        (room, listener): (&str, &Process),
    ) -> Result<f64> {
        let joined = |who: &Process| who.wait_for_event("joined", Duration::ZERO);
        let due = due(joined(talker)?.at, joined(listener)?.at);
        let runs = exact_runs(says, &self.heard(room, listener.name())?);
        let whole = part.len() as f64;
        Ok(covered_in_time(&runs, part, due, LATEST) as f64 / whole)
    }

    /// Returns one of the server's metrics. The names of counters end in `_total`.
    pub fn metric(&self, name: &str) -> Result<f64> {
        let page = page(&self.server.http, "/metrics")?;
        let value = page
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        let value = value.with_context(|| format!("no {name} in\n{page}"))?;
        Ok(value.parse()?)
    }

    fn heard_path(&self, room: &str, name: &str) -> PathBuf {
        self.path(&format!("{room}-{name}-heard.wav"))
    }
}

/// Asks a client to leave and returns its `left` event.
pub fn leave(process: &mut Process) -> Result<Event> {
    process.terminate()?;
    finish(process, SOON)
}

/// Waits for a client to leave by itself and returns its `left` event.
pub fn finish(process: &mut Process, within: Duration) -> Result<Event> {
    process.wait_for_success(within)?;
    process.wait_for_event("left", Duration::ZERO)
}

/// Returns one of the server's pages.
pub fn page(http: &str, path: &str) -> Result<String> {
    let address = format!("http://{http}{path}");
    let mut answer = ureq::get(&address)
        .call()
        .with_context(|| format!("no answer from {address}"))?;
    Ok(answer.body_mut().read_to_string()?)
}

/// Returns a process's resident memory in bytes, as the operating system counts it (`VmRSS`).
pub fn resident_bytes(process: &Process) -> Result<u64> {
    let path = format!("/proc/{}/status", process.id());
    let status = fs::read_to_string(Path::new(&path)).with_context(|| format!("no {path}"))?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB"));
    match line {
        Some(kilobytes) => Ok(kilobytes.trim().parse::<u64>()? * 1024),
        None => bail!("no VmRSS in {path}"),
    }
}
