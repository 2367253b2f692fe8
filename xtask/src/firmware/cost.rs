//! Instructions and bytes on the line: what `firmware-sim/image/benches/cost` counts on a board.

use anyhow::{Context, Result, ensure};
use talkspurt_testkit::board::Board;

use super::build;
use crate::budget::Figures;
use crate::run::{line, output};

/// An instruction takes 256 ns of virtual time, always: that is what makes counting possible.
const COUNTED: [&str; 2] = ["-icount", "shift=8"];

/// Runs the program on the board, and adds what it counted to `figures`.
pub fn measure(board: &Board, figures: &mut Figures) -> Result<()> {
    let mut qemu = board.qemu(&build::cost(board)?, "none", &[]);
    qemu.args(COUNTED).args(["-serial", "null"]);
    eprintln!("  $ {}", line(&qemu));
    for (name, value) in parse(&output(&mut qemu)?)? {
        figures.insert(format!("{}/{name}", board.machine), value);
    }
    Ok(())
}

/// `NAME NUMBER` on each line.
fn parse(text: &str) -> Result<Vec<(&str, u64)>> {
    let lines = text.lines().map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name, number.parse().ok()?))
    });
    let figures: Option<Vec<_>> = lines.collect();
    let figures = figures.with_context(|| format!("these are no counts:\n{text}"))?;
    ensure!(!figures.is_empty(), "nothing was counted");
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_names_and_numbers() {
        assert_eq!(
            parse("level 2084\ngate 84\n").unwrap(),
            [("level", 2_084), ("gate", 84)]
        );
        for wrong in ["", "level\n", "level 12\npanicked at src/x.rs:4\n"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
