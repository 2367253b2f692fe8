//! The deepest stack so far: cortex-m-rt paints the stack at reset, and what has lost its paint was
//! in use.
#![allow(unsafe_code)] // The ends of the stack are the linker's symbols.

use core::ptr::{addr_of, read_volatile};

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    /// The lowest word of the stack.
    static _stack_end: u32;
    /// The word above its highest.
    static _stack_start: u32;
}

/// Bytes of stack that were in use at the deepest moment since reset.
pub fn deepest_bytes() -> usize {
    let top = addr_of!(_stack_start);
    let mut word = addr_of!(_stack_end);
    // SAFETY: all words between the symbols are RAM; those below the stack pointer belong to
    // nobody.
    while word < top && unsafe { read_volatile(word) } == STACK_PAINT_VALUE {
        word = word.wrapping_add(1);
    }
    top as usize - word as usize
}

/// Bytes that the stack may use at most.
pub fn size_bytes() -> usize {
    addr_of!(_stack_start) as usize - addr_of!(_stack_end) as usize
}
