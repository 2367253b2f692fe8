//! The core without a board: `firmware-sim/image/core-alone`, linked for each kind of processor, and its sections.

use std::path::PathBuf;

use anyhow::Result;
use talkspurt_testkit::board::image_cargo;

use super::areas::{self, Areas};
use super::budget::Figures;
use super::build::executable;
use super::elf::Elf;
use crate::setup::BARE_METAL;

/// Measures it for every processor; gives where the bytes go for each.
pub fn measure(figures: &mut Figures) -> Result<Vec<(&'static str, Areas)>> {
    let mut areas = Vec::new();
    for target in BARE_METAL {
        let program = build(target)?;
        let elf = Elf::read(&program)?;
        let by_area = areas::flash(&program, &elf)?;
        let own: u64 = by_area
            .iter()
            .filter(|(area, _)| !areas::is_around_core(area))
            .map(|(_, bytes)| bytes)
            .sum();
        for (figure, value) in [
            // With its libraries and constants, without the compiler's memory and division routines: what it adds to a firmware.
            ("core_flash_bytes", own),
            ("core_flash_linked_bytes", elf.flash_bytes()),
            ("core_ram_bytes", elf.ram_bytes()),
        ] {
            figures.insert(format!("{target}/{figure}"), value);
        }
        areas.push((target, by_area));
    }
    Ok(areas)
}

fn build(target: &str) -> Result<PathBuf> {
    let mut build = image_cargo("build");
    build.args(["--release", "--package", "talkspurt-core-alone"]);
    build.args(["--target", target]);
    executable(&mut build, "core-alone")
}
