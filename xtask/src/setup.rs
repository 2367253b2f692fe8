//! What has to be on the machine, and getting it there: Debian packages by `apt-get` (as root; otherwise the command is
//! named), tools by `cargo install`, targets and components by `rustup`.

use std::collections::BTreeSet;
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
    /// What the machine is to be ready for [default: everything]
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
}

/// A Debian package, and what of it tells that it is there (on other systems under another name, perhaps).
struct SystemPackage {
    debian: &'static str,
    purpose: Purpose,
    probe: Probe,
}

enum Probe {
    Program(&'static str),
    /// A C library known to pkg-config.
    Library(&'static str),
    /// An ALSA plugin, in a directory that depends on the architecture.
    AlsaPlugin(&'static str),
}

const SYSTEM_PACKAGES: [SystemPackage; 13] = [
    SystemPackage {
        debian: "pkg-config",
        purpose: Purpose::Build,
        probe: Probe::Program("pkg-config"),
    },
    SystemPackage {
        debian: "libasound2-dev",
        purpose: Purpose::Build,
        probe: Probe::Library("alsa"),
    },
    SystemPackage {
        debian: "espeak-ng",
        purpose: Purpose::Speech,
        probe: Probe::Program("espeak-ng"),
    },
    SystemPackage {
        debian: "sox",
        purpose: Purpose::Speech,
        probe: Probe::Program("sox"),
    },
    SystemPackage {
        debian: "pulseaudio",
        purpose: Purpose::Test,
        probe: Probe::Program("pulseaudio"),
    },
    SystemPackage {
        debian: "pulseaudio-utils",
        purpose: Purpose::Test,
        probe: Probe::Program("pactl"),
    },
    SystemPackage {
        debian: "libasound2-plugins",
        purpose: Purpose::Test,
        probe: Probe::AlsaPlugin("libasound_module_pcm_pulse.so"),
    },
    SystemPackage {
        debian: "socat",
        purpose: Purpose::Test,
        probe: Probe::Program("socat"),
    },
    SystemPackage {
        debian: "docker.io",
        purpose: Purpose::Docker,
        probe: Probe::Program("dockerd"),
    },
    SystemPackage {
        debian: "debootstrap",
        purpose: Purpose::Docker,
        probe: Probe::Program("debootstrap"),
    },
    SystemPackage {
        debian: "g++",
        purpose: Purpose::Fuzz,
        probe: Probe::Program("c++"),
    },
    SystemPackage {
        debian: "valgrind",
        purpose: Purpose::Bench,
        probe: Probe::Program("valgrind"),
    },
    SystemPackage {
        debian: "qemu-system-arm",
        purpose: Purpose::Firmware,
        probe: Probe::Program("qemu-system-arm"),
    },
];

/// The bare-metal targets that the core is built for: Cortex-M0+, Cortex-M3, Cortex-M4F and a small RISC-V.
pub const BARE_METAL: [&str; 4] = [
    "thumbv6m-none-eabi",
    "thumbv7m-none-eabi",
    "thumbv7em-none-eabihf",
    "riscv32imac-unknown-none-elf",
];

/// `cargo xtask setup`.
pub fn run(options: &Options) -> Result<Verdict> {
    let purposes = if options.purposes.is_empty() {
        Purpose::value_variants()
    } else {
        &options.purposes
    };
    ensure_for(purposes)?;
    println!(
        "ready for: {}",
        purposes
            .iter()
            .map(|p| format!("{p:?}").to_lowercase())
            .collect::<Vec<_>>()
            .join(", ")
    );
    Ok(Verdict::Good)
}

/// Sees to everything that these purposes need.
pub fn ensure_for(purposes: &[Purpose]) -> Result<()> {
    let missing: Vec<&str> = SYSTEM_PACKAGES
        .iter()
        .filter(|package| purposes.contains(&package.purpose) && !package.probe.answers())
        .map(|package| package.debian)
        .collect();
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

impl Probe {
    fn answers(&self) -> bool {
        match self {
            Self::Program(name) => find_program(name).is_some(),
            Self::Library(name) => output(command("pkg-config").args(["--exists", name])).is_ok(),
            Self::AlsaPlugin(file) => alsa_plugin_exists(Path::new("/usr/lib"), file),
        }
    }
}

/// Whether `LIB/alsa-lib/FILE` or `LIB/ARCHITECTURE/alsa-lib/FILE` exists.
fn alsa_plugin_exists(lib: &Path, file: &str) -> bool {
    let own = [lib.to_owned()].into_iter();
    let by_architecture = fs::read_dir(lib)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path());
    own.chain(by_architecture)
        .any(|directory| directory.join("alsa-lib").join(file).is_file())
}

/// What installs packages and touches no other: apt-get would rather remove one than leave a wish
/// open.
const APT_INSTALL: [&str; 5] = [
    "install",
    "--quiet",
    "--yes",
    "--no-install-recommends",
    "--no-remove",
];

/// The command that a person types, who decides about removals.
fn by_hand(packages: &str) -> String {
    format!("apt-get update && apt-get install --no-install-recommends {packages}")
}

fn install_system(packages: &[&str]) -> Result<()> {
    let list = packages.join(" ");
    if find_program("apt-get").is_none() {
        bail!(
            "missing: {list} (Debian's names). Install them with this system's package manager, then run this again."
        );
    }
    let by_hand = by_hand(&list);
    if !rustix::process::geteuid().is_root() {
        bail!(
            "missing system packages: {list}\nRun this, then try again:\n\n    sudo sh -c '{by_hand}'\n"
        );
    }
    eprintln!("==> installing system packages: {list}");
    let apt = || {
        let mut apt = command("apt-get");
        apt.env("DEBIAN_FRONTEND", "noninteractive");
        apt
    };
    shown(apt().args(["update", "--quiet"]))?;
    shown(apt().args(APT_INSTALL).args(packages)).with_context(|| {
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

fn ensure_rust_parts() -> Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    let missing: Vec<&str> = BARE_METAL
        .into_iter()
        .filter(|target| !has_target(&sysroot, target))
        .collect();
    let no_component = |program: &str| output(cargo().args([program, "--version"])).is_err();
    let components: Vec<&str> = [("fmt", "rustfmt"), ("clippy", "clippy")]
        .into_iter()
        .filter(|(p, _)| no_component(p))
        .map(|(_, c)| c)
        .collect();
    if missing.is_empty() && components.is_empty() {
        return Ok(());
    }
    let parts: BTreeSet<&str> = missing.iter().chain(&components).copied().collect();
    ensure!(
        find_program("rustup").is_some(),
        "this Rust lacks {parts:?}, and there is no rustup to add them"
    );
    if !missing.is_empty() {
        shown(command("rustup").args(["target", "add"]).args(&missing))?;
    }
    if !components.is_empty() {
        shown(
            command("rustup")
                .args(["component", "add"])
                .args(&components),
        )?;
    }
    Ok(())
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
    // Built without optimisation: these run for seconds, and would otherwise build for many minutes.
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
        assert!(APT_INSTALL.contains(&"--no-remove"));
        let typed = by_hand("sox");
        assert!(
            !typed.contains("--yes") && typed.ends_with(" sox"),
            "{typed}"
        );
    }

    #[test]
    fn alsa_plugins_are_found_under_the_architecture() {
        let lib = tempfile::tempdir().unwrap();
        let directory = lib.path().join("x86_64-linux-gnu/alsa-lib");
        fs::create_dir_all(&directory).unwrap();
        assert!(!alsa_plugin_exists(lib.path(), "pulse.so"));
        fs::write(directory.join("pulse.so"), "").unwrap();
        assert!(alsa_plugin_exists(lib.path(), "pulse.so"));
    }

    #[test]
    fn probes_tell_present_from_absent() {
        assert!(Probe::Program("sh").answers());
        assert!(!Probe::Program("no-such-program-here").answers());
        assert!(!Probe::Library("no-such-library-here").answers());
    }
}
