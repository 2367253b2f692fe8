//! The log: defmt over semihosting with the feature `log`, and nothing without it.

use talkspurt_core::time::Instant;

#[cfg(feature = "log")]
mod enabled {
    use core::sync::atomic::{AtomicU32, Ordering};

    use defmt_semihosting as _;

    /// Time for the log's timestamps: the loop's latest reading. Wraps after 49 days.
    pub(super) static NOW_MS: AtomicU32 = AtomicU32::new(0);

    defmt::timestamp!("{=u32:ms}", NOW_MS.load(Ordering::Relaxed));
}

/// Sets the timestamp of the next lines.
#[inline]
pub fn set_time(now: Instant) {
    #[cfg(feature = "log")]
    enabled::NOW_MS.store(
        (now.as_micros() / 1_000) as u32,
        core::sync::atomic::Ordering::Relaxed,
    );
    let _ = now;
}

#[cfg(feature = "log")]
pub use defmt::{debug, error, info, warn};

/// Logs nothing, at no cost.
#[cfg(not(feature = "log"))]
#[doc(hidden)]
#[macro_export]
macro_rules! log_nothing {
    ($text:literal $(, $argument:expr)* $(,)?) => {{
        $(let _ = &$argument;)*
    }};
}

#[cfg(not(feature = "log"))]
pub use {log_nothing as debug, log_nothing as error, log_nothing as info, log_nothing as warn};
