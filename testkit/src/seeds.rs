//! Seeds of the randomised tests. A failure prints its seed, and `TALKSPURT_SEED` in the
//! environment runs that seed alone.

use std::env;

/// The variable that names one seed to run instead of the fixed ones.
pub const SEED: &str = "TALKSPURT_SEED";

/// The seeds without [`SEED`]: the same in every run, so that a new failure is due to a change and
/// not to chance.
const FIXED: [u64; 8] = [1, 2, 3, 0x7A1C_5907, 8_255, 16_000, u64::MAX, 42];

/// Runs `test` with `count` seeds (at most 8), or only with the seed in the environment. A failure
/// prints its seed.
pub fn for_each_seed(count: usize, test: impl Fn(u64)) {
    let asked_for = env::var(SEED).ok().map(|text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{SEED} must be a whole number, not \"{text}\""))
    });
    match asked_for {
        Some(seed) => run(seed, &test),
        None => FIXED[..count].iter().for_each(|&seed| run(seed, &test)),
    }
}

fn run(seed: u64, test: &impl Fn(u64)) {
    let told = PrintOnPanic(seed);
    test(seed);
    drop(told);
}

struct PrintOnPanic(u64);

impl Drop for PrintOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the failing seed: {SEED}={}", self.0);
        }
    }
}
