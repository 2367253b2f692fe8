//! The program against a real server: a few participants for two seconds. What arrives is asserted,
//! not how fast.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const LOAD: &str = env!("CARGO_BIN_EXE_talkspurt-load");

/// The server's program: from `TALKSPURT_BIN_DIR`, or built beside this one.
fn server() -> PathBuf {
    if let Some(directory) = env::var_os("TALKSPURT_BIN_DIR") {
        return Path::new(&directory).join("talkspurt-server");
    }
    let beside = Path::new(LOAD).with_file_name("talkspurt-server");
    let mut build = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    build
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .args([
            "build",
            "--quiet",
            "--package",
            "talkspurt-server",
            "--bins",
        ]);
    if beside
        .parent()
        .is_some_and(|profile| profile.ends_with("release"))
    {
        build.arg("--release");
    }
    assert!(build.status().unwrap().success(), "cargo build failed");
    beside
}

fn measure(flags: &str) -> Value {
    let output = Command::new(LOAD)
        .args(["--json", "--seconds", "2", "--rounds", "1", "--server"])
        .arg(server())
        .args(flags.split_whitespace())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn every_room_hears_its_talkers_and_nobody_elses() {
    for flags in [
        "--participants 7 --room-size 3 --talkers 2",
        "--participants 6 --room-size 3 --codec adpcm --frame-ms 5 --no-floor",
    ] {
        let report = measure(flags);
        let figures = &report["figures"];
        assert!(figures["marks_expected"].as_u64().unwrap() > 10, "{report}");
        // On a machine that is too busy for real time a frame may be dropped to shorten the delay.
        assert!(
            figures["share_delivered"].as_f64().unwrap() > 0.9,
            "{report}"
        );
        assert_eq!(figures["crossed"], 0, "{report}");
        assert_eq!(figures["own_heard"], 0, "{report}");
        // Where a loss came from can be told.
        assert!(figures["server_counters"]["concealed"].is_u64(), "{report}");
        assert!(
            figures["generator_lag_max_ms"].as_f64().unwrap() > 0.0,
            "{report}"
        );
    }
}

#[test]
fn the_floor_moves_the_bytes_of_the_server() {
    let report = measure("--participants 6 --room-size 3 --talkers 1");
    let round = &report["rounds"][0];
    for direction in ["in", "out"] {
        let bytes = |whose| {
            round[format!("{whose}_bytes_{direction}_per_second")]
                .as_f64()
                .unwrap()
        };
        let ratio = bytes("floor") / bytes("server");
        assert!((0.8..1.2).contains(&ratio), "{direction}: {report}");
    }
    assert!(
        report["figures"]["ratio"].as_f64().unwrap() > 0.0,
        "{report}"
    );
}

#[test]
fn a_server_that_is_not_there_is_one_clear_line() {
    let output = Command::new(LOAD)
        .args(["--server", "/nowhere/server"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("/nowhere/server is not there; build it"),
        "{stderr}"
    );
    assert_eq!(stderr.lines().count(), 1);
}
