//! The desktop client as people and scripts run it: its live view in a terminal, its commands, exit
//! codes and events, and recordings as long as the stay.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use talkspurt_testkit::fixture::{SOON, Stage, finish, leave};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::process::{Event, Process};
use talkspurt_testkit::programs;
use talkspurt_testkit::terminal::{Hangup, Terminal};
use talkspurt_testkit::wav::samples;

/// Milliseconds in a frame of these sessions.
const FRAME_MS: u64 = 20;

fn talkspurt(arguments: &[&str]) -> Result<Output> {
    let mut command = programs::command("talkspurt")?;
    command.env_remove("RUST_LOG").args(arguments);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// Returns the milliseconds of sound that someone has heard, and of their stay.
fn heard_and_stayed_ms(stage: &Stage, name: &str, left: &Event) -> Result<(u64, u64)> {
    let heard_ms = stage.heard("r", name)?.len() as u64 / samples(1) as u64;
    Ok((heard_ms, left.number("/stayed_ms")?))
}

#[test]
fn a_recording_is_as_long_as_the_stay_even_across_a_lost_server() -> Result<()> {
    let mut stage = Stage::new(&[])?;
    let mut timed = stage.join("r", "timed", &[], &["--for", "3"])?;
    let mut long = stage.join("r", "long", &[], &[])?;
    let mut talker = stage.join("r", "talker", &noise(1, samples(1_000)), &["--linger", "2"])?;
    let left = finish(&mut talker, SOON)?;
    let (heard_ms, stayed_ms) = heard_and_stayed_ms(&stage, "talker", &left)?;
    ensure!(
        heard_ms.abs_diff(stayed_ms) <= FRAME_MS,
        "{heard_ms}, {stayed_ms}"
    );
    ensure!(
        (2_990..4_000).contains(&heard_ms),
        "1 s and 2 s: {heard_ms}"
    );
    let left = finish(&mut timed, SOON)?;
    let (heard_ms, stayed_ms) = heard_and_stayed_ms(&stage, "timed", &left)?;
    ensure!(
        heard_ms.abs_diff(stayed_ms) <= FRAME_MS,
        "{heard_ms}, {stayed_ms}"
    );
    ensure!((2_980..=3_020).contains(&heard_ms), "--for 3: {heard_ms}");

    let mark = long.mark();
    stage.server.process.kill()?;
    stage.server.process.wait(SOON)?;
    long.wait_for_event_after(mark, "reconnecting", SOON, |_| true)?;
    let address = stage.server.address.clone();
    stage.server = programs::Server::start_at(&address, &[])?;
    long.wait_for_event_after(mark, "joined", SOON, |_| true)?;
    let left = leave(&mut long)?;
    let (heard_ms, stayed_ms) = heard_and_stayed_ms(&stage, "long", &left)?;
    ensure!(
        heard_ms.abs_diff(stayed_ms) <= FRAME_MS,
        "no gap for the time without a server: {heard_ms}, {stayed_ms}"
    );
    Ok(())
}

#[test]
fn others_are_told_who_talks_and_who_is_muted() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut lis = stage.join("r", "lis", &[], &[])?;
    let mark = lis.mark();
    let mut says = vec![0; samples(500)];
    says.extend(noise(1, samples(700)));
    says.extend(vec![0; samples(1_500)]);
    let mut ann = stage.join("r", "ann", &says, &["--gate-open", "-30dB"])?;
    let by_ann = |event: &serde_json::Value| event["name"] == "ann";
    let talking = lis.wait_for_event_after(mark, "talking", SOON, by_ann)?;
    let silent = lis.wait_for_event_after(mark, "silent", SOON, by_ann)?;
    ensure!(talking.at < silent.at);
    ann.wait_for_event("talking", SOON)
        .context("the talker is told, too")?;
    ann.wait_for_event("input_ended", SOON)?;
    finish(&mut ann, SOON)?;
    let mut mute = stage.join("r", "mute", &noise(1, samples(500)), &["--muted"])?;
    let came = lis.wait_for_event_after(mark, "participant_joined", SOON, |event| {
        event["name"] == "mute"
    })?;
    ensure!(came.json["muted"] == true, "{}", came.json);
    ensure!(finish(&mut mute, SOON)?.frames("sent")? == 0);
    leave(&mut lis)?;
    Ok(())
}

#[test]
fn rooms_are_listed_with_their_participants() -> Result<()> {
    let stage = Stage::new(&[])?;
    let _ann = stage.join("kitchen", "ann", &[], &[])?;
    let _ben = stage.join("the garden", "ben", &[], &["--muted"])?;
    let output = programs::command("talkspurt")?
        .args(["rooms", &stage.server.http])
        // A proxy must not be used.
        .env("http_proxy", "http://127.0.0.1:9")
        .output()?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    for word in ["kitchen", "the garden", "ann", "ben"] {
        ensure!(text.contains(word), "no {word} in:\n{text}");
    }
    Ok(())
}

#[test]
fn a_reader_of_events_learns_of_a_failure_too() -> Result<()> {
    let stage = Stage::new(&[])?;
    let _ann = stage.join("r", "ann", &[], &[])?;
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    for (server, says) in [
        (&*stage.server.address, "refused"),
        (&free, "is the server running"),
    ] {
        let output = talkspurt(&[
            "join", server, "--room", "r", "--name", "ann", "--input", "none", "--output", "none",
            "--events", "json",
        ])?;
        let events = String::from_utf8(output.stdout)?;
        ensure!(output.status.code() == Some(1), "{:?}", output.status);
        let last = events.lines().last().unwrap_or_default();
        ensure!(
            last.contains("\"event\":\"failed\"") && last.contains(says),
            "{events}"
        );
    }
    Ok(())
}

/// Starts a server that sends `greeting` to everyone and closes once the other side has.
fn greeter(greeting: &'static [u8]) -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let _ = stream.write_all(greeting);
            let _ = stream.shutdown(Shutdown::Write);
            thread::spawn(move || stream.read_to_end(&mut Vec::new()));
        }
    });
    Ok(address)
}

/// Checks that a failure is reported in one line with the right advice and no other.
fn one_line(output: Output, code: i32, says: &str) -> Result<()> {
    let errors = String::from_utf8(output.stderr)?;
    ensure!(
        output.status.code() == Some(code),
        "{:?}: {errors}",
        output.status
    );
    ensure!(
        errors.lines().count() == 1 && errors.contains(says),
        "no {says:?} in {errors}"
    );
    let fits = says.contains("is the server running") || says.contains("--http");
    ensure!(!errors.contains("os error"), "{errors}");
    ensure!(
        fits || !errors.contains("is the server running"),
        "{errors}"
    );
    Ok(())
}

#[test]
fn each_failure_is_one_line_and_an_exit_code() -> Result<()> {
    let stage = Stage::new(&[])?;
    let (voice, http) = (&*stage.server.address, &*stage.server.http);
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let web = greeter(b"HTTP/1.1 400 Bad Request\r\n\r\n")?;
    let ssh = greeter(b"SSH-2.0-OpenSSH_9.2p1\r\n")?;
    let mute = greeter(b"")?;
    let join = |server: &str, more: &[&str]| {
        let base = ["join", server, "--room", "r", "--name", "n"];
        let files = ["--input", "none", "--output", "none"];
        talkspurt(&[&base[..], &files, more].concat())
    };
    let rooms = |server: &str| talkspurt(&["rooms", server]);
    let other = "does not answer like a Talkspurt server: ";
    for (output, code, says) in [
        (
            join(&free, &[])?,
            1,
            "nothing listens there; is the server running",
        ),
        (join("name.invalid", &[])?, 1, "name.invalid:8255: "),
        (
            join(&web, &[])?,
            1,
            &*format!("{other}an HTTP server answers there"),
        ),
        (
            join(&ssh, &[])?,
            1,
            &format!("{other}an SSH server answers there"),
        ),
        (
            join(&mute, &[])?,
            1,
            &format!("{other}the server closed the connection"),
        ),
        (
            join(http, &[])?,
            1,
            "that is its HTTP port; voice is on 8255",
        ),
        (join(&free, &["--gate-window", "0"])?, 2, "--gate-window"),
        (
            rooms(&free)?,
            1,
            "is that the server's --http port (8256 by default)?",
        ),
        (rooms("name.invalid")?, 1, "name.invalid:8256: "),
        (rooms(&ssh)?, 1, "answers there, but not in HTTP"),
        (
            rooms(&web)?,
            1,
            "an HTTP server answers there, but not like",
        ),
        (
            talkspurt(&["--log", "inof", "devices"])?,
            2,
            "\"inof\" is not a level",
        ),
    ] {
        one_line(output, code, says)?;
    }
    ensure!(rooms(voice)?.status.code() == Some(1));
    Ok(())
}

#[test]
fn empty_variables_mean_the_default_and_dumb_terminals_get_lines() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut command = programs::command("talkspurt")?;
    command
        .args(["join", &stage.server.address, "--room", "r"])
        .args(["--name", "n", "--input", "none", "--output", "none"])
        .args(["--for", "0.2"])
        .env("TALKSPURT_LOG", "")
        .env("TERM", "dumb");
    let mut terminal = Terminal::start(&command, 80, 24, Hangup::Sent)?;
    let status = terminal.wait(SOON)?;
    terminal.close();
    let shown = terminal.shown();
    ensure!(status.success(), "{shown}");
    ensure!(
        shown.contains("joined r as n") && !shown.contains('\x1b'),
        "{shown:?}"
    );
    Ok(())
}

#[test]
fn the_live_view_takes_keys_and_gives_the_terminal_back() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let mark = lis.mark();
    let program = programs::command("talkspurt")?;
    let settings = ["before", "after"].map(|when| stage.path(when));
    let line = format!(
        "stty rows 40 cols 120; stty -g > {}; \
         {} join {} --room r --name ann --input none --output none; \
         echo left with $?; stty -g > {}",
        settings[0].display(),
        program.get_program().display(),
        stage.server.address,
        settings[1].display()
    );
    // Runs a shell in a pseudo-terminal: util-linux's `script` types what it reads.
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("`script` is part of util-linux")?;
    let mut keys = terminal.stdin.take().context("piped")?;
    let mut shown = terminal.stdout.take().context("piped")?;
    let picture = thread::spawn(move || {
        let mut bytes = Vec::new();
        shown.read_to_end(&mut bytes).map(|_| bytes)
    });
    let by_ann = |event: &serde_json::Value| event["name"] == "ann";
    lis.wait_for_event_after(mark, "participant_joined", SOON, by_ann)?;
    press_mute(&mut keys, &lis, true)?;
    // A key toggles what the picture shows, so look at it first, as a person would.
    thread::sleep(Duration::from_millis(500));
    press_mute(&mut keys, &lis, false)?;
    keys.write_all(b"q")?;
    lis.wait_for_event_after(mark, "participant_left", SOON, by_ann)?;
    terminal.wait()?;
    let picture = picture.join().expect("it only reads")?;
    let picture = String::from_utf8_lossy(&picture);
    ensure!(picture.contains("left with 0"), "{picture}");
    ensure!(picture.contains("lis"), "no roster in: {picture}");
    let [before, after] = settings.map(|path| fs::read_to_string(path).unwrap_or_default());
    ensure!(
        before == after && before.contains(':'),
        "the terminal was not restored: {before}, {after}"
    );
    Ok(())
}

/// Presses the mute key and waits until others see the change.
fn press_mute(keys: &mut impl Write, lis: &Process, muted: bool) -> Result<()> {
    let mark = lis.mark();
    keys.write_all(b"m")?;
    keys.flush()?;
    lis.wait_for_event_after(mark, "muted", SOON, |event| {
        event["name"] == "ann" && event["muted"] == muted
    })?;
    Ok(())
}
