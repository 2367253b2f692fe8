//! How property tests run.

use proptest::test_runner::{Config, FileFailurePersistence};

/// Runs `count` cases. A failure prints its seed and keeps it in `NAME.regressions` beside the
/// test; later runs try it first.
pub fn cases(count: u32) -> Config {
    Config {
        cases: count,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
