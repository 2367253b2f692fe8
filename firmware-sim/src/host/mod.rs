//! What a host puts in the place of a microcontroller's hardware, and what both programs share.

pub mod pace;
pub mod shutdown;
