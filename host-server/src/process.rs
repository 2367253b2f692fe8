//! The operating system's figures of this process, under the names that every exporter uses.
//! Without `/proc` there are none.

use std::fs;

/// `/proc` counts time in hundredths of a second on every Linux that programs see (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

/// Figures of this process. Those that cannot be read are missing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// User and system time used so far.
    pub cpu_seconds: Option<f64>,
    /// Resident memory.
    pub resident_bytes: Option<f64>,
    /// Open file descriptors.
    pub open_fds: Option<f64>,
    /// Maximum number of open file descriptors.
    pub max_fds: Option<f64>,
    /// When the process started, in seconds since 1970.
    pub start_time_seconds: Option<f64>,
}

impl Process {
    /// Reads the current figures.
    pub fn read() -> Self {
        let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let boot = fs::read_to_string("/proc/stat").unwrap_or_default();
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let open = fs::read_dir("/proc/self/fd");
        let most = rlimit::Resource::NOFILE.get_soft();
        Self {
            cpu_seconds: cpu_seconds(&stat),
            resident_bytes: resident_bytes(&status),
            // One of them is the descriptor that lists them.
            open_fds: open.ok().map(|list| list.count().saturating_sub(1) as f64),
            max_fds: most.ok().map(|most| most as f64),
            start_time_seconds: start_time_seconds(&stat, &boot),
        }
    }
}

/// Returns the fields of `/proc/self/stat` from the third on. The second is a name that may contain
/// spaces and brackets.
fn fields(stat: &str) -> Vec<&str> {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    after_name.split_whitespace().collect()
}

fn cpu_seconds(stat: &str) -> Option<f64> {
    let fields = fields(stat);
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some((ticks(14)? + ticks(15)?) / TICKS_PER_SECOND)
}

fn start_time_seconds(stat: &str, boot: &str) -> Option<f64> {
    let ticks = fields(stat).get(22 - 3)?.parse::<f64>().ok()?;
    let line = boot.lines().find_map(|line| line.strip_prefix("btime "))?;
    Some(line.trim().parse::<f64>().ok()? + ticks / TICKS_PER_SECOND)
}

fn resident_bytes(status: &str) -> Option<f64> {
    let mut lines = status.lines();
    let line = lines.find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = line.trim().strip_suffix(" kB")?.trim().parse().ok()?;
    Some(kib * 1_024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "4711 (talk) (spurt)) S 1 4711 4711 0 -1 4194304 900 0 0 0 150 50 \
                        0 0 20 0 3 0 12345 99999 800 x";

    #[test]
    fn the_figures_are_read_from_the_documented_fields() {
        assert_eq!(cpu_seconds(STAT), Some(2.0));
        assert_eq!(
            start_time_seconds(STAT, "cpu 1 2\nbtime 1700000000\n"),
            Some(1_700_000_123.45)
        );
        assert_eq!(
            resident_bytes("VmPeak:\t 9 kB\nVmRSS:\t    2048 kB\n"),
            Some(2.0 * 1_024.0 * 1_024.0)
        );
        assert_eq!(
            (
                cpu_seconds(""),
                start_time_seconds("", ""),
                resident_bytes("")
            ),
            (None, None, None)
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_has_all_figures() {
        let process = Process::read();
        assert!(process.resident_bytes.unwrap() > 100_000.0, "{process:?}");
        assert!(process.open_fds.unwrap() >= 3.0 && process.max_fds.unwrap() >= 3.0);
        assert!(process.start_time_seconds.unwrap() > 1_600_000_000.0);
        assert!(process.cpu_seconds.is_some());
    }
}
