//! Sound files in the real programs: inputs that stall, outputs that cannot be written, and
//! recordings that would overwrite their input.

use std::fs::{self, OpenOptions};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use talkspurt_testkit::fixture::{SOON, Stage, finish, leave};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::programs::{self, client};
use talkspurt_testkit::wav::{self, samples};

fn run(program: &str, arguments: &[&str]) -> Result<Output> {
    let mut command = programs::command(program)?;
    command.env_remove("RUST_LOG").args(arguments);
    Ok(command.stdin(Stdio::null()).output()?)
}

/// Returns a program's only line on standard error, and checks that it has no number that only
/// programmers can read.
fn complaint(output: &Output) -> Result<String> {
    let errors = String::from_utf8(output.stderr.clone())?;
    ensure!(
        errors.lines().count() == 1 && !errors.contains("os error"),
        "{errors}"
    );
    Ok(errors)
}

fn fifo(path: &Path) -> Result<()> {
    ensure!(Command::new("mkfifo").arg(path).status()?.success());
    Ok(())
}

#[test]
fn an_input_that_stalls_is_silence_and_signals_still_work() -> Result<()> {
    let stage = Stage::new(&["--idle-timeout", "3"])?;
    let path = stage.path("pipe");
    fifo(&path)?;
    let input = path.display().to_string();
    let flags = ["--input", &input, "--output", "none", "--no-gate"];
    let mut ann = client(&stage.server.address, "r", "ann", &flags)?;
    ann.wait_for_event("joined", SOON)?;
    // At first nobody writes into the pipe; then someone does, and stops in the middle.
    let says = noise(1, samples(500));
    let whole = stage.path("says.wav");
    wav::write(&whole, &says)?;
    let bytes = fs::read(&whole)?;
    let mut pipe = OpenOptions::new().write(true).open(&path)?;
    std::io::Write::write_all(&mut pipe, &bytes[..bytes.len() / 2])?;
    let mark = ann.mark();
    ann.wait_for_event("talking", SOON)?;
    ann.wait_for_event_after(mark, "silent", SOON, |_| true)?;
    // Longer than the server waits for a sign of life.
    std::thread::sleep(Duration::from_secs(4));
    ensure!(ann.is_running()?, "{}", ann.log());
    let lost = ann
        .events()
        .iter()
        .filter(|event| event.json["event"] == "reconnecting")
        .count();
    ensure!(lost == 0, "the server mistook the stall for the end");
    let asked = Instant::now();
    let left = leave(&mut ann)?;
    ensure!(
        asked.elapsed() < Duration::from_secs(10),
        "leaving took {:?}",
        asked.elapsed()
    );
    ensure!(left.frames("sent")? > 0, "nothing of the sentence was sent");
    Ok(())
}

#[test]
fn a_recording_never_overwrites_its_input() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let path = |name: &str| dir.path().join(name).display().to_string();
    wav::write(path("says.wav").as_ref(), &noise(1, samples(500)))?;
    let before = fs::read(path("says.wav"))?;
    fs::hard_link(path("says.wav"), path("hard.wav"))?;
    std::os::unix::fs::symlink(path("says.wav"), path("soft.wav"))?;
    for (input, output) in [
        ("says.wav", "says.wav"),
        ("says.wav", "hard.wav"),
        ("soft.wav", "says.wav"),
        ("says.wav", "soft.wav"),
    ] {
        let (input, output) = (path(input), path(output));
        let files = ["--input", &input, "--output", &output];
        let names = ["--room", "r", "--name", "n"];
        // Nobody listens there: the programs must fail before they connect.
        let join = [&["join", "127.0.0.1:9"][..], &names, &files].concat();
        let node = [&["--serial", "pty"][..], &names, &files].concat();
        for (program, arguments) in [("talkspurt", join), ("talkspurt-node", node)] {
            let result = run(program, &arguments)?;
            let errors = complaint(&result)?;
            ensure!(result.status.code() == Some(2), "{program}: {errors}");
            ensure!(
                errors.contains("--output") && errors.contains("overwritten"),
                "{errors}"
            );
            ensure!(
                fs::read(path("says.wav"))? == before,
                "{program} overwrote it"
            );
        }
    }
    Ok(())
}

#[test]
fn an_output_that_cannot_be_written_is_found_before_joining() -> Result<()> {
    let stage = Stage::new(&[])?;
    let lis = stage.join("r", "lis", &[], &[])?;
    let output = stage.path("no/such/heard.wav").display().to_string();
    let files = ["--input", "none", "--output", &output, "--events", "json"];
    let join = [
        "join",
        &stage.server.address,
        "--room",
        "r",
        "--name",
        "ann",
    ];
    let result = run("talkspurt", &[&join[..], &files].concat())?;
    ensure!(result.status.code() == Some(1), "{:?}", result.status);
    ensure!(complaint(&result)?.contains(&output));
    let told: serde_json::Value = serde_json::from_slice(&result.stdout)?;
    ensure!(told["event"] == "failed", "{told}");
    ensure!(
        told["text"]
            .as_str()
            .is_some_and(|text| text.contains(&output)),
        "{told}"
    );
    ensure!(!lis.log().contains("ann"), "ann joined");
    // A file that exists stays unchanged until the client has joined.
    let kept = stage.path("kept.wav");
    fs::write(&kept, "precious")?;
    let kept_name = kept.display().to_string();
    let new = stage.path("new.wav");
    for output in [&kept_name, &new.display().to_string()] {
        let join = ["join", "127.0.0.1:9", "--room", "r", "--name", "ann"];
        let result = run(
            "talkspurt",
            &[&join[..], &["--input", "none", "--output", output]].concat(),
        )?;
        ensure!(result.status.code() == Some(1), "{:?}", result.status);
    }
    ensure!(fs::read(&kept)? == b"precious" && !new.exists());
    Ok(())
}

#[test]
fn a_full_disk_ends_the_recording_and_not_the_call() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut lis = stage.join("r", "lis", &[], &[])?;
    let says = stage.path("says.wav");
    wav::write(&says, &noise(1, samples(3_000)))?;
    let says = says.display().to_string();
    let flags = ["--input", &says, "--output", "/dev/full", "--no-gate"];
    let mut ann = client(&stage.server.address, "r", "ann", &flags)?;
    let told = ann.wait_for_event("recording", SOON)?;
    ensure!(
        told.json["state"] == "stopped" && told.json["file"] == "/dev/full",
        "{}",
        told.json
    );
    let text = told.json["text"].as_str().unwrap_or_default();
    ensure!(
        text.contains("no space left") && !text.contains("os error"),
        "{text}"
    );
    // The whole sentence is sent, and leaving works as usual.
    let left = finish(&mut ann, SOON)?;
    ensure!(left.frames("sent")? >= 150, "{}", left.json);
    leave(&mut lis)?;
    let heard = stage.heard("r", "lis")?;
    ensure!(heard.iter().filter(|sample| **sample != 0).count() > samples(2_500));
    Ok(())
}
