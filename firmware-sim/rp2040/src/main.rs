//! The Talkspurt node on a Raspberry Pi Pico. It was compiled and linked; it has not been run on a
//! board yet (docs/FIRMWARE.md).
#![no_std]
#![no_main]

mod pico;

use core::panic::PanicInfo;

use cortex_m::asm::wfi;
use cortex_m_rt::entry;
use fugit::ExtU32;
use talkspurt_core::time::Instant;
use talkspurt_node::node::{AdpcmNode, Board, NodeEvent};
use talkspurt_rp2040::config;

use pico::Pico;

/// The watchdog resets the chip when the loop has not run for this long: a hundred frames, and less
/// than a person waits before pulling the plug. The sound's interrupts wake the loop every 5 ms, so
/// the chip is also reset when the sound stops.
const HANG_MS: u32 = 2_000;

#[entry]
fn main() -> ! {
    let Some(mut pico) = Pico::start(config::BAUD) else {
        unreachable!("called once, with clocks that the crystal can provide");
    };
    pico.watchdog.start(HANG_MS.millis());
    let mut board = Board {
        port: pico.port,
        microphone: pico.microphone,
        speaker: pico.speaker,
    };
    let now = || Instant::from_micros(pico.timer.get_counter().ticks());
    let Some(config) = config::node() else {
        unreachable!("the names were checked at compile time");
    };
    // Used where it was made: taken out of the Result, its 10 KB would lie on the stack twice.
    let mut node = AdpcmNode::new(config, pico.start_number, now());
    let Ok(node) = &mut node else {
        unreachable!("the default gate is valid, and ADPCM fits this node");
    };
    loop {
        let now = now();
        node.poll(now, &mut board, &mut |event| {
            match event {
                NodeEvent::Joined { .. } => pico.led.on(),
                NodeEvent::Lost { .. } => pico.led.off(),
                _ => {}
            }
            log(now, &event);
        });
        pico.watchdog.feed();
        // Bytes that arrive just before it are read after the next block, at most 5 ms later.
        wfi();
    }
}

/// Logs an event, in firmware that logs.
#[cfg(feature = "log")]
fn log(now: Instant, event: &NodeEvent<'_>) {
    pico::log::set_time(now);
    defmt::info!("{}", event);
}

#[cfg(not(feature = "log"))]
fn log(_now: Instant, _event: &NodeEvent<'_>) {}

/// Waits for the watchdog to reset the whole chip; the node then joins again. A panic before the
/// watchdog was started (the crystal does not run, say) would only repeat, so it stays here. The
/// message is not formatted: that code is larger than the node.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    loop {
        cortex_m::asm::nop();
    }
}
