//! The only clock of the server.

use talkspurt_core::time::{Duration, Instant};
use tokio::sync::Notify;

/// Tells the time, and wakes the one task that does all work due by time.
#[derive(Debug)]
pub struct Ticker {
    epoch: tokio::time::Instant,
    earlier: Notify,
}

impl Default for Ticker {
    /// Starts a clock at zero.
    fn default() -> Self {
        Self {
            epoch: tokio::time::Instant::now(),
            earlier: Notify::new(),
        }
    }
}

impl Ticker {
    /// Returns the microseconds since the ticker was made.
    pub fn now(&self) -> Instant {
        Instant::ZERO + Duration::from(self.epoch.elapsed())
    }

    /// Returns at `deadline` (`None`: never), or earlier if [`Ticker::wake_earlier`] is called.
    ///
    /// Timers of the runtime count whole milliseconds and round up, so it returns up to about 1 ms
    /// late.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                let at = self.epoch + std::time::Duration::from_micros(deadline.as_micros());
                tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.earlier.notified() => {}
                }
            }
            None => self.earlier.notified().await,
        }
    }

    /// Wakes the driver, because its deadline may no longer be the earliest.
    pub fn wake_earlier(&self) {
        self.earlier.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn sleeps_until_the_deadline() {
        let ticker = Ticker::default();
        let deadline = ticker.now() + Duration::from_millis(20);
        ticker.sleep_until(Some(deadline)).await;
        assert!(ticker.now() >= deadline);
        assert!(ticker.now().duration_since(deadline) <= Duration::from_millis(1));
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_earlier_when_told_even_before_sleeping() {
        let ticker = Ticker::default();
        ticker.wake_earlier();
        ticker.sleep_until(None).await;
        assert_eq!(ticker.now().duration_since(Instant::ZERO).as_millis(), 0);
    }
}
