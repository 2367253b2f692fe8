//! `cargo xtask firmware test`: the image computes what the hosts do, bit for bit, on both boards,
//! and has no allocator and no machinery that formats text.

use anyhow::{Result, ensure};
use talkspurt_testkit::board::{BOARDS, Board};

use super::elf::Elf;
use super::{build, forbidden};
use crate::report::{Steps, Verdict};
use crate::run::shown;
use crate::setup::{Purpose, ensure_for};

/// `cargo xtask firmware test`. Every step is run, whatever became of the one before.
pub fn run() -> Result<Verdict> {
    ensure_for(&[Purpose::Firmware])?;
    let mut steps = Steps::default();
    for board in BOARDS {
        let on = board.machine;
        steps.run(&format!("golden vectors on {on}"), || golden(&board));
        steps.run(&format!("nothing forbidden in the image for {on}"), || {
            nothing_forbidden(&board)
        });
    }
    Ok(steps.finish())
}

fn golden(board: &Board) -> Result<()> {
    let program = build::golden(board)?;
    let mut qemu = board.qemu(&program, "none", &[]);
    shown(qemu.args(["-serial", "null"]))?;
    // The same program shows that the next step can fail: it prints, so all that prints must be
    // seen in it.
    let found = Elf::read(&program)?;
    let found = forbidden::found(&found)?;
    ensure!(
        found.iter().any(|name| name.contains("core::fmt::")),
        "the golden test prints numbers, and no formatting was found in it: the check is blind"
    );
    println!(
        "as it must, the check of the image finds what prints in this program: {} functions",
        found.len()
    );
    Ok(())
}

fn nothing_forbidden(board: &Board) -> Result<()> {
    let elf = Elf::read(&build::node(board)?)?;
    let found = forbidden::found(&elf)?;
    println!("{} symbols were looked at", elf.symbols.len());
    ensure!(
        found.is_empty(),
        "the image has an allocator or formats text: {found:?}. Find what calls it, and change that"
    );
    Ok(())
}
