//! The Talkspurt node on a Raspberry Pi Pico. It was compiled and linked; it has not been run on a board yet (docs/FIRMWARE.md).
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

/// The chip is reset when the loop has not come by for so long: a hundred frames, and less than a person waits before he pulls the
/// plug. It comes by every 5 ms, as the sound's interrupts wake it, so that sound which has stopped resets the chip, too.
const HANG_MS: u32 = 2_000;

#[entry]
fn main() -> ! {
    let Some(mut pico) = Pico::start(config::BAUD) else {
        unreachable!(
            "the first to ask for the peripherals, and with clocks that the crystal can give"
        );
    };
    pico.watchdog.start(HANG_MS.millis());
    let mut board = Board {
        port: pico.port,
        microphone: pico.microphone,
        speaker: pico.speaker,
    };
    let now = || Instant::from_micros(pico.timer.get_counter().ticks());
    let Some(config) = config::node() else {
        unreachable!("the compiler has looked at the names");
    };
    // Used where it was made: taken out of the Result, its 10 KB would lie on the stack twice.
    let mut node = AdpcmNode::new(config, pico.start_number, now());
    let Ok(node) = &mut node else {
        unreachable!("the default gate works, and ADPCM fits this node");
    };
    loop {
        let now = now();
        node.poll(now, &mut board, &mut |event| {
            match event {
                NodeEvent::Joined { .. } => pico.led.on(),
                NodeEvent::Lost(_) => pico.led.off(),
                _ => {}
            }
            log(now, &event);
        });
        pico.watchdog.feed();
        // Bytes or samples that come just before it are served with the next block: 5 ms later at most.
        wfi();
    }
}

/// Tells what happens, in firmware that logs.
#[cfg(feature = "log")]
fn log(now: Instant, event: &NodeEvent<'_>) {
    pico::log::set_time(now);
    match event {
        NodeEvent::Calling { attempt } => defmt::info!("calling, attempt {=u16}", *attempt),
        NodeEvent::Joined {
            params,
            participants,
        } => {
            defmt::info!("joined: {}, {=u32} in the room", *params, *participants);
        }
        NodeEvent::Rejected { reason, text } => {
            defmt::warn!("rejected: {}, {=str}", *reason, text);
        }
        NodeEvent::Lost(reason) => defmt::warn!("lost the room: {}", *reason),
        _ => {}
    }
}

#[cfg(not(feature = "log"))]
fn log(_now: Instant, _event: &NodeEvent<'_>) {}

/// Leaves it to the watchdog to reset the whole chip; the node then joins again. A panic from before the watchdog was started (the
/// crystal does not run, say) would only come again, and stays here. The message is not formatted: that machinery is larger than the
/// node.
#[panic_handler]
fn panic(_: &PanicInfo<'_>) -> ! {
    cortex_m::interrupt::disable();
    loop {
        cortex_m::asm::nop();
    }
}
