//! Links without a board: nothing runs it, so it needs only an entry point, not a memory map.

fn main() {
    println!("cargo:rustc-link-search={}", env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rustc-link-arg-bins=--entry=begin");
    println!("cargo:rustc-link-arg-bins=-Tdiscard.x");
    println!("cargo:rerun-if-changed=discard.x");
    println!("cargo:rerun-if-changed=build.rs");
}
