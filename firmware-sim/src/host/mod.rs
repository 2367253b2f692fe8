//! A host's replacements for a microcontroller's hardware, and what both programs share.

pub mod arguments;
pub mod pace;
pub mod report;
pub mod shutdown;
pub mod simulator;
