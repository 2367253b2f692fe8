//! The kept figures (`firmware-sim/image/budget.json`), the targets, and whether what was measured is as good as both.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

/// What was measured, by `PLACE/FIGURE`. Smaller is better, for all of them.
pub type Figures = BTreeMap<String, u64>;

/// How much larger than the kept one a figure may be, in percent (issue 3).
const WORSE_PERCENT_MAX: u64 = 5;

/// What a figure may be at most, whatever was kept. From issue 3, "What is measured".
struct Target {
    /// What the figure's name ends with.
    figure: &'static str,
    most: u64,
}

const TARGETS: [Target; 9] = [
    Target {
        figure: "/image_flash_bytes",
        most: 32 * 1024,
    },
    Target {
        figure: "/image_ram_and_stack_bytes",
        most: 16 * 1024,
    },
    Target {
        figure: "thumbv6m-none-eabi/core_flash_bytes",
        most: 16 * 1024,
    },
    Target {
        figure: "thumbv6m-none-eabi/core_ram_bytes",
        most: 8 * 1024,
    },
    Target {
        figure: "/loop_talking_and_listening",
        most: 80_000,
    },
    Target {
        figure: "/loop_talking_and_listening_worst",
        most: 80_000,
    },
    Target {
        // 50 packets of 180 bytes, and Pings.
        figure: "/link_adpcm_talking_bytes_per_s",
        most: 9_010,
    },
    Target {
        figure: "/link_adpcm_silent_bytes_per_s",
        most: 40,
    },
    Target {
        figure: "/link_pcm16_silent_bytes_per_s",
        most: 40,
    },
];

/// One figure, and what becomes of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Judged {
    pub name: String,
    pub measured: Option<u64>,
    pub kept: Option<u64>,
    pub target: Option<u64>,
    pub outcome: Outcome,
}

/// How a figure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As good as kept, or nearly.
    Good,
    /// So much better that the kept figure should follow.
    Better,
    /// More than 5 % worse than kept.
    Worse,
    /// Over its target.
    OverTarget,
    /// Nothing is kept for it yet.
    New,
    /// It is kept, and was not measured.
    Gone,
}

impl Outcome {
    /// Whether the command succeeds with it.
    pub const fn is_good(self) -> bool {
        matches!(self, Self::Good | Self::Better)
    }

    /// What to tell, and what to do.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Better => "better: keep it with --update",
            Self::Worse => "WORSE by more than 5 %: mend it, or keep it with --update and say why",
            Self::OverTarget => "OVER ITS TARGET",
            Self::New => "NEW: keep it with --update",
            Self::Gone => "NOT MEASURED: mend the measurement, or forget it with --update",
        }
    }
}

/// Compares what was measured with what was kept and with the targets.
pub fn judge(measured: &Figures, kept: &Figures) -> Vec<Judged> {
    let names = measured.keys().chain(kept.keys());
    let names: std::collections::BTreeSet<&String> = names.collect();
    names
        .into_iter()
        .map(|name| {
            let (measured, kept) = (measured.get(name).copied(), kept.get(name).copied());
            let target = target_of(name);
            Judged {
                name: name.clone(),
                measured,
                kept,
                target,
                outcome: outcome(measured, kept, target),
            }
        })
        .collect()
}

fn outcome(measured: Option<u64>, kept: Option<u64>, target: Option<u64>) -> Outcome {
    let Some(measured) = measured else {
        return Outcome::Gone;
    };
    if target.is_some_and(|most| measured > most) {
        return Outcome::OverTarget;
    }
    match kept {
        None => Outcome::New,
        Some(kept) if measured * 100 > kept * (100 + WORSE_PERCENT_MAX) => Outcome::Worse,
        Some(kept) if measured * (100 + WORSE_PERCENT_MAX) < kept * 100 => Outcome::Better,
        Some(_) => Outcome::Good,
    }
}

fn target_of(name: &str) -> Option<u64> {
    let mut targets = TARGETS.iter();
    Some(targets.find(|target| name.ends_with(target.figure))?.most)
}

/// Reads the kept figures; none where there is no file.
pub fn read(path: &Path) -> Result<Figures> {
    if !path.exists() {
        return Ok(Figures::new());
    }
    let text = fs::read_to_string(path)?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is not what `cargo xtask firmware measure --update` writes",
            path.display()
        )
    })
}

/// Keeps these figures from now on.
pub fn write(path: &Path, figures: &Figures) -> Result<()> {
    let text = serde_json::to_string_pretty(figures)? + "\n";
    fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(values: &[(&str, u64)]) -> Figures {
        values
            .iter()
            .map(|(name, value)| ((*name).to_owned(), *value))
            .collect()
    }

    fn outcome_of(name: &str, measured: u64, kept: u64) -> Outcome {
        let judged = judge(&figures(&[(name, measured)]), &figures(&[(name, kept)]));
        judged[0].outcome
    }

    #[test]
    fn five_percent_are_allowed_and_no_more() {
        assert_eq!(outcome_of("b/level", 2_000, 2_000), Outcome::Good);
        assert_eq!(outcome_of("b/level", 2_100, 2_000), Outcome::Good);
        assert_eq!(outcome_of("b/level", 2_101, 2_000), Outcome::Worse);
        assert_eq!(outcome_of("b/level", 1_900, 2_000), Outcome::Better);
        assert_eq!(outcome_of("b/link", 1, 0), Outcome::Worse);
    }

    #[test]
    fn a_target_counts_whatever_is_kept() {
        assert_eq!(
            outcome_of("b/image_flash_bytes", 32_768, 32_768),
            Outcome::Good
        );
        assert_eq!(
            outcome_of("b/image_flash_bytes", 32_769, 32_769),
            Outcome::OverTarget
        );
        assert_eq!(
            outcome_of("b/loop_talking_and_listening_worst", 80_001, 90_000),
            Outcome::OverTarget
        );
        // Of the core there is a target for one processor only.
        assert_eq!(
            outcome_of("thumbv7m-none-eabi/core_flash_bytes", 20_000, 20_000),
            Outcome::Good
        );
    }

    #[test]
    fn figures_that_come_and_go_are_noticed() {
        let judged = judge(&figures(&[("new", 1)]), &figures(&[("old", 2)]));
        let outcomes: Vec<_> = judged.iter().map(|one| one.outcome).collect();
        assert_eq!(outcomes, [Outcome::New, Outcome::Gone]);
        assert!(outcomes.iter().all(|outcome| !outcome.is_good()));
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budget.json");
        assert_eq!(read(&path).unwrap(), Figures::new());
        let kept = figures(&[("a/b", 1), ("a/c", u64::MAX)]);
        write(&path, &kept).unwrap();
        assert_eq!(read(&path).unwrap(), kept);
        fs::write(&path, "{").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("--update"));
    }
}
