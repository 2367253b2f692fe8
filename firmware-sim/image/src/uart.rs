//! The boards' UARTs for the queues of `talkspurt-node-driver`, and the cell in which an interrupt
//! handler finds its side of them.

pub mod cmsdk;
mod isr;
pub mod pl011;

use cortex_m::asm::wfi;
use cortex_m::interrupt::free;
use talkspurt_node_driver::uart::InterruptLine;

use crate::board::{Board, ThisBoard};

pub use isr::IsrCell;

/// The interrupt of the board's UART.
pub struct UartInterrupt;

impl InterruptLine for UartInterrupt {
    fn pend(&self) {
        ThisBoard::serve_uart();
    }

    /// Sleeps until the next interrupt. A pending one wakes the core even with interrupts off.
    fn wait_while(&self, is_waiting: impl Fn() -> bool) {
        while free(|_| {
            let sleep = is_waiting();
            if sleep {
                wfi();
            }
            sleep
        }) {}
    }
}
