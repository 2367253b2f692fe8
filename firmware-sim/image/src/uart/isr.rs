//! The interrupt's side of a board's serial port.

use core::cell::UnsafeCell;

use talkspurt_node_driver::uart::{Hardware, Isr};

/// Holds a board's [`Isr`] for the interrupt handler.
pub struct IsrCell<H>(UnsafeCell<Option<Isr<'static, H>>>);

// SAFETY: `put` runs before the interrupts are unmasked, `serve` only in their handlers, which do
// not preempt each other. So there are never two at a time, as the callers of both promise.
#[allow(unsafe_code)]
unsafe impl<H> Sync for IsrCell<H> {}

#[allow(unsafe_code)]
impl<H: Hardware> IsrCell<H> {
    /// Creates an empty cell.
    #[allow(clippy::new_without_default)]
    pub const fn new() -> Self {
        Self(UnsafeCell::new(None))
    }

    /// Fills the cell.
    ///
    /// # Safety
    /// The interrupts whose handlers call [`IsrCell::serve`] must still be masked.
    pub unsafe fn put(&self, isr: Isr<'static, H>) {
        // SAFETY: the caller promises that there is no other user yet.
        unsafe { *self.0.get() = Some(isr) };
    }

    /// Calls `part` ([`Isr::receive`], [`Isr::send`]), if the cell has been filled.
    ///
    /// # Safety
    /// Call it only from interrupt handlers of one priority.
    #[inline]
    pub unsafe fn serve(&self, part: impl FnOnce(&mut Isr<'static, H>)) {
        // SAFETY: handlers of one priority do not preempt each other, and the loop no longer
        // touches the cell.
        if let Some(isr) = unsafe { &mut *self.0.get() } {
            part(isr);
        }
    }
}
