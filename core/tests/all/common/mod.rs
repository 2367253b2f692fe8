//! Helpers shared by several test files.

pub mod cases;
pub mod ear;
pub mod jitter_line;
pub mod mic;
pub mod packets;
pub mod session_pair;
