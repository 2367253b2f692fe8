//! Running other programs: shown as they are started, in the workspace's directory, without
//! standard input.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use talkspurt_testkit::workspace;
pub use talkspurt_testkit::workspace::{cargo, target_dir};

/// A command in the workspace's directory.
pub fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.current_dir(workspace::root()).stdin(Stdio::null());
    command
}

/// Shows the command, runs it with its output going where ours goes, and fails where it fails.
pub fn shown(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("  $ {line}");
    let status = command
        .status()
        .with_context(|| format!("cannot start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed ({status})");
    Ok(())
}

/// As [`shown`], for cargo with these words, none of which has a space in it.
pub fn run_cargo(words: &str) -> Result<()> {
    shown(cargo().args(words.split_whitespace()))
}

/// Runs the command quietly and returns its standard output; an error quotes its standard error.
pub fn output(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    ensure!(
        status.success(),
        "`{line}` failed ({status}): {}",
        errors.trim()
    );
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The command as one would type it.
pub fn line(command: &Command) -> String {
    let program = Path::new(command.get_program());
    let words = std::iter::once(program.file_name().unwrap_or_default()).chain(command.get_args());
    words
        .map(OsStr::to_string_lossy)
        .collect::<Vec<_>>()
        .join(" ")
}

/// Makes a directory that is empty.
pub fn prepare_directory(path: &Path) -> Result<()> {
    let context = || format!("cannot empty {}", path.display());
    if path.exists() {
        fs::remove_dir_all(path).with_context(context)?;
    }
    fs::create_dir_all(path).with_context(context)
}

/// Where a program is found on the PATH, or beside cargo's own installed programs.
pub fn find_program(name: &str) -> Option<PathBuf> {
    let cargo_home = env::var_os("CARGO_HOME").map(PathBuf::from);
    let cargo_home = cargo_home.or_else(|| Some(env::home_dir()?.join(".cargo")));
    let path = env::var_os("PATH").unwrap_or_default();
    // Administrators' programs (dockerd, debootstrap) are not on everyone's PATH.
    let more = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let paths = env::split_paths(&path).chain(cargo_home.map(|home| home.join("bin")));
    let mut programs = paths.chain(more).map(|directory| directory.join(name));
    programs.find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_shown_as_typed() {
        assert_eq!(
            line(Command::new("/usr/bin/cargo").args(["test", "--workspace"])),
            "cargo test --workspace"
        );
    }

    #[test]
    fn errors_name_the_command_and_quote_it() {
        let error = output(command("sh").args(["-c", "echo no such thing >&2; exit 4"]))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("sh -c") && error.contains("no such thing"),
            "{error}"
        );
        assert!(shown(&mut command("false")).is_err());
        assert_eq!(output(command("echo").arg("hello")).unwrap(), "hello");
    }

    #[test]
    fn programs_are_found_or_not() {
        assert!(find_program("sh").is_some());
        assert!(find_program("no-such-program-here").is_none());
    }
}
