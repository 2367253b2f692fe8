//! `cargo xtask bench`: instruction counts of the core, the same on every run (`docs/PERFORMANCE.md` quotes them).

use anyhow::Result;

use crate::report::Verdict;
use crate::run::{cargo, shown};
use crate::setup::{Purpose, ensure_for};

/// `cargo xtask bench`.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Bench])?;
    shown(cargo().args(["bench", "--package", "talkspurt-core"]))?;
    Ok(Verdict::Good)
}
