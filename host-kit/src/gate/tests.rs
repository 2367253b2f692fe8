use super::*;
use clap::Parser;

#[derive(Debug, Parser)]
struct Program {
    #[command(flatten)]
    gate: GateFlags,
}

fn settings(line: &str) -> Result<GateConfig, String> {
    let line = ["program"].into_iter().chain(line.split_whitespace());
    let program = Program::try_parse_from(line).map_err(|error| error.to_string())?;
    let settings = program.gate.settings(500);
    settings.map_err(|problem| problem.to_string())
}

/// The thresholds of a gate that has some.
fn rms(gate: &GateConfig) -> (u16, u16) {
    match gate.mode {
        GateMode::Fixed {
            open_rms,
            close_rms,
        } => (open_rms, close_rms),
        mode => panic!("{mode:?}"),
    }
}

#[test]
fn defaults_are_those_of_the_core() {
    assert_eq!(settings(""), Ok(GateConfig::DEFAULT));
    let fixed = settings("--gate fixed").unwrap();
    assert_eq!(fixed.mode, GateMode::ORIGINAL);
    let margin = settings("--gate auto --gate-margin 9").unwrap();
    assert_eq!(margin.mode, GateMode::Auto { open_above_db: 9 });
    let flags = Program::parse_from(["program"]).gate;
    assert_eq!((flags.pre_roll_ms(200), flags.pre_roll_ms(60)), (200, 60));
    assert_eq!(settings("--no-gate").unwrap().mode, GateMode::Off);
}

#[test]
fn a_level_may_begin_with_a_minus() {
    let gate = settings("--gate-open -24dB --gate-close=-36dB").unwrap();
    assert_eq!(rms(&gate), (2_068, 519));
}

#[test]
fn a_low_gate_brings_its_closing_threshold_along() {
    let thresholds = |line| rms(&settings(line).unwrap());
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
        ("--gate auto --gate-open 400", "--gate:", "are for `fixed`"),
        (
            "--gate fixed --gate-margin 6",
            "--gate-margin",
            "--gate auto",
        ),
        (
            "--gate-open 400 --gate-margin 6",
            "--gate-margin",
            "--gate auto",
        ),
        ("--gate-margin 1", "--gate-margin", "from 2 to 40"),
        ("--gate-margin 41", "--gate-margin", "from 2 to 40"),
        ("--gate-window 0", "--gate-window", "from 1 to 320"),
        ("--gate-window 321", "--gate-window", "from 1 to 320"),
        ("--gate-hold 1276", "--gate-hold", "from 0 to 1275"),
        ("--pre-roll 501", "--pre-roll", "from 0 to 500"),
    ] {
        let error = settings(line).unwrap_err();
        assert!(
            error.contains(flag) && error.contains(said),
            "{line}: {error}"
        );
    }
    let most = settings("--gate-window 320 --gate-hold 1275 --pre-roll 500").unwrap();
    assert_eq!((most.window_ms, most.hold_ms), (320, 1_275));
}

#[test]
fn a_gate_that_is_moved_keeps_its_distance() {
    let gate = settings("--gate fixed").unwrap();
    let shifted = |gate: &GateConfig, db| super::shifted(gate, gate, db);
    // Fourteen times the client's down arrow.
    let moved = shifted(&gate, -14.0);
    let by_flag = settings(&format!("--gate-open {}", rms(&moved).0)).unwrap();
    assert_eq!(moved, by_flag, "the key does what the flag does");
    assert_eq!(rms(&moved), (399, 200));
    let back = opening_at(&moved, Threshold::from_rms(2_000));
    assert_eq!(rms(&back).0, 2_000);
    assert_eq!(rms(&opening_at(&gate, Threshold::from_rms(0))), (0, 0));
    // A user who wants 2 dB gets 2 dB.
    let near = settings("--gate-open -20dB --gate-close -22dB").unwrap();
    let moved = shifted(&near, -10.0);
    let (open, close) = rms(&moved);
    let distance_db = rms_to_dbfs(open) - rms_to_dbfs(close);
    assert!((distance_db - 2.0).abs() < 0.1, "{distance_db}");
    let same = settings("--gate-open 900 --gate-close 900").unwrap();
    assert_eq!(
        rms(&opening_at(&same, Threshold::from_rms(300))),
        (300, 300)
    );
    let off = settings("--no-gate").unwrap();
    assert_eq!(shifted(&off, 3.0), off);
}

#[test]
fn a_margin_is_moved_and_stays_within_its_range() {
    let gate = settings("--gate-hold 50").unwrap();
    let moved = |db| match shifted(&gate, &gate, db) {
        GateConfig {
            mode: GateMode::Auto { open_above_db },
            window_ms: 200,
            hold_ms: 50,
        } => open_above_db,
        other => panic!("{other:?}"),
    };
    assert_eq!([1.0, -1.0, -10.0, 90.0].map(moved), [6, 4, 2, 40]);
}
