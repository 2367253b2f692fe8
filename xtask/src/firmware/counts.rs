//! What a firmware image says about itself at its end, as a table.

use anyhow::Result;
use comfy_table::Table;
use talkspurt_testkit::firmware::Counts;

use crate::report::table;

/// The counts, with what they come to.
pub fn table_of(counts: &Counts) -> Result<Table> {
    let count = |name: &str| counts.get(name);
    let up_ms = count("up_ms")?.max(1);
    let line = |bytes: u64| format!("{bytes} bytes, {} a second", bytes * 1_000 / up_ms);
    let mut table = table(["what", "how much"]);
    for (what, how_much) in [
        ("frames captured", count("captured")?.to_string()),
        ("frames sent", count("sent")?.to_string()),
        ("frames received", count("received")?.to_string()),
        (
            "frames played",
            format!("{}, {} concealed", count("played")?, count("concealed")?),
        ),
        (
            "missed deadlines",
            format!(
                "{}; the latest frame was {:.1} ms late",
                count("missed_deadlines")?,
                count("latest_frame_us")? as f64 / 1_000.0
            ),
        ),
        (
            "asleep",
            format!(
                "{:.1} % of {:.1} s",
                count("asleep_ms")? as f64 * 100.0 / up_ms as f64,
                up_ms as f64 / 1_000.0
            ),
        ),
        (
            "deepest stack",
            format!(
                "{} of {} bytes",
                count("deepest_stack")?,
                count("stack_size")?
            ),
        ),
        ("line out", line(count("out")?)),
        ("line in", line(count("in")?)),
        (
            "line damage",
            format!(
                "{} bytes dropped, {} CRC errors, {} overruns",
                count("dropped")?,
                count("crc_errors")?,
                count("overruns")?
            ),
        ),
        ("joined", format!("{} time(s)", count("joins")?)),
    ] {
        table.add_row([what.to_owned(), how_much]);
    }
    Ok(table)
}
