//! A simulated microcontroller behind a serial line at 115,200 baud with noise on it, bridged to a server by
//! `talkspurt-bridge` and by `socat`: the session lives or recovers, and speech is heard in both directions.

use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use talkspurt_tests::analysis::{hear, speech_parts};
use talkspurt_tests::noisy_line::NoisyLine;
use talkspurt_tests::process::Process;
use talkspurt_tests::programs::{Node, bridge};
use talkspurt_tests::seeds::for_each_seed;
use talkspurt_tests::speech::{UNRELATED, sentence, speak};
use talkspurt_tests::stage::{SOON, Stage, finish, leave};
use talkspurt_tests::wav::{self, samples};

const BAUD: u32 = 115_200;
/// Speech that went through ADPCM, a gate and a mix, whole; other speech stays below `UNRELATED`.
const HEARD: f64 = 0.8;

#[test]
fn a_node_behind_talkspurt_bridge_is_heard_and_hears() {
    for_each_seed(1, |seed| {
        let pump = |serial: &str, server: &str| bridge(serial, BAUD, server);
        node_on_a_noisy_line(seed, pump).unwrap_or_else(|error| panic!("{error:#}"));
    });
}

#[test]
fn socat_takes_the_place_of_the_bridge() {
    for_each_seed(1, |seed| {
        node_on_a_noisy_line(seed, socat).unwrap_or_else(|error| panic!("{error:#}"));
    });
}

fn socat(serial: &str, server: &str) -> Result<Process> {
    let mut command = Command::new("socat");
    command.arg(format!("{serial},raw,echo=0"));
    command.arg(format!("TCP:{server},nodelay"));
    Process::spawn("socat", &mut command).context("`cargo xtask setup` installs socat")
}

/// What one side says, and when: a sentence on a clean line, one under sparse noise, a pause in which the line is
/// unusable, and one after it.
struct Talk {
    samples: Vec<i16>,
    clean: Vec<i16>,
    after: Vec<i16>,
}

const NOISE_FROM: Duration = Duration::from_millis(6_000);
const RUIN_FROM: Duration = Duration::from_millis(10_000);
const RUIN_TO: Duration = Duration::from_millis(11_500);
const AFTER_MS: u64 = 15_000;

impl Talk {
    fn new(stage: &Stage, speaker: usize) -> Result<Self> {
        let [clean, noisy, after] = [0, 1, 2].map(|nth| {
            let path = stage.path(&format!("sentence-{speaker}-{nth}.wav"));
            speak(&sentence(speaker, nth), &path)
        });
        let (clean, noisy, after) = (clean?, noisy?, after?);
        let mut said = Vec::new();
        for (at_ms, sentence) in [(1_500, &clean), (6_500, &noisy), (AFTER_MS, &after)] {
            assert!(
                said.len() <= samples(at_ms),
                "the sentence before lasts longer"
            );
            said.resize(samples(at_ms), 0);
            said.extend(sentence);
        }
        Ok(Self {
            samples: said,
            clean,
            after,
        })
    }
}

fn node_on_a_noisy_line(seed: u64, pump: impl Fn(&str, &str) -> Result<Process>) -> Result<()> {
    let stage = Stage::new(&[])?;
    let (node_talk, desk_talk) = (Talk::new(&stage, 0)?, Talk::new(&stage, 1)?);
    let (says, hears) = (stage.path("node-says.wav"), stage.path("node-hears.wav"));
    wav::write(&says, &node_talk.samples)?;
    let flags = [
        "--input",
        &says.display().to_string(),
        "--output",
        &hears.display().to_string(),
        "--linger",
        "3",
    ];
    let mut node = Node::start("r", "node", BAUD, &flags)?;
    let line = NoisyLine::behind(&node.serial, seed)?;
    let pump = pump(&line.path, &stage.server.address)?;
    let told = || format!("the pump said:\n{}", pump.log());
    node.process
        .wait_for_event("joined", SOON)
        .with_context(told)?;
    let began = Instant::now();
    let mut desk = stage.join("r", "desk", &desk_talk.samples, &["--linger", "3"])?;

    // One byte in 3,000 under the second sentence; then one in five, which no packet survives; then none.
    for (at, damage) in [(NOISE_FROM, 333), (RUIN_FROM, 200_000), (RUIN_TO, 0)] {
        thread::sleep((began + at).saturating_duration_since(Instant::now()));
        line.set_damage(damage);
    }
    assert!(line.damaged_bytes() > 0, "the noise hit something");
    let desk_left = finish(&mut desk, SOON).with_context(told)?;
    let node_left = finish(&mut node.process, SOON).with_context(told)?;
    println!(
        "{} bytes damaged; node: {}; desk: {}",
        line.damaged_bytes(),
        node_left.json,
        desk_left.json
    );
    assert!(
        node_left.number("/serial/dropped_bytes")? > 0,
        "the node saw damage: {}",
        node_left.json
    );

    let (desk_heard, node_heard) = (stage.heard("r", "desk")?, wav::read(&hears)?);
    for (who, talk, heard) in [
        ("desk", &node_talk, &desk_heard),
        ("node", &desk_talk, &node_heard),
    ] {
        for (when, sentence) in [("before", &talk.clean), ("after", &talk.after)] {
            let pieces = speech_parts(sentence, 300.0, samples(500));
            let hearing = hear(sentence, &pieces, heard).context("a sentence has pieces")?;
            println!("{who} heard the sentence {when} the noise: {hearing:?}");
            assert!(
                hearing.similarity > HEARD.max(UNRELATED),
                "{who}, {when} the noise: {hearing:?}; {}",
                told()
            );
        }
    }
    Ok(())
}

#[test]
fn the_node_comes_back_when_the_bridge_and_the_server_do() -> Result<()> {
    let mut stage = Stage::new(&["--idle-timeout", "3s"])?;
    let node = Node::start("r", "node", BAUD, &["--input", "none", "--output", "none"])?;
    let first = bridge(&node.serial, BAUD, &stage.server.address)?;
    node.process.wait_for_event("joined", SOON)?;
    let mark = node.process.mark();
    first.kill()?;
    drop(first);
    node.process
        .wait_for_event_after(mark, "reconnecting", SOON, |_| true)?;
    let second = bridge(&node.serial, BAUD, &stage.server.address)?;
    node.process
        .wait_for_event_after(mark, "joined", SOON, |_| true)?;
    let mark = node.process.mark();
    stage.server.process.kill()?;
    stage.server.process.wait(SOON)?;
    let address = stage.server.address.clone();
    stage.server =
        talkspurt_tests::programs::Server::start_at(&address, &["--idle-timeout", "3s"])?;
    node.process
        .wait_for_event_after(mark, "joined", SOON, |_| true)
        .with_context(|| second.log())?;
    let mut desk = stage.join("r", "desk", &[], &[])?;
    let roster = desk.wait_for_event("joined", SOON)?.json["roster"].to_string();
    assert!(roster.contains("\"node\""), "{roster}");
    leave(&mut desk)?;
    Ok(())
}
