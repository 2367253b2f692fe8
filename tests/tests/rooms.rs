//! Real processes and synthetic voices: who hears what in a room, and who hears nothing.

use anyhow::Result;
use talkspurt_testkit::bit_exact::{exact_runs, mean_of};
use talkspurt_testkit::busy_machine::repeat_if_spoilt;
use talkspurt_testkit::fixture::{SOON, Stage, finish, leave};
use talkspurt_testkit::noise::{noise, soft_noise};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::wav::samples;

const PCM: [&str; 2] = ["--codec", "pcm16"];
const UNGATED: [&str; 5] = ["--codec", "pcm16", "--no-gate", "--linger", "2"];

/// If timers are on time, every frame arrives as it was spoken. Two may be blended away while
/// playout settles.
const NEARLY_ALL: f64 = 0.98;

/// What a speaker says: breath until everyone has joined, then two sentences.
struct Talk {
    samples: Vec<i16>,
    breath: usize,
}

impl Talk {
    fn new(stage: &Stage, speaker: usize) -> Result<Self> {
        let breath = samples(2_000);
        let mut samples = soft_noise(speaker as u64, breath, 60);
        for nth in 0..2 {
            let path = stage.path(&format!("sentence-{speaker}-{nth}.wav"));
            samples.extend(speak(&sentence(speaker, nth), &path)?);
        }
        Ok(Self { samples, breath })
    }

    /// The share of the sentences that was heard bit for bit, in order and on time.
    fn share_heard(&self, stage: &Stage, room: &str, by: &Process, of: &Process) -> Result<f64> {
        let sentences = self.breath..self.samples.len();
        stage.share_in_time((of, &self.samples, sentences), (room, by))
    }
}

#[test]
fn a_listener_hears_the_mean_and_each_talker_the_other() -> Result<()> {
    for frame_ms in ["20", "5"] {
        repeat_if_spoilt(|| each_hears_what_is_due(frame_ms))?;
    }
    Ok(())
}

fn each_hears_what_is_due(frame_ms: &str) -> Result<()> {
    let stage = Stage::new(&["--frame-ms", frame_ms])?;
    let (ann, ben) = (Talk::new(&stage, 0)?, Talk::new(&stage, 1)?);
    let mut lis = stage.join("r", "lis", &[], &PCM)?;
    let mut talkers = [
        stage.join("r", "ann", &ann.samples, &UNGATED)?,
        stage.join("r", "ben", &ben.samples, &UNGATED)?,
    ];
    for talker in &mut talkers {
        let left = finish(talker, SOON)?;
        assert!(left.frames("sent")? > 100, "{}", left.json);
    }
    leave(&mut lis)?;
    let [ann_process, ben_process] = &talkers;
    for (talk, by, of) in [
        (&ann, ben_process, ann_process),
        (&ben, ann_process, ben_process),
    ] {
        let (share, ears) = (talk.share_heard(&stage, "r", by, of)?, by.name());
        println!("{frame_ms} ms: {ears} heard {share:.3} of the other bit for bit");
        assert!(
            share > NEARLY_ALL,
            "{ears} heard only {share:.3} bit for bit"
        );
    }
    let heard = stage.heard("r", "lis")?;
    let frame = samples(frame_ms.parse()?);
    let mean = mean_of(&ann.samples, &ben.samples, &heard, frame);
    println!(
        "{frame_ms} ms: the listener heard {:.3} as the mean",
        mean.share()
    );
    assert!(mean.overlap > ann.breath.max(ben.breath), "{mean:?}");
    assert!(
        mean.share() > NEARLY_ALL,
        "{mean:?}, share {:.3}",
        mean.share()
    );
    Ok(())
}

#[test]
fn rooms_do_not_hear_each_other() -> Result<()> {
    repeat_if_spoilt(each_room_hears_its_own)
}

fn each_room_hears_its_own() -> Result<()> {
    let stage = Stage::new(&[])?;
    let rooms = ["red", "blue"];
    let talks = [Talk::new(&stage, 2)?, Talk::new(&stage, 3)?];
    let mut listeners = Vec::new();
    let mut talkers = Vec::new();
    for (room, talk) in rooms.iter().zip(&talks) {
        listeners.push(stage.join(room, "lis", &[], &PCM)?);
        talkers.push(stage.join(room, "ann", &talk.samples, &UNGATED)?);
    }
    for talker in &mut talkers {
        finish(talker, SOON)?;
    }
    for listener in &mut listeners {
        let left = leave(listener)?;
        assert!(left.frames("received")? > 100, "{}", left.json);
    }
    for (i, room) in rooms.into_iter().enumerate() {
        let own = talks[i].share_heard(&stage, room, &listeners[i], &talkers[i])?;
        println!("{room}: heard {own:.3} of its own talk");
        assert!(own > NEARLY_ALL, "{room}: heard {own:.3} of its own talk");
        let other = exact_runs(&talks[1 - i].samples, &stage.heard(room, "lis")?);
        assert_eq!(other, [], "{room} heard the other room");
        let silence = stage.heard(room, "ann")?;
        assert!(
            silence.iter().all(|&s| s == 0),
            "{room}: ann is alone but heard something"
        );
        let names = names_that_came(&listeners[i]);
        assert_eq!(
            names,
            ["ann"],
            "{room}: participants of another room joined"
        );
    }
    Ok(())
}

fn names_that_came(listener: &Process) -> Vec<String> {
    let came = listener.events().into_iter();
    came.filter(|event| event.kind == "participant_joined")
        .map(|event| event.json["name"].as_str().unwrap_or("?").to_owned())
        .collect()
}

#[test]
fn a_silent_talker_sends_nothing() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut lis = stage.join("r", "lis", &[], &PCM)?;
    // RMS near 600: above the close threshold (500), below the open one (2000).
    let murmur = soft_noise(1, samples(4_000), 10);
    let mut silent = stage.join("r", "silent", &murmur, &PCM)?;
    let left = finish(&mut silent, SOON)?;
    assert!(
        left.frames("captured")? >= 190,
        "not all frames were captured: {}",
        left.json
    );
    assert_eq!(left.frames("sent")?, 0, "{}", left.json);
    // From each a Hello, and a ping at once and every 5 s; and the silent client's Bye.
    let packets_in = stage.metric("talkspurt_packets_in_total")?;
    assert!(
        (4.0..=12.0).contains(&packets_in),
        "{packets_in} packets were received"
    );
    assert_eq!(
        stage.metric("talkspurt_ticks_total")?,
        0.0,
        "the room never ticked"
    );
    // The same counters do count frames of a talker, who takes a pre-roll of up to 60 ms back.
    let mut loud = stage.join("r", "loud", &noise(2, samples(1_000)), &PCM)?;
    let sent = finish(&mut loud, SOON)?.frames("sent")?;
    assert!(sent >= 46, "{sent} frames sent of a second of noise");
    assert!(stage.metric("talkspurt_packets_in_total")? > packets_in + 46.0);
    assert!(stage.metric("talkspurt_ticks_total")? >= 46.0);
    let heard = leave(&mut lis)?;
    assert!(heard.frames("received")? >= 46, "{}", heard.json);
    Ok(())
}

#[test]
fn the_first_60_ms_of_a_word_arrive() -> Result<()> {
    repeat_if_spoilt(the_pre_roll_arrives)
}

fn the_pre_roll_arrives() -> Result<()> {
    let stage = Stage::new(&[])?;
    let mut lis = stage.join("r", "lis", &[], &PCM)?;
    let (onset, loud, end) = (samples(1_000), samples(1_060), samples(1_800));
    // Breath (RMS 100), 60 ms of onset below the threshold (RMS 1000), the word.
    let mut says = soft_noise(1, onset, 60);
    says.extend(soft_noise(2, loud - onset, 6));
    says.extend(noise(3, end - loud));
    let mut ann = stage.join("r", "ann", &says, &PCM)?;
    finish(&mut ann, SOON)?;
    leave(&mut lis)?;
    let runs = exact_runs(&says, &stage.heard("r", "lis")?);
    let first = runs.first().expect("the word was heard");
    // Back to where the level rose: the level is that of 20 ms.
    let pre_roll = onset - samples(20)..=onset;
    assert!(pre_roll.contains(&first.spoken), "{runs:?}");
    // The delay of the pre-roll is taken back, a stretch of up to 15 ms at a time: what was before
    // it is blended into what comes behind it.
    let parts = runs
        .iter()
        .take_while(|run| run.spoken < loud + samples(100));
    let heard: usize = parts.map(|run| run.len).sum();
    assert!(heard >= samples(60 + 100), "{runs:?}");
    for (one, next) in runs.iter().zip(&runs[1..]) {
        let blended = next.heard - (one.heard + one.len);
        let lost = next.spoken - (one.spoken + one.len);
        assert!(lost > blended && lost <= samples(30), "{runs:?}");
    }
    Ok(())
}
