//! Docker for tests and `cargo xtask docker`: a daemon that answers, the base images, and the
//! server's image.

use std::env;
use std::fmt;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::workspace;

/// The tag of the server's image that tests and xtask build.
pub const IMAGE: &str = "talkspurt-server:local";

/// The image's size must stay below this (issue 2: "under 20 MB").
pub const IMAGE_LIMIT_BYTES: u64 = 20_000_000;

/// Setting this variable to `off` switches Docker off for the tests.
pub const SWITCH: &str = "TALKSPURT_DOCKER";

/// Why Docker cannot be used here. This is the only reason for which a test may skip, and it says
/// so.
#[derive(Clone, Debug, PartialEq)]
pub struct Unavailable(pub String);

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Docker cannot run here: {}", self.0)
    }
}

impl std::error::Error for Unavailable {}

/// Where a long command's output goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Progress {
    /// To the standard error of this process.
    Shown,
    /// To a log in `target/`, quoted if the command fails.
    Logged,
}

/// A Docker installation whose daemon answers.
#[derive(Clone, Debug)]
pub struct Docker {
    program: PathBuf,
}

impl Docker {
    /// Finds Docker. If no daemon answers and this is root, starts one in a session of its own, so
    /// that it outlives this process.
    pub fn ready() -> Result<Self, Unavailable> {
        if env::var_os(SWITCH).is_some_and(|value| value == "off") {
            return Err(Unavailable(format!("{SWITCH}=off")));
        }
        let docker = Self {
            program: program()?,
        };
        if !docker.answers() {
            docker.start_daemon()?;
        }
        Ok(docker)
    }

    /// Makes a `docker` command. Builds use BuildKit.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.env("DOCKER_BUILDKIT", "1").stdin(Stdio::null());
        command
    }

    /// Runs `docker ARGS` and returns what it printed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self
            .command()
            .args(args)
            .output()
            .context("cannot start docker")?;
        let error = String::from_utf8_lossy(&output.stderr);
        ensure!(
            output.status.success(),
            "docker {}: {}",
            args.join(" "),
            error.trim()
        );
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// Provides the images that the Dockerfile starts from: pulled, or made here if no registry
    /// answers.
    pub fn ensure_base_images(&self, progress: Progress) -> Result<()> {
        let mut script = Command::new("bash");
        script
            .arg(workspace::root().join("xtask/scripts/docker-base.sh"))
            .env("DOCKER", &self.program);
        run_long(&mut script, "docker-base", progress)
    }

    /// Builds the server's image as [`IMAGE`] from the workspace's Dockerfile.
    pub fn build_image(&self, progress: Progress) -> Result<()> {
        run_long(
            self.command()
                .args(["build", "--tag", IMAGE])
                .arg(workspace::root()),
            "docker-build",
            progress,
        )
    }

    /// Returns the size of an image, as `docker image ls` counts it.
    pub fn image_bytes(&self, image: &str) -> Result<u64> {
        let size = self.run(&["image", "inspect", "--format", "{{.Size}}", image])?;
        size.parse()
            .with_context(|| format!("docker said \"{size}\" instead of a size"))
    }

    fn answers(&self) -> bool {
        let mut info = self.command();
        info.args(["info", "--format", "{{.ServerVersion}}"])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        info.status().is_ok_and(|status| status.success())
    }

    fn start_daemon(&self) -> Result<(), Unavailable> {
        const START_LIMIT: Duration = Duration::from_secs(60);
        if !rustix::process::geteuid().is_root() {
            return Err(Unavailable(
                "no daemon answers, and only root may start one".to_owned(),
            ));
        }
        let because =
            |error: &dyn fmt::Display| Unavailable(format!("cannot start dockerd: {error}"));
        let log_path = target_file("dockerd.log").map_err(|error| because(&error))?;
        let log = File::create(&log_path).map_err(|error| because(&error))?;
        let errors = log.try_clone().map_err(|error| because(&error))?;
        let mut daemon = Command::new("setsid");
        daemon
            .arg("dockerd")
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors);
        let mut daemon = daemon.spawn().map_err(|error| because(&error))?;
        let deadline = Instant::now() + START_LIMIT;
        while Instant::now() < deadline {
            if self.answers() {
                return Ok(());
            }
            if daemon.try_wait().is_ok_and(|status| status.is_some()) {
                break;
            }
            thread::sleep(Duration::from_millis(300));
        }
        Err(Unavailable(format!(
            "dockerd does not start: {}",
            last_lines(&log_path, 3)
        )))
    }
}

/// Debian's own docker, if there is one, else the one on the PATH, which may lack BuildKit.
fn program() -> Result<PathBuf, Unavailable> {
    let debian = Path::new("/usr/bin/docker");
    let on_path = || {
        let directories = env::var_os("PATH").unwrap_or_default();
        env::split_paths(&directories)
            .map(|directory| directory.join("docker"))
            .find(|path| path.is_file())
    };
    let found = if debian.is_file() {
        Some(debian.to_owned())
    } else {
        on_path()
    };
    found.ok_or_else(|| {
        Unavailable("no docker program (Debian: apt-get install docker.io)".to_owned())
    })
}

fn run_long(command: &mut Command, name: &str, progress: Progress) -> Result<()> {
    if progress == Progress::Shown {
        // Everything goes to standard error: standard output is for results.
        let status = command
            .stdout(std::io::stderr())
            .status()
            .with_context(|| format!("cannot start {name}"))?;
        ensure!(status.success(), "{name} failed: see above");
        return Ok(());
    }
    let path = target_file(&format!("{name}.log"))?;
    let log = File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
    let status = command
        .stdout(log.try_clone()?)
        .stderr(log)
        .status()
        .with_context(|| format!("cannot start {name}"))?;
    if !status.success() {
        bail!(
            "{name} failed; the end of {}:\n{}",
            path.display(),
            last_lines(&path, 20)
        );
    }
    Ok(())
}

fn target_file(name: &str) -> Result<PathBuf> {
    let target = workspace::target_dir();
    fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
    Ok(target.join(name))
}

fn last_lines(path: &Path, count: usize) -> String {
    let text = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_log_is_quoted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, "a\nb\nc\n").unwrap();
        assert_eq!(last_lines(&path, 2), "b\nc");
        assert_eq!(last_lines(&dir.path().join("none"), 2), "");
    }

    #[test]
    fn a_failing_command_is_reported_with_its_output() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo broken pipe dream; exit 1"]);
        let error = run_long(&mut command, "test-failing-command", Progress::Logged)
            .unwrap_err()
            .to_string();
        assert!(error.contains("broken pipe dream"), "{error}");
    }

    #[test]
    fn unavailability_says_why() {
        let why = Unavailable("no daemon".to_owned()).to_string();
        assert_eq!(why, "Docker cannot run here: no daemon");
    }
}
