//! The core without a board: `firmware-sim/image/core-alone`, linked for each kind of processor,
//! and its sections. Once the floors below the endpoint, and once a whole endpoint.

use std::path::{Path, PathBuf};

use anyhow::Result;
use talkspurt_testkit::board::image_cargo;

use super::areas::{self, Areas};
use super::build::executable;
use super::elf::Elf;
use crate::budget::Figures;
use crate::setup::BARE_METAL;

/// Measures it for every processor; gives where the bytes go for each.
pub fn measure(figures: &mut Figures) -> Result<Vec<(&'static str, Areas)>> {
    let mut areas = Vec::new();
    for target in BARE_METAL {
        let floors = build(target, "core-floors")?;
        areas.push((target, add(figures, target, "core", &floors)?));
        let endpoint = build(target, "core-endpoint")?;
        add(figures, target, "endpoint", &endpoint)?;
    }
    Ok(areas)
}

/// Adds the sizes of a program. Returns where its bytes go.
fn add(figures: &mut Figures, target: &str, what: &str, program: &Path) -> Result<Areas> {
    let elf = Elf::read(program)?;
    let by_area = areas::flash(program, &elf)?;
    let own: u64 = by_area
        .iter()
        .filter(|(area, _)| !areas::is_around_core(area))
        .map(|(_, bytes)| bytes)
        .sum();
    for (figure, value) in [
        // With its libraries and constants, without the compiler's memory and division routines:
        // what it adds to a firmware.
        ("flash_bytes", own),
        ("flash_linked_bytes", elf.flash_bytes()),
        ("ram_bytes", elf.ram_bytes()),
    ] {
        figures.insert(format!("{target}/{what}_{figure}"), value);
    }
    Ok(by_area)
}

fn build(target: &str, program: &str) -> Result<PathBuf> {
    let mut build = image_cargo("build");
    build.args(["--release", "--package", "talkspurt-core-alone"]);
    build.args(["--bin", program, "--target", target]);
    executable(&mut build, program)
}
