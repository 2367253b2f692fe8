//! UART0 (RP2040 data sheet, section 4.2): GP0 sends, GP1 receives.

use cortex_m::singleton;
use embedded_io::WriteReady;
use fugit::RateExtU32;
use rp2040_hal::Clock;
use rp2040_hal::clocks::ClocksManager;
use rp2040_hal::gpio::bank0::{Gpio0, Gpio1};
use rp2040_hal::gpio::{FunctionUart, Pin, PullNone, PullUp};
use rp2040_hal::pac::{Interrupt, NVIC, RESETS, UART0, interrupt};
use rp2040_hal::uart::{DataBits, Reader, StopBits, UartConfig, UartPeripheral, Writer};
use talkspurt_node_driver::uart::{Hardware, InterruptLine, Isr, QueuedUart, Queues};

use super::interrupts::Handover;

/// GP0 sends, GP1 receives. The receiving pin is pulled up, so that an unconnected line is idle
/// rather than a series of breaks.
pub type UartPins = (
    Pin<Gpio0, FunctionUart, PullNone>,
    Pin<Gpio1, FunctionUart, PullUp>,
);

/// The two halves of the UART, each with a FIFO of 32 bytes.
struct Uart0 {
    reader: Reader<UART0, UartPins>,
    writer: Writer<UART0, UartPins>,
}

/// The UART's interrupt.
pub struct Uart0Interrupt;

/// The loop's side of the UART.
pub type Port = QueuedUart<'static, Uart0Interrupt>;

static ISR: Handover<Isr<'static, Uart0>> = Handover::new();

/// Starts the UART at `baud`: 8 bits, no parity, 1 stop bit.
pub fn start(
    uart: UART0,
    pins: UartPins,
    baud: u32,
    clocks: &ClocksManager,
    resets: &mut RESETS,
) -> Option<Port> {
    let format = UartConfig::new(baud.Hz(), DataBits::Eight, None, StopBits::One);
    let clock = clocks.peripheral_clock.freq();
    let uart = UartPeripheral::new(uart, pins, resets)
        .enable(format, clock)
        .ok()?;
    let (mut reader, writer) = uart.split();
    // Interrupts at half a FIFO, or when it has bytes and the line has been quiet for 32 bits.
    reader.enable_rx_interrupt();
    let queues = singleton!(: Queues = Queues::new())?;
    let (port, isr) = queues.split(Uart0 { reader, writer }, Uart0Interrupt);
    ISR.give(isr, Interrupt::UART0_IRQ);
    Some(port)
}

#[interrupt]
fn UART0_IRQ() {
    static mut KEPT: Option<Isr<'static, Uart0>> = None;
    if KEPT.is_none() {
        *KEPT = ISR.take();
    }
    if let Some(isr) = KEPT {
        isr.serve();
    }
}

impl InterruptLine for Uart0Interrupt {
    fn pend(&self) {
        NVIC::pend(Interrupt::UART0_IRQ);
    }
}

impl Hardware for Uart0 {
    fn receive(&mut self) -> Option<u8> {
        let mut byte = [0];
        loop {
            match self.reader.read_raw(&mut byte) {
                Ok(_) => return Some(byte[0]),
                Err(nb::Error::WouldBlock) => return None,
                // Reading a damaged byte removes it from the FIFO.
                Err(nb::Error::Other(_)) => {}
            }
        }
    }

    fn has_room(&mut self) -> bool {
        self.writer.write_ready() == Ok(true)
    }

    fn send(&mut self, byte: u8) {
        // There is room.
        let _ = self.writer.write_raw(&[byte]);
    }

    fn interrupt_on_room(&mut self, on: bool) {
        // It comes when the FIFO drains to half. That is still to come: the FIFO is full.
        if on {
            self.writer.enable_tx_interrupt();
        } else {
            self.writer.disable_tx_interrupt();
        }
    }
}
