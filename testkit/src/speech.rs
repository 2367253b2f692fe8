//! Speech: sentences spoken by espeak-ng, as 16 kHz mono files of a known loudness.
//!
//! Needs Debian's `espeak-ng` and `sox` (`cargo xtask setup` installs them).

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::wav;

/// A sentence, its voice and its speed.
#[derive(Clone, Copy, Debug)]
pub struct Sentence {
    /// An espeak-ng voice: `en-us`, `en-gb+f3`.
    pub voice: &'static str,
    /// Words per minute; espeak-ng's default is 175.
    pub words_per_minute: u32,
    /// The spoken text.
    pub text: &'static str,
}

/// Speakers: a voice and its speed.
pub const SPEAKERS: [(&str, u32); 7] = [
    ("en-us", 165),
    ("en-gb+f3", 170),
    ("en-gb-scotland+m4", 160),
    ("en-us+f2", 175),
    ("en-029+m2", 165),
    ("en-gb-x-rp+f4", 170),
    ("en-gb-x-gbclan+m7", 160),
];

/// Phonetically balanced sentences (the Harvard list, IEEE 1969), three for each speaker.
const TEXTS: [&str; 21] = [
    "The birch canoe slid on the smooth planks.",
    "Glue the sheet to the dark blue background.",
    "Four hours of steady work faced us.",
    "A large size in stockings is hard to sell.",
    "The boy was there when the sun rose.",
    "Kick the ball straight and follow through.",
    "It is easy to tell the depth of a well.",
    "These days a chicken leg is a rare dish.",
    "Rice is often served in round bowls.",
    "The juice of lemons makes fine punch.",
    "The box was thrown beside the parked truck.",
    "The hogs were fed chopped corn and garbage.",
    "A rod is used to catch pink salmon.",
    "The source of the huge river is the clear spring.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "Smoky fires lack flame and heat.",
    "The soft cushion broke the man's fall.",
    "The girl at the booth sold fifty bonds.",
    "The small pup gnawed a hole in the sock.",
    "The fish twisted and turned on the bent hook.",
];

/// Returns the `nth` sentence of a speaker (an index into [`SPEAKERS`]). They repeat after the
/// third.
pub const fn sentence(speaker: usize, nth: usize) -> Sentence {
    let (voice, words_per_minute) = SPEAKERS[speaker];
    Sentence {
        voice,
        words_per_minute,
        text: TEXTS[(speaker + nth * SPEAKERS.len()) % TEXTS.len()],
    }
}

/// The similarity below which a whole sentence was not spoken in a recording. A sentence that was
/// spoken is more similar, even beneath another talker as loud (0.7). Measured between the
/// sentences above, and in recordings of the demo: 0.30 at most, 0.15 typically.
pub const UNRELATED: f64 = 0.45;

/// The peak to which speech is scaled: loud enough for the gate's default threshold, clear of
/// clipping.
const PEAK: f64 = 24_000.0;

/// Speaks a sentence into `path`, and returns its samples.
pub fn speak(sentence: &Sentence, path: &Path) -> Result<Vec<i16>> {
    // espeak-ng has its own rate, 22,050 Hz with most voices.
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
        "espeak-ng said next to nothing for \"{}\"",
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

/// Returns `sound` without the silence before and after.
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
    use crate::heard_speech::{hear, hear_anywhere};
    use crate::recording::{Recording, rms};
    use crate::wav::samples;

    #[test]
    fn speech_has_one_loudness_and_no_silent_ends() {
        assert_eq!(trimmed(&[0, 10, 200, 0, -300, 5]), [200, 0, -300]);
        assert!(trimmed(&[0; 10]).is_empty());
        assert_eq!(at_peak(&[10, -20]), [12_000, -24_000]);
    }

    #[test]
    fn no_two_speakers_say_the_same() {
        let mut said: Vec<&str> = (0..SPEAKERS.len())
            .flat_map(|speaker| (0..3).map(move |nth| sentence(speaker, nth).text))
            .collect();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said.len(), TEXTS.len());
    }

    /// The yardstick of the end-to-end tests: speech is found where it is, and no other speech is
    /// mistaken for it.
    #[test]
    fn sentences_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        let spoken: Vec<Vec<i16>> = (0..SPEAKERS.len())
            .map(|i| speak(&sentence(i, 0), &dir.path().join(format!("{i}.wav"))).unwrap())
            .collect();
        for (i, sentence) in spoken.iter().enumerate() {
            assert!(
                rms(sentence) > 2000.0,
                "sentence {i} would not open a gate: rms {}",
                rms(sentence)
            );
            let own = hear(sentence, &Recording::new(sentence), 0, samples(300)).unwrap();
            assert_eq!((own.share, own.most_delay_ms), (1.0, 0.0), "{own}");
            assert!(own.similarity > 0.999, "{own}");
            for (j, other) in spoken.iter().enumerate().filter(|&(j, _)| j != i) {
                let mut room = vec![0; sentence.len()];
                room.extend(other);
                room.resize(room.len() + sentence.len(), 0);
                let found = Recording::new(&room).find(sentence).unwrap();
                assert!(
                    found.similarity < UNRELATED,
                    "sentence {i} in {j}: {found:?}"
                );
                let hearing = hear_anywhere(sentence, &Recording::new(&room), samples(300));
                let share = hearing.unwrap().share;
                assert!(share < 0.1, "sentence {i} in {j}: {share}");
            }
        }
    }
}
