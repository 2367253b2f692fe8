//! Tables that a person can read, and the verdict that becomes the exit code.

use std::time::Duration;

use anyhow::Result;
use comfy_table::{ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};

/// Whether everything was as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Exit code 0.
    Good,
    /// Exit code 1; what is wrong has been said.
    Bad,
}

impl From<bool> for Verdict {
    fn from(good: bool) -> Self {
        if good { Self::Good } else { Self::Bad }
    }
}

/// An empty table with these column titles.
pub fn table<const COLUMNS: usize>(titles: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table
        .load_style(UTF8_FULL_CONDENSED)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_header(titles);
    table
}

/// A duration as a person reads it: `0.4 s`, `12 s`, `3 min 05 s`.
pub fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..10 => format!("{:.1} s", duration.as_secs_f64()),
        10..60 => format!("{seconds} s"),
        _ => format!("{} min {:02} s", seconds / 60, seconds % 60),
    }
}

/// Steps that are all run, whatever becomes of one of them, and their table.
#[derive(Default)]
pub struct Steps {
    done: Vec<Step>,
}

struct Step {
    name: String,
    outcome: Outcome,
    took: Duration,
}

/// How a step ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// As it must.
    Passed,
    /// Not as it must, with the reason.
    Failed(String),
    /// Could not be run here, for a stated reason that is no fault of the project.
    Skipped(String),
}

impl From<()> for Outcome {
    fn from((): ()) -> Self {
        Self::Passed
    }
}

impl Steps {
    /// Runs a step and notes how it ended; without an error it has passed, unless it says more.
    pub fn run<T: Into<Outcome>>(&mut self, name: &str, step: impl FnOnce() -> Result<T>) {
        eprintln!("\n==> {name}");
        let started = std::time::Instant::now();
        let outcome = step().map(Into::into);
        let outcome = outcome.unwrap_or_else(|error| Outcome::Failed(format!("{error:#}")));
        if let Outcome::Failed(why) = &outcome {
            eprintln!("==> {name} FAILED: {why}");
        }
        self.done.push(Step {
            name: name.to_owned(),
            outcome,
            took: started.elapsed(),
        });
    }

    /// Whether one of them failed so far.
    pub fn have_failed(&self) -> bool {
        let mut outcomes = self.done.iter().map(|step| &step.outcome);
        outcomes.any(|outcome| matches!(outcome, Outcome::Failed(_)))
    }

    /// Prints the table of the steps; bad where one of them failed.
    pub fn finish(self) -> Verdict {
        println!("\n{}", self.table());
        Verdict::from(!self.have_failed())
    }

    fn table(&self) -> Table {
        let mut table = table(["step", "outcome", "time"]);
        for step in &self.done {
            let outcome = match &step.outcome {
                Outcome::Passed => "passed".to_owned(),
                Outcome::Failed(why) => format!("FAILED: {why}"),
                Outcome::Skipped(why) => format!("SKIPPED: {why}"),
            };
            table.add_row([step.name.clone(), outcome, duration(step.took)]);
        }
        table
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(duration(Duration::from_millis(440)), "0.4 s");
        assert_eq!(duration(Duration::from_secs(12)), "12 s");
        assert_eq!(duration(Duration::from_secs(185)), "3 min 05 s");
    }

    #[test]
    fn a_table_shows_every_step_and_one_failure_is_enough() {
        let mut steps = Steps::default();
        steps.run("formatting", || Ok(()));
        steps.run("advisories", || {
            Ok(Outcome::Skipped("no network".to_owned()))
        });
        let shown = steps.table().to_string();
        assert!(
            shown.contains("formatting") && shown.contains("SKIPPED: no network"),
            "{shown}"
        );
        steps.run("lints", || -> Result<()> { anyhow::bail!("two warnings") });
        assert!(steps.table().to_string().contains("FAILED: two warnings"));
        assert_eq!(steps.finish(), Verdict::Bad);
    }

    #[test]
    fn skipped_is_not_failed() {
        let mut steps = Steps::default();
        steps.run("advisories", || {
            Ok(Outcome::Skipped("no network".to_owned()))
        });
        assert_eq!(steps.finish(), Verdict::Good);
    }
}
