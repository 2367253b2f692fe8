//! What the desktop client does when its terminal is closed, or its output cannot be written or is
//! never read.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use talkspurt_testkit::fixture::{SOON, Stage, finish};
use talkspurt_testkit::full_output::{full_disk, full_pipe};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs;
use talkspurt_testkit::terminal::{Hangup, Terminal};
use talkspurt_testkit::wav::{self, samples};

/// Makes a command for the client as `name` in the room, without sound.
fn join(stage: &Stage, name: &str, flags: &[&str]) -> Result<Command> {
    let mut command = programs::command("talkspurt")?;
    command
        .args(["join", &stage.server.address, "--room", "r", "--name", name])
        .args(["--input", "none", "--output", "none"])
        .args(flags);
    Ok(command)
}

/// Waits until `lis` is told that someone joined or left.
fn wait_for(lis: &Process, mark: usize, kind: &str, name: &str) -> Result<()> {
    lis.wait_for_event_after(mark, kind, SOON, |event| event["name"] == name)
        .map(drop)
}

#[test]
fn closing_the_terminal_ends_the_call_with_or_without_sighup() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    for (name, hangup, flags) in [
        ("sent", Hangup::Sent, &[][..]),
        ("ignored", Hangup::Ignored, &[]),
        ("none", Hangup::None, &[]),
        ("plain", Hangup::None, &["--plain"]),
    ] {
        let mark = lis.mark();
        let command = join(&stage, name, flags)?;
        let mut terminal = Terminal::start(&command, 80, 24, hangup)?;
        wait_for(&lis, mark, "participant_joined", name)?;
        terminal.wait_for("lis", SOON).context(name)?;
        terminal.close();
        wait_for(&lis, mark, "participant_left", name)?;
        let status = terminal.wait(SOON).context(name)?;
        ensure!(status.code() == Some(0), "{name}: {status:?}");
    }
    Ok(())
}

#[test]
fn closing_the_terminal_at_once_ends_the_call_too() -> Result<()> {
    let stage = Stage::new(&[])?;
    for (name, millis) in [("a", 0), ("b", 30), ("c", 100), ("d", 300), ("e", 1_000)] {
        let command = join(&stage, name, &[])?;
        let mut terminal = Terminal::start(&command, 80, 24, Hangup::Ignored)?;
        thread::sleep(Duration::from_millis(millis));
        terminal.close();
        terminal
            .wait(SOON)
            .with_context(|| format!("{millis} ms"))?;
    }
    Ok(())
}

#[test]
fn an_unwritable_stderr_has_no_effect() -> Result<()> {
    let stage = Stage::new(&[])?;
    let says = stage.path("says.wav");
    wav::write(&says, &noise(1, samples(300)))?;
    let says = says.display().to_string();
    let mut command = programs::command("talkspurt")?;
    command
        .args(["--log", "trace", "join", &stage.server.address])
        .args([
            "--room",
            "r",
            "--name",
            "n",
            "--no-gate",
            "--events",
            "json",
        ])
        .args(["--input", &says, "--output", "none"])
        .stderr(full_disk()?);
    let output = command.output()?;
    ensure!(output.status.success(), "{:?}", output.status);
    let lines = String::from_utf8(output.stdout)?;
    let left = lines.lines().last().context("a last line")?;
    let left: serde_json::Value = serde_json::from_str(left)?;
    ensure!(
        left["event"] == "left" && left["frames_sent"] == 15,
        "{left}"
    );
    Ok(())
}

#[test]
fn an_unwritable_stdout_ends_the_client_with_an_error() -> Result<()> {
    let stage = Stage::new(&[])?;
    let devices = {
        let mut command = programs::command("talkspurt")?;
        command.arg("devices");
        command
    };
    let help = join(&stage, "n", &["--help"])?;
    let version = {
        let mut command = programs::command("talkspurt")?;
        command.arg("--version");
        command
    };
    let events = join(&stage, "n", &["--events", "json"])?;
    for mut command in [events, devices, help, version] {
        let output = command.stdout(full_disk()?).output()?;
        let errors = String::from_utf8(output.stderr)?;
        ensure!(output.status.code() == Some(1), "{:?}", output.status);
        let says = "talkspurt: cannot write to stdout: no space left on device\n";
        ensure!(errors == says, "{errors}");
    }
    Ok(())
}

#[test]
fn the_client_ends_with_the_reader_of_its_stdout_even_in_a_quiet_room() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let mark = lis.mark();
    let (reader, writer) = std::io::pipe()?;
    let mut client = join(&stage, "ghost", &["--events", "json"])?
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()?;
    // Read one line and close, as `head -1` does.
    let mut line = String::new();
    BufReader::new(reader).read_line(&mut line)?;
    ensure!(line.contains("joined"), "{line}");
    let gone = wait_for(&lis, mark, "participant_left", "ghost");
    if gone.is_err() {
        client.kill()?;
    }
    let status = client.wait()?;
    gone?;
    let mut errors = String::new();
    client
        .stderr
        .take()
        .context("piped")?
        .read_to_string(&mut errors)?;
    ensure!(
        status.code() == Some(0) && errors.is_empty(),
        "{status:?}: {errors}"
    );

    let (reader, writer) = std::io::pipe()?;
    drop(reader);
    let output = programs::command("talkspurt")?
        .arg("devices")
        .stdout(writer)
        .stderr(Stdio::piped())
        .spawn()?
        .wait_with_output()?;
    ensure!(
        output.status.code() == Some(0) && output.stderr.is_empty(),
        "{output:?}"
    );
    Ok(())
}

#[test]
fn an_unread_stdout_does_not_delay_the_end() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    for (name, flags, signal) in [
        ("timed", &["--for", "1"][..], None),
        ("interrupted", &[], Some(Signal::INT)),
        ("terminated", &[], Some(Signal::TERM)),
        ("plain", &["--plain"], Some(Signal::TERM)),
    ] {
        let (reader, writer) = full_pipe()?;
        let format: &[&str] = match flags {
            ["--plain"] => &[],
            _ => &["--events", "json"],
        };
        let mark = lis.mark();
        let mut command = join(&stage, name, &[format, flags].concat())?;
        let mut client = command.stdout(writer).spawn()?;
        wait_for(&lis, mark, "participant_joined", name)?;
        if let Some(signal) = signal {
            kill_process(Pid::from_child(&client), signal)?;
        }
        wait_for(&lis, mark, "participant_left", name)?;
        let deadline = Instant::now() + SOON;
        while client.try_wait()?.is_none() {
            if Instant::now() > deadline {
                client.kill()?;
                client.wait()?;
                bail!("{name}: still running");
            }
            thread::sleep(Duration::from_millis(5));
        }
        drop(reader);
    }
    Ok(())
}

#[test]
fn nohup_keeps_a_client_without_a_terminal_in_the_room() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let mark = lis.mark();
    let command = join(&stage, "kept", &["--events", "json"])?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", r#"trap "" HUP; exec "$@""#, "sh"])
        .arg(command.get_program())
        .args(command.get_args());
    let mut client = Process::spawn("kept", &mut shell)?;
    wait_for(&lis, mark, "participant_joined", "kept")?;
    client.signal(Signal::HUP)?;
    thread::sleep(Duration::from_millis(300));
    ensure!(client.is_running()?);
    client.terminate()?;
    finish(&mut client, SOON)?;
    Ok(())
}

/// Noise as loud as speech, with four syllables a second and pauses. Its loud parts have an RMS of
/// `rms`.
fn murmur(ms: u64, rms: f64) -> Vec<i16> {
    let loud = noise(1, samples(ms));
    let own = (loud.iter().map(|&s| f64::from(s).powi(2)).sum::<f64>() / loud.len() as f64).sqrt();
    let said = loud.iter().enumerate().map(|(n, &sample)| {
        let ms = n / samples(1);
        let syllable = ((ms % 250) as f64 / 250.0 * std::f64::consts::PI).sin();
        let is_pause = ms % 2_000 >= 1_400;
        let gain = if is_pause { 0.0 } else { syllable.powi(3) };
        (f64::from(sample) * rms / own * gain) as i16
    });
    said.collect()
}

#[test]
fn a_talker_too_quiet_for_the_gate_is_told() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut quiet = stage.join("r", "quiet", &murmur(4_000, 600.0), &["--gate", "fixed"])?;
    let told = quiet.wait_for_event("input_quiet", SOON)?;
    ensure!(finish(&mut quiet, SOON)?.frames("sent")? == 0);
    let at = told.json["try_gate_open_dbfs"].to_string();
    let flags = ["--gate-open", &format!("{at}dB")];
    let mut heard = stage.join("r", "heard", &murmur(4_000, 600.0), &flags)?;
    let left = finish(&mut heard, SOON)?;
    ensure!(left.frames("sent")? > 50, "the advice helps: {}", left.json);
    let told = |process: &Process| process.events().iter().any(|e| e.kind == "input_quiet");
    ensure!(!told(&heard));
    let mut muted = stage.join(
        "r",
        "muted",
        &murmur(4_000, 600.0),
        &["--gate", "fixed", "--muted"],
    )?;
    finish(&mut muted, SOON)?;
    ensure!(!told(&muted));
    Ok(())
}

#[test]
fn push_to_talk_sends_at_any_level_while_the_key_is_held() -> Result<()> {
    // As a terminal with kitty's keyboard protocol reports them.
    const PRESSED: &str = "\x1b[32;1:1u";
    const RELEASED: &str = "\x1b[32;1:3u";
    const FOCUS_LOST: &str = "\x1b[O";
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let says = stage.path("says.wav");
    wav::write(&says, &murmur(60_000, 100.0))?;
    let mut command = programs::command("talkspurt")?;
    command
        .args(["join", &stage.server.address, "--room", "r"])
        .args(["--name", "ann", "--ptt", "--output", "none", "--input"])
        .arg(&says);
    let mark = lis.mark();
    let mut terminal = Terminal::start(&command, 80, 24, Hangup::Sent)?;
    let by_ann = |event: &serde_json::Value| event["name"] == "ann";
    let came = lis.wait_for_event_after(mark, "participant_joined", SOON, by_ann)?;
    ensure!(came.json["muted"] == false, "{}", came.json);
    terminal.wait_for("talk on/off", SOON)?;
    for end in [RELEASED, FOCUS_LOST] {
        let mark = lis.mark();
        terminal.press(PRESSED)?;
        lis.wait_for_event_after(mark, "talking", SOON, by_ann)?;
        terminal.press(end)?;
        lis.wait_for_event_after(mark, "silent", SOON, by_ann)?;
    }
    terminal.press("q")?;
    ensure!(terminal.wait(SOON)?.code() == Some(0));
    ensure!(lis.events().iter().all(|event| event.kind != "muted"));

    let output = command.stdin(Stdio::null()).output()?;
    let errors = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(2) && errors.contains("--ptt"),
        "{errors}"
    );
    Ok(())
}
