//! How much processor time a client on sound cards takes, and how it copes when others take all of
//! it, or when the sound server hangs.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use talkspurt_testkit::fixture::{SOON, leave};
use talkspurt_testkit::process::Process;
use talkspurt_testkit::programs::{self, Server};
use talkspurt_testkit::speech::{sentence, speak};
use talkspurt_testkit::virtual_audio::VirtualAudio;

/// Tests run one at a time, since one of them takes every processor.
static ALONE: Mutex<()> = Mutex::new(());

/// No client takes this share of a core, whatever it does; measured are 2 to 3 %. A thread that
/// spins takes 100 %, or what a busy machine leaves it (measured: 20 to 50 %). This is processor
/// time, which the load of other programs does not increase.
const SHARE_MAX: f64 = 0.15;
/// How long a client's processor time is observed at a time.
const LOOK: Duration = Duration::from_secs(4);

/// A client on its own virtual cards.
fn join(audio: &VirtualAudio, server: &Server, name: &str) -> Result<Process> {
    let client = start(audio, server, name, &[])?;
    await_devices(&client)?;
    Ok(client)
}

fn await_devices(client: &Process) -> Result<()> {
    for device in ["microphone", "speaker"] {
        client
            .wait_for_event_after(0, "device", SOON, |event| {
                event["device"] == device && event["state"] == "opened"
            })
            .with_context(|| client.log())?;
    }
    Ok(())
}

fn start(audio: &VirtualAudio, server: &Server, name: &str, flags: &[&str]) -> Result<Process> {
    let mut command = programs::command("talkspurt")?;
    command.args(["join", &server.address, "--room", "r", "--name", name]);
    command.args(["--codec", "pcm16", "--events", "json", "--log", "debug"]);
    command.args(flags);
    command.envs(audio.environment(name));
    let client = Process::spawn(name, &mut command)?;
    client.wait_for_event("joined", SOON)?;
    Ok(client)
}

/// Returns the processor time that all threads of a process have had. Linux reports it in
/// hundredths of a second, whatever the kernel.
fn processor_time(process: &Process) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", process.id()))?;
    // The program's name is in brackets and may contain anything; the 14th and 15th fields are user
    // and system time.
    let (_, fields) = stat.rsplit_once(')').context("a name in brackets")?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut ticks = || -> Result<u64> { Ok(fields.next().context("a field")?.parse()?) };
    Ok(Duration::from_millis((ticks()? + ticks()?) * 10))
}

/// Returns the share of a core that each client took while `work` ran, and then until [`LOOK`] was
/// over.
fn shares(clients: &[&Process], work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let now = || clients.iter().map(|client| processor_time(client));
    let before: Vec<Duration> = now().collect::<Result<_>>()?;
    let start = Instant::now();
    work()?;
    thread::sleep(LOOK.saturating_sub(start.elapsed()));
    let after: Vec<Duration> = now().collect::<Result<_>>()?;
    let lasted = start.elapsed().as_secs_f64();
    let took = before.iter().zip(&after);
    Ok(took
        .map(|(before, after)| (*after - *before).as_secs_f64() / lasted)
        .collect())
}

#[test]
fn a_client_takes_little_processor_time_before_during_and_after_speech() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir()?;
    let audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann", "ben"])?;
    let server = Server::start(&[])?;
    let mut ann = join(&audio, &server, "ann")?;
    let mut ben = join(&audio, &server, "ben")?;
    let says = dir.path().join("says.wav");
    speak(&sentence(0, 0), &says)?;
    // Waits until the cost of starting the streams is over.
    thread::sleep(Duration::from_secs(1));
    let idle = shares(&[&ann, &ben], || Ok(()))?;
    let talk = shares(&[&ann, &ben], || {
        audio.speak_into("ann", &says)?.wait_for_success(SOON)
    })?;
    let after = shares(&[&ann, &ben], || Ok(()))?;
    for (when, shares) in [("idle", idle), ("talk", talk), ("after", after)] {
        let percent = |share: f64| share * 100.0;
        println!(
            "{when}: speaking client {:.1} %, listening client {:.1} % of a core",
            percent(shares[0]),
            percent(shares[1])
        );
        for share in shares {
            assert!(
                share < SHARE_MAX,
                "{when}: {:.0} % of a core",
                percent(share)
            );
        }
    }
    assert!(leave(&mut ann)?.frames("sent")? > 0, "ann sent nothing");
    leave(&mut ben)?;
    Ok(())
}

/// ALSA's `null` device is always ready.
#[test]
fn a_device_without_a_clock_does_not_make_a_client_spin() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir()?;
    let audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann"])?;
    let server = Server::start(&[])?;
    let null = ["--input-device", "null", "--output-device", "null"];
    let mut ann = start(&audio, &server, "ann", &null)?;
    await_devices(&ann)?;
    thread::sleep(Duration::from_secs(1));
    let share = shares(&[&ann], || Ok(()))?[0];
    println!("null: {:.1} % of a core", share * 100.0);
    assert!(share < SHARE_MAX, "{:.0} % of a core", share * 100.0);
    leave(&mut ann)?;
    Ok(())
}

/// Keeps every processor busy until it is dropped.
struct Busy {
    stop: &'static AtomicBool,
    threads: Vec<thread::JoinHandle<()>>,
}

impl Busy {
    fn new(per_processor: usize) -> Self {
        let stop: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let count = per_processor * thread::available_parallelism().map_or(2, usize::from);
        let spin = || {
            while !stop.load(Relaxed) {
                std::hint::spin_loop();
            }
        };
        let threads = (0..count).map(|_| thread::spawn(spin)).collect();
        Self { stop, threads }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

#[test]
fn a_busy_machine_does_not_make_a_device_count_as_lost() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir()?;
    let audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann"])?;
    let server = Server::start(&[])?;
    let mut ann = join(&audio, &server, "ann")?;
    let says = dir.path().join("says.wav");
    speak(&sentence(0, 0), &says)?;
    let busy = Busy::new(8);
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(20) {
        audio.speak_into("ann", &says)?.wait_for_success(SOON * 2)?;
    }
    drop(busy);
    let lost: Vec<_> = ann
        .events()
        .into_iter()
        .filter(|event| event.json["event"] == "device" && event.json["state"] == "lost")
        .map(|event| event.json.to_string())
        .collect();
    assert_eq!(lost, [""; 0], "{}", ann.log());
    leave(&mut ann)?;
    Ok(())
}

#[test]
fn a_hanging_sound_server_delays_neither_the_start_nor_the_end() -> Result<()> {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    let dir = tempfile::tempdir()?;
    let audio = VirtualAudio::start(&dir.path().join("pulse"), &["ann", "ben"])?;
    let server = Server::start(&[])?;
    let mut ann = join(&audio, &server, "ann")?;
    let mark = ann.mark();
    audio.freeze()?;
    for device in ["microphone", "speaker"] {
        ann.wait_for_event_after(mark, "device", SOON, |event| {
            event["device"] == device && event["state"] == "lost"
        })
        .with_context(|| ann.log())?;
    }
    let mut ben = start(&audio, &server, "ben", &[])?;
    ben.wait_for_event_after(0, "device", SOON, |event| {
        event["state"] == "absent" && event["text"].to_string().contains("does not answer")
    })
    .with_context(|| ben.log())?;
    for client in [&mut ann, &mut ben] {
        leave(client)?;
    }
    Ok(())
}
