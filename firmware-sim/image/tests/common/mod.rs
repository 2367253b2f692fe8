//! Shared by the programs that run on the target.
#![allow(dead_code)] // Each program uses a part of it.

pub mod sound;

use core::panic::PanicInfo;

use semihosting::eprintln;
use semihosting::process::exit;

/// A failed check ends the emulation with exit code 1.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    eprintln!("{info}");
    exit(1)
}
