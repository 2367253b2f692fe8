//! The server's Docker image is built, becomes healthy, carries a talk, and stops cleanly within 2
//! s of SIGTERM. Skipped, with a loud notice, only where Docker cannot run.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use talkspurt_testkit::bit_exact::{covered_in_time, exact_runs};
use talkspurt_testkit::busy_machine::repeat_if_spoilt;
use talkspurt_testkit::docker::{Docker, IMAGE, IMAGE_LIMIT_BYTES, Progress};
use talkspurt_testkit::fixture::{LATEST, SOON, finish, leave, page};
use talkspurt_testkit::heard_speech::due;
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::client;
use talkspurt_testkit::wav::{self, samples};

/// Health checks run every 10 s.
const HEALTHY_WITHIN: Duration = Duration::from_secs(60);
const STOPS_WITHIN: Duration = Duration::from_secs(2);

/// A running container, removed when dropped.
struct Container<'a> {
    docker: &'a Docker,
    id: String,
}

impl<'a> Container<'a> {
    /// Runs the image as the README does, with tighter restrictions and on free ports of this
    /// machine.
    fn start(docker: &'a Docker) -> Result<Self> {
        let tight = [
            "--read-only",
            "--cap-drop=ALL",
            "--security-opt=no-new-privileges",
        ];
        let ports = ["-p", "127.0.0.1::8255", "-p", "127.0.0.1::8256"];
        let run = [&["run", "--detach"][..], &tight, &ports, &[IMAGE]].concat();
        let id = docker.run(&run)?;
        Ok(Self { docker, id })
    }

    fn address(&self, port: &str) -> Result<String> {
        let lines = self.docker.run(&["port", &self.id, port])?;
        let first = lines
            .lines()
            .next()
            .context("a published port has an address")?;
        Ok(first.trim().to_owned())
    }

    fn state(&self, field: &str) -> Result<String> {
        let format = format!("{{{{.State.{field}}}}}");
        self.docker.run(&["inspect", "--format", &format, &self.id])
    }

    fn wait_for_state(&self, field: &str, wanted: &str, within: Duration) -> Result<Duration> {
        let asked = Instant::now();
        loop {
            let state = self.state(field)?;
            if state == wanted {
                return Ok(asked.elapsed());
            }
            if asked.elapsed() > within {
                bail!(
                    "{field} is {state}, not {wanted}, after {within:?}; the log:\n{}",
                    self.log()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn log(&self) -> String {
        let logs = self.docker.command().args(["logs", &self.id]).output();
        logs.map_or_else(
            |error| error.to_string(),
            |logs| String::from_utf8_lossy(&[logs.stdout, logs.stderr].concat()).into_owned(),
        )
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        // An error here means that it is already gone.
        let _ = self.docker.run(&["rm", "--force", &self.id]);
    }
}

#[test]
fn the_image_is_small_healthy_talks_and_stops() -> Result<()> {
    let docker = match Docker::ready() {
        Ok(docker) => docker,
        Err(unavailable) => {
            eprintln!(
                "\n!!! {unavailable}\n!!! SKIPPED: the server's Docker image was not tested.\n"
            );
            return Ok(());
        }
    };
    docker.ensure_base_images(Progress::Logged)?;
    docker.build_image(Progress::Logged)?;
    let bytes = docker.image_bytes(IMAGE)?;
    ensure!(bytes < IMAGE_LIMIT_BYTES, "the image has {bytes} bytes");
    let user = docker.run(&["image", "inspect", "--format", "{{.Config.User}}", IMAGE])?;
    ensure!(user.starts_with("65534"), "the image runs as \"{user}\"");

    let container = Container::start(&docker)?;
    container.wait_for_state("Health.Status", "healthy", HEALTHY_WITHIN)?;
    repeat_if_spoilt(|| talk(&container))?;

    let mut listener = client(
        &container.address("8255")?,
        "r",
        "lis",
        &["--input", "none", "--output", "none"],
    )?;
    listener.wait_for_event("joined", SOON)?;
    docker.run(&["kill", "--signal", "TERM", &container.id])?;
    let took = container.wait_for_state("Running", "false", STOPS_WITHIN)?;
    println!("stopped within {took:?}; {bytes} bytes");
    assert_eq!(container.state("ExitCode")?, "0", "{}", container.log());
    let lost = listener.wait_for_event("reconnecting", SOON)?;
    assert!(
        lost.json["reason"].to_string().contains("stopping"),
        "wrong reason in the Bye: {}",
        lost.json
    );
    leave(&mut listener)?;
    Ok(())
}

/// One client talks and another listens through the container's published port.
fn talk(container: &Container<'_>) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (says, heard) = (path("says.wav"), path("heard.wav"));
    let spoken = noise(1, samples(2_000));
    wav::write(says.as_ref(), &spoken)?;
    let address = container.address("8255")?;
    let pcm = ["--codec", "pcm16", "--no-gate"];
    let mut lis = client(
        &address,
        "r",
        "lis",
        &[&["--input", "none", "--output", &heard], &pcm[..]].concat(),
    )?;
    lis.wait_for_event("joined", SOON)?;
    let mut ann = client(
        &address,
        "r",
        "ann",
        &[&["--input", &says, "--output", "none"], &pcm[..]].concat(),
    )?;
    ann.wait_for_event("joined", SOON)?;
    let rooms = page(&container.address("8256")?, "/rooms")?;
    ensure!(
        rooms.contains("\"ann\"") && rooms.contains("\"lis\""),
        "{rooms}"
    );
    finish(&mut ann, SOON)?;
    leave(&mut lis)?;
    let joined = |who: &Process| who.wait_for_event("joined", Duration::ZERO);
    let due = due(joined(&ann)?.at, joined(&lis)?.at);
    let runs = exact_runs(&spoken, &wav::read(heard.as_ref())?);
    let heard = covered_in_time(&runs, 0..spoken.len(), due, LATEST);
    let share = heard as f64 / spoken.len() as f64;
    ensure!(share > 0.98, "the listener heard {share:.3} bit for bit");
    Ok(())
}
