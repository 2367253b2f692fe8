//! `cargo xtask bench`: what one frame costs in the core, in instructions, against the kept budget (`docs/PERFORMANCE.md` quotes both).
//!
//! Callgrind counts, so that a busy machine gives the same numbers. The accumulation of a mix has a limit of its own in the
//! bench itself; everything else may grow by [`TOLERANCE_PERCENT`] before somebody has to say that it is meant, with `--update`.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use comfy_table::{CellAlignment, Table};
use serde_json::Value;
use talkspurt_testkit::workspace;

use crate::report::{Verdict, table};
use crate::run::{cargo, line};
use crate::setup::{Purpose, ensure_for};

/// How far above its budget a part may be: what another patch release of the compiler may cost.
const TOLERANCE_PERCENT: u64 = 5;
/// Samples of the frame that every part is given: 20 ms at 16 kHz.
const SAMPLES: u64 = 320;

#[derive(clap::Args)]
pub struct Options {
    /// Keep what is counted as the new budget, in core/benches/budget.json
    #[arg(long)]
    update: bool,
}

/// Instructions by the name of the part: `encode.adpcm`.
type Counts = BTreeMap<String, u64>;

/// What the bench said.
#[derive(Debug, Default, PartialEq)]
struct Counted {
    counts: Counts,
    /// The parts that exceed a limit of the bench itself.
    over_limit: Vec<String>,
}

/// `cargo xtask bench`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Bench])?;
    let Counted { counts, over_limit } = count()?;
    if options.update {
        let text = serde_json::to_string_pretty(&counts)? + "\n";
        fs::write(budget_path(), text)?;
    }
    let budget = read_budget()?;
    println!("\n{}", counts_table(&counts, &budget));
    let off_budget = off_budget(&counts, &budget);
    for part in &over_limit {
        println!("{part} exceeds its hard limit in core/benches/instructions.rs");
    }
    for complaint in &off_budget {
        println!("{complaint}");
    }
    if !off_budget.is_empty() {
        println!("If that is meant, keep the new counts with: cargo xtask bench --update");
    }
    Ok(Verdict::from(
        over_limit.is_empty() && off_budget.is_empty(),
    ))
}

/// Runs the bench, which fails if one of its own limits is exceeded.
fn count() -> Result<Counted> {
    let mut bench = cargo();
    bench
        .args(["bench", "--package", "talkspurt-core", "--"])
        .arg("--output-format=json")
        .stdout(Stdio::piped());
    let line = line(&bench);
    eprintln!("  $ {line}");
    let child = bench
        .spawn()
        .with_context(|| format!("cannot start `{line}`"))?;
    let output = child.wait_with_output()?;
    let counted = parse(&String::from_utf8_lossy(&output.stdout))?;
    ensure!(
        !counted.counts.is_empty() && output.status.success() == counted.over_limit.is_empty(),
        "`{line}` failed ({})",
        output.status
    );
    Ok(counted)
}

/// gungraun writes a line of JSON for each part.
fn parse(output: &str) -> Result<Counted> {
    let mut counted = Counted::default();
    for line in output.lines().filter(|line| line.starts_with('{')) {
        let summary: Value = serde_json::from_str(line)?;
        let total = &summary["profiles"][0]["data"]["total"];
        let (Some(function), Some(id), Some(count), Some(regressions)) = (
            summary["function_name"].as_str(),
            summary["id"].as_str(),
            total["metrics"]["Ir"]["values"]["new"].as_u64(),
            total["regressions"].as_array(),
        ) else {
            anyhow::bail!("gungraun's summary has another form than version 7's: {line}");
        };
        let part = format!("{function}.{id}");
        if !regressions.is_empty() {
            counted.over_limit.push(part.clone());
        }
        counted.counts.insert(part, count);
    }
    Ok(counted)
}

fn budget_path() -> PathBuf {
    workspace::root().join("core/benches/budget.json")
}

fn read_budget() -> Result<Counts> {
    let path = budget_path();
    let text = fs::read_to_string(&path).with_context(|| {
        format!(
            "cannot read {}; make it with `cargo xtask bench --update`",
            path.display()
        )
    })?;
    serde_json::from_str(&text).with_context(|| format!("{} is no budget", path.display()))
}

/// What is not as it was, in a line each.
fn off_budget(counts: &Counts, budget: &Counts) -> Vec<String> {
    let over = counts.iter().filter_map(|(name, &count)| match budget.get(name) {
        None => Some(format!("{name} has no budget")),
        Some(&budget) => (count * 100 > budget * (100 + TOLERANCE_PERCENT)).then(|| {
            format!("{name} takes {count} instructions, more than {TOLERANCE_PERCENT} % above its {budget}")
        }),
    });
    let gone = budget
        .keys()
        .filter(|name| !counts.contains_key(*name))
        .map(|name| format!("{name} has a budget, but is not counted any more"));
    over.chain(gone).collect()
}

fn counts_table(counts: &Counts, budget: &Counts) -> Table {
    let mut table = table(["part", "instructions", "per sample", "budget", "change"]);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    for (name, &count) in counts {
        let per_sample = samples(name).map_or("-".to_owned(), |samples| {
            format!("{:.2}", count as f64 / samples as f64)
        });
        let (kept, change) = match budget.get(name) {
            Some(&kept) => {
                let percent = (count as f64 / kept as f64 - 1.0) * 100.0;
                (kept.to_string(), format!("{percent:+.1} %"))
            }
            None => ("-".to_owned(), "new".to_owned()),
        };
        table.add_row([name.clone(), count.to_string(), per_sample, kept, change]);
    }
    table
}

/// Samples that a part deals with: one frame, the frames of as many talkers as its name says, or none.
fn samples(name: &str) -> Option<u64> {
    let (_, id) = name.rsplit_once('.')?;
    match id.strip_prefix("of_") {
        Some(talkers) => Some(SAMPLES * talkers.parse::<u64>().ok()?),
        None => (id != "once").then_some(SAMPLES),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts<const N: usize>(counts: [(&str, u64); N]) -> Counts {
        counts.map(|(name, count)| (name.to_owned(), count)).into()
    }

    #[test]
    fn counts_are_read_from_gungrauns_summaries() {
        let summary = |id, regressions| {
            format!(
                r#"{{"function_name":"encode","id":"{id}","profiles":[{{"data":{{"total":{{"metrics":{{"Ir":{{"values":{{"new":21220,"old":21000}}}}}},"regressions":{regressions}}}}}}}]}}"#
            )
        };
        let output = [
            summary("adpcm", "[]"),
            "something else".to_owned(),
            summary("pcm16", r#"[{"Hard":{}}]"#),
        ];
        let counted = parse(&output.join("\n")).unwrap();
        assert_eq!(
            counted.counts,
            counts([("encode.adpcm", 21_220), ("encode.pcm16", 21_220)])
        );
        assert_eq!(counted.over_limit, ["encode.pcm16"]);
        let error = parse("{\"function_name\":\"encode\"}").unwrap_err();
        assert!(error.to_string().contains("another form"), "{error}");
    }

    #[test]
    fn five_per_cent_more_are_borne_and_not_one_instruction_more() {
        let budget = counts([("gate.open", 1_000)]);
        assert_eq!(
            off_budget(&counts([("gate.open", 1_050)]), &budget),
            [""; 0]
        );
        let complaints = off_budget(&counts([("gate.open", 1_051)]), &budget);
        assert!(
            complaints[0].contains("1051 instructions"),
            "{complaints:?}"
        );
    }

    #[test]
    fn parts_without_a_budget_and_budgets_without_a_part_are_named() {
        let complaints = off_budget(&counts([("new.frame", 1)]), &counts([("old.frame", 1)]));
        assert_eq!(complaints.len(), 2);
        assert!(complaints[0].starts_with("new.frame has no budget"));
        assert!(complaints[1].starts_with("old.frame has a budget"));
    }

    #[test]
    fn the_table_counts_by_sample_and_talker() {
        let counts = counts([
            ("accumulate.of_8", 3_722),
            ("level.frame", 640),
            ("ping.once", 9),
        ]);
        let table = counts_table(&counts, &Counts::new()).to_string();
        assert!(table.contains("1.45") && table.contains("2.00"), "{table}");
        assert_eq!(samples("ping.once"), None);
    }
}
