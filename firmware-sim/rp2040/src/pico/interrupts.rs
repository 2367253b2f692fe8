//! Hands an interrupt handler the state that it works on.
#![allow(unsafe_code)] // Unmasking an interrupt.

use core::cell::RefCell;

use critical_section::Mutex;
use rp2040_hal::pac::{Interrupt, NVIC};

/// Holds a handler's state until the handler takes it, at its first run.
pub struct Handover<T>(Mutex<RefCell<Option<T>>>);

impl<T> Handover<T> {
    /// Creates an empty one.
    pub const fn new() -> Self {
        Self(Mutex::new(RefCell::new(None)))
    }

    /// Stores the state and unmasks the interrupt.
    pub fn give(&self, work: T, interrupt: Interrupt) {
        critical_section::with(|cs| self.0.borrow_ref_mut(cs).replace(work));
        // SAFETY: no critical section depends on this interrupt's being masked, and everything that
        // its handler needs is in place.
        unsafe { NVIC::unmask(interrupt) };
    }

    /// Takes the state, for the handler to keep.
    pub fn take(&self) -> Option<T> {
        critical_section::with(|cs| self.0.borrow_ref_mut(cs).take())
    }
}
