//! The host computes what it always did. `firmware-sim/image/tests/golden.rs` compares the same on
//! both boards.

use std::collections::BTreeSet;
use std::{fs, path::Path};

use talkspurt_golden::{Difference, SCENARIOS};

#[test]
fn every_scenario_comes_out_as_it_was() {
    for scenario in SCENARIOS {
        if let Err(Difference { at, expected_bytes }) = scenario.check() {
            panic!(
                "{}: differs at byte {at} of {expected_bytes}",
                scenario.name
            );
        }
    }
}

#[test]
fn every_vector_belongs_to_a_scenario() {
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let files: BTreeSet<String> = fs::read_dir(vectors)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let named = SCENARIOS
        .iter()
        .map(|scenario| format!("{}.bin", scenario.name));
    assert_eq!(files, named.collect());
}

/// A comparison that cannot fail proves nothing: each scenario is long and varied enough to show a
/// difference.
#[test]
fn every_scenario_is_long_and_varied() {
    for scenario in SCENARIOS {
        let mut seen = Vec::new();
        scenario.run(&mut |bytes| seen.extend_from_slice(bytes));
        let kinds: BTreeSet<u8> = seen.iter().copied().collect();
        assert!(
            seen.len() > 1_000 && kinds.len() >= 4,
            "{}: {} bytes, {} kinds",
            scenario.name,
            seen.len(),
            kinds.len()
        );
    }
}
