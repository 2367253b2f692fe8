//! Sizes and symbols of a program for a microcontroller, read from its ELF file.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use object::elf::{SHF_ALLOC, SHF_WRITE, SHT_NOBITS};
use object::{Object, ObjectSection, ObjectSymbol, SectionFlags, SymbolKind};
use rustc_demangle::demangle;

/// What is read of an ELF file.
pub struct Elf {
    /// The parts that are in flash or RAM, by address.
    pub sections: Vec<Section>,
    /// Functions and data, by address. The lowest bit of a function's address, which says Thumb, is
    /// taken away.
    pub symbols: Vec<Symbol>,
}

/// A part of the program's memory.
#[derive(Clone, Debug)]
pub struct Section {
    pub name: String,
    pub address: u64,
    pub size_bytes: u64,
    /// Its content lies in flash.
    pub in_flash: bool,
    /// It is in RAM when the program runs.
    pub in_ram: bool,
}

/// A name and what it stands for.
#[derive(Clone, Debug)]
pub struct Symbol {
    /// Demangled.
    pub name: String,
    pub address: u64,
    pub size_bytes: u64,
    /// A function, or something in the text section that does not say what it is.
    pub is_code: bool,
}

impl Elf {
    /// Reads the file.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("{} cannot be read", path.display()))?;
        let file = object::File::parse(&*bytes)
            .with_context(|| format!("{} is no ELF file", path.display()))?;
        let mut sections: Vec<Section> = file.sections().filter_map(|s| section(&s)).collect();
        sections.sort_by_key(|section| section.address);
        let mut symbols: Vec<Symbol> = file.symbols().filter_map(|s| symbol(&s)).collect();
        symbols.sort_by_key(|symbol| symbol.address);
        ensure!(
            !symbols.is_empty(),
            "{} was stripped of its symbols: nothing can be told of it",
            path.display()
        );
        Ok(Self { sections, symbols })
    }

    /// Bytes of code, constants and initial values.
    pub fn flash_bytes(&self) -> u64 {
        let in_flash = self.sections.iter().filter(|section| section.in_flash);
        in_flash.map(|section| section.size_bytes).sum()
    }

    /// Bytes of static data.
    pub fn ram_bytes(&self) -> u64 {
        let in_ram = self.sections.iter().filter(|section| section.in_ram);
        in_ram.map(|section| section.size_bytes).sum()
    }

    /// Where a symbol lies that the linker script or the program must define.
    pub fn address_of(&self, name: &str) -> Result<u64> {
        let mut symbols = self.symbols.iter();
        let symbol = symbols.find(|symbol| symbol.name == name);
        Ok(symbol
            .with_context(|| format!("the image has no symbol {name}"))?
            .address)
    }
}

fn section<'a>(section: &impl ObjectSection<'a>) -> Option<Section> {
    let SectionFlags::Elf { sh_type, sh_flags } = section.flags() else {
        return None;
    };
    if !sh_flags.contains(SHF_ALLOC) || section.size() == 0 {
        return None;
    }
    Some(Section {
        name: section.name().ok()?.to_owned(),
        address: section.address(),
        size_bytes: section.size(),
        in_flash: sh_type != SHT_NOBITS,
        in_ram: sh_flags.contains(SHF_WRITE),
    })
}

fn symbol<'a>(symbol: &impl ObjectSymbol<'a>) -> Option<Symbol> {
    let name = symbol.name().ok()?;
    let kind = symbol.kind();
    // `$t` and its like mark where code and data begin within a function (Arm's ELF supplement,
    // section 5.5.5).
    if name.is_empty()
        || name.starts_with('$')
        || matches!(kind, SymbolKind::Section | SymbolKind::File)
    {
        return None;
    }
    let is_code = kind == SymbolKind::Text;
    Some(Symbol {
        // Without the hash that the older mangling ends with.
        name: format!("{:#}", demangle(name)),
        address: symbol.address() & !u64::from(is_code),
        size_bytes: symbol.size(),
        is_code,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_program_is_read() {
        let elf = Elf::read(&std::env::current_exe().unwrap()).unwrap();
        assert!(elf.flash_bytes() > 100_000 && elf.ram_bytes() > 1_000);
        let named = |end: &str| {
            elf.symbols
                .iter()
                .any(|s| s.is_code && s.name.ends_with(end))
        };
        assert!(named("our_own_program_is_read") && !named("no_such_function_here"));
        assert!(elf.address_of("main").unwrap() > 0);
        assert!(elf.address_of("no_such_symbol_here").is_err());
    }

    #[test]
    fn what_is_no_program_is_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Elf::read(file.path()).err().unwrap().to_string();
        assert!(error.contains("is no ELF file"), "{error}");
    }
}
