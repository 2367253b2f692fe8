//! What has to be on the machine, and getting it there: Debian packages by `apt-get` (as root;
//! otherwise the command is named), tools by `cargo install`, targets and components by `rustup`.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum;
use talkspurt_testkit::board::Board;
use talkspurt_testkit::workspace;

use crate::report::Verdict;
use crate::run::{cargo, command, find_program, output, shown};

#[derive(clap::Args)]
pub struct Options {
    /// What the machine is to be ready for [default: everything but `mumble`]
    purposes: Vec<Purpose>,
}

/// What a package or tool is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Purpose {
    /// Building the programs
    Build,
    /// Making speech, for the demo and the tests
    Speech,
    /// The end-to-end tests: sound cards without hardware, serial lines
    Test,
    /// The server's image
    Docker,
    /// Lints, licences and the microcontroller builds
    Check,
    /// Fuzzing
    Fuzz,
    /// Instruction counts
    Bench,
    /// The node's image on emulated boards
    Firmware,
    /// PESQ, STOI, gate and delay figures
    Quality,
    /// Mumble's delay beside ours
    Mumble,
}

/// Debian's packages: what each is for, its name, and the program or the shell command that tells
/// whether it is there (on other systems under another name, perhaps).
const SYSTEM_PACKAGES: [(Purpose, &str, &str); 22] = [
    (Purpose::Build, "pkg-config", "pkg-config"),
    (Purpose::Build, "libasound2-dev", "pkg-config --exists alsa"),
    (Purpose::Speech, "espeak-ng", "espeak-ng"),
    (Purpose::Speech, "sox", "sox"),
    (Purpose::Test, "python3", "python3"),
    (Purpose::Test, "pulseaudio", "pulseaudio"),
    (Purpose::Test, "pulseaudio-utils", "pactl"),
    (Purpose::Test, "libasound2-plugins", ALSA_PULSE),
    (Purpose::Test, "socat", "socat"),
    (Purpose::Docker, "docker.io", "dockerd"),
    (Purpose::Docker, "debootstrap", "debootstrap"),
    (Purpose::Fuzz, "g++", "c++"),
    (Purpose::Bench, "valgrind", "valgrind"),
    (Purpose::Firmware, "qemu-system-arm", "qemu-system-arm"),
    (Purpose::Quality, "alsa-utils", "arecord"),
    (Purpose::Quality, "gcc", "cc"),
    (Purpose::Quality, "python3-dev", PYTHON_HEADERS),
    (
        Purpose::Quality,
        "python3-venv",
        "python3 -m ensurepip --version",
    ),
    (Purpose::Mumble, "mumble", "mumble"),
    (Purpose::Mumble, "mumble-server", "murmurd"),
    (Purpose::Mumble, "xvfb", "Xvfb"),
    (Purpose::Mumble, "openssl", "openssl"),
];

/// What a Python package in C is compiled with.
const PYTHON_HEADERS: &str =
    "test -e \"$(python3 -c 'import sysconfig; print(sysconfig.get_path(\"include\"))')/Python.h\"";

/// An ALSA plugin; its directory may depend on the architecture.
const ALSA_PULSE: &str =
    "find -L /usr/lib -maxdepth 3 -path '*/alsa-lib/libasound_module_pcm_pulse.so' | grep .";

/// The bare-metal targets that the core is built for: Cortex-M0+, Cortex-M3, Cortex-M4F and a small
/// RISC-V.
pub const BARE_METAL: [&str; 4] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
];

/// `cargo xtask setup`.
pub fn run(options: &Options) -> Result<Verdict> {
    let mut purposes = options.purposes.clone();
    if purposes.is_empty() {
        purposes.extend_from_slice(Purpose::value_variants());
        // A comparison that no other command makes, and a desktop program.
        purposes.retain(|purpose| *purpose != Purpose::Mumble);
    }
    ensure_for(&purposes)?;
    let names: Vec<String> = purposes
        .iter()
        .map(|p| format!("{p:?}").to_lowercase())
        .collect();
    println!("ready for: {}", names.join(", "));
    Ok(Verdict::Good)
}

/// Sees to everything that these purposes need.
pub fn ensure_for(purposes: &[Purpose]) -> Result<()> {
    let needed = SYSTEM_PACKAGES
        .iter()
        .filter(|(purpose, ..)| purposes.contains(purpose));
    let missing = needed.filter(|(.., probe)| !answers(probe));
    let missing: Vec<&str> = missing.map(|&(_, debian, _)| debian).collect();
    if !missing.is_empty() {
        install_system(&missing)?;
    }
    if purposes.contains(&Purpose::Check) || purposes.contains(&Purpose::Firmware) {
        ensure_rust_parts()?;
    }
    if purposes.contains(&Purpose::Check) {
        ensure_cargo_tool("cargo-deny", None)?;
    }
    if purposes.contains(&Purpose::Fuzz) {
        ensure_cargo_tool("cargo-fuzz", None)?;
    }
    if purposes.contains(&Purpose::Bench) {
        // Library and runner speak a protocol of their own and must be of one version.
        let lock = fs::read_to_string(workspace::root().join("Cargo.lock"))?;
        let version = locked_version(&lock, "gungraun").context("gungraun is not in Cargo.lock")?;
        ensure_cargo_tool("gungraun-runner", Some(version))?;
    }
    Ok(())
}

/// Whether a program is there, or a shell command succeeds.
fn answers(probe: &str) -> bool {
    let is_program = !probe.contains(' ');
    find_program(probe).is_some()
        || !is_program && output(command("sh").args(["-c", probe])).is_ok()
}

/// What installs packages and touches no other: apt-get would rather remove one than leave a wish
/// open.
const APT_INSTALL: &str = "install --quiet --yes --no-install-recommends --no-remove";

/// The command that a person types, who decides about removals.
fn by_hand(packages: &str) -> String {
    format!("apt-get update && apt-get install --no-install-recommends {packages}")
}

fn install_system(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!(
            "missing: {list} (Debian's names). \
             Install them with this system's package manager, then run this again."
        );
    }
    let by_hand = by_hand(&list);
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing system packages: {list}\n\
             Run this, then try again:\n\n    sudo sh -c '{by_hand}'\n"
        );
    }
    eprintln!("==> installing system packages: {list}");
    shown(command("apt-get").args(["update", "--quiet"]))?;
    let mut install = command("apt-get");
    install.env("DEBIAN_FRONTEND", "noninteractive");
    shown(install.args(APT_INSTALL.split(' ')).args(packages)).with_context(|| {
        format!(
            "cannot install {list} without removing what is installed, or for the reason above. \
             Type this, see what it would remove, and decide:\n\n    {by_hand}\n"
        )
    })
}

/// Whether everything is here that a board in QEMU needs.
pub fn board_is_ready(board: Board) -> bool {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]));
    find_program("qemu-system-arm").is_some()
        && sysroot.is_ok_and(|sysroot| has_target(&sysroot, board.target))
}

fn has_target(sysroot: &str, target: &str) -> bool {
    let targets = Path::new(sysroot).join("lib/rustlib");
    targets.join(target).join("lib").is_dir()
}

/// rustup adds what `rust-toolchain.toml` names, unless another toolchain was asked for.
fn ensure_rust_parts() -> Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    let answers = |tool: &str| output(cargo().args([tool, "--version"])).is_ok();
    let has_targets = BARE_METAL.iter().all(|target| has_target(&sysroot, target));
    if has_targets && answers("fmt") && answers("clippy") {
        return Ok(());
    }
    ensure!(
        find_program("rustup").is_some(),
        "this Rust lacks rustfmt, clippy or one of {BARE_METAL:?}, \
         and there is no rustup to add them"
    );
    shown(command("rustup").args(["target", "add"]).args(BARE_METAL))?;
    shown(command("rustup").args(["component", "add", "rustfmt", "clippy"]))
}

/// Installs a tool with cargo where it is missing or of another version than it must be.
pub fn ensure_cargo_tool(name: &str, version: Option<&str>) -> Result<()> {
    if let Some(path) = find_program(name) {
        let Some(version) = version else {
            return Ok(());
        };
        let found = output(command(&path.to_string_lossy()).arg("--version"))?;
        if found.split_whitespace().any(|word| word == version) {
            return Ok(());
        }
        eprintln!("==> {name} is \"{found}\", needed is {version}");
    }
    // Built without optimisation: these run for seconds, and would otherwise build for many
    // minutes.
    let mut install = cargo();
    install.args(["install", "--debug", "--locked", "--force", name]);
    if let Some(version) = version {
        install.args(["--version", version]);
    }
    eprintln!("==> installing {name} (a few minutes)");
    shown(&mut install)
}

/// The version of a package in a lock file.
fn locked_version<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines().skip_while(|line| *line != name);
    lines
        .nth(1)?
        .strip_prefix("version = \"")?
        .strip_suffix('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_version_is_found_by_its_exact_name() {
        let lock = "[[package]]\nname = \"gungraun-macros\"\nversion = \"0.8.0\"\n\n\
                    [[package]]\nname = \"gungraun\"\nversion = \"0.20.1\"\n";
        assert_eq!(locked_version(lock, "gungraun"), Some("0.20.1"));
        assert_eq!(locked_version(lock, "gun"), None);
    }

    #[test]
    fn nothing_is_removed_without_a_person() {
        assert!(APT_INSTALL.contains("--no-remove"));
        let typed = by_hand("sox");
        assert!(
            !typed.contains("--yes") && typed.ends_with(" sox"),
            "{typed}"
        );
    }

    #[test]
    fn probes_tell_present_from_absent() {
        assert!(answers("sh"));
        assert!(answers("command -v sh"));
        assert!(!answers("no-such-program-here"));
        assert!(!answers("pkg-config --exists no-such-library-here"));
        assert!(!answers(&ALSA_PULSE.replace("pulse", "no_such_plugin")));
        assert!(answers(
            &ALSA_PULSE.replace("alsa-lib/libasound_module_pcm_pulse", "libc")
        ));
    }
}
