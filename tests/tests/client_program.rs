//! The desktop client as people and scripts run it: its live view in a terminal, its commands, its exit codes, its events, and
//! a recording as long as the stay.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use talkspurt_tests::noise::noise;
use talkspurt_tests::process::{Event, Process};
use talkspurt_tests::programs;
use talkspurt_tests::stage::{SOON, Stage, finish, leave};
use talkspurt_tests::wav::samples;

/// Milliseconds in a frame of these sessions.
const FRAME_MS: u64 = 20;

fn talkspurt(arguments: &[&str]) -> Result<Output> {
    let mut command = programs::command("talkspurt")?;
    command.env_remove("RUST_LOG").args(arguments);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// Milliseconds of sound that someone has heard, and of his stay.
fn heard_and_stayed_ms(stage: &Stage, name: &str, left: &Event) -> Result<(u64, u64)> {
    let heard_ms = stage.heard("r", name)?.len() as u64 / samples(1) as u64;
    Ok((heard_ms, left.number("/stayed_ms")?))
}

#[test]
fn a_recording_is_as_long_as_the_stay_also_across_a_lost_server() -> Result<()> {
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
        .context("he himself is told, too")?;
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
fn rooms_are_listed_with_who_is_in_them() -> Result<()> {
    let stage = Stage::new(&[])?;
    let _ann = stage.join("kitchen", "ann", &[], &[])?;
    let _ben = stage.join("the garden", "ben", &[], &["--muted"])?;
    let output = talkspurt(&["rooms", &stage.server.http])?;
    let text = String::from_utf8(output.stdout)?;
    ensure!(output.status.success(), "{text}");
    for word in ["kitchen", "the garden", "ann", "ben"] {
        ensure!(text.contains(word), "no {word} in:\n{text}");
    }
    Ok(())
}

#[test]
fn what_cannot_be_is_one_line_and_an_exit_code() -> Result<()> {
    let free = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
    let other = TcpListener::bind("127.0.0.1:0")?;
    let other_address = other.local_addr()?.to_string();
    thread::spawn(move || {
        for stream in other.incoming().flatten() {
            let mut stream = stream;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        }
    });
    let join = |server: &str, more: &[&str]| {
        let base = ["join", server, "--room", "r", "--name", "n"];
        let files = ["--input", "none", "--output", "none"];
        talkspurt(&[&base[..], &files, more].concat())
    };
    for (output, code, says) in [
        (join(&free, &[])?, 1, "is the server running"),
        (
            join(&other_address, &[])?,
            1,
            "does not answer like a Talkspurt server",
        ),
        (join(&free, &["--gate-window", "0"])?, 2, "--gate-window"),
        (talkspurt(&["rooms", &free])?, 1, free.as_str()),
    ] {
        let errors = String::from_utf8(output.stderr)?;
        ensure!(
            output.status.code() == Some(code),
            "{:?}: {errors}",
            output.status
        );
        ensure!(
            errors.lines().count() == 1 && errors.contains(says),
            "{errors}"
        );
    }
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
        "stty rows 40 cols 120; stty -g > {}; {} join {} --room r --name ann --input none --output none; echo left with $?; stty -g > {}",
        settings[0].display(),
        program.get_program().display(),
        stage.server.address,
        settings[1].display()
    );
    // A pseudo-terminal around a shell: util-linux's `script` types what it reads.
    let mut terminal = Command::new("script")
        .args(["--quiet", "--flush", "--command", &line, "/dev/null"])
        .env("TERM", "xterm-256color")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("`script` is a part of util-linux")?;
    let mut keys = terminal.stdin.take().context("piped")?;
    let mut shown = terminal.stdout.take().context("piped")?;
    let picture = thread::spawn(move || {
        let mut bytes = Vec::new();
        shown.read_to_end(&mut bytes).map(|_| bytes)
    });
    let by_ann = |event: &serde_json::Value| event["name"] == "ann";
    lis.wait_for_event_after(mark, "participant_joined", SOON, by_ann)?;
    press_mute(&mut keys, &lis, true)?;
    // A key toggles what the picture shows, and a person looks at it first.
    thread::sleep(Duration::from_millis(500));
    press_mute(&mut keys, &lis, false)?;
    keys.write_all(b"q")?;
    lis.wait_for_event_after(mark, "participant_left", SOON, by_ann)?;
    terminal.wait()?;
    let picture = picture.join().expect("it only reads")?;
    let picture = String::from_utf8_lossy(&picture);
    ensure!(picture.contains("left with 0"), "{picture}");
    ensure!(picture.contains("lis"), "the roster was shown: {picture}");
    let [before, after] = settings.map(|path| fs::read_to_string(path).unwrap_or_default());
    ensure!(
        before == after && before.contains(':'),
        "the terminal is as it was: {before}, {after}"
    );
    Ok(())
}

/// Presses the key for muting, and waits until others see it.
fn press_mute(keys: &mut impl Write, lis: &Process, muted: bool) -> Result<()> {
    let mark = lis.mark();
    keys.write_all(b"m")?;
    keys.flush()?;
    lis.wait_for_event_after(mark, "muted", SOON, |event| {
        event["name"] == "ann" && event["muted"] == muted
    })?;
    Ok(())
}
