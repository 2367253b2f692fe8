//! Chooses the board by the target, and gives its memory map to the linker.

use std::{env, fs, path::PathBuf};

const BOARDS: [(&str, &str); 2] = [
    ("thumbv7em-none-eabihf", "mps2-an386"),
    ("thumbv7m-none-eabi", "lm3s6965evb"),
];

/// End of the RAM that the node gets, on every board: static data from below, stack from above. The
/// linker refuses static data that does not fit; the stack's use is measured (`stack.rs`).
const NODE_RAM_END: u32 = 0x2000_4800;

fn main() {
    let target = env::var("TARGET").expect("cargo sets it");
    let board = BOARDS.iter().find(|(of, _)| *of == target);
    let (_, board) = board.unwrap_or_else(|| panic!("no board for {target}; there are {BOARDS:?}"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let memory = format!("boards/{board}.x");
    fs::copy(&memory, out.join("memory.x")).expect("the board's memory map");
    // cortex-m-rt asks for the names of the interrupts here. The board files fill the vector table
    // themselves.
    fs::write(out.join("device.x"), "").expect("the build directory is writable");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg=-Tlink.x");
    println!("cargo:rustc-link-arg=--nmagic");
    println!("cargo:rustc-link-arg-bin=node=--defsym=_stack_start={NODE_RAM_END:#x}");
    if env::var_os("CARGO_FEATURE_LOG").is_some() {
        println!("cargo:rustc-link-arg=-Tdefmt.x");
    }
    println!("cargo:rustc-check-cfg=cfg(board, values(\"mps2-an386\", \"lm3s6965evb\"))");
    println!("cargo:rustc-cfg=board=\"{board}\"");
    println!("cargo:rerun-if-changed={memory}");
    println!("cargo:rerun-if-changed=build.rs");
}
