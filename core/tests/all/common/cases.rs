//! How property tests run.

use proptest::test_runner::{Config, FileFailurePersistence};

/// So many cases; what fails is printed with its seed and kept in `NAME.regressions` beside the
/// test, to be tried first from then on.
pub fn cases(count: u32) -> Config {
    Config {
        cases: count,
        failure_persistence: Some(Box::new(FileFailurePersistence::WithSource("regressions"))),
        ..Config::default()
    }
}
