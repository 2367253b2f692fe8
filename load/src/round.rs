//! One measurement of one process, and the order in which they are made.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::cli::{Order, ServerChoice};
use crate::counters::Counters;
use crate::crowd::{self, Crowd};
use crate::generator::{Generator, Opposite, Pacing};
use crate::ledger::Found;
use crate::pinning::pin;
use crate::plan::Plan;
use crate::procfs;
use crate::service::Service;
use crate::stall::Stall;

/// For so long everyone talks before anything counts: the server has then met every case, and its
/// buffers their size.
const WARM_UP: Duration = Duration::from_millis(1_500);
/// For so long marked frames on their way are still waited for.
const DRAIN: Duration = Duration::from_millis(500);

/// All that was measured.
#[derive(Debug, Default)]
pub struct Rounds {
    /// Of the server.
    pub server: Vec<Round>,
    /// Of the floor, each right after the server's of the same number.
    pub floor: Vec<Round>,
}

/// What one process cost, and did, in one span.
#[derive(Clone, Debug)]
pub struct Round {
    /// How long it was, in seconds.
    pub seconds: f64,
    /// CPU time of the process, in milliseconds.
    pub cpu_ms: f64,
    /// What its resident memory grew by from before the first participant came to the end of the
    /// span, in bytes.
    pub grown_bytes: u64,
    /// Bytes that it was sent.
    pub bytes_in: u64,
    /// Bytes that it sent.
    pub bytes_out: u64,
    /// Marked frames.
    pub found: Found,
    /// CPU time of this process, in milliseconds.
    pub generator_cpu_ms: f64,
    /// How well this process kept time.
    pub pacing: Pacing,
    /// What the server counted meanwhile, where that can be read.
    pub counters: Option<Counters>,
    /// What a crowd beside it came to.
    pub crowd: Option<crowd::Outcome>,
}

/// Takes the frame duration of a server that runs already, whatever was ordered: joins it once to
/// hear it.
///
/// # Errors
/// It refuses, or is not there.
pub fn take_announced_frame(order: &mut Order) -> Result<()> {
    if let ServerChoice::Running { address, .. } = order.server {
        let one = Plan {
            participants: 1,
            talkers: 0,
            ..order.plan
        };
        let generator = Generator::join(one, Opposite::Server, address);
        let generator = generator.context("the running server")?;
        order.plan.format.frame = generator.frame();
        generator.leave()?;
    }
    Ok(())
}

/// Measures server and floor in turn, so that both meet the same weather on a shared machine.
///
/// # Errors
/// A process that does not start, refuses or drops someone.
pub fn run_all(order: &Order) -> Result<Rounds> {
    let mut plan = order.plan;
    if let Some(processors) = order.processors {
        pin(None, processors.generator)?;
    }
    let mut rounds = Rounds::default();
    for number in 1..=order.rounds {
        // Other phases in each round, the same for both.
        plan.seed = order.plan.seed.wrapping_add(u64::from(number) - 1);
        let server = Service::server(order)?;
        let crowd = order.crowd.map(|crowd| Crowd::start(crowd, server.address));
        let crowd = crowd.transpose().context("the crowd")?;
        let mut round = measure(plan, order.span, order.stall, Opposite::Server, &server)
            .context("the server")?;
        round.crowd = crowd.map(Crowd::stop).transpose().context("the crowd")?;
        report_progress("server", number, order.rounds, &round);
        rounds.server.push(round);
        drop(server);
        if order.with_floor {
            let floor = Service::floor(plan.format.frame, order.processors)?;
            let round =
                measure(plan, order.span, None, Opposite::Floor, &floor).context("the floor")?;
            report_progress("floor", number, order.rounds, &round);
            rounds.floor.push(round);
        }
    }
    Ok(rounds)
}

fn measure(
    plan: Plan,
    span: Duration,
    stall: Option<Stall>,
    opposite: Opposite,
    service: &Service,
) -> Result<Round> {
    let own_pid = std::process::id();
    let resident_before = procfs::resident_bytes(service.pid)?;
    let mut generator = Generator::join(plan, opposite, service.address)?;
    generator.start_talking()?;
    generator.run(WARM_UP / 2)?;
    // Beside the load, which must not wait for it.
    let http = service.http;
    let counting = std::thread::spawn(move || http.map(Counters::read).transpose());
    generator.run(WARM_UP / 2)?;
    let counted = counting.join();
    let counters_before = counted.map_err(|_| anyhow!("the reader of counters panicked"))??;

    generator.start_marking();
    if let Some(stall) = stall {
        generator.stall(stall);
    }
    let started = Instant::now();
    let traffic_before = generator.traffic();
    let own_before = procfs::cpu_time(own_pid)?;
    let before = procfs::cpu_time(service.pid)?;
    generator.run(span)?;
    let cpu = procfs::cpu_time(service.pid)?.saturating_sub(before);
    let own_cpu = procfs::cpu_time(own_pid)?.saturating_sub(own_before);
    let seconds = started.elapsed().as_secs_f64();
    let traffic = generator.traffic();
    let resident = procfs::resident_bytes(service.pid)?;
    let pacing = generator.stop_marking();

    generator.run(DRAIN)?;
    let counters = http.map(Counters::read).transpose()?;
    Ok(Round {
        seconds,
        cpu_ms: cpu.as_secs_f64() * 1_000.0,
        grown_bytes: resident.saturating_sub(resident_before),
        bytes_in: traffic.sent_bytes - traffic_before.sent_bytes,
        bytes_out: traffic.received_bytes - traffic_before.received_bytes,
        found: generator.leave()?,
        generator_cpu_ms: own_cpu.as_secs_f64() * 1_000.0,
        pacing,
        counters: counters
            .zip(counters_before)
            .map(|(after, before)| after.since(before)),
        crowd: None,
    })
}

fn report_progress(what: &str, number: u32, rounds: u32, round: &Round) {
    tracing::info!(
        "round {number} of {rounds}, {what}: {:.0} ms of CPU in {:.1} s",
        round.cpu_ms,
        round.seconds
    );
}
