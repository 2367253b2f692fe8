//! What a firmware image says about itself at its end, as a table.

use anyhow::Result;
use comfy_table::Table;
use talkspurt_testkit::firmware::Counts;

use crate::report::table;

/// The counts, with what they come to.
pub fn table_of(counts: &Counts) -> Result<Table> {
    let count = |name: &str| counts.get(name);
    let (played, concealed) = (count("played")?, count("concealed")?);
    let missed = count("missed_deadlines")?;
    let late_ms = count("latest_frame_us")? as f64 / 1_000.0;
    let up_ms = count("up_ms")?.max(1);
    let up_s = up_ms as f64 / 1_000.0;
    let asleep_percent = count("asleep_ms")? as f64 * 100.0 / up_ms as f64;
    let (deepest, stack_size) = (count("deepest_stack")?, count("stack_size")?);
    let line = |bytes: u64| format!("{bytes} bytes, {} a second", bytes * 1_000 / up_ms);
    let (dropped, crc_errors) = (count("dropped")?, count("crc_errors")?);
    let overruns = count("overruns")?;
    let late = format!("{missed}; the latest frame was {late_ms:.1} ms late");
    let damage = format!("{dropped} bytes dropped, {crc_errors} CRC errors, {overruns} overruns");
    let mut table = table(["what", "how much"]);
    for (what, how_much) in [
        ("frames captured", count("captured")?.to_string()),
        ("frames sent", count("sent")?.to_string()),
        ("frames received", count("received")?.to_string()),
        ("frames played", format!("{played}, {concealed} concealed")),
        ("missed deadlines", late),
        ("asleep", format!("{asleep_percent:.1} % of {up_s:.1} s")),
        ("deepest stack", format!("{deepest} of {stack_size} bytes")),
        ("line out", line(count("out")?)),
        ("line in", line(count("in")?)),
        ("line damage", damage),
        ("joined", format!("{} time(s)", count("joins")?)),
    ] {
        table.add_row([what.to_owned(), how_much]);
    }
    Ok(table)
}
