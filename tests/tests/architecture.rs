//! Tests that hold the invariants of docs/ARCHITECTURE.md, which mostly say what must be absent.
//! They read the sources.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;
use talkspurt_testkit::workspace::{cargo, root};

/// Folders with our own sources.
const FOLDERS: [&str; 10] = [
    "core",
    "host-server",
    "host-client",
    "host-kit",
    "firmware-sim",
    "load",
    "netem",
    "testkit",
    "tests",
    "xtask",
];
/// Folders with a workspace of their own.
const APART: [&str; 3] = ["firmware-sim/image", "firmware-sim/rp2040", "fuzz"];

/// Returns every Rust file below `folder` of the workspace, by its path from the root.
fn sources(folder: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
            let path = entry.expect("a readable folder").path();
            if path.is_dir() && path.file_name().is_some_and(|n| n != "target") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                let name = path
                    .strip_prefix(root())
                    .expect("below the root")
                    .display()
                    .to_string();
                found.push((name, fs::read_to_string(&path).expect("a readable source")));
            }
        }
    }
    assert!(!found.is_empty(), "{folder} has sources");
    found
}

/// Returns the lines of a file that are code of the program: no comments, and nothing from the test
/// module on.
fn code(source: &str) -> impl Iterator<Item = &str> {
    let end = source.find("#[cfg(test)]\nmod ").unwrap_or(source.len());
    source[..end]
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with("//"))
}

fn offenders(folder: &str, allowed: &[&str], words: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, source) in sources(folder) {
        if allowed.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        for line in code(&source).filter(|line| words.iter().any(|word| line.contains(word))) {
            found.push(format!("{name}: {line}"));
        }
    }
    found
}

/// Returns the modules of the core in the order of docs/ARCHITECTURE.md.
fn modules() -> Vec<String> {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).expect("a readable map");
    let rows = map.lines().filter_map(|line| {
        let mut cells = line.split('|').map(str::trim).skip(1);
        let _floor: u8 = cells.next()?.parse().ok()?;
        Some(cells.next()?.trim_matches('`').to_owned())
    });
    let modules: Vec<_> = rows.collect();
    assert_eq!(modules.len(), 23, "the map's modules: {modules:?}");
    modules
}

/// Returns the module that a file of the core belongs to: `audio::gate`, or the first part of its
/// path.
fn module_of(file: &str) -> String {
    let path = file.trim_start_matches("core/src/").trim_end_matches(".rs");
    let mut parts = path.split('/');
    let first = parts.next().expect("a path has a first part");
    match parts.next() {
        Some(second) if first == "audio" => format!("audio::{second}"),
        _ => first.to_owned(),
    }
}

/// Returns the modules of the core that a line of a file names.
fn modules_named<'a>(file: &str, line: &str, modules: &'a [String]) -> Vec<&'a String> {
    let is_in_audio = file.matches('/').count() == 3 && file.contains("/audio/");
    let line = match is_in_audio {
        true => line.replace("super::", "crate::audio::"),
        false => line.to_owned(),
    };
    let names = |module: &&String| line.contains(&format!("crate::{module}::"));
    modules.iter().filter(names).collect()
}

/// Returns every file of the core with its module, except those that only list modules.
fn core_files() -> Vec<(String, String, String)> {
    let lists = ["core/src/lib.rs", "core/src/audio/mod.rs"];
    let files = sources("core/src").into_iter();
    files
        .filter(|(file, _)| !lists.contains(&file.as_str()))
        .map(|(file, source)| (module_of(&file), file, source))
        .collect()
}

#[test]
fn core_modules_use_only_what_stands_above() {
    let modules = modules();
    let place = |module: &str| modules.iter().position(|other| other == module);
    let mut uses = 0;
    for (module, file, source) in core_files() {
        let own = place(&module).unwrap_or_else(|| panic!("{file} is not on the map"));
        for line in code(&source) {
            let named = modules_named(&file, line, &modules);
            for used in named.into_iter().filter(|used| **used != module) {
                uses += 1;
                assert!(
                    place(used) < Some(own),
                    "{file} uses {used}, which is below {module}: {line}"
                );
            }
        }
    }
    assert!(uses > 30, "the check finds the uses: {uses}");
}

#[test]
fn only_voice_joins_packets_and_audio() {
    let modules = modules();
    let forbidden = ["audio::gate", "audio::mixer", "audio::jitter"];
    for (module, file, source) in core_files() {
        if !["wire", "session", "carrier"].contains(&module.as_str()) {
            continue;
        }
        for line in code(&source) {
            let named = modules_named(&file, line, &modules);
            let met = named.iter().find(|used| forbidden.contains(&used.as_str()));
            assert_eq!(met, None, "{file}: {line}");
        }
    }
}

#[test]
fn the_core_is_no_std_without_alloc_or_clock() {
    let words = [
        "std::",
        "extern crate alloc",
        "alloc::",
        "Instant::now",
        "f32",
        "f64",
    ];
    assert_eq!(offenders("core/src", &[], &words), [""; 0]);
    let lib = fs::read_to_string(root().join("core/src/lib.rs")).expect("a readable core");
    assert!(
        lib.contains("#![no_std]")
            && lib.contains("forbid(unsafe_code)")
            && lib.contains("#![deny(missing_docs)]")
    );
}

#[test]
fn every_public_type_of_the_core_can_be_logged() {
    let mut types = 0;
    for (file, source) in sources("core/src") {
        let mut derived = false;
        // Braces that are open in the call of a macro that derives it for all types within.
        let mut open = 0;
        for line in code(&source) {
            let called = line.strip_suffix("! {").map(|name| format!("{name} {{"));
            let mut macros = source.split("macro_rules! ").skip(1);
            let derives = called.is_some_and(|start| {
                macros.any(|it| it.starts_with(&start) && it.contains("derive(defmt::Format)"))
            });
            if derives || open > 0 {
                open = open + line.matches('{').count() - line.matches('}').count();
            }
            derived |= line.contains("derive(defmt::Format)") || open > 0;
            let declared = ["pub struct ", "pub enum "]
                .iter()
                .find_map(|start| line.strip_prefix(start));
            if let Some(declared) = declared {
                types += 1;
                let name = declared
                    .split(|c: char| !c.is_alphanumeric())
                    .next()
                    .unwrap_or_default();
                let by_hand = source.contains(&format!(" defmt::Format for {name}"));
                assert!(derived || by_hand, "{file}: {name} has no defmt::Format");
            }
            // Attributes apply to the item that follows them.
            derived &= line.starts_with("#[") && declared.is_none();
        }
    }
    assert!(types > 50, "the check finds the types: {types}");
}

#[test]
fn programs_depend_on_the_core_and_the_kit_only() {
    let shared = ["talkspurt-core", "talkspurt-host-kit"];
    for (program, own) in [
        ("talkspurt-server", &["talkspurt-hub"][..]),
        ("talkspurt-client", &[]),
        ("talkspurt-node", &["talkspurt-node-driver"]),
        ("talkspurt-load", &[]),
    ] {
        depends_only_on(program, &[&shared, own].concat());
    }
}

#[test]
fn the_hub_depends_on_no_runtime() {
    depends_only_on("talkspurt-hub", &["talkspurt-core"]);
    let workspace = metadata();
    let packages = workspace["packages"].as_array().expect("packages").iter();
    let hub = packages.filter(|package| package["name"] == "talkspurt-hub");
    let uses = hub.flat_map(|hub| hub["dependencies"].as_array().expect("dependencies"));
    let foreign = uses.filter(|used| used["path"].is_null() && used["kind"].is_null());
    let foreign: Vec<&str> = foreign.filter_map(|used| used["name"].as_str()).collect();
    let tables = ["normalization", "properties", "security"].map(|of| format!("unicode-{of}"));
    assert_eq!(foreign[0], "slotmap");
    assert_eq!(foreign[1..], tables);
}

#[test]
fn xtask_depends_on_the_testkit_only() {
    depends_only_on("xtask", &["talkspurt-testkit"]);
    depends_only_on("talkspurt-testkit", &[]);
}

/// Checks dependencies among our own packages; dev-dependencies do not count.
fn depends_only_on(package: &str, allowed: &[&str]) {
    let workspace = metadata();
    let mut packages = workspace["packages"].as_array().expect("packages").iter();
    let package = packages
        .find(|other| other["name"] == package)
        .unwrap_or_else(|| panic!("there is no package {package}"));
    for dependency in package["dependencies"].as_array().expect("dependencies") {
        let name = dependency["name"].as_str().expect("a name");
        let ours = name.starts_with("talkspurt-") && dependency["kind"].is_null();
        assert!(
            !ours || allowed.contains(&name),
            "{} depends on {name}",
            package["name"]
        );
    }
}

#[test]
fn only_device_knows_cpal() {
    assert_eq!(
        offenders(
            "host-client/src",
            &["host-client/src/device"],
            &["cpal::", "use cpal"]
        ),
        [""; 0]
    );
}

#[test]
fn an_audio_callback_neither_locks_nor_logs() {
    let words = [
        "Mutex",
        "RwLock",
        "tracing::",
        "print",
        "log::",
        "format!",
        "to_string",
    ];
    for (folder, file) in [
        ("host-client/src/device", "callback"),
        ("host-client/src/device", "shared"),
        ("host-kit/src/channels", "picker"),
    ] {
        let found = offenders(folder, &[], &words);
        let here = format!("{folder}/{file}.rs");
        assert!(root().join(&here).is_file(), "{here} has moved");
        let found: Vec<_> = found
            .iter()
            .filter(|line| line.starts_with(&here))
            .collect();
        assert_eq!(found, [""; 0]);
    }
}

#[test]
fn only_the_ticker_reads_the_clock() {
    let words = ["Instant::now", "SystemTime::now"];
    let clock = offenders("host-server/src", &["host-server/src/ticker"], &words);
    assert_eq!(clock, [""; 0]);
}

#[test]
fn the_servers_pure_modules_have_no_socket() {
    let words = [
        "tokio",
        "TcpListener",
        "TcpStream",
        "socket2",
        "std::thread",
    ];
    let shell = [
        "net", "http", "ticker", "server", "health", "shutdown", "main", "metrics", "config",
        "testing",
    ]
    .map(|module| format!("host-server/src/{module}"));
    let shell: Vec<&str> = shell.iter().map(String::as_str).collect();
    assert_eq!(offenders("host-server/src", &shell, &words), [""; 0]);
}

#[test]
fn the_clients_participant_has_no_socket_and_no_clock() {
    let words = ["tokio", "socket2", "std::net", "std::time", "std::thread"];
    let found = offenders("host-client/src/participant", &[], &words);
    assert_eq!(found, [""; 0]);
}

#[test]
fn the_bridge_knows_no_packet() {
    let mut found = offenders(
        "firmware-sim/src/bridge",
        &[],
        &["talkspurt_core", "Deframer", "postcard"],
    );
    // Waiting is not parsing.
    found.retain(|line| !line.ends_with(": use talkspurt_core::backoff::Backoff;"));
    assert_eq!(found, [""; 0]);
}

#[test]
fn unsafe_code_is_named_here() {
    let known: BTreeSet<&str> = BTreeSet::from([
        // Tests that count allocations and send signals.
        "host-client/src/testing.rs",
        "host-server/tests/server/mod.rs",
        // Addresses of registers, vector tables, and what an interrupt shares with the loop.
        "firmware-sim/image/benches/cost/counter.rs",
        "firmware-sim/image/src/board/lm3s6965evb.rs",
        "firmware-sim/image/src/board/mps2_an386.rs",
        "firmware-sim/image/src/stack.rs",
        "firmware-sim/image/src/uart/cmsdk.rs",
        "firmware-sim/image/src/uart/isr.rs",
        "firmware-sim/image/src/uart/pl011.rs",
        // Words of RAM that survive a reset, and the core's state in one place of RAM.
        "firmware-sim/image/tests/deadline.rs",
        "firmware-sim/image/core-alone/src/endpoint.rs",
        "firmware-sim/image/core-alone/src/floors.rs",
        "firmware-sim/image/core-alone/src/in_ram.rs",
        // Placing the second-stage loader, unmasking an interrupt, defmt's trait. The rest is the
        // HAL's.
        "firmware-sim/rp2040/src/pico/boot2.rs",
        "firmware-sim/rp2040/src/pico/interrupts.rs",
        "firmware-sim/rp2040/src/pico/log.rs",
    ]);
    for folder in FOLDERS {
        for (file, source) in sources(folder) {
            let allows = ["allow", "expect"]
                .iter()
                .any(|level| source.contains(&format!("{level}(unsafe_{})", "code")));
            assert_eq!(
                allows,
                known.contains(file.as_str()),
                "{file}: allows unsafe code without being listed, or the reverse"
            );
        }
    }
}

#[test]
fn every_dependency_is_justified() {
    let document =
        fs::read_to_string(root().join("docs/DEPENDENCIES.md")).expect("docs/DEPENDENCIES.md");
    let justified: BTreeSet<String> = document
        .lines()
        .filter_map(|line| {
            line.strip_prefix("| `")?
                .split_once('`')
                .map(|(name, _)| name.to_owned())
        })
        .collect();
    let mut used = BTreeSet::new();
    let apart = APART.map(|folder| metadata_of(&format!("{folder}/Cargo.toml")));
    let packages = [metadata()]
        .into_iter()
        .chain(apart)
        .flat_map(|workspace| workspace["packages"].as_array().expect("packages").clone());
    for package in packages {
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let name = dependency["name"].as_str().expect("a name");
            if dependency["path"].is_null() {
                used.insert(name.to_owned());
            }
        }
    }
    assert_eq!(
        justified.difference(&used).collect::<Vec<_>>(),
        [""; 0],
        "justified but not used"
    );
    assert_eq!(
        used.difference(&justified).collect::<Vec<_>>(),
        [""; 0],
        "used but not justified"
    );
}

fn metadata() -> Value {
    metadata_of("Cargo.toml")
}

fn metadata_of(manifest: &str) -> Value {
    let output = cargo()
        .args(["metadata", "--format-version", "1", "--no-deps"])
        .args(["--manifest-path", manifest])
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    serde_json::from_slice(&output.stdout).expect("cargo prints JSON")
}
