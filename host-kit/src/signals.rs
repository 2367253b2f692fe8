//! Signals that a program was started with.

/// Returns whether the program was started with SIGHUP ignored, as by `nohup`. Then it must not set
/// a handler. Only Linux can tell; elsewhere it returns false.
#[must_use]
pub fn hangup_is_ignored() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    ignores_hangup(&status)
}

fn ignores_hangup(status: &str) -> bool {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let signals = ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // Signal 1 is bit 0.
    signals.is_some_and(|signals| signals & 1 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_signal_is_the_lowest_bit() {
        for (mask, is_ignored) in [
            ("0000000000000001", true),
            ("0000000000001001", true),
            ("0000000000001000", false),
            ("fffffffffffffffe", false),
        ] {
            let status =
                format!("Name:\tx\nSigBlk:\tffffffffffffffff\nSigIgn:\t{mask}\nSigCgt:\t1\n");
            assert_eq!(ignores_hangup(&status), is_ignored, "{mask}");
        }
        assert!(!ignores_hangup(""));
    }
}
