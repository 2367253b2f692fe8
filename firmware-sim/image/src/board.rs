//! The differences between boards. The build's target chooses one of them (`build.rs`); its file
//! has the register addresses, the clock and the vector table.

#[cfg(board = "lm3s6965evb")]
mod lm3s6965evb;
#[cfg(board = "mps2-an386")]
mod mps2_an386;

use talkspurt_node_driver::uart::{Hardware, Isr};

#[cfg(board = "lm3s6965evb")]
pub use lm3s6965evb::Lm3s6965Evb as ThisBoard;
#[cfg(board = "mps2-an386")]
pub use mps2_an386::Mps2An386 as ThisBoard;

/// A microcontroller board with a serial port and a timer.
pub trait Board {
    /// Its common name.
    const NAME: &'static str;

    /// Cycles of the core, and steps of SysTick, per microsecond.
    const CYCLES_PER_US: u32;

    /// Its UART.
    type Uart: Hardware;

    /// Sets the core's clock speed. Called first: SysTick counts at that speed.
    fn start_clocks();

    /// Starts the UART at `baud`; its interrupts stay masked.
    fn start_uart(baud: u32) -> Self::Uart;

    /// Lets `isr` serve the UART's interrupts, and starts ticking once a millisecond, so that a
    /// sleeping core wakes at least that often.
    fn start_interrupts(isr: Isr<'static, Self::Uart>);

    /// Runs the UART's interrupt handler soon, as its hardware would, because there is something to
    /// send.
    fn serve_uart();
}

/// One entry of a vector table.
#[derive(Clone, Copy)]
#[repr(C)]
pub union Vector {
    handler: unsafe extern "C" fn(),
    reserved: usize,
}

impl Vector {
    const RESERVED: Self = Self { reserved: 0 };
}
