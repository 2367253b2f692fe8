//! The firmware around the loop of `talkspurt-node`: connects a board to it, and sleeps when it has
//! nothing to do.

use cortex_m::Peripherals;
use cortex_m::asm::wfi;
use cortex_m::interrupt::free;
use cortex_m::singleton;
use semihosting::fs::File;
use semihosting::io::Read as _;
use semihosting::sys::arm_compat::sys_time;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_node::node::{self, AdpcmNode, ClientEvent, NodeEvent};
use talkspurt_node_driver::uart::{QUEUE_BYTES, QueuedUart, Queues};

use crate::arguments::Setup;
use crate::board::{Board, ThisBoard};
use crate::clock::Clock;
use crate::files::{FileMicrophone, FileSpeaker};
use crate::uart::UartInterrupt;
use crate::{deadline, log, stack};

/// Bytes that have waited this long are read even if no frame is due, such as an answer to the
/// Hello.
const READ_AFTER: Duration = Duration::from_millis(10);
/// More waiting bytes than this are read at once, before the queue overflows.
const READ_AT_BYTES: usize = QUEUE_BYTES / 2;

type Port = QueuedUart<'static, UartInterrupt>;
type Wired = node::Board<Port, FileMicrophone, FileSpeaker>;

/// When to leave.
#[derive(Clone, Copy, Debug, Default)]
struct Leaving {
    linger: Option<Duration>,
    after: Option<Duration>,
    joined_at: Option<Instant>,
}

/// Runs the node until it has left its room. Returns `false` if its configuration is invalid.
pub fn run(setup: Setup, mut peripherals: Peripherals) -> bool {
    ThisBoard::start_clocks();
    let mut clock = Clock::start(peripherals.SYST);
    let mut wired = Wired {
        port: start_uart(setup.baud),
        microphone: setup.microphone,
        speaker: setup.speaker,
    };
    peripherals.SCB.clear_sleepdeep();
    let mut leaving = Leaving {
        linger: setup.linger,
        after: setup.leave_after,
        joined_at: None,
    };
    // Used in place: moved out of the Result it would be on the stack twice, and there is no room
    // for that.
    let mut node = make(setup.node, clock.now());
    let Ok(node) = &mut node else { return false };
    log::info!("{=str}: up", ThisBoard::NAME);
    run_loop(node, &mut wired, &mut clock, &mut leaving);
    deadline::stop_watch();
    if cfg!(feature = "log") {
        report(node, &wired, &mut clock);
    }
    true
}

#[inline(never)]
fn make(config: node::ClientConfig, now: Instant) -> Result<AdpcmNode, node::ClientConfigError> {
    AdpcmNode::new(config, start_number(), now)
}

/// Tells this start from earlier ones. This board's random number generator is the host's; where
/// that has none, its seconds tell all starts apart but those of one second.
fn start_number() -> u32 {
    let mut bytes = [0; 4];
    let _ = File::open(c"/dev/urandom").and_then(|mut host| host.read(&mut bytes));
    let seconds = sys_time().map_or(0, |seconds| seconds as u32);
    seconds ^ u32::from_le_bytes(bytes)
}

#[inline(never)]
fn run_loop(node: &mut AdpcmNode, wired: &mut Wired, clock: &mut Clock, leaving: &mut Leaving) {
    loop {
        let now = clock.now();
        if leaving.is_due(now, &wired.microphone) {
            *leaving = Leaving::default();
            node.leave(now);
        }
        let call_at = node.poll(now, wired, &mut |event| {
            if matches!(event, NodeEvent::Joined { .. }) {
                leaving.joined_at.get_or_insert(now);
            }
            log_event(&event);
        });
        if node.is_stopped() && wired.port.is_drained() {
            return;
        }
        sleep(wired, clock, now, call_at);
    }
}

/// Sleeps until the loop has to be called.
fn sleep(wired: &Wired, clock: &mut Clock, polled_at: Instant, call_at: Option<Instant>) {
    loop {
        let now = clock.now();
        let waiting = wired.port.received_bytes();
        let to_read = waiting >= READ_AT_BYTES
            || (waiting > 0 && now.duration_since(polled_at) >= READ_AFTER);
        if to_read || call_at.is_some_and(|at| now >= at) {
            return;
        }
        let tick = deadline::ticks();
        while stays_asleep(tick) {
            clock.count_sleep(|| free(|_| wfi()));
        }
    }
}

/// Returns whether the loop has nothing to do until the board's timer ticks again. Each byte's
/// interrupt wakes the core, and this check is the only work that follows: the queue cannot
/// overflow within a millisecond.
#[inline]
pub fn stays_asleep(since_tick: u32) -> bool {
    deadline::ticks() == since_tick
}

fn start_uart(baud: u32) -> Port {
    let Some(queues) = singleton!(: Queues = Queues::new()) else {
        unreachable!("the UART is started once");
    };
    let (port, isr) = queues.split(ThisBoard::start_uart(baud), UartInterrupt);
    ThisBoard::start_interrupts(isr);
    port
}

impl Leaving {
    fn is_due(&self, now: Instant, microphone: &FileMicrophone) -> bool {
        let over = |since: Option<Instant>, span: Option<Duration>| matches!((since, span), (Some(since), Some(span)) if now >= since + span);
        over(self.joined_at, self.after) || over(microphone.ended_at(), self.linger)
    }
}

fn log_event(event: &NodeEvent<'_>) {
    match event {
        NodeEvent::Room(ClientEvent::RosterComplete | ClientEvent::State(..)) => {
            log::debug!("{}", event)
        }
        NodeEvent::Rejected { .. } | NodeEvent::Lost { .. } => log::warn!("{}", event),
        _ => log::info!("{}", event),
    }
}

fn report(node: &AdpcmNode, wired: &Wired, clock: &mut Clock) {
    let (stats, deadline) = (node.stats(), wired.speaker.deadline());
    log::info!(
        "frames: captured={=u32} sent={=u32} received={=u32} played={=u32} concealed={=u32} silent={=u32} missed_deadlines={=u32}",
        stats.client.frames_captured,
        stats.client.frames_sent,
        stats.client.frames_received,
        stats.client.frames_played,
        stats.client.frames_concealed,
        stats.client.frames_silent,
        deadline.missed()
    );
    log::info!(
        "line: in={=u64} out={=u64} dropped={=u64} crc_errors={=u32} overruns={=u32} joins={=u32}",
        stats.received_bytes,
        stats.transmitted_bytes,
        stats.client.dropped_bytes,
        stats.client.crc_errors,
        wired.port.overrun_bytes(),
        stats.joins
    );
    log::info!(
        "loop: latest_frame_us={=u64} asleep_ms={=u32} up_ms={=u64} deepest_stack={=usize} stack_size={=usize}",
        deadline.worst().as_micros(),
        clock.slept_ms(),
        clock.now().as_micros() / 1_000,
        stack::deepest_bytes(),
        stack::size_bytes()
    );
}
