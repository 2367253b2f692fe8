//! Bounds for a hearing, and the faults of one that exceeds them.

use anyhow::{Result, ensure};

use super::Hearing;

/// Bounds for a hearing.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// The least share of frames heard.
    pub share: f64,
    /// The least similarity of these frames.
    pub similarity: f64,
    /// The longest gap.
    pub gap_ms: f64,
    /// The greatest delay.
    pub delay_ms: f64,
    /// The greatest difference between two delays.
    pub spread_ms: f64,
}

impl Bounds {
    /// Describes what is out of bounds in a hearing, with figures.
    pub fn faults(&self, hearing: &Hearing) -> Vec<String> {
        let spread = hearing.most_delay_ms - hearing.least_delay_ms;
        let percent = |share: f64| format!("{:.1} %", share * 100.0);
        let number = |value: f64| format!("{value:.4}");
        let ms = |value: f64| format!("{value:.0} ms");
        let least = |what: &str, is: f64, least: f64, shown: &dyn Fn(f64) -> String| {
            (is < least).then(|| format!("{what} {}, at least {}", shown(is), shown(least)))
        };
        let most = |what: &str, is: f64, most: f64| {
            (is > most).then(|| format!("{what} {}, at most {}", ms(is), ms(most)))
        };
        if hearing.share == 0.0 {
            return vec!["nothing heard within the bound of delay".to_owned()];
        }
        let faults = [
            least("heard", hearing.share, self.share, &percent),
            least("similarity", hearing.similarity, self.similarity, &number),
            most("gap", hearing.gap_ms, self.gap_ms),
            most("greatest delay", hearing.most_delay_ms, self.delay_ms),
            most("delay varies by", spread, self.spread_ms),
        ];
        faults.into_iter().flatten().collect()
    }

    /// Returns an error that names the faults of a hearing, if it has any.
    pub fn check(&self, what: &str, hearing: &Hearing) -> Result<()> {
        println!("{what}: {hearing}");
        let faults = self.faults(hearing);
        ensure!(
            faults.is_empty(),
            "{what}: {}; {hearing}",
            faults.join("; ")
        );
        Ok(())
    }
}
