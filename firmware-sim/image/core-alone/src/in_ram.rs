//! The one place in RAM, and the end of a program that nothing runs.
#![allow(unsafe_code)] // The one place in RAM.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

/// Memory for what is kept between calls.
pub struct InRam<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: one thread, the one that begins.
unsafe impl<T> Sync for InRam<T> {}

impl<T> InRam<T> {
    /// Reserves the place.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Fills the place.
    ///
    /// # Safety
    /// Called once, and nobody else looks at it.
    #[allow(clippy::mut_from_ref)] // That is what the caller promises.
    pub unsafe fn fill(&self, make: fn() -> T) -> &mut T {
        // SAFETY: as the caller promises.
        let place = unsafe { &mut *self.0.get() };
        place.write(make())
    }
}

#[panic_handler]
fn panic(_info: &PanicInfo<'_>) -> ! {
    loop {}
}
