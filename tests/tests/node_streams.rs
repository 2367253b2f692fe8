//! What the node and the bridge do when their output cannot be written or is never read, when
//! nobody answers them, and when a flag or variable is invalid.

use std::io::{BufRead, BufReader, PipeWriter, Read, pipe};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use talkspurt_testkit::fixture::{SOON, Stage, leave};
use talkspurt_testkit::full_output::{full_disk, full_pipe, redirected};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::noisy_line::NoisyLine;
use talkspurt_testkit::process::{Event, Process};
use talkspurt_testkit::programs;
use talkspurt_testkit::wav::{self, samples};

fn node(serial: &str, name: &str, flags: &[&str]) -> Result<Command> {
    let mut command = programs::command("talkspurt-node")?;
    command
        .args(["--serial", serial, "--room", "r", "--name", name])
        .args(["--events", "json"])
        .args(flags);
    Ok(command)
}

fn bridge_to(serial: &str, server: &str) -> Result<Command> {
    let mut command = programs::command("talkspurt-bridge")?;
    command.args(["--serial", serial, "--server", server]);
    Ok(command)
}

/// A program of which only the end is observed. Killed when dropped.
struct Running(Child);

impl Running {
    /// Starts it with a standard error that carries only errors.
    fn start(command: &mut Command, stdout: PipeWriter) -> Result<Self> {
        let child = command
            .env("RUST_LOG", "off")
            .stdin(Stdio::null())
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()?;
        // The command keeps the descriptors it gave to the program, and an open writer would keep
        // the pipe alive.
        command.stdout(Stdio::null());
        Ok(Self(child))
    }

    fn terminate(&self) -> Result<()> {
        Ok(kill_process(Pid::from_child(&self.0), Signal::TERM)?)
    }

    /// Waits for it to end by itself, and returns its exit status and standard error.
    fn wait(&mut self) -> Result<(ExitStatus, String)> {
        let deadline = Instant::now() + SOON;
        let status = loop {
            match self.0.try_wait()? {
                Some(status) => break status,
                None if Instant::now() > deadline => bail!("still running"),
                None => thread::sleep(Duration::from_millis(5)),
            }
        };
        let mut errors = String::new();
        let stderr = self.0.stderr.as_mut().context("piped")?;
        stderr.read_to_string(&mut errors)?;
        Ok((status, errors))
    }

    /// Checks that it ended with exit code 0 and an empty standard error.
    fn wait_for_quiet_end(&mut self, what: &str) -> Result<()> {
        let (status, errors) = self.wait().with_context(|| what.to_owned())?;
        ensure!(
            status.code() == Some(0) && errors.is_empty(),
            "{what}: {status:?}: {errors}"
        );
        Ok(())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // An error here means that it has already ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Waits until `lis` is told that someone joined or left.
fn wait_for(lis: &Process, mark: usize, kind: &str, name: &str) -> Result<()> {
    lis.wait_for_event_after(mark, kind, SOON, |event| event["name"] == name)
        .map(drop)
}

fn wait_for_log(process: &Process, what: &str, times: usize) -> Result<()> {
    let deadline = Instant::now() + SOON;
    while process.log().matches(what).count() < times {
        ensure!(
            process.is_running()? && Instant::now() < deadline,
            "{what:?} was not logged {times} times:\n{}",
            process.log()
        );
        thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

#[test]
fn an_unwritable_stderr_has_no_effect() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let says = stage.path("says.wav");
    wav::write(&says, &noise(1, samples(1_000)))?;
    let mark = lis.mark();
    let flags = ["--no-gate", "--input", &says.display().to_string()];
    let mut plain = node("pty", "kettle", &flags)?;
    plain.env("RUST_LOG", "trace");
    let mut kettle = Process::spawn("kettle", &mut redirected(&plain, "2>/dev/full"))?;
    let serial = kettle.wait_for_prefix("serial on ", SOON)?;
    let mut plain = bridge_to(&serial, &stage.server.address)?;
    plain.env("RUST_LOG", "trace");
    let mut pump = Process::spawn("bridge", &mut redirected(&plain, "2>/dev/full"))?;
    pump.wait_for_prefix("bridging ", SOON)?;
    kettle.wait_for_event("joined", SOON)?;
    for kind in ["participant_joined", "talking", "participant_left"] {
        wait_for(&lis, mark, kind, "kettle")?;
    }
    kettle.wait_for_success(SOON)?;
    ensure!(pump.is_running()?);
    pump.terminate()?;
    pump.wait_for_success(SOON)?;
    Ok(())
}

#[test]
fn an_unwritable_stdout_ends_node_and_bridge_with_an_error() -> Result<()> {
    let stage = Stage::new(&[])?;
    let line = NoisyLine::with_two_ends(1)?;
    for (program, mut command) in [
        ("talkspurt-node", node("pty", "kettle", &[])?),
        (
            "talkspurt-bridge",
            bridge_to(&line.path, &stage.server.address)?,
        ),
    ] {
        command.env("RUST_LOG", "off").stderr(Stdio::piped());
        let child = command.stdout(full_disk()?).spawn()?;
        let (status, errors) = Running(child).wait().context(program)?;
        ensure!(status.code() == Some(1), "{program}: {status:?}: {errors}");
        let says = format!("{program}: cannot write to stdout: no space left on device\n");
        ensure!(errors == says, "{errors}");
    }
    Ok(())
}

/// Reads a line of a program, as `head -1` does.
fn line_of(reader: &mut impl BufRead) -> Result<String> {
    let mut line = String::new();
    ensure!(reader.read_line(&mut line)? > 0, "it ended");
    Ok(line.trim_end().to_owned())
}

#[test]
fn node_and_bridge_end_with_the_reader_of_their_stdout_even_when_silent() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let mark = lis.mark();

    // The node calls and nobody answers.
    let (reader, writer) = pipe()?;
    let mut caller = Running::start(&mut node("pty", "caller", &[])?, writer)?;
    ensure!(line_of(&mut BufReader::new(reader))?.starts_with("serial on "));
    caller.wait_for_quiet_end("the node that calls")?;

    // The node is in a quiet room.
    let (reader, writer) = pipe()?;
    let mut reader = BufReader::new(reader);
    let mut kettle = Running::start(&mut node("pty", "kettle", &[])?, writer)?;
    let said = line_of(&mut reader)?;
    let serial = said.strip_prefix("serial on ").context(said.clone())?;
    let (pump_reader, writer) = pipe()?;
    let mut pump_reader = BufReader::new(pump_reader);
    let mut command = bridge_to(serial, &stage.server.address)?;
    let mut pump = Running::start(&mut command, writer)?;
    ensure!(line_of(&mut pump_reader)?.starts_with("bridging "));
    wait_for(&lis, mark, "participant_joined", "kettle")?;
    while !line_of(&mut reader)?.contains(r#""roster""#) {}
    drop(reader);
    wait_for(&lis, mark, "participant_left", "kettle")?;
    kettle.wait_for_quiet_end("the node in a room")?;

    // Nothing arrives from the line any more.
    drop(pump_reader);
    pump.wait_for_quiet_end("the bridge")
}

#[test]
fn an_unread_stdout_delays_neither_the_voice_nor_the_end() -> Result<()> {
    let stage = Stage::new(&["--idle-timeout", "3s"])?;
    let mut lis = stage.join("r", "lis", &[], &[])?;
    let line = NoisyLine::with_two_ends(1)?;
    let (_pump_reader, writer) = full_pipe()?;
    let mut command = bridge_to(&line.path, &stage.server.address)?;
    let mut pump = Running::start(&mut command, writer)?;
    let says = stage.path("says.wav");
    wav::write(&says, &noise(1, samples(3_000)))?;
    let says = says.display().to_string();
    let speaks = ["--input", &says, "--linger", "60"];
    for (name, flags) in [("terminated", &speaks[..]), ("timed", &["--for", "2"])] {
        let mark = lis.mark();
        let (_reader, writer) = full_pipe()?;
        let mut kettle = Running::start(&mut node(&line.node_path, name, flags)?, writer)?;
        wait_for(&lis, mark, "participant_joined", name)?;
        if name == "terminated" {
            wait_for(&lis, mark, "talking", name)?;
            wait_for(&lis, mark, "silent", name)?;
            // Longer than the server waits for a sign of life.
            thread::sleep(Duration::from_secs(5));
            let has_left = |event: &Event| event.kind == "participant_left";
            ensure!(
                !lis.events()[..].iter().any(has_left),
                "dropped without keepalives"
            );
            kettle.terminate()?;
        }
        wait_for(&lis, mark, "participant_left", name)?;
        kettle.wait_for_quiet_end(name)?;
    }
    pump.terminate()?;
    pump.wait_for_quiet_end("the bridge")?;
    // 150 frames were said.
    let received = leave(&mut lis)?.frames("received")?;
    ensure!(received > 100, "{received} frames were heard");
    Ok(())
}

#[test]
fn an_unanswered_node_says_so_and_ends_in_time() -> Result<()> {
    let command = node("pty", "caller", &["--for", "9"])?;
    let mut caller = Process::spawn("caller", &mut { command })?;
    caller.wait_for_success(SOON)?;
    let log = caller.log();
    let told = log.matches("no answer from the server").count();
    ensure!((2..=3).contains(&told), "{told} times:\n{log}");
    let left = caller.wait_for_event("left", Duration::ZERO)?;
    ensure!(left.json["reason"] == "never_joined", "{}", left.json);
    Ok(())
}

#[test]
fn a_server_without_a_port_and_an_empty_variable_mean_the_default() -> Result<()> {
    let line = NoisyLine::with_two_ends(1)?;
    // There may or may not be a server.
    let goes_to = |command: &mut Command| -> Result<String> {
        let pump = Process::spawn("bridge", command)?;
        wait_for_log(&pump, "localhost:8255", 1)?;
        Ok(pump.log())
    };
    goes_to(&mut bridge_to(&line.path, "localhost")?)?;

    let mut command = programs::command("talkspurt-bridge")?;
    command.args(["--serial", &line.path]);
    for name in ["TALKSPURT_SERIAL", "TALKSPURT_BAUD", "TALKSPURT_SERVER"] {
        command.env(name, "");
    }
    goes_to(&mut command)?;

    let mut command = programs::command("talkspurt-bridge")?;
    let mut refused = Process::spawn("bridge", command.env("TALKSPURT_SERIAL", ""))?;
    let (status, errors) = (refused.wait(SOON)?, refused.log());
    ensure!(
        status.code() == Some(2) && errors.contains("--serial <PATH>"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn a_url_is_refused_with_a_hint() -> Result<()> {
    for (mut command, hint) in [
        (
            bridge_to("tcp://localhost:8255", "localhost")?,
            "/dev/ttyUSB0",
        ),
        (
            bridge_to("/dev/null", "http://box:8080/rooms")?,
            "HOST[:PORT] alone",
        ),
        (node("http://localhost:8080", "n", &[])?, "/dev/ttyUSB0"),
    ] {
        let mut refused = Process::spawn("refused", &mut command)?;
        let (status, errors) = (refused.wait(SOON)?, refused.log());
        ensure!(
            status.code() == Some(2) && errors.contains(hint),
            "{command:?}: {errors}"
        );
    }
    Ok(())
}

#[test]
fn a_malformed_log_filter_is_reported() -> Result<()> {
    let line = NoisyLine::with_two_ends(1)?;
    for (name, mut command) in [
        ("node", node("pty", "n", &[])?),
        ("bridge", bridge_to(&line.path, "localhost")?),
    ] {
        let process = Process::spawn(name, command.env("RUST_LOG", "inof"))?;
        wait_for_log(&process, r#"RUST_LOG="inof" is ignored"#, 1)?;
    }
    Ok(())
}
