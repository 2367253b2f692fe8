//! Runs the programs of the demo and collects what each participant heard and said about itself.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use indicatif::{ProgressBar, ProgressStyle};
use talkspurt_testkit::programs::Server;
use talkspurt_testkit::wav;

use super::cast::{Actor, Experience, spoken_path};
use super::plan::{PAUSE_MS, Plan};

/// What is left between two sentences is longer than the gate's hold.
const APART_MAX: Duration = Duration::from_millis(PAUSE_MS - 300);
/// How often everyone is started before the machine counts as too busy.
const GATHERINGS_MAX: u32 = 4;

/// What is shown beside who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Nothing.
    Speakers,
    /// What the boards log, as it comes.
    BoardLogs,
}

/// Plays the plan with real programs, in real time; a live line says who speaks.
pub fn perform(plan: &Plan, directory: &Path, shown: Shown) -> Result<Vec<Experience>> {
    for (index, participant) in plan.participants.iter().enumerate() {
        wav::write(&spoken_path(directory, participant), &plan.spoken_by(index))?;
    }
    let (mut server, mut actors) = gather(plan, directory)?;
    watch(plan, &mut actors, shown)?;
    let finished = actors.iter_mut().map(Actor::finish);
    let experiences = finished.collect::<Result<_>>()?;
    for actor in &mut actors {
        show_logs(actor, shown, |line| eprintln!("{line}"));
    }
    server.process.terminate()?;
    server.process.wait_for_success(Duration::from_secs(5))?;
    Ok(experiences)
}

/// Starts the server and all participants. Each speaks by the moment at which it has joined: if
/// these lie too far apart, as on a machine that is busy just then, two would speak at once.
fn gather(plan: &Plan, directory: &Path) -> Result<(Server, Vec<Actor>)> {
    let mut apart = Duration::ZERO;
    for _ in 0..GATHERINGS_MAX {
        let server = Server::start(&[])?;
        eprintln!(
            "    server on {}, pages on http://{}/rooms",
            server.address, server.http
        );
        let start = |participant| Actor::start(participant, directory, &server);
        let actors: Vec<Actor> = plan.participants.iter().map(start).collect::<Result<_>>()?;
        // The plan begins when all are in.
        let joined: Vec<Instant> = actors.iter().map(Actor::joined_at).collect::<Result<_>>()?;
        let (first, last) = (joined.iter().min(), joined.iter().max());
        apart = last
            .zip(first)
            .map_or(apart, |(last, first)| *last - *first);
        if apart <= APART_MAX {
            return Ok((server, actors));
        }
        eprintln!(
            "    they joined {:.1} s apart, and would speak at once: once more",
            apart.as_secs_f64()
        );
    }
    bail!(
        "This machine is too busy for live sound: the participants joined {:.1} s apart, \
         {GATHERINGS_MAX} times. End what else runs here, and try again.",
        apart.as_secs_f64()
    )
}

fn show_logs(actor: &mut Actor, shown: Shown, show: impl Fn(String)) {
    if shown == Shown::BoardLogs {
        for line in actor.new_log_lines() {
            show(format!("    | {line}"));
        }
    }
}

/// Shows who speaks until the plan's end. Ends early, with its output, where a program does.
fn watch(plan: &Plan, actors: &mut [Actor], shown: Shown) -> Result<()> {
    const STEP: Duration = Duration::from_millis(200);
    let total = Duration::from_secs_f64(wav::millis(plan.length) / 1000.0);
    let bar = ProgressBar::new(total.as_millis() as u64);
    bar.set_style(ProgressStyle::with_template("    {bar:30} {msg}").expect("a constant template"));
    let started = Instant::now();
    let mut said = String::new();
    while started.elapsed() < total {
        let now = started.elapsed();
        let speaking = speaking(plan, now);
        bar.set_position(now.as_millis() as u64);
        bar.set_message(format!(
            "{:>3} s of {} s  {speaking}",
            now.as_secs(),
            total.as_secs()
        ));
        if bar.is_hidden() && said != speaking {
            eprintln!("    {:>3} s  {speaking}", now.as_secs());
            said = speaking;
        }
        for actor in &mut *actors {
            show_logs(actor, shown, |line| bar.suspend(|| eprintln!("{line}")));
            actor.check()?;
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
