//! Speech: sentences spoken by espeak-ng, as 16 kHz mono files of a known loudness.
//!
//! Needs Debian's `espeak-ng` and `sox` (`cargo xtask setup` installs them).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::wav;

/// Who says what.
#[derive(Clone, Copy, Debug)]
pub struct Sentence {
    /// A voice of espeak-ng: `en-us`, `en-gb+f3`.
    pub voice: &'static str,
    /// Words per minute; 175 is espeak-ng's own.
    pub words_per_minute: u32,
    /// What is said.
    pub text: &'static str,
}

/// Sentences of different speakers. The last one is meant never to be spoken: it tells how similar any other speech is.
pub const SENTENCES: [Sentence; 6] = [
    Sentence {
        voice: "en-us",
        words_per_minute: 165,
        text: "The birch canoe slid on the smooth planks of the pier.",
    },
    Sentence {
        voice: "en-gb+f3",
        words_per_minute: 170,
        text: "Glue the sheet to the dark blue background, and wait.",
    },
    Sentence {
        voice: "en-gb-scotland+m4",
        words_per_minute: 160,
        text: "Four hours of steady work faced us before the evening.",
    },
    Sentence {
        voice: "en-us+f2",
        words_per_minute: 175,
        text: "A large size in stockings is hard to sell in this town.",
    },
    Sentence {
        voice: "en-029+m2",
        words_per_minute: 165,
        text: "The boy was there when the sun rose over the harbour.",
    },
    Sentence {
        voice: "en-gb-x-rp+f4",
        words_per_minute: 170,
        text: "Kick the ball straight, and follow through to the goal.",
    },
];

/// The peak to which speech is brought: loud enough for the gate's default threshold, clear of clipping.
const PEAK: f64 = 24_000.0;

/// Speaks a sentence into `path` and returns its samples.
pub fn speak(sentence: &Sentence, path: &Path) -> Result<Vec<i16>> {
    // espeak-ng speaks at a rate of its own, 22,050 Hz with most voices.
    let spoken = path.with_extension("espeak.wav");
    let speed = sentence.words_per_minute.to_string();
    run(Command::new("espeak-ng")
        .args(["-v", sentence.voice, "-s", &speed, "-w"])
        .arg(&spoken)
        .arg(sentence.text))?;
    run(Command::new("sox")
        .arg(&spoken)
        .args(["-r", "16000", "-c", "1", "-b", "16"])
        .arg(path)
        .args(["norm", "-3"]))?;
    std::fs::remove_file(&spoken).with_context(|| format!("cannot remove {}", spoken.display()))?;
    let samples = at_peak(&trimmed(&wav::read(path)?));
    ensure!(
        samples.len() >= wav::samples(500),
        "espeak-ng said next to nothing of \"{}\"",
        sentence.text
    );
    wav::write(path, &samples)?;
    Ok(samples)
}

fn run(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("cannot start {program}; `cargo xtask setup` installs it"))?;
    ensure!(
        output.status.success(),
        "{program} failed: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    );
    Ok(())
}

/// Without the silence before and after.
fn trimmed(sound: &[i16]) -> Vec<i16> {
    const SILENT: u16 = 50;
    let loud = |sample: &i16| sample.unsigned_abs() > SILENT;
    match (sound.iter().position(loud), sound.iter().rposition(loud)) {
        (Some(first), Some(last)) => sound[first..=last].to_vec(),
        _ => Vec::new(),
    }
}

fn at_peak(sound: &[i16]) -> Vec<i16> {
    let peak = sound
        .iter()
        .map(|s| s.unsigned_abs())
        .max()
        .unwrap_or(0)
        .max(1);
    let gain = PEAK / f64::from(peak);
    sound
        .iter()
        .map(|&s| (f64::from(s) * gain) as i16)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::{Recording, hear, rms, speech_pieces};

    #[test]
    fn speech_has_one_loudness_and_no_silent_ends() {
        assert_eq!(trimmed(&[0, 10, 200, 0, -300, 5]), [200, 0, -300]);
        assert!(trimmed(&[0; 10]).is_empty());
        assert_eq!(at_peak(&[10, -20]), [12_000, -24_000]);
    }

    /// The yardstick of the end-to-end tests: speech is found where it is, and no other speech passes for it.
    #[test]
    fn sentences_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let spoken: Vec<Vec<i16>> = SENTENCES
            .iter()
            .enumerate()
            .map(|(i, sentence)| speak(sentence, &dir.path().join(format!("{i}.wav"))).unwrap())
            .collect();
        for (i, sentence) in spoken.iter().enumerate() {
            assert!(
                rms(sentence) > 2000.0,
                "sentence {i} would not open a gate: rms {}",
                rms(sentence)
            );
            let pieces = speech_pieces(sentence, 300.0);
            let own = hear(sentence, &pieces, sentence).unwrap();
            assert_eq!(own.shift, 0);
            assert!(own.worst_similarity > 0.999, "{own:?}");
            for (j, other) in spoken.iter().enumerate().filter(|&(j, _)| j != i) {
                let mut room = vec![0; sentence.len()];
                room.extend(other);
                room.resize(room.len() + sentence.len(), 0);
                let found = Recording::new(&room).find(sentence).unwrap();
                assert!(found.similarity < 0.4, "sentence {i} in {j}: {found:?}");
            }
        }
    }
}
