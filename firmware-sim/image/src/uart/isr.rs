//! Where a board keeps the interrupt's side of its serial port.

use core::cell::UnsafeCell;

use talkspurt_node_driver::uart::{Hardware, Isr};

/// Where a board keeps its [`Isr`] for the interrupt handler.
pub struct IsrCell<H>(UnsafeCell<Option<Isr<'static, H>>>);

// SAFETY: `put` runs before the interrupts are unmasked, `serve` only in their handlers, which do
// not preempt each other: never two at a time, as the callers of the two promise.
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
    pub unsafe fn put(&self, isr: Isr<'static, H>) {
        // SAFETY: nobody else looks at it yet, the caller promises.
        unsafe { *self.0.get() = Some(isr) };
    }

    /// Calls `part` ([`Isr::receive`], [`Isr::send`]), if the cell has been filled.
    ///
    /// # Safety
    /// To be called only from interrupt handlers of one priority.
    #[inline]
    pub unsafe fn serve(&self, part: impl FnOnce(&mut Isr<'static, H>)) {
        // SAFETY: handlers of one priority do not preempt each other, and the loop does not touch
        // it any more.
        if let Some(isr) = unsafe { &mut *self.0.get() } {
            part(isr);
        }
    }
}
