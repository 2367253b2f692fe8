//! A static variable in RAM, and the panic handler of a program that nothing runs.
#![allow(unsafe_code)] // The one place in RAM.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::panic::PanicInfo;

/// Memory for the state between calls.
pub struct InRam<T>(UnsafeCell<MaybeUninit<T>>);

// SAFETY: there is only one thread.
unsafe impl<T> Sync for InRam<T> {}

impl<T> InRam<T> {
    /// Reserves the memory.
    pub const fn new() -> Self {
        Self(UnsafeCell::new(MaybeUninit::uninit()))
    }

    /// Fills the memory.
    ///
    /// # Safety
    /// Called once, with no other reference to it.
    #[allow(clippy::mut_from_ref)] // The caller promises uniqueness.
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
