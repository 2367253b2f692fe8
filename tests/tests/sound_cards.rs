//! Clients on sound cards: cpal on a real sound server with virtual cards. What is spoken into one's microphone comes out of
//! the other's speaker, also after the sound server was killed and started again.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use talkspurt_tests::analysis::{hear, speech_parts};
use talkspurt_tests::process::Process;
use talkspurt_tests::programs::{self, Server};
use talkspurt_tests::speech::{UNRELATED, sentence, speak};
use talkspurt_tests::stage::{SOON, leave};
use talkspurt_tests::virtual_audio::VirtualAudio;
use talkspurt_tests::wav;

/// Speech that went through two resamplers, two sound cards' clocks and a gate.
const HEARD: f64 = 0.7;

/// A client on its own virtual cards.
fn join(audio: &VirtualAudio, server: &Server, name: &str) -> Result<Process> {
    let mut command = programs::command("talkspurt")?;
    command.args(["join", &server.address, "--room", "r", "--name", name]);
    command.args(["--codec", "pcm16", "--events", "json", "--log", "info"]);
    command.envs(audio.environment(name));
    let process = Process::spawn(name, &mut command)?;
    process.wait_for_event("joined", SOON)?;
    for device in ["microphone", "speaker"] {
        wait_for_device(&process, 0, device, "opened")?;
    }
    Ok(process)
}

fn wait_for_device(process: &Process, mark: usize, device: &str, state: &str) -> Result<()> {
    process
        .wait_for_event_after(mark, "device", SOON, |event| {
            event["device"] == device && event["state"] == state
        })
        .with_context(|| process.log())?;
    Ok(())
}

/// A sentence is said again, as people do, when a busy machine has let a card run dry in its midst.
const SENTENCES_MAX: usize = 3;

/// Speaks into one client's microphone until the other has heard a whole sentence; how faithfully.
fn best_similarity(
    audio: &VirtualAudio,
    speaker: &str,
    listener: &str,
    voice: usize,
    dir: &Path,
) -> Result<f64> {
    let mut best = f64::MIN;
    for nth in 0..SENTENCES_MAX {
        best = best.max(similarity(audio, speaker, listener, (voice, nth), dir)?);
        if best > HEARD.max(UNRELATED) {
            break;
        }
    }
    Ok(best)
}

/// Speaks into one client's microphone while the other's speaker is recorded; how faithfully it was heard.
fn similarity(
    audio: &VirtualAudio,
    speaker: &str,
    listener: &str,
    (voice, nth): (usize, usize),
    dir: &Path,
) -> Result<f64> {
    let (says, hears) = (dir.join("says.wav"), dir.join("hears.wav"));
    let spoken = speak(&sentence(voice, nth), &says)?;
    let mut recorder = audio.record_speaker(listener, &hears)?;
    thread::sleep(Duration::from_millis(500));
    audio.speak_into(speaker, &says)?.wait_for_success(SOON)?;
    thread::sleep(Duration::from_millis(1_500));
    recorder.terminate()?;
    recorder.wait(SOON)?;
    let pieces = speech_parts(&spoken, 300.0, wav::samples(500));
    let hearing = hear(&spoken, &pieces, &wav::read(&hears)?).context("speech has pieces")?;
    println!("{listener} heard {speaker}: {hearing:?}");
    Ok(hearing.similarity)
}

#[test]
fn speech_goes_from_microphone_to_speaker_also_after_the_sound_server_was_killed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann", "ben"])?;
    let server = Server::start(&[])?;
    let mut ann = join(&audio, &server, "ann")?;
    let mut ben = join(&audio, &server, "ben")?;
    let logs = |ann: &Process, ben: &Process| format!("ann:\n{}\nben:\n{}", ann.log(), ben.log());
    for (voice, speaker, listener) in [(0, "ann", "ben"), (1, "ben", "ann")] {
        let heard = best_similarity(&audio, speaker, listener, voice, dir.path())?;
        assert!(
            heard > HEARD.max(UNRELATED),
            "{listener} heard {speaker} at {heard:.2}; {}",
            logs(&ann, &ben)
        );
    }
    let marks = [ann.mark(), ben.mark()];
    audio.kill()?;
    for (client, mark) in [&ann, &ben].into_iter().zip(marks) {
        wait_for_device(client, mark, "speaker", "lost")?;
        assert!(
            client.is_running()?,
            "{} outlives the sound server",
            client.name()
        );
    }
    audio.restart()?;
    for (client, mark) in [&ann, &ben].into_iter().zip(marks) {
        for device in ["microphone", "speaker"] {
            wait_for_device(client, mark, device, "opened")?;
        }
    }
    let heard = best_similarity(&audio, "ann", "ben", 2, dir.path())?;
    assert!(
        heard > HEARD.max(UNRELATED),
        "after the restart ben heard ann at {heard:.2}; {}",
        logs(&ann, &ben)
    );
    for client in [&mut ann, &mut ben] {
        let left = leave(client)?;
        assert_eq!(
            left.number("/reconnects")?,
            0,
            "the session went on: {}",
            left.json
        );
    }
    Ok(())
}

#[test]
fn without_a_sound_server_one_joins_as_a_listener_and_is_told() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let server = Server::start(&[])?;
    let mut command = programs::command("talkspurt")?;
    command.args([
        "join",
        &server.address,
        "--room",
        "r",
        "--name",
        "ann",
        "--events",
        "json",
    ]);
    command.env(
        "PULSE_SERVER",
        format!("unix:{}/nobody", dir.path().display()),
    );
    command.env("XDG_RUNTIME_DIR", dir.path());
    let mut ann = Process::spawn("ann", &mut command)?;
    ann.wait_for_event("joined", SOON)?;
    wait_for_device(&ann, 0, "microphone", "absent")?;
    let left = leave(&mut ann)?;
    assert_eq!(left.frames("sent")?, 0, "{}", left.json);
    Ok(())
}
