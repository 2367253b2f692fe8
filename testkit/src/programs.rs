//! Talkspurt's programs: where their binaries are, and how they are started.
//!
//! `TALKSPURT_BIN_DIR` names a directory with ready binaries (`cargo xtask test` sets it). Without
//! it the binaries are those of this build's profile, brought up to date by one `cargo build` for
//! each test program.

use std::env;
use std::path::PathBuf;
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::Process;
use crate::workspace;

/// Long enough for any of the programs to start on a busy machine.
pub const START_LIMIT: Duration = Duration::from_secs(20);

/// The packages whose programs are run.
pub const PACKAGES: [&str; 5] = [
    "talkspurt-server",
    "talkspurt-client",
    "talkspurt-node",
    "talkspurt-log",
    "talkspurt-load",
];

/// Uses the binaries in `directory` from now on, for programs that have built them on their own.
/// Only the first call has an effect.
pub fn use_binaries_in(directory: PathBuf) {
    let _ = DIRECTORY.set(Ok(directory));
}

static DIRECTORY: OnceLock<Result<PathBuf, String>> = OnceLock::new();

/// Makes a command for one of the programs (`talkspurt-server`, `talkspurt`, `talkspurt-node`,
/// `talkspurt-bridge`, `talkspurt-log`, `talkspurt-load`), without the settings in this process's
/// environment and with its log at `info`.
pub fn command(program: &str) -> Result<Command> {
    let directory = DIRECTORY.get_or_init(|| directory().map_err(|error| format!("{error:#}")));
    let directory = directory
        .as_ref()
        .map_err(|error| anyhow::anyhow!("{error}"))?;
    let path = directory.join(program);
    ensure!(
        path.is_file(),
        "{} is missing; build it with `cargo build --workspace --bins`",
        path.display()
    );
    let mut command = Command::new(path);
    for (name, _) in
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("TALKSPURT_"))
    {
        command.env_remove(name);
    }
    command.env("RUST_LOG", "info");
    Ok(command)
}

/// A running server.
pub struct Server {
    /// The process, for signals and logs.
    pub process: Process,
    /// Where clients connect: `127.0.0.1:PORT`.
    pub address: String,
    /// Where its pages are: `127.0.0.1:PORT`.
    pub http: String,
}

impl Server {
    /// Starts a server on free ports of this machine, with additional `flags`.
    pub fn start(flags: &[&str]) -> Result<Self> {
        Self::start_at("127.0.0.1:0", flags)
    }

    /// Like [`Server::start`] at a given address, for a server that comes back.
    pub fn start_at(address: &str, flags: &[&str]) -> Result<Self> {
        let mut command = command("talkspurt-server")?;
        command
            .args(["--listen", address, "--http", "127.0.0.1:0"])
            .args(flags);
        let process = Process::spawn("server", &mut command)?;
        let address = process.wait_for_prefix("listening on ", START_LIMIT)?;
        let http = process.wait_for_prefix("http on ", START_LIMIT)?;
        Ok(Self {
            process,
            address,
            http,
        })
    }
}

/// Starts a desktop client with `--events json`.
pub fn client(server: &str, room: &str, name: &str, flags: &[&str]) -> Result<Process> {
    let mut command = command("talkspurt")?;
    command
        .args([
            "join", server, "--room", room, "--name", name, "--events", "json",
        ])
        .args(flags);
    Process::spawn(name, &mut command)
}

/// A running node on its own pseudo-terminal, with `--events json`.
pub struct Node {
    /// The process.
    pub process: Process,
    /// The path of the serial line's other end.
    pub serial: String,
}

impl Node {
    /// Starts a node and waits for its serial line.
    pub fn start(room: &str, name: &str, baud: u32, flags: &[&str]) -> Result<Self> {
        let mut command = command("talkspurt-node")?;
        command
            .args([
                "--serial",
                "pty",
                "--baud",
                &baud.to_string(),
                "--room",
                room,
                "--name",
                name,
            ])
            .args(["--events", "json"])
            .args(flags);
        let process = Process::spawn(name, &mut command)?;
        let serial = process.wait_for_prefix("serial on ", START_LIMIT)?;
        Ok(Self { process, serial })
    }
}

/// Starts a bridge between a serial line and a server.
pub fn bridge(serial: &str, baud: u32, server: &str) -> Result<Process> {
    let mut command = command("talkspurt-bridge")?;
    command.args([
        "--serial",
        serial,
        "--baud",
        &baud.to_string(),
        "--server",
        server,
    ]);
    let process = Process::spawn("bridge", &mut command)?;
    process.wait_for_prefix("bridging", START_LIMIT)?;
    Ok(process)
}

/// Returns the directory of the binaries, building them unless `TALKSPURT_BIN_DIR` promises that
/// they are ready.
fn directory() -> Result<PathBuf> {
    if let Some(directory) = env::var_os("TALKSPURT_BIN_DIR") {
        return Ok(directory.into());
    }
    // A test program is target/PROFILE/deps/NAME.
    let own = env::current_exe().context("cannot find the path of this program")?;
    let profile = own
        .ancestors()
        .find(|path| !path.ends_with("deps") && path.is_dir())
        .context("no directory")?;
    let mut build = workspace::cargo();
    build.args(["build", "--quiet", "--bins"]);
    build.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    if profile.ends_with("release") {
        build.arg("--release");
    }
    let output = build.output().context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "cargo build failed:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(profile.to_owned())
}
