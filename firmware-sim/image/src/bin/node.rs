//! The node's firmware image. Its arguments are in `arguments.rs`.
#![no_std]
#![no_main]

use core::panic::PanicInfo;

use cortex_m::Peripherals;
use cortex_m_rt::entry;
use semihosting::io::{Write, stderr};
use semihosting::process::exit;
use talkspurt_image::{app, arguments, log};

/// An invalid command line.
const EXIT_USAGE: i32 = 2;
/// A panic: a bug in the firmware.
const EXIT_PANIC: i32 = 101;

#[entry]
fn main() -> ! {
    let Some(peripherals) = Peripherals::take() else {
        unreachable!("main is called once");
    };
    match arguments::read() {
        Ok(setup) => exit(i32::from(!app::run(setup, peripherals))),
        Err(problem) => {
            let _ = stderr().and_then(|mut stderr| {
                stderr.write_all(problem.as_bytes())?;
                stderr.write_all(b"\n")
            });
            exit(EXIT_USAGE)
        }
    }
}

/// Ends the emulation, so that a test sees it. Firmware for a real board would reset here, and the
/// node would join again. The message is not formatted: that code is larger than the node.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if let Some(place) = info.location() {
        log_place(place.file(), place.line());
    }
    exit(EXIT_PANIC)
}

// Not inlined, so that the handler is small enough to be inlined. The compiler then sees that the
// message is never read.
#[inline(never)]
fn log_place(file: &str, line: u32) {
    log::error!("panicked at {=str}:{=u32}", file, line);
}
