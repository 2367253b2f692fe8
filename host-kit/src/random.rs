//! Numbers that nobody can foresee, and that do not come again.

use std::hash::{BuildHasher as _, RandomState};

/// Returns 64 random bits. They come from the system, by way of the keys that the standard library
/// draws for its maps: good for names of sessions and for waits, not for keys.
pub fn random() -> u64 {
    RandomState::new().hash_one(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_comes_again() {
        let numbers: std::collections::HashSet<u64> = (0..1_000).map(|_| random()).collect();
        assert_eq!(numbers.len(), 1_000);
    }
}
