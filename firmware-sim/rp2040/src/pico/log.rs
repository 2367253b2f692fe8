//! The log: defmt over UART1 (GP4), with the feature `log`. `talkspurt-log` turns it into text.
//!
//! Writing blocks, with interrupts off, until the line has taken the message: some 30 bytes, 0.3
//! ms. Meanwhile the FIFO of UART0 takes four of its 32 bytes, and the DMA has blocks of 5 ms.
#![allow(unsafe_code)] // defmt's trait is unsafe: it asks for one message at a time.

use core::cell::{RefCell, UnsafeCell};
use core::sync::atomic::{AtomicU32, Ordering};

use critical_section::{Mutex, RestoreState};
use fugit::RateExtU32;
use rp2040_hal::Clock;
use rp2040_hal::clocks::ClocksManager;
use rp2040_hal::gpio::bank0::{Gpio4, Gpio5};
use rp2040_hal::gpio::{FunctionUart, Pin, PullNone, PullUp};
use rp2040_hal::pac::{RESETS, UART1};
use rp2040_hal::uart::{DataBits, StopBits, UartConfig, UartPeripheral, Writer};
use talkspurt_core::time::Instant;

/// The fastest rate of cheap adapters.
const BAUD: u32 = 921_600;

/// GP5 would receive; nothing is sent to a log.
type LogPins = (
    Pin<Gpio4, FunctionUart, PullNone>,
    Pin<Gpio5, FunctionUart, PullUp>,
);

static LINE: Mutex<RefCell<Option<Writer<UART1, LogPins>>>> = Mutex::new(RefCell::new(None));

/// Time for the timestamps. Wraps after 49 days.
static NOW_MS: AtomicU32 = AtomicU32::new(0);

defmt::timestamp!("{=u32:tms}", NOW_MS.load(Ordering::Relaxed));

/// Sets the timestamp of the next lines.
pub fn set_time(now: Instant) {
    NOW_MS.store((now.as_micros() / 1_000) as u32, Ordering::Relaxed);
}

/// Starts the line. Anything logged before is lost.
pub fn start(uart: UART1, pins: LogPins, clocks: &ClocksManager, resets: &mut RESETS) {
    let format = UartConfig::new(BAUD.Hz(), DataBits::Eight, None, StopBits::One);
    let clock = clocks.peripheral_clock.freq();
    let uart = UartPeripheral::new(uart, pins, resets).enable(format, clock);
    let writer = uart.ok().map(|uart| uart.split().1);
    critical_section::with(|cs| LINE.replace(cs, writer));
}

fn write(bytes: &[u8]) {
    critical_section::with(|cs| {
        if let Some(line) = &*LINE.borrow_ref(cs) {
            line.write_full_blocking(bytes);
        }
    });
}

#[defmt::global_logger]
struct Logger;

/// State from a message's first byte to its last.
struct Message(UnsafeCell<(RestoreState, defmt::Encoder)>);

// SAFETY: it is accessed only between `acquire` and `release`, with interrupts off, on a chip of
// which one core runs.
unsafe impl Sync for Message {}

static MESSAGE: Message = Message(UnsafeCell::new((
    RestoreState::invalid(),
    defmt::Encoder::new(),
)));

// SAFETY: interrupts are off from `acquire` to `release`, so nothing else writes in between.
unsafe impl defmt::Logger for Logger {
    fn acquire() {
        // SAFETY: `release` ends it, which defmt calls once for each `acquire`, in the order of a
        // stack.
        let restore = unsafe { critical_section::acquire() };
        // SAFETY: interrupts are off.
        let message = unsafe { &mut *MESSAGE.0.get() };
        message.0 = restore;
        message.1.start_frame(write);
    }

    unsafe fn flush() {}

    unsafe fn release() {
        // SAFETY: interrupts are off since `acquire`.
        let message = unsafe { &mut *MESSAGE.0.get() };
        message.1.end_frame(write);
        // SAFETY: the counterpart of `acquire`'s.
        unsafe { critical_section::release(message.0) };
    }

    unsafe fn write(bytes: &[u8]) {
        // SAFETY: as in `release`.
        let message = unsafe { &mut *MESSAGE.0.get() };
        message.1.write(bytes, write);
    }
}
