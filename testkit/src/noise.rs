//! Sound for tests that compare samples: as loud and as low-pitched as speech, never resembling
//! itself.

use fastrand::Rng;

/// Returns `samples` of noise with about the spectrum of speech (one-pole low-pass), RMS near 6000
/// and never clipped. The same seed gives the same sound; two seeds give unrelated ones.
pub fn noise(seed: u64, samples: usize) -> Vec<i16> {
    // The steady state of the filter y += 0.3 (x - y) has 0.42 times the RMS of its input; uniform
    // input has 0.58 of its peak.
    let mut rng = Rng::with_seed(seed);
    let mut low = 0.0;
    (0..samples)
        .map(|_| {
            low += 0.3 * ((rng.f64() - 0.5) * 50_000.0 - low);
            low as i16
        })
        .collect()
}

/// Like [`noise`], `1 / divisor` as loud.
pub fn soft_noise(seed: u64, samples: usize, divisor: i16) -> Vec<i16> {
    noise(seed, samples)
        .into_iter()
        .map(|sample| sample / divisor)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recording::{Recording, rms};

    #[test]
    fn noise_is_as_loud_as_promised_and_unlike_other_noise() {
        let one = noise(1, 32_000);
        assert!((5_000.0..7_000.0).contains(&rms(&one)), "{}", rms(&one));
        assert!(one.iter().all(|s| s.unsigned_abs() < 26_000));
        assert_eq!(one[..100], noise(1, 100));
        let found = Recording::new(&one).find(&noise(2, 4_000)).unwrap();
        assert!(found.similarity < 0.2, "{found:?}");
    }
}
