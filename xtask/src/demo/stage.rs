//! Runs the programs of the demo and collects what each participant heard and said about itself.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use indicatif::{ProgressBar, ProgressStyle};
use talkspurt_tests::process::{Event, Process};
use talkspurt_tests::programs::{Node, START_LIMIT, Server, bridge, client};
use talkspurt_tests::wav;

use super::plan::{Kind, PARTICIPANTS, Participant, Plan};

/// The serial line's speed: what every microcontroller's UART does.
const BAUD: u32 = 115_200;
/// How long after its last word a participant stays.
const LINGER_SECS: u64 = 1;
/// How much longer than planned a program may take to leave.
const LEAVE_LIMIT: Duration = Duration::from_secs(15);

/// What one participant experienced.
pub struct Experience {
    pub participant: Participant,
    /// When it was told that it had joined: the first sample of what it heard, and of what it said.
    pub joined_at: Instant,
    /// What came out of its speaker.
    pub heard: Vec<i16>,
    /// Its last event, with its counts.
    pub left: Event,
}

/// Files of one participant in the demo's directory.
pub fn spoken_path(directory: &Path, participant: &Participant) -> PathBuf {
    directory.join(format!(
        "{}-{}-spoken.wav",
        participant.room, participant.name
    ))
}

/// See [`spoken_path`].
pub fn heard_path(directory: &Path, participant: &Participant) -> PathBuf {
    directory.join(format!(
        "{}-{}-heard.wav",
        participant.room, participant.name
    ))
}

/// Plays the plan with real programs, in real time; a live line says who speaks.
pub fn perform(plan: &Plan, directory: &Path) -> Result<Vec<Experience>> {
    for (index, participant) in PARTICIPANTS.iter().enumerate() {
        wav::write(&spoken_path(directory, participant), &plan.spoken_by(index))?;
    }
    let server = Server::start(&[])?;
    eprintln!(
        "    server on {}, pages on http://{}/rooms",
        server.address, server.http
    );
    let mut bridges = Vec::new();
    let mut running: Vec<Process> = Vec::new();
    for participant in &PARTICIPANTS {
        running.push(start(participant, directory, &server, &mut bridges)?);
    }
    let joined: Vec<Event> = running
        .iter()
        .map(|process| process.wait_for_event("joined", START_LIMIT))
        .collect::<Result<_>>()?;
    watch(plan, &running)?;
    for process in &mut running {
        process.wait_for_success(LEAVE_LIMIT)?;
    }
    let mut experiences = Vec::new();
    for ((process, joined), participant) in running.iter().zip(joined).zip(PARTICIPANTS) {
        let left = process
            .events()
            .into_iter()
            .rfind(|event| event.kind == "left");
        experiences.push(Experience {
            participant,
            joined_at: joined.at,
            heard: wav::read(&heard_path(directory, &participant))?,
            left: left
                .with_context(|| format!("{} ended without a \"left\" event", participant.name))?,
        });
    }
    end_server(server)?;
    Ok(experiences)
}

/// Starts a participant's program, for a node also its bridge.
fn start(
    participant: &Participant,
    directory: &Path,
    server: &Server,
    bridges: &mut Vec<Process>,
) -> Result<Process> {
    let (input, output) = (
        spoken_path(directory, participant),
        heard_path(directory, participant),
    );
    let [input, output] = [input, output].map(|path| path.display().to_string());
    let linger = LINGER_SECS.to_string();
    let files = ["--input", &input, "--output", &output, "--linger", &linger];
    match participant.kind {
        Kind::Desktop(codec) => {
            let flags = [&files[..], &["--codec", codec]].concat();
            client(&server.address, participant.room, participant.name, &flags)
        }
        Kind::Node => {
            let node = Node::start(participant.room, participant.name, BAUD, &files)?;
            bridges.push(bridge(&node.serial, BAUD, &server.address)?);
            Ok(node.process)
        }
    }
}

/// Shows who speaks until the plan's end. Ends early, with its output, where a program does.
fn watch(plan: &Plan, running: &[Process]) -> Result<()> {
    const STEP: Duration = Duration::from_millis(200);
    let total = Duration::from_secs_f64(wav::millis(plan.length) / 1000.0);
    let bar = ProgressBar::new(total.as_millis() as u64);
    bar.set_style(ProgressStyle::with_template("    {bar:30} {msg}").expect("a constant template"));
    let started = Instant::now();
    let mut shown = String::new();
    while started.elapsed() < total {
        let now = started.elapsed();
        let speaking = speaking(plan, now);
        bar.set_position(now.as_millis() as u64);
        bar.set_message(format!(
            "{:>3} s of {} s  {speaking}",
            now.as_secs(),
            total.as_secs()
        ));
        if bar.is_hidden() && shown != speaking {
            eprintln!("    {:>3} s  {speaking}", now.as_secs());
            shown = speaking;
        }
        for process in running {
            anyhow::ensure!(
                process.is_running()?,
                "{} left before its time:\n{}",
                process.name(),
                process.log()
            );
        }
        thread::sleep(STEP);
    }
    bar.finish_and_clear();
    Ok(())
}

fn speaking(plan: &Plan, now: Duration) -> String {
    let who: Vec<String> = plan
        .speaking_at(wav::samples(now.as_millis() as u64))
        .map(|participant| format!("{} speaks in the {}", participant.name, participant.room))
        .collect();
    if who.is_empty() {
        "(silence)".to_owned()
    } else {
        who.join(", ")
    }
}

fn end_server(mut server: Server) -> Result<()> {
    server.process.terminate()?;
    server.process.wait_for_success(Duration::from_secs(5))
}
