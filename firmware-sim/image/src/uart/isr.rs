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
    interrupts_on_room: bool,
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
            interrupts_on_room: false,
        }
    }

    /// Starts the hardware.
    pub fn start(&mut self, baud: u32, clock_hz: u32) {
        self.hardware.start(baud, clock_hz);
    }

    /// The body of the receive interrupt: fetches what has arrived.
    #[inline]
    pub fn receive(&mut self) {
        while let Some(byte) = self.hardware.receive() {
            if self.received.enqueue(byte).is_err() {
                let lost = OVERRUN_BYTES.load(Ordering::Relaxed).wrapping_add(1);
                OVERRUN_BYTES.store(lost, Ordering::Relaxed);
            }
        }
    }

    /// The body of the send interrupt: sends as much as the hardware takes.
    #[inline]
    pub fn send(&mut self) {
        while self.hardware.has_room() {
            let Some(byte) = self.to_send.dequeue() else {
                return self.interrupt_on_room(false);
            };
            self.hardware.send(byte);
        }
        self.interrupt_on_room(true);
    }

    #[inline]
    fn interrupt_on_room(&mut self, on: bool) {
        if self.interrupts_on_room != on {
            self.interrupts_on_room = on;
            self.hardware.interrupt_on_room(on);
        }
    }
}

/// Where a board keeps its [`Isr`] for the interrupt handler.
pub struct IsrCell<H>(UnsafeCell<Option<Isr<H>>>);

// SAFETY: `put` runs before the interrupts are unmasked, `serve` only in their handlers, which do not preempt each other: never
// two at a time, as the callers of the two promise.
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

    /// Calls `part` ([`Isr::receive`], [`Isr::send`]), if the cell has been filled.
    ///
    /// # Safety
    /// To be called only from interrupt handlers of one priority.
    #[inline]
    pub unsafe fn serve(&self, part: impl FnOnce(&mut Isr<H>)) {
        // SAFETY: handlers of one priority do not preempt each other, and the loop does not touch it any more.
        if let Some(isr) = unsafe { &mut *self.0.get() } {
            part(isr);
        }
    }
}
