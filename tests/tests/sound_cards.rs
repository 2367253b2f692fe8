//! Clients on sound cards: cpal on a real sound server with virtual cards. What is spoken into one
//! client's microphone comes out of the other's speaker, also after the sound server was killed and
//! restarted.

use std::path::Path;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use talkspurt_testkit::busy_machine::repeat_if_spoilt;
use talkspurt_testkit::fixture::{SOON, leave};
use talkspurt_testkit::heard_speech::{Bounds, Hearing, hear_anywhere};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{self, Server};
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::virtual_audio::VirtualAudio;
use talkspurt_testkit::wav;

/// Speech after two resamplers, two sound cards' clocks and a gate. Only the sound server knows
/// when it was said, so its delay is judged by how much it varies.
const HEARD: Bounds = Bounds {
    share: 0.9,
    similarity: 0.98,
    gap_ms: 60.0,
    delay_ms: 1_000.0,
    spread_ms: 200.0,
};

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

/// Speaks into one client's microphone, and checks that the other hears the whole sentence.
fn speak_and_hear(
    audio: &VirtualAudio,
    (speaker, listener): (&Process, &Process),
    voice: usize,
    dir: &Path,
) -> Result<()> {
    let mut nth = 0;
    repeat_if_spoilt(|| {
        // A different sentence each time, so that none is found in the sound of the previous one.
        let hearing = hearing(audio, speaker.name(), listener.name(), (voice, nth), dir)?;
        nth += 1;
        let what = format!("{} heard {}", listener.name(), speaker.name());
        HEARD.check(&what, &hearing).with_context(|| {
            let [first, second] = [speaker, listener].map(Process::log);
            format!("the speaker's log:\n{first}\nthe listener's:\n{second}")
        })
    })
}

/// Speaks into one client's microphone while recording the other's speaker. Returns how faithfully
/// it was heard.
fn hearing(
    audio: &VirtualAudio,
    speaker: &str,
    listener: &str,
    (voice, nth): (usize, usize),
    dir: &Path,
) -> Result<Hearing> {
    let (says, hears) = (dir.join("says.wav"), dir.join("hears.wav"));
    let spoken = speak(&sentence(voice, nth), &says)?;
    let mut recorder = audio.record_speaker(listener, &hears)?;
    thread::sleep(Duration::from_millis(500));
    audio.speak_into(speaker, &says)?.wait_for_success(SOON)?;
    thread::sleep(Duration::from_millis(1_500));
    recorder.terminate()?;
    recorder.wait(SOON)?;
    let (spoken, heard) = (voice_band(&spoken), voice_band(&wav::read(&hears)?));
    hear_anywhere(&spoken, &Recording::new(&heard), wav::samples(300)).context("it is speech")
}

/// The sound below about 2 kHz, which is where a voice is recognised. Four resamplers (two of the
/// client, two of the sound server) shift the phase of higher frequencies by parts of a sample.
fn voice_band(sound: &[i16]) -> Vec<i16> {
    const TAPS: usize = 4;
    let mean = |sound: &[i16]| -> Vec<i16> {
        let sums = sound
            .windows(TAPS)
            .map(|window| window.iter().map(|&sample| i32::from(sample)).sum::<i32>());
        sums.map(|sum| (sum / TAPS as i32) as i16).collect()
    };
    mean(&mean(sound))
}

#[test]
fn speech_goes_from_microphone_to_speaker_even_after_the_sound_server_was_killed() -> Result<()> {
    let dir = tempfile::tempdir()?;
    let mut audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann", "ben"])?;
    let server = Server::start(&[])?;
    let mut ann = join(&audio, &server, "ann")?;
    let mut ben = join(&audio, &server, "ben")?;
    speak_and_hear(&audio, (&ann, &ben), 0, dir.path())?;
    speak_and_hear(&audio, (&ben, &ann), 1, dir.path())?;
    let marks = [ann.mark(), ben.mark()];
    audio.kill()?;
    for (client, mark) in [&ann, &ben].into_iter().zip(marks) {
        wait_for_device(client, mark, "speaker", "lost")?;
        assert!(
            client.is_running()?,
            "{} ended with the sound server",
            client.name()
        );
    }
    audio.restart()?;
    for (client, mark) in [&ann, &ben].into_iter().zip(marks) {
        for device in ["microphone", "speaker"] {
            wait_for_device(client, mark, device, "opened")?;
        }
    }
    speak_and_hear(&audio, (&ann, &ben), 2, dir.path())?;
    for client in [&mut ann, &mut ben] {
        let left = leave(client)?;
        assert_eq!(
            left.number("/reconnects")?,
            0,
            "the session was interrupted: {}",
            left.json
        );
    }
    Ok(())
}

#[test]
fn without_a_sound_server_a_client_joins_as_a_listener_and_is_told() -> Result<()> {
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
