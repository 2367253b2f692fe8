//! Lets people hear what was heard: names the file, and plays it where there is a sound device.

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use talkspurt_testkit::process::Process;
use talkspurt_testkit::wav::{self, millis};

use crate::run::{command, find_program, output};

/// How much longer than its sound a player may take.
const GRACE: Duration = Duration::from_secs(5);

/// Names the file, and plays it on a terminal or when `asked`, where there is something to play it
/// on. Never an error: what the demo is about has been shown.
pub fn offer(recording: &Path, asked: bool) {
    println!("\nListen to this one: {}", recording.display());
    if !asked && !io::stdout().is_terminal() {
        return;
    }
    match player() {
        Some(player) => play(player, recording),
        None if asked => println!("There is no sound device here to play it on."),
        None => {}
    }
}

/// A program that can play a WAV file here and now.
fn player() -> Option<&'static str> {
    if find_program("paplay").is_some() && pulse_has_a_sink() {
        return Some("paplay");
    }
    (find_program("aplay").is_some() && alsa_has_a_speaker(Path::new("/dev/snd")))
        .then_some("aplay")
}

/// Whether a sound server answers that has a device; one without has a sink that plays to nobody.
fn pulse_has_a_sink() -> bool {
    find_program("pactl").is_some()
        && output(command("pactl").args(["info"])).is_ok_and(|info| has_a_real_default_sink(&info))
}

fn has_a_real_default_sink(info: &str) -> bool {
    let sink = info
        .lines()
        .find_map(|line| line.strip_prefix("Default Sink: "));
    sink.is_some_and(|sink| !["", "n/a", "auto_null"].contains(&sink.trim()))
}

/// Whether there is a device such as `pcmC0D0p`.
fn alsa_has_a_speaker(devices: &Path) -> bool {
    fs::read_dir(devices)
        .into_iter()
        .flatten()
        .flatten()
        .any(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            name.starts_with("pcm") && name.ends_with('p')
        })
}

/// Plays it to its end; ends a player that hangs.
fn play(player: &str, recording: &Path) {
    let sound = wav::read(recording).map_or(0, |sound| sound.len());
    let within = Duration::from_secs_f64(millis(sound) / 1_000.0) + GRACE;
    println!("Playing it with {player} ...");
    let playing = Process::spawn(player, command(player).arg(recording));
    if playing.is_ok_and(|mut playing| playing.wait(within).is_err()) {
        println!("{player} did not come to an end, and was stopped.");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sink_that_plays_to_nobody_is_no_device() {
        let info = |sink| format!("Server Name: pulseaudio\nDefault Sink: {sink}\nCookie: 1\n");
        assert!(has_a_real_default_sink(&info("alsa_output.pci-0000")));
        for sink in ["auto_null", "n/a", ""] {
            assert!(!has_a_real_default_sink(&info(sink)));
        }
        assert!(!has_a_real_default_sink("nothing"));
    }

    #[test]
    fn microphones_are_no_speakers() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!alsa_has_a_speaker(&dir.path().join("absent")));
        for device in ["pcmC0D0c", "controlC0", "timer"] {
            fs::write(dir.path().join(device), "").unwrap();
        }
        assert!(!alsa_has_a_speaker(dir.path()));
        fs::write(dir.path().join("pcmC0D0p"), "").unwrap();
        assert!(alsa_has_a_speaker(dir.path()));
    }

    #[test]
    fn a_player_that_fails_or_is_missing_is_no_error() {
        play("false", Path::new("/nowhere.wav"));
        play("no-such-program-here", Path::new("/nowhere.wav"));
    }
}
