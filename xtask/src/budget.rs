//! Figures that are kept in a file, and whether what is measured now is as good as that.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use comfy_table::{CellAlignment, Table};

use crate::report::{Verdict, table};

/// What was measured, by its name. Smaller is better, for all of them.
pub type Figures = BTreeMap<String, u64>;

/// How much larger than the kept one a figure may be, in percent (issue 3): what another patch
/// release of the compiler may cost.
const WORSE_PERCENT_MAX: u64 = 5;

/// Figures of one kind.
pub struct Budget<'a> {
    /// Where they are kept.
    pub path: &'a Path,
    /// What a figure may be at most, whatever is kept, by the end of its name.
    pub targets: &'a [(&'a str, u64)],
    /// One more column: its title, and what it says of a figure.
    pub column: (&'a str, fn(&str, u64) -> String),
}

/// How a figure stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
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
    /// What to tell, and what to do.
    const fn text(self) -> &'static str {
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

impl Budget<'_> {
    /// Keeps what was measured, if `update` says so. Prints it beside what is kept; good where all
    /// of it is. Kept figures that `is_measured` does not name are left out.
    pub fn judge(
        &self,
        measured: &Figures,
        update: bool,
        is_measured: impl Fn(&str) -> bool,
    ) -> Result<Verdict> {
        if update {
            let text = serde_json::to_string_pretty(measured)? + "\n";
            fs::write(self.path, text)
                .with_context(|| format!("{} cannot be written", self.path.display()))?;
        }
        let mut kept = self.kept()?;
        kept.retain(|name, _| is_measured(name));
        let (table, good) = self.table(measured, &kept);
        println!("\n{table}");
        Ok(Verdict::from(good))
    }

    /// What stands how, and whether all of it is good.
    fn table(&self, measured: &Figures, kept: &Figures) -> (Table, bool) {
        let (title, column) = self.column;
        let mut table = table(["figure", "measured", title, "kept", "change", "outcome"]);
        table.column_iter_mut().skip(1).take(4).for_each(|column| {
            column.set_cell_alignment(CellAlignment::Right);
        });
        let mut good = true;
        for name in measured.keys().chain(kept.keys()).collect::<BTreeSet<_>>() {
            let (measured, kept) = (measured.get(name).copied(), kept.get(name).copied());
            let outcome = self.outcome(name, measured, kept);
            good &= matches!(outcome, Outcome::Good | Outcome::Better);
            let number = |value: Option<u64>| value.map_or("-".to_owned(), |v| v.to_string());
            let change = measured.zip(kept).map(|(measured, kept)| {
                format!(
                    "{:+.1} %",
                    (measured as f64 / kept.max(1) as f64 - 1.0) * 100.0
                )
            });
            table.add_row([
                name.clone(),
                number(measured),
                measured.map_or("-".to_owned(), |measured| column(name, measured)),
                number(kept),
                change.unwrap_or("-".to_owned()),
                outcome.text().to_owned(),
            ]);
        }
        (table, good)
    }

    fn outcome(&self, name: &str, measured: Option<u64>, kept: Option<u64>) -> Outcome {
        match (measured, kept) {
            (None, _) => Outcome::Gone,
            (Some(measured), _)
                if target(self.targets, name).is_some_and(|most| measured > most) =>
            {
                Outcome::OverTarget
            }
            (_, None) => Outcome::New,
            (Some(new), Some(old)) if new * 100 > old * (100 + WORSE_PERCENT_MAX) => Outcome::Worse,
            (Some(new), Some(old)) if new * (100 + WORSE_PERCENT_MAX) < old * 100 => {
                Outcome::Better
            }
            _ => Outcome::Good,
        }
    }

    /// What is kept; nothing where there is no file.
    fn kept(&self) -> Result<Figures> {
        if !self.path.exists() {
            return Ok(Figures::new());
        }
        let path = self.path.display();
        let wrong = || format!("{path} is not what --update writes: make it again with --update");
        let text = fs::read_to_string(self.path).with_context(wrong)?;
        serde_json::from_str(&text).with_context(wrong)
    }
}

/// The target of a figure, of these.
pub fn target(targets: &[(&str, u64)], name: &str) -> Option<u64> {
    let target = targets.iter().find(|(figure, _)| name.ends_with(figure));
    target.map(|&(_, most)| most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn budget(path: &Path) -> Budget<'_> {
        let targets = &[
            ("/flash_bytes", 32_768),
            ("m0/core_bytes", 16_384),
            ("_worst", 80_000),
        ];
        Budget {
            path,
            targets,
            column: ("double", |_, value| (2 * value).to_string()),
        }
    }

    fn outcome(name: &str, measured: u64, kept: u64) -> Outcome {
        budget(Path::new("")).outcome(name, Some(measured), Some(kept))
    }

    #[test]
    fn five_percent_are_allowed_and_no_more() {
        assert_eq!(outcome("b/level", 2_000, 2_000), Outcome::Good);
        assert_eq!(outcome("b/level", 2_100, 2_000), Outcome::Good);
        assert_eq!(outcome("b/level", 2_101, 2_000), Outcome::Worse);
        assert_eq!(outcome("b/level", 1_900, 2_000), Outcome::Better);
        assert_eq!(outcome("b/link", 1, 0), Outcome::Worse);
    }

    #[test]
    fn a_target_counts_whatever_is_kept() {
        assert_eq!(outcome("b/flash_bytes", 32_768, 32_768), Outcome::Good);
        assert_eq!(
            outcome("b/flash_bytes", 32_769, 32_769),
            Outcome::OverTarget
        );
        assert_eq!(outcome("b/loop_worst", 80_001, 90_000), Outcome::OverTarget);
        // Of the core there is a target for one processor only.
        assert_eq!(outcome("m3/core_bytes", 20_000, 20_000), Outcome::Good);
    }

    #[test]
    fn figures_that_come_and_go_are_noticed() {
        let budget = budget(Path::new(""));
        assert_eq!(budget.outcome("new", Some(1), None), Outcome::New);
        assert_eq!(budget.outcome("old", None, Some(2)), Outcome::Gone);
    }

    #[test]
    fn what_is_kept_is_judged_and_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("budget.json");
        let budget = budget(&path);
        let figures = |values: &[(&str, u64)]| -> Figures {
            values
                .iter()
                .map(|(name, value)| ((*name).to_owned(), *value))
                .collect()
        };
        let judge = |values, update| budget.judge(&figures(values), update, |name| name != "c");
        assert_eq!(
            judge(&[("a", 1)], false).unwrap(),
            Verdict::Bad,
            "it is new"
        );
        let all = [("a", 1), ("b", u64::MAX / 200), ("c", 3)];
        judge(&all, true).unwrap();
        assert_eq!(budget.kept().unwrap(), figures(&all));
        assert_eq!(
            judge(&all[..2], false).unwrap(),
            Verdict::Good,
            "c is not measured"
        );
        assert_eq!(judge(&all[..1], false).unwrap(), Verdict::Bad, "b is gone");
        fs::write(&path, "{").unwrap();
        assert!(
            judge(&all, false)
                .unwrap_err()
                .to_string()
                .contains("--update")
        );
        assert_eq!(judge(&all[..2], true).unwrap(), Verdict::Good);
    }

    #[test]
    fn the_table_shows_what_is_measured_kept_and_better() {
        let budget = budget(Path::new(""));
        let kept = Figures::from([("a".to_owned(), 100), ("gone".to_owned(), 7)]);
        let measured = Figures::from([("a".to_owned(), 90), ("new".to_owned(), 5)]);
        let (table, good) = budget.table(&measured, &kept);
        let table = table.to_string();
        for text in ["180", "-10.0 %", "better", "NEW", "NOT MEASURED"] {
            assert!(table.contains(text), "{text} is missing:\n{table}");
        }
        assert!(!good);
    }
}
