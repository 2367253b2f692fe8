//! A flag that ends a program cleanly: set by SIGINT, SIGTERM or SIGHUP, by a test, or by the
//! program itself.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::flag;
use talkspurt_host_kit::signals::hangup_is_ignored;

/// How long a sleeper may take to notice the flag.
const NOTICE: Duration = Duration::from_millis(20);

/// A flag that is set once and shared by everything that has to stop.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(Arc<AtomicBool>);

impl Shutdown {
    /// Creates a flag that SIGINT, SIGTERM and SIGHUP set. A program started by `nohup` survives
    /// the hang-up.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn on_signals() -> io::Result<Self> {
        // Checked first: a handler for an ignored SIGHUP would undo what `nohup` did.
        let with_hangup = !hangup_is_ignored();
        let shutdown = Self::default();
        for signal in [SIGINT, SIGTERM] {
            flag::register(signal, Arc::clone(&shutdown.0))?;
        }
        if with_hangup {
            flag::register(SIGHUP, Arc::clone(&shutdown.0))?;
        }
        Ok(shutdown)
    }

    /// Sets the flag.
    pub fn request(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Returns whether the flag is set.
    #[must_use]
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Sleeps for `duration`, or less if the flag is set or `wake` returns true.
    pub fn sleep_unless(&self, duration: Duration, mut wake: impl FnMut() -> bool) {
        let end = Instant::now() + duration;
        while !self.is_requested() && !wake() {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            thread::sleep(left.min(NOTICE));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_ends_a_long_sleep() {
        let shutdown = Shutdown::default();
        let sleeper = shutdown.clone();
        let thread =
            thread::spawn(move || sleeper.sleep_unless(Duration::from_secs(3600), || false));
        shutdown.request();
        thread.join().unwrap();
        assert!(shutdown.is_requested());
    }

    #[test]
    fn the_wake_condition_ends_it_too() {
        let mut asked = 0;
        Shutdown::default().sleep_unless(Duration::from_secs(3600), || {
            asked += 1;
            asked == 2
        });
        assert_eq!(asked, 2);
    }
}
