use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    gate: GateFlags,
}

fn settings(line: &str) -> Result<GateSettings, String> {
    let line = ["program"].into_iter().chain(line.split_whitespace());
    let program = Program::try_parse_from(line).map_err(|error| error.to_string())?;
    let settings = program.gate.settings(500);
    settings.map_err(|problem| problem.to_string())
}

#[test]
fn defaults_are_those_of_the_core() {
    let gate = settings("").unwrap();
    assert_eq!((gate.open_rms, gate.close_rms), (2_000, 500));
    assert_eq!(gate, GateSettings::default());
    let flags = Program::parse_from(["program"]).gate;
    assert_eq!(flags.pre_roll, 60);
    assert!(!settings("--no-gate").unwrap().enabled);
}

#[test]
fn a_level_may_begin_with_a_minus() {
    let gate = settings("--gate-open -24dB --gate-close=-36dB").unwrap();
    assert_eq!((gate.open_rms, gate.close_rms), (2_068, 519));
}

#[test]
fn a_low_gate_brings_its_closing_threshold_along() {
    let thresholds = |line| {
        let gate = settings(line).unwrap();
        (gate.open_rms, gate.close_rms)
    };
    assert_eq!(thresholds("--gate-open 800"), (800, 401));
    assert_eq!(thresholds("--gate-open 0"), (0, 0));
    assert_eq!(thresholds("--gate-open 9000"), (9_000, 500));
    assert_eq!(thresholds("--gate-open 400 --gate-close 399"), (400, 399));
}

#[test]
fn each_wrong_flag_is_named_in_the_error() {
    for (line, flag, said) in [
        ("--gate-open loud", "--gate-open", "neither an RMS"),
        ("--gate-close 33dB", "--gate-close", "neither an RMS"),
        (
            "--gate-open 400 --gate-close 500",
            "--gate-close",
            "500 (-36.3 dBFS) lies above --gate-open 400 (-38.3",
        ),
        ("--gate-window 0", "--gate-window", "from 1 to 64"),
        ("--gate-window 65", "--gate-window", "from 1 to 64"),
        ("--gate-window 60000", "--gate-window", "from 1 to 64"),
        ("--pre-roll 501", "--pre-roll", "at most 500"),
    ] {
        let error = settings(line).unwrap_err();
        assert!(
            error.contains(flag) && error.contains(said),
            "{line}: {error}"
        );
    }
    assert!(settings("--gate-window 64 --pre-roll 500").is_ok());
}

#[test]
fn a_gate_that_is_moved_keeps_its_distance() {
    let gate = settings("").unwrap();
    let rms = Threshold::from_rms;
    let shifted = |gate: &GateSettings, db| opening_at(gate, rms(gate.open_rms).shifted_db(db));
    // Fourteen times the client's down arrow.
    let moved = shifted(&gate, -14.0);
    let by_flag = settings(&format!("--gate-open {}", moved.open_rms)).unwrap();
    assert_eq!(moved, by_flag, "the key does what the flag does");
    assert_eq!((moved.open_rms, moved.close_rms), (399, 200));
    let back = opening_at(&moved, rms(gate.open_rms));
    assert_eq!(back.open_rms, gate.open_rms);
    assert_eq!(opening_at(&gate, rms(0)).close_rms, 0);
    // A user who wants 2 dB gets 2 dB.
    let near = settings("--gate-open -20dB --gate-close -22dB").unwrap();
    let moved = shifted(&near, -10.0);
    let distance_db = rms(moved.open_rms).dbfs() - rms(moved.close_rms).dbfs();
    assert!((distance_db - 2.0).abs() < 0.1, "{distance_db}");
    let same = settings("--gate-open 900 --gate-close 900").unwrap();
    let moved = opening_at(&same, rms(300));
    assert_eq!(moved.close_rms, moved.open_rms);
}
