//! The interrupt's side of a serial port.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicU32, Ordering};

use heapless::spsc::{Consumer, Producer};

use super::Hardware;

/// Received bytes that found their queue full and were lost.
static OVERRUN_BYTES: AtomicU32 = AtomicU32::new(0);

/// How many received bytes were lost so far because the loop did not fetch them in time. Wraps.
pub fn overrun_bytes() -> u32 {
    OVERRUN_BYTES.load(Ordering::Relaxed)
}

/// What a UART's interrupt handler works on.
pub struct Isr<H> {
    hardware: H,
    received: Producer<'static, u8>,
    to_send: Consumer<'static, u8>,
}

impl<H: Hardware> Isr<H> {
    /// The interrupt's side of two queues.
    pub const fn new(
        hardware: H,
        received: Producer<'static, u8>,
        to_send: Consumer<'static, u8>,
    ) -> Self {
        Self {
            hardware,
            received,
            to_send,
        }
    }

    /// Starts the hardware.
    pub fn start(&mut self, baud: u32, clock_hz: u32) {
        self.hardware.start(baud, clock_hz);
    }

    /// The body of the interrupt handler: fetches what has arrived, and sends as much as the hardware takes.
    pub fn serve(&mut self) {
        self.hardware.acknowledge(false);
        while let Some(byte) = self.hardware.receive() {
            if self.received.enqueue(byte).is_err() {
                let lost = OVERRUN_BYTES.load(Ordering::Relaxed).wrapping_add(1);
                OVERRUN_BYTES.store(lost, Ordering::Relaxed);
            }
        }
        while let Some(&byte) = self.to_send.peek() {
            if !self.hardware.send(byte) {
                self.hardware.acknowledge(true);
                return;
            }
            self.to_send.dequeue();
        }
    }
}

/// Where a board keeps its [`Isr`] for the interrupt handler.
pub struct IsrCell<H>(UnsafeCell<Option<Isr<H>>>);

// SAFETY: `put` runs before the interrupt is unmasked, `serve` only in the handler, which does not preempt itself: never two at
// a time, as the callers of the two promise.
#[allow(unsafe_code)]
unsafe impl<H> Sync for IsrCell<H> {}

#[allow(unsafe_code)]
impl<H: Hardware> IsrCell<H> {
    /// An empty one.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// Fills it.
    ///
    /// # Safety
    /// The interrupts whose handlers call [`IsrCell::serve`] must still be masked.
    pub unsafe fn put(&self, isr: Isr<H>) {
        // SAFETY: nobody else looks at it yet, the caller promises.
        unsafe { *self.0.get() = Some(isr) };
    }

    /// Serves the UART, if the cell has been filled.
    ///
    /// # Safety
    /// To be called only from interrupt handlers of one priority.
    pub unsafe fn serve(&self) {
        // SAFETY: handlers of one priority do not preempt each other, and the loop does not touch it any more.
        if let Some(isr) = unsafe { &mut *self.0.get() } {
            isr.serve();
        }
    }
}
