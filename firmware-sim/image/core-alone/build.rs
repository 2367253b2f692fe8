//! Links without a board: nothing runs it, so it needs no memory map, only a place to begin.

fn main() {
    println!("cargo:rustc-link-arg-bins=--entry=begin");
    println!("cargo:rerun-if-changed=build.rs");
}
