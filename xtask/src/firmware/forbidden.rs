//! What must not be in an image: an allocator, and the machinery that formats text (a panic's
//! message, above all), which is larger than the node.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};

use super::elf::{Elf, Symbol};

/// Functions of an allocator, as the C library names them.
const C_ALLOCATOR: &str = "malloc calloc realloc free memalign sbrk _sbrk";

/// What the functions begin with that rustc and its glue make for an allocator: `__rust_alloc`,
/// `__rust_no_alloc_shim_is_unstable`, `__rg_oom`, `__rdl_alloc`.
const RUST_ALLOCATOR: [&str; 3] = ["__rust_", "__rg_", "__rdl_"];

/// Every function that formats has `core::fmt` in its path: `core::fmt::write`, `<u32 as
/// core::fmt::Display>::fmt`.
const FORMATTING: &str = "core::fmt::";

/// Entries of the panic machinery that take values to be formatted. `panic_fmt` alone is no proof
/// of formatting: every panic passes through it, `expect_failed` of an Option too, and the image's
/// handler never looks at the message.
const FORMATTED_PANICS: [&str; 2] = [
    "core::panicking::assert_failed",
    "core::result::unwrap_failed",
];

/// What of it is there, sorted.
pub fn found(elf: &Elf) -> Result<BTreeSet<&str>> {
    // Where functions have no names nothing would ever be found.
    let functions = elf.symbols.iter().filter(|symbol| symbol.is_code);
    ensure!(
        functions.count() > 50,
        "the image has lost the names of its functions: this cannot be checked"
    );
    Ok(found_in(&elf.symbols))
}

fn found_in(symbols: &[Symbol]) -> BTreeSet<&str> {
    let names = symbols.iter().map(|symbol| symbol.name.as_str());
    names.filter(|name| is_forbidden(name)).collect()
}

fn is_forbidden(name: &str) -> bool {
    // In the newer mangling these functions are paths: `__rustc::__rust_alloc`.
    let last = name.rsplit("::").next().unwrap_or(name);
    let is_rusts = RUST_ALLOCATOR.iter().any(|start| last.starts_with(start));
    let is_cs = C_ALLOCATOR.split(' ').any(|function| function == last);
    let is_allocator = (is_rusts || is_cs) && !name.contains('<');
    let path = name.trim_start_matches(['<', '&']);
    let is_of_alloc = path.starts_with("alloc::") || name.contains(" alloc::");
    let formats =
        name.contains(FORMATTING) || FORMATTED_PANICS.iter().any(|entry| name.starts_with(entry));
    is_allocator || is_of_alloc || formats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn allocators_and_formatting_are_found() {
        for name in [
            "__rust_alloc",
            "__rustc::__rust_realloc",
            "__rustc::__rg_alloc",
            "__rust_no_alloc_shim_is_unstable",
            "_sbrk",
            "malloc",
            "alloc::vec::Vec<T,A>::push",
            "<alloc::string::String as core::ops::drop::Drop>::drop",
            "core::fmt::write",
            "core::fmt::Formatter::pad_integral",
            "core::fmt::num::imp::<impl core::fmt::Display for u32>::fmt",
            "<core::str::Utf8Error as core::fmt::Debug>::fmt",
            "<&T as core::fmt::Debug>::fmt",
            "core::panicking::assert_failed_inner",
            "core::result::unwrap_failed",
        ] {
            assert!(is_forbidden(name), "{name}");
        }
    }

    #[test]
    fn what_the_node_is_made_of_is_not() {
        for name in [
            "core::panicking::panic_fmt",
            "core::panicking::panic_bounds_check",
            "core::option::expect_failed",
            "talkspurt_core::voice::uplink::Uplink<_>::emit_frame",
            "compiler_builtins::mem::memcpy",
            "talkspurt_node::node::Node<_,_,_,_>::queue_voice",
            "heapless::pool::free_list",
            "rust_begin_unwind",
        ] {
            assert!(!is_forbidden(name), "{name}");
        }
    }

    #[test]
    fn all_of_it_is_listed_once() {
        let symbol = |name: &str| Symbol {
            name: name.to_owned(),
            address: 0,
            size_bytes: 2,
            is_code: true,
        };
        let symbols = ["malloc", "Reset", "core::fmt::write", "malloc"].map(symbol);
        assert_eq!(
            found_in(&symbols).into_iter().collect::<Vec<_>>(),
            ["core::fmt::write", "malloc"]
        );
        let elf = Elf {
            sections: Vec::new(),
            symbols: symbols.to_vec(),
        };
        assert!(found(&elf).is_err(), "four names are not those of an image");
    }
}
