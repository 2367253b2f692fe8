//! Talkspurt's workspace: its directory, its cargo, and its build directory.

use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Returns the workspace's directory.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("testkit/ is a folder of the workspace")
}

/// Returns the build directory.
pub fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// Makes a command for the cargo that runs this program, in the workspace's directory and without
/// standard input.
pub fn cargo() -> Command {
    // `cargo xtask` runs with the pinned toolchain's cargo, and its subcommands must, too.
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).stdin(Stdio::null());
    // These describe this program; a build script that sees them would rebuild for nothing.
    for (name, _) in
        env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("CARGO_PKG_"))
    {
        cargo.env_remove(name);
    }
    cargo
        .env_remove("CARGO_MANIFEST_DIR")
        .env_remove("CARGO_MANIFEST_PATH");
    cargo
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_workspace_is_where_its_manifest_is() {
        assert!(root().join("Cargo.toml").is_file());
        assert!(root().join("core").is_dir());
    }
}
