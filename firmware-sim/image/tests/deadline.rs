//! Tests the watch over the loop's deadline: late frames are counted, a loop that serves frames is
//! left alone, and one that hangs is reset after [`HANG_MS`]. The reset starts the program again,
//! which recognizes it by two words of RAM that a reset leaves alone.
#![no_std]
#![no_main]
#![allow(unsafe_code)] // Words that the start-up code does not clear.

mod common;

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use cortex_m::asm::wfi;
use cortex_m::{Peripherals, singleton};
use cortex_m_rt::entry;
use semihosting::println;
use semihosting::process::exit;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_image::board::{Board, ThisBoard};
use talkspurt_image::clock::Clock;
use talkspurt_image::deadline::{Deadline, HANG_MS, feed, ticks};
use talkspurt_image::uart::UartInterrupt;
use talkspurt_node_driver::uart::Queues;

/// How often this program has been started. QEMU's memory is 0 at power-up.
#[unsafe(link_section = ".uninit.starts")]
static STARTS: Kept = Kept::new();
/// How many milliseconds the program has hung.
#[unsafe(link_section = ".uninit.hung")]
static HUNG_MS: Kept = Kept::new();

/// How long a live loop is watched: longer than one may hang.
const ALIVE_MS: u32 = HANG_MS + 1_000;
/// How often a live loop serves a frame.
const FRAME_MS: u32 = 20;

#[entry]
fn main() -> ! {
    let starts = STARTS.get();
    STARTS.set(starts + 1);
    match starts {
        0 => first_start(),
        1 => after_the_reset(),
        _ => panic!("reset more than once"),
    }
}

fn first_start() -> ! {
    late_frames_are_counted();
    start_the_board();
    feed();
    while ticks() < ALIVE_MS {
        wfi();
        if ticks().is_multiple_of(FRAME_MS) {
            feed();
        }
    }
    println!("served a frame each {FRAME_MS} ms for {ALIVE_MS} ms: left alone");
    feed();
    let hangs_since = ticks();
    loop {
        wfi();
        let hung_ms = ticks() - hangs_since;
        HUNG_MS.set(hung_ms);
        assert!(hung_ms < 2 * HANG_MS, "a loop that hangs was not reset");
    }
}

fn after_the_reset() -> ! {
    let hung_ms = HUNG_MS.get();
    println!("hung for {hung_ms} ms: reset");
    // A millisecond either way: the last check may be before or after the last tick.
    assert!(hung_ms.abs_diff(HANG_MS) <= 2, "reset at the wrong time");
    exit(0)
}

fn late_frames_are_counted() {
    let (due, period) = (Instant::from_micros(1_000_000), Duration::from_millis(20));
    let mut deadline = Deadline::default();
    for (late_ms, missed) in [(0, 0), (19, 0), (20, 1), (5, 1), (45, 2)] {
        deadline.serve(due + Duration::from_millis(late_ms), due, period);
        assert_eq!(deadline.missed(), missed, "{late_ms} ms late");
    }
    assert_eq!(deadline.worst(), Duration::from_millis(45));
    println!("late frames are counted");
}

/// Starts the board's clocks and the ticking timer.
fn start_the_board() {
    let (Some(queues), Some(peripherals)) =
        (singleton!(: Queues = Queues::new()), Peripherals::take())
    else {
        unreachable!("called once");
    };
    ThisBoard::start_clocks();
    Clock::start(peripherals.SYST);
    let (_, isr) = queues.split(ThisBoard::start_uart(115_200), UartInterrupt);
    ThisBoard::start_interrupts(isr);
}

/// A word of RAM that the start-up code does not clear.
#[repr(transparent)]
struct Kept(UnsafeCell<MaybeUninit<u32>>);

// SAFETY: the program has one thread, and no interrupt handler uses the words.
unsafe impl Sync for Kept {}

impl Kept {
    const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    fn get(&self) -> u32 {
        // SAFETY: there is no concurrent write, and any bits are a valid number.
        unsafe { self.0.get().cast::<u32>().read_volatile() }
    }

    fn set(&self, value: u32) {
        // SAFETY: there is no concurrent read.
        unsafe { self.0.get().cast::<u32>().write_volatile(value) };
    }
}
