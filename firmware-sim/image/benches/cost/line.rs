//! A serial port without a line: the firmware's queues and interrupt body, on an in-memory UART of
//! one byte each way.

use core::cell::Cell;
use core::hint::black_box;
use core::sync::atomic::{AtomicU32, Ordering};

use cortex_m::singleton;
use talkspurt_image::app::stays_asleep;
use talkspurt_image::deadline;
use talkspurt_node_driver::uart::{Hardware, InterruptLine, Isr, QueuedUart, Queues};

/// A UART that holds at most one received byte, and discards what it sends.
pub struct MemoryUart {
    arrived: &'static Cell<Option<u8>>,
}

/// A UART without a FIFO takes one byte an interrupt.
static SENDS_LEFT: AtomicU32 = AtomicU32::new(0);

impl Hardware for MemoryUart {
    fn receive(&mut self) -> Option<u8> {
        self.arrived.take()
    }

    fn has_room(&mut self) -> bool {
        SENDS_LEFT.load(Ordering::Relaxed) > 0
    }

    fn send(&mut self, byte: u8) {
        black_box(byte);
        SENDS_LEFT.store(0, Ordering::Relaxed);
    }

    fn interrupt_on_room(&mut self, on: bool) {
        black_box(on);
    }
}

/// Does nothing: the bench calls the handler itself.
pub struct ByHand;

impl InterruptLine for ByHand {
    fn pend(&self) {}
}

/// The loop's side of the line.
pub type Port = QueuedUart<'static, ByHand>;

/// The line and its interrupt handler.
pub struct Line {
    arrived: &'static Cell<Option<u8>>,
    isr: Isr<'static, MemoryUart>,
}

/// Creates the loop's side of a serial port, and the line's.
pub fn make() -> (Port, Line) {
    let (Some(queues), Some(arrived)) = (
        singleton!(: Queues = Queues::new()),
        singleton!(: Cell<Option<u8>> = Cell::new(None)),
    ) else {
        unreachable!("called once");
    };
    let (port, isr) = queues.split(MemoryUart { arrived }, ByHand);
    (port, Line { arrived, isr })
}

impl Line {
    /// Receives bytes, each with its interrupt, which wakes the core.
    pub fn arrive(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.arrived.set(Some(byte));
            self.isr.receive();
            black_box(stays_asleep(deadline::ticks()));
        }
    }

    /// Sends all waiting bytes, each with its interrupt, which wakes the core.
    pub fn send(&mut self, port: &Port) {
        while !port.is_drained() {
            SENDS_LEFT.store(1, Ordering::Relaxed);
            self.isr.send();
            black_box(stays_asleep(deadline::ticks()));
        }
    }
}
