//! The deepest stack so far: cortex-m-rt paints the stack at reset, and words without their paint
//! were in use.
#![allow(unsafe_code)] // The ends of the stack are the linker's symbols.

use core::ptr::{addr_of, read_volatile};

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    /// The lowest word of the stack.
    static _stack_end: u32;
    /// The word above its highest.
    static _stack_start: u32;
}

/// Returns the most bytes of stack in use since reset.
pub fn deepest_bytes() -> usize {
    let top = addr_of!(_stack_start);
    let mut word = addr_of!(_stack_end);
    // SAFETY: all words between the symbols are RAM; those below the stack pointer are unused.
    while word < top && unsafe { read_volatile(word) } == STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    top as usize - word as usize
}

/// Returns how many bytes the stack may use.
pub fn size_bytes() -> usize {
    addr_of!(_stack_start) as usize - addr_of!(_stack_end) as usize
}
