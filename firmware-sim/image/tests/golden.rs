//! The board computes what the hosts compute, bit for bit: all scenarios of `firmware-sim/golden`,
//! compared with vectors written on a host. Prints what was compared; the exit code is 1 if a byte
//! differs.
#![no_std]
#![no_main]

mod common;

use cortex_m_rt::entry;
use semihosting::println;
use semihosting::process::exit;
use talkspurt_golden::{Difference, SCENARIOS, Scenario};
use talkspurt_image::board::{Board, ThisBoard};

#[entry]
fn main() -> ! {
    println!("golden vectors on {}", ThisBoard::NAME);
    let mut different = 0;
    for scenario in SCENARIOS {
        different += usize::from(!is_same(scenario));
    }
    println!(
        "{} scenarios, {different} of them different",
        SCENARIOS.len()
    );
    exit(i32::from(different > 0 || SCENARIOS.is_empty()))
}

fn is_same(scenario: &Scenario) -> bool {
    match scenario.check() {
        Ok(bytes) => {
            println!("{:>10}: {bytes} bytes, all the same", scenario.name);
            true
        }
        Err(Difference { at, expected_bytes }) => {
            println!(
                "{:>10}: DIFFERENT from byte {at} of {expected_bytes} on",
                scenario.name
            );
            false
        }
    }
}
