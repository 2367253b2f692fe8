//! `cargo xtask bench`: what one frame costs in the core, in instructions, against the kept budget
//! (`docs/PERFORMANCE.md` quotes both).
//!
//! Callgrind counts, so that a busy machine gives the same numbers. The accumulation of a mix has a
//! limit of its own in the bench itself; everything else may grow by 5 % before somebody has to say
//! that it is meant, with `--update`.

use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use talkspurt_testkit::workspace;

use crate::budget::{Budget, Figures};
use crate::report::Verdict;
use crate::run::{cargo, line};
use crate::setup::{Purpose, ensure_for};

/// Samples of the frame that every part is given: 20 ms at 16 kHz.
const SAMPLES: u64 = 320;

#[derive(clap::Args)]
pub struct Options {
    /// Keep what is counted as the new budget, in core/benches/budget.json
    #[arg(long)]
    update: bool,
}

/// What the bench said.
#[derive(Debug, Default)]
struct Counted {
    /// Instructions by the name of the part: `encode.adpcm`.
    counts: Figures,
    /// The parts that exceed a limit of the bench itself.
    over_limit: Vec<String>,
}

/// `cargo xtask bench`.
pub fn run(options: &Options) -> Result<Verdict> {
    ensure_for(&[Purpose::Bench])?;
    let Counted { counts, over_limit } = count()?;
    let path = &workspace::root().join("core/benches/budget.json");
    let budget = Budget {
        path,
        targets: &[],
        column: ("per sample", per_sample),
    };
    let verdict = budget.judge(&counts, options.update, |_| true)?;
    for part in &over_limit {
        println!("{part} exceeds its hard limit in core/benches/instructions.rs");
    }
    Ok(Verdict::from(
        verdict == Verdict::Good && over_limit.is_empty(),
    ))
}

/// Runs the bench, which fails if one of its own limits is exceeded.
fn count() -> Result<Counted> {
    let mut bench = cargo();
    bench
        .args(["bench", "--package", "talkspurt-core", "--"])
        .arg("--output-format=json");
    let line = line(&bench);
    eprintln!("  $ {line}");
    bench.stderr(Stdio::inherit());
    let output = bench
        .output()
        .with_context(|| format!("cannot start `{line}`"))?;
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

/// Instructions a sample, of a part that deals with one frame or with those of as many talkers as
/// its name says.
fn per_sample(name: &str, count: u64) -> String {
    let (_, id) = name.rsplit_once('.').unwrap_or_default();
    let frames: u64 = match id.strip_prefix("of_") {
        _ if id == "once" => return "-".to_owned(),
        talkers => talkers
            .and_then(|talkers| talkers.parse().ok())
            .unwrap_or(1),
    };
    format!("{:.2}", count as f64 / (SAMPLES * frames) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

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
            Figures::from(["encode.adpcm", "encode.pcm16"].map(|part| (part.to_owned(), 21_220)))
        );
        assert_eq!(counted.over_limit, ["encode.pcm16"]);
        let error = parse("{\"function_name\":\"encode\"}").unwrap_err();
        assert!(error.to_string().contains("another form"), "{error}");
    }

    #[test]
    fn a_part_is_counted_by_sample_and_talker() {
        assert_eq!(per_sample("accumulate.of_8", 3_722), "1.45");
        assert_eq!(per_sample("level.frame", 640), "2.00");
        assert_eq!(per_sample("ping.once", 9), "-");
    }
}
