//! Speech in both directions: through the image's microphone to a desktop, and the mean of two
//! desktops to the image's speaker.

use anyhow::{Context, Result};
use talkspurt_testkit::board::{Board, LM3S6965EVB, MPS2_AN386};
use talkspurt_testkit::busy_machine::repeat_if_line_spoilt;
use talkspurt_testkit::fixture::{SOON, finish, leave};
use talkspurt_testkit::heard_mean::hear_mean;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::wav::samples;

use crate::scene::{HEARD, Scene, hearing};

/// The share of the pieces of simultaneous talk that must be the mean. Measured: 13 and 14 of 15;
/// in the others one of the two falls silent half-way.
const MEAN_SHARE: f64 = 0.75;
/// Simultaneous talkers send no pre-roll. A jitter buffer that takes one back shifts the two
/// against each other, and the pieces around each shift are the mean of other samples (9 to 13 of
/// 15 then).
const TALKER_FLAGS: [&str; 3] = ["--no-gate", "--linger", "1"];
/// The similarity of the mean of two after ADPCM. A talker alone would have 0.7.
const MEAN: f64 = 0.98;
/// The most that is found of a sentence that nobody said.
const CHANCE: f64 = 0.1;
/// The share of the image's frames that may be late on a busy machine. This does not measure its
/// speed.
const MISSED_MOST: f64 = 0.2;

#[test]
fn a_cortex_m4f_is_heard_and_hears_the_mean_of_two() -> Result<()> {
    repeat_if_line_spoilt(|| speech_goes_both_ways(MPS2_AN386))
}

#[test]
fn a_cortex_m3_is_heard_and_hears_the_mean_of_two() -> Result<()> {
    repeat_if_line_spoilt(|| speech_goes_both_ways(LM3S6965EVB))
}

/// When the image speaks, counted from its joining: the desktops have joined by then.
const CHIP_SPEAKS_MS: u64 = 3_000;
/// When both desktops speak, counted from their joining: the image is silent again.
const DESKTOPS_SPEAK_MS: u64 = 7_000;

/// The image speaks a sentence; then two desktops speak two each, at the same time.
fn speech_goes_both_ways(board: Board) -> Result<()> {
    let chip = spoken(2, &[0])?;
    let chip_says = after(CHIP_SPEAKS_MS, &chip);
    let desktops = [spoken(0, &[0, 1])?, spoken(1, &[0, 1])?];
    let scene = Scene::start(board, &[], &chip_says, &["linger_ms=12000"])?;
    let mut ear = scene.stage.join("lab", "ear", &[], &["--codec", "pcm16"])?;
    let mut talkers = Vec::new();
    for (name, said) in ["ann", "ben"].iter().zip(&desktops) {
        let says = after(DESKTOPS_SPEAK_MS, said);
        talkers.push(scene.stage.join("lab", name, &says, &TALKER_FLAGS)?);
    }
    for talker in &mut talkers {
        finish(talker, SOON)?;
    }
    leave(&mut ear)?;
    let ear_heard = scene.stage.heard("lab", "ear")?;
    let (counts, chip_heard) = scene.finish(SOON)?;

    let by_ear = hearing(&chip, &ear_heard)?;
    let mean = hear_mean(&desktops[0], &desktops[1], &chip_heard);
    let unsaid = hearing(&spoken(5, &[0])?, &chip_heard)?;
    println!(
        "{}: what the image heard of the mean: {mean:?}",
        board.machine
    );
    println!(
        "{}: what the image heard of an unsaid sentence: {unsaid:?}",
        board.machine
    );
    HEARD.check("what the desktop heard", &by_ear)?;
    let mean = mean.context("no simultaneous talk")?;
    assert!(
        mean.parts >= 6 && mean.mean > MEAN && mean.share > MEAN_SHARE,
        "{mean:?}"
    );
    assert!((0.9..1.1).contains(&mean.level), "{mean:?}");
    assert!(
        mean.one < mean.mean && mean.other < mean.mean,
        "one talker is heard alone: {mean:?}"
    );
    assert!(unsaid.share < CHANCE, "{unsaid:?}");
    let (sent, played) = (counts.get("sent")?, counts.get("played")?);
    assert!(
        sent > 80 && played > 150,
        "{sent} frames sent, {played} played"
    );
    assert_eq!((counts.get("overruns")?, counts.get("joins")?), (0, 1));
    let missed = counts.get("missed_deadlines")? as f64 / counts.get("captured")? as f64;
    assert!(missed < MISSED_MOST, "{missed:.3} of the frames were late");
    Ok(())
}

/// Sentences of a speaker, with a short pause between them.
fn spoken(speaker: usize, sentences: &[usize]) -> Result<Vec<i16>> {
    let dir = tempfile::tempdir()?;
    let said: Vec<Vec<i16>> = sentences
        .iter()
        .map(|&nth| speak(&sentence(speaker, nth), &dir.path().join("sentence.wav")))
        .collect::<Result<_>>()?;
    Ok(said.join(&[0; samples(300)][..]))
}

fn after(silence_ms: u64, said: &[i16]) -> Vec<i16> {
    let mut all = vec![0; samples(silence_ms)];
    all.extend(said);
    all
}
