//! `cargo xtask firmware test`: the image computes what the hosts do, bit for bit, on both boards.

use anyhow::Result;

use super::board::BOARDS;
use crate::report::{Outcome, Steps, Verdict};
use crate::run::shown;
use crate::setup::{Purpose, ensure_for};

/// `cargo xtask firmware test`. Every step is run, whatever became of the one before.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Firmware])?;
    let mut steps = Steps::default();
    for board in BOARDS {
        steps.run(&format!("golden vectors on {}", board.machine), || {
            let mut golden = board.cargo("test");
            golden.args(["--release", "--test", "golden"]);
            shown(&mut golden).map(|()| Outcome::Passed)
        });
    }
    Ok(steps.finish())
}
