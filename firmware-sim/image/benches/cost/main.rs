//! Measures what a frame costs, in instructions, and what the line carries, in bytes per second.
//! Each line of the output is a name and a number.
//! QEMU counts: under `-icount shift=8` every instruction takes 256 ns of virtual time, which
//! SysTick measures. `cargo xtask firmware measure` runs it this way, and compares the numbers with
//! `budget.json`.
#![no_std]
#![no_main]

#[path = "../../tests/common/mod.rs"]
mod common;
mod counter;
mod line;
mod link;
mod parts;
mod whole;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use semihosting::println;
use semihosting::process::exit;

use counter::Counter;
use talkspurt_image::board::{Board, ThisBoard};

#[entry]
fn main() -> ! {
    let Some(peripherals) = Peripherals::take() else {
        unreachable!("main is called once");
    };
    ThisBoard::start_clocks();
    let mut counter = match Counter::start(peripherals.SYST) {
        Ok(counter) => counter,
        Err(measured) => {
            println!("1000 instructions count as {measured}: run me under qemu's -icount shift=8");
            exit(1)
        }
    };
    let mut report = |name: &str, instructions: u32| println!("{name} {instructions}");
    parts::measure(&mut counter, &mut report);
    whole::measure(&mut counter, &mut report);
    link::measure(&mut report);
    exit(0)
}
