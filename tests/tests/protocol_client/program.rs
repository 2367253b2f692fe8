//! Running the Python client: its command line, its events, its end.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use talkspurt_testkit::fixture::SOON;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::workspace;

/// Enough for the longest script on a busy machine.
pub const MINUTES: Duration = Duration::from_secs(180);

/// Returns the directory of the Python client.
pub fn directory() -> PathBuf {
    workspace::root().join("tests/protocol_client")
}

/// Returns a command that runs Python, and leaves no compiled files behind.
pub fn python() -> Command {
    let mut command = Command::new("python3");
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

/// Returns a command that runs one of the client's programs.
pub fn program(name: &str) -> Command {
    let mut command = python();
    command.arg(directory().join(name));
    command
}

/// A running `client.py`.
pub struct Client {
    process: Process,
}

impl Client {
    /// Starts a client in the room "r" that does what `script` says.
    pub fn start(server: &str, name: &str, flags: &[&str], script: &str) -> Result<Self> {
        // Each has nonces and tokens of its own.
        static SEEDS: AtomicU32 = AtomicU32::new(1);
        let seed = SEEDS.fetch_add(1, Ordering::Relaxed).to_string();
        let mut command = program("client.py");
        command
            .args(["--server", server, "--room", "r", "--name", name])
            .args(["--seed", &seed])
            .args(flags)
            .arg(script);
        let process = Process::spawn(name, &mut command)
            .context("python3 is missing? `cargo xtask setup test` installs it")?;
        Ok(Self { process })
    }

    /// Starts a client and waits until its first session has begun.
    pub fn join(server: &str, name: &str, flags: &[&str], script: &str) -> Result<Self> {
        let client = Self::start(server, name, flags, script)?;
        client.process.wait_for_event("joined", SOON)?;
        Ok(client)
    }

    /// Starts a client and waits until its script is done. Returns its events.
    pub fn run(server: &str, name: &str, flags: &[&str], script: &str) -> Result<Events> {
        Self::start(server, name, flags, script)?.finish()
    }

    /// Waits until the script is done. Returns the events.
    pub fn finish(mut self) -> Result<Events> {
        self.process.wait_for_success(MINUTES)?;
        Ok(self.events())
    }

    /// Waits for the end of a client that says itself why its script cannot go on.
    pub fn fail(mut self) -> Result<Events> {
        let status = self.process.wait(MINUTES)?;
        let events = self.events();
        anyhow::ensure!(status.code() == Some(1), "{status}: {events}");
        Ok(events)
    }

    fn events(&self) -> Events {
        Events(self.process.events().into_iter().map(|e| e.json).collect())
    }
}

/// What a client has printed.
pub struct Events(Vec<Value>);

impl Events {
    /// Returns all events of a kind.
    pub fn all(&self, event: &str) -> Vec<&Value> {
        let kind = |one: &&Value| one["event"] == event;
        self.0.iter().filter(kind).collect()
    }

    /// Returns the only event of a kind.
    pub fn one(&self, event: &str) -> Result<&Value> {
        match self.all(event)[..] {
            [one] => Ok(one),
            _ => anyhow::bail!("not exactly one {event:?} in\n{self}"),
        }
    }

    /// Returns the changes of the roster that concern `name`, in order, as `Joined`, `Left 0`,
    /// `State 1`: the packet, and the reason or the flags.
    pub fn changes_of(&self, name: &str) -> Vec<String> {
        let changes = self.all("change").into_iter();
        changes
            .filter(|change| change["name"] == name)
            .map(|change| {
                let packet = change["packet"].as_str().unwrap_or_default();
                match packet {
                    "Left" => format!("Left {}", change["reason"]),
                    "State" => format!("State {}", change["flags"]),
                    _ => packet.to_owned(),
                }
            })
            .collect()
    }
}

impl std::fmt::Display for Events {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// Returns the names in a `roster` event.
pub fn names(roster: &Value) -> Vec<&str> {
    let entries = roster["entries"].as_array().into_iter().flatten();
    entries.filter_map(|entry| entry["name"].as_str()).collect()
}
