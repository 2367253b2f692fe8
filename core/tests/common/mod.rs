//! What several test files of the core share.
#![allow(
    dead_code,
    reason = "each test file is a program of its own and uses a part of this"
)]

pub mod cases;
pub mod ear;
pub mod jitter_line;
pub mod mic;
pub mod packets;
pub mod session_pair;
