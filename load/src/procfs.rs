//! What the operating system says of a process: CPU time and resident memory, from `/proc`
//! (proc(5)).

use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, Result};

/// CPU time that process `pid` has used so far, user and system together, all its threads.
///
/// `stat` counts in clock ticks (10 ms), ended threads included. `schedstat` counts the same in
/// nanoseconds, of living threads only. The finer count is given where both agree; where they do
/// not, threads have ended, and the coarser one is right.
///
/// # Errors
/// The process is gone, or its `/proc` cannot be read.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let ticks_per_second = rustix::param::clock_ticks_per_second();
    let coarse = parse_stat(&read(&format!("/proc/{pid}/stat"))?, ticks_per_second)
        .with_context(|| format!("cannot understand /proc/{pid}/stat"))?;
    let tick = Duration::from_secs(1) / ticks_per_second as u32;
    Ok(match fine_cpu_time(pid) {
        // User and system time are each rounded down.
        Some(fine) if fine.abs_diff(coarse) <= 2 * tick => fine,
        _ => coarse,
    })
}

/// Memory of process `pid` that is in RAM, in bytes.
///
/// # Errors
/// The process is gone, or its `/proc` cannot be read.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    parse_resident(&read(&format!("/proc/{pid}/status"))?)
        .with_context(|| format!("no VmRSS in /proc/{pid}/status"))
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {path}"))
}

fn fine_cpu_time(pid: u32) -> Option<Duration> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    let of_thread = |thread: io::Result<fs::DirEntry>| {
        parse_schedstat(&fs::read_to_string(thread.ok()?.path().join("schedstat")).ok()?)
    };
    threads.map(of_thread).sum()
}

/// Fields 14 and 15 (utime, stime) of `stat`. Field 2, the program's name in parentheses, may hold
/// spaces and parentheses.
fn parse_stat(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let after_name = stat.get(stat.rfind(')')? + 1..)?;
    let mut fields = after_name.split_ascii_whitespace().skip(14 - 3);
    let user_ticks: u64 = fields.next()?.parse().ok()?;
    let system_ticks: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_nanos(
        (user_ticks + system_ticks) * (1_000_000_000 / ticks_per_second),
    ))
}

/// The first field of `schedstat`: nanoseconds on a CPU.
fn parse_schedstat(schedstat: &str) -> Option<Duration> {
    let nanos = schedstat.split_ascii_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanos))
}

fn parse_resident(status: &str) -> Option<u64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stat_is_read_behind_a_name_with_spaces_and_parentheses() {
        let stat = "4242 (talk ) spurt (x) S 1 4242 4242 0 -1 4194304 500 0 0 0 123 45 6 7 20 0 1 0 99 1 2";
        assert_eq!(parse_stat(stat, 100), Some(Duration::from_millis(1_680)));
        assert_eq!(parse_stat("4242 (x) S 1", 100), None);
        assert_eq!(parse_stat("", 100), None);
    }

    #[test]
    fn schedstat_counts_nanoseconds() {
        assert_eq!(
            parse_schedstat("1351359 35370 2\n"),
            Some(Duration::from_nanos(1_351_359))
        );
        assert_eq!(parse_schedstat(""), None);
    }

    #[test]
    fn resident_memory_is_in_kib() {
        let status = "Name:\tx\nVmHWM:\t    9999 kB\nVmRSS:\t    1234 kB\nRssAnon:\t 5 kB\n";
        assert_eq!(parse_resident(status), Some(1234 * 1024));
        assert_eq!(parse_resident("Name:\tx\n"), None);
    }

    #[test]
    fn this_process_is_seen_to_work() {
        let pid = std::process::id();
        let before = cpu_time(pid).unwrap();
        let mut sum = 0u64;
        while cpu_time(pid).unwrap() < before + Duration::from_millis(50) {
            sum = (0..100_000u64).fold(sum, |a, b| std::hint::black_box(a ^ b));
        }
        assert!(resident_bytes(pid).unwrap() > 100 * 1024);
        assert!(cpu_time(u32::MAX).is_err());
    }
}
