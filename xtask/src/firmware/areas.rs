//! Where each KiB of an image goes: every byte of code belongs to the innermost function of ours
//! that it was compiled from.
//!
//! The symbols alone would not tell: the linker's optimiser has made most of the node one function.
//! The debug information knows which source each instruction comes from, through all the functions
//! that were inlined into each other.

use std::collections::BTreeMap;
use std::path::Path;

use addr2line::Loader;
use anyhow::{Result, anyhow};
use talkspurt_testkit::workspace;

use super::elf::{Elf, Section, Symbol};

/// Thumb instructions are made of halfwords, and so are RISC-V's compressed ones.
const HALFWORD_BYTES: u64 = 2;

const UART: &str = "image: UART and board";
const STARTUP: &str = "startup and interrupt vectors";
const BUILTINS: &str = "compiler builtins (memory, division)";
const RUST: &str = "Rust's core library";
const PROBE: &str = "what calls the core";
const UNNAMED: &str = "constants and texts without a name";

/// Bytes by area.
pub type Areas = BTreeMap<String, u64>;

/// Bytes of flash by area.
pub fn flash(path: &Path, elf: &Elf) -> Result<Areas> {
    let debug = Loader::new(path).map_err(|error| anyhow!("{}: {error}", path.display()))?;
    let mut areas = Areas::new();
    for section in elf.sections.iter().filter(|section| section.in_flash) {
        if section.name == ".text" {
            code(&debug, section, elf, &mut areas)?;
        } else {
            constants(section, elf, &mut areas);
        }
    }
    Ok(areas)
}

/// Whether an area is the compiler's (and in every firmware, once), or that of the program around
/// the core.
pub fn is_around_core(area: &str) -> bool {
    [BUILTINS, RUST, PROBE, STARTUP].contains(&area)
}

/// Bytes of static RAM by what lies there.
pub fn ram(elf: &Elf) -> Areas {
    let mut areas = Areas::new();
    for section in elf.sections.iter().filter(|section| section.in_ram) {
        named(section, elf, &mut areas, |symbol| symbol.name.clone());
    }
    areas
}

fn code(debug: &Loader, section: &Section, elf: &Elf, areas: &mut Areas) -> Result<()> {
    let end = section.address + section.size_bytes;
    let wrong = |error| anyhow!("the debug information cannot be read: {error}");
    for address in (section.address..end).step_by(HALFWORD_BYTES as usize) {
        let mut files = Vec::new();
        let mut frames = debug.find_frames(address).map_err(wrong)?;
        while let Some(frame) = frames.next().map_err(|error| wrong(error.into()))? {
            let file = frame.location.and_then(|location| location.file);
            files.extend(file.map(str::to_owned));
        }
        let area = area_of(&files).unwrap_or_else(|| {
            let symbol = symbol_at(elf, address);
            let area = symbol.map_or(STARTUP, |symbol| area_of_symbol(&symbol.name));
            area.to_owned()
        });
        add(areas, &area, HALFWORD_BYTES);
    }
    Ok(())
}

fn constants(section: &Section, elf: &Elf, areas: &mut Areas) {
    if section.name == ".vector_table" {
        add(areas, STARTUP, section.size_bytes);
        return;
    }
    named(section, elf, areas, |symbol| {
        let module = core_symbol(&symbol.name);
        module.map_or_else(|| UNNAMED.to_owned(), |module| format!("{module}, tables"))
    });
}

/// Adds a section's bytes by the symbols in it.
fn named(section: &Section, elf: &Elf, areas: &mut Areas, name: impl Fn(&Symbol) -> String) {
    let end = section.address + section.size_bytes;
    let mut covered_to = section.address;
    let mut covered = 0;
    let mut symbols = elf.symbols.iter().filter(|symbol| symbol.size_bytes > 0);
    while let Some(symbol) = symbols.find(|s| (covered_to..end).contains(&s.address)) {
        add(areas, &name(symbol), symbol.size_bytes);
        covered += symbol.size_bytes;
        covered_to = symbol.address + symbol.size_bytes;
    }
    let rest = section.size_bytes.saturating_sub(covered);
    if rest > 0 {
        add(areas, UNNAMED, rest);
    }
}

fn add(areas: &mut Areas, area: &str, bytes: u64) {
    *areas.entry(area.to_owned()).or_default() += bytes;
}

/// The area of the innermost function of ours; where there is none, that of the library, innermost
/// function first.
fn area_of(files: &[String]) -> Option<String> {
    let root = workspace::root().to_string_lossy();
    let ours = files.iter().find_map(|file| own_area(file, &root));
    ours.or_else(|| files.iter().rev().find_map(|file| library(file)))
}

/// Areas of our own source files, by how their paths begin; the first that fits counts. Those of
/// the image are relative to its folder, the others to the workspace's.
const OWN_AREAS: [(&str, &str); 8] = [
    ("firmware-sim/src/node/", "node loop"),
    ("firmware-sim/driver/", UART),
    ("core-alone/", PROBE),
    ("src/uart", UART),
    ("src/board", UART),
    ("src/arguments", "image: files and command line"),
    ("src/files", "image: files and command line"),
    ("src/", "image: start, clock, sleep"),
];

/// The area of a source file of ours, which may be named by its whole path.
fn own_area(file: &str, root: &str) -> Option<String> {
    let file = file
        .strip_prefix(root)
        .unwrap_or(file)
        .trim_start_matches('/');
    if let Some(path) = file.strip_prefix("core/src/") {
        return core_module(path.split(['/', '.']));
    }
    let file = file.strip_prefix("firmware-sim/image/").unwrap_or(file);
    let area = OWN_AREAS.iter().find(|(start, _)| file.starts_with(start));
    area.map(|&(_, area)| area.to_owned())
}

/// The crate of a source file of a library.
fn library(file: &str) -> Option<String> {
    if file.replace('-', "_").contains("compiler_builtins") {
        return Some(BUILTINS.to_owned());
    } else if file.contains("/library/") {
        return Some(RUST.to_owned());
    }
    let (_, path) = file.split_once("/registry/src/")?;
    let (name, _version) = path.split('/').nth(1)?.rsplit_once('-')?;
    Some(format!("library: {name}"))
}

/// For what has no debug information: assembly, mostly.
fn area_of_symbol(name: &str) -> &'static str {
    let of_builtins = ["__aeabi", "compiler_builtins", "mem"];
    if of_builtins.iter().any(|start| name.starts_with(start)) {
        BUILTINS
    } else if name.starts_with("core::") {
        RUST
    } else {
        STARTUP
    }
}

/// `core: MODULE` of the parts of a path in the core. The floors of audio and voice are many
/// things.
fn core_module<'a>(mut parts: impl Iterator<Item = &'a str>) -> Option<String> {
    let module = parts.find(|part| !["audio", "voice"].contains(part))?;
    Some(format!("core: {module}"))
}

/// The area of a symbol of the core.
fn core_symbol(name: &str) -> Option<String> {
    let path = name
        .trim_start_matches('<')
        .strip_prefix("talkspurt_core::")?;
    core_module(path.split("::"))
}

fn symbol_at(elf: &Elf, address: u64) -> Option<&Symbol> {
    let mut backwards = elf.symbols.iter().rev();
    backwards.find(|symbol| symbol.is_code && symbol.address <= address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_belongs_to_the_innermost_function_of_ours() {
        let root = workspace::root().display();
        let files = [
            "/home/x/.cargo/registry/src/index/audio-codec-algorithms-0.8.1/src/adpcm.rs"
                .to_owned(),
            format!("{root}/core/src/audio/codec.rs"),
            format!("{root}/firmware-sim/src/node/mod.rs"),
            "src/app.rs".to_owned(),
        ];
        assert_eq!(area_of(&files).unwrap(), "core: codec");
        assert_eq!(area_of(&files[2..]).unwrap(), "node loop");
        assert_eq!(area_of(&files[3..]).unwrap(), "image: start, clock, sleep");
        assert_eq!(
            area_of(&files[..1]).unwrap(),
            "library: audio-codec-algorithms"
        );
        assert_eq!(
            area_of(&["/rustc/0a1b/library/core/src/str/mod.rs".to_owned()]).unwrap(),
            RUST
        );
        assert_eq!(area_of(&[]), None);
    }

    #[test]
    fn no_byte_of_a_section_is_lost_or_counted_twice() {
        let symbol = |address, size_bytes| Symbol {
            name: "talkspurt_core::audio::codec::STEPS".to_owned(),
            address,
            size_bytes,
            is_code: false,
        };
        let section = Section {
            name: ".rodata".to_owned(),
            address: 100,
            size_bytes: 50,
            in_flash: true,
            in_ram: false,
        };
        let elf = Elf {
            sections: vec![section.clone()],
            // Two names of one thing, a gap, and what lies elsewhere.
            symbols: vec![
                symbol(90, 5),
                symbol(100, 20),
                symbol(100, 20),
                symbol(130, 10),
                symbol(200, 9),
            ],
        };
        let mut areas = Areas::new();
        constants(&section, &elf, &mut areas);
        assert_eq!(areas["core: codec, tables"], 30);
        assert_eq!(areas[UNNAMED], 20);
    }
}
