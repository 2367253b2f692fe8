//! The only clock of the server.

use talkspurt_core::time::{Duration, Instant};
use tokio::sync::Notify;

use kernel_timer::KernelTimer;

mod kernel_timer;

/// Tells the time, and wakes the one task that does all work due by time.
#[derive(Debug)]
pub struct Ticker {
    epoch: tokio::time::Instant,
    earlier: Notify,
    timer: Option<KernelTimer>,
}

impl Default for Ticker {
    /// Starts a clock at zero that follows the runtime's, which may be virtual.
    fn default() -> Self {
        Self {
            epoch: tokio::time::Instant::now(),
            earlier: Notify::new(),
            timer: None,
        }
    }
}

/// Deadlines within so much are one. With 200 rooms in which people talk, a server that is woken
/// for each by itself takes half as much CPU again (measured); with this it is a sixth.
const GRAIN_MICROS: u64 = 500;

/// The first moment from there on at which the ticker wakes.
fn whole(deadline: Instant) -> Instant {
    let micros = deadline.as_micros().checked_next_multiple_of(GRAIN_MICROS);
    Instant::from_micros(micros.unwrap_or(u64::MAX))
}

impl Ticker {
    /// Starts a clock at zero that wakes within half a millisecond where the system has a
    /// timer for that.
    pub fn precise() -> Self {
        Self {
            timer: KernelTimer::new(),
            ..Self::default()
        }
    }

    /// Returns the microseconds since the ticker was made.
    pub fn now(&self) -> Instant {
        Instant::ZERO + Duration::from(self.epoch.elapsed())
    }

    /// Returns at `deadline` (`None`: never), or earlier if [`Ticker::wake_earlier`] is called.
    pub async fn sleep_until(&self, deadline: Option<Instant>) {
        match deadline {
            Some(deadline) => {
                tokio::select! {
                    () = self.pass(deadline) => {}
                    () = self.earlier.notified() => {}
                }
            }
            None => self.earlier.notified().await,
        }
    }

    /// Timers of the runtime count whole milliseconds and round up. Each frame of voice would wait
    /// for that.
    async fn pass(&self, deadline: Instant) {
        let left = whole(deadline).duration_since(self.now());
        if let Some(timer) = &self.timer
            && timer.sleep(left.into()).await.is_ok()
        {
            return;
        }
        let at = self.epoch + std::time::Duration::from_micros(deadline.as_micros());
        tokio::time::sleep_until(at).await;
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

    #[tokio::test]
    async fn a_precise_one_keeps_each_deadline_and_none_of_before() {
        let ticker = Ticker::precise();
        assert_eq!(ticker.timer.is_some(), cfg!(target_os = "linux"));
        // A deadline that is given up must not end the next sleep.
        let soon = ticker.now() + Duration::from_millis(2);
        tokio::time::timeout(std::time::Duration::ZERO, ticker.pass(soon))
            .await
            .expect_err("it lies ahead");
        std::thread::sleep(std::time::Duration::from_millis(4));
        for micros in [0, 1, 300, 1_700, 20_000] {
            let deadline = ticker.now() + Duration::from_micros(micros);
            ticker.sleep_until(Some(deadline)).await;
            assert!(ticker.now() >= deadline, "{micros} us");
        }
        // What has passed is no reason to wait.
        ticker.sleep_until(Some(Instant::ZERO)).await;
    }

    #[tokio::test(start_paused = true)]
    async fn wakes_earlier_when_told_even_before_sleeping() {
        let ticker = Ticker::default();
        ticker.wake_earlier();
        ticker.sleep_until(None).await;
        assert_eq!(ticker.now().duration_since(Instant::ZERO).as_millis(), 0);
    }
}
