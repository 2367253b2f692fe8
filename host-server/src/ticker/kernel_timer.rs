//! A timer of the kernel: a descriptor that becomes readable at a time.

use std::io;
use std::time::Duration;

#[cfg(not(target_os = "linux"))]
pub(super) use elsewhere::KernelTimer;
#[cfg(target_os = "linux")]
pub(super) use linux::KernelTimer;

#[cfg(target_os = "linux")]
mod linux {
    use super::{Duration, io};

    use std::os::fd::OwnedFd;

    use rustix::time::{
        Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create,
        timerfd_settime,
    };
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    const NONE: Timespec = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    /// A time of zero would stop the timer.
    const SHORTEST: Duration = Duration::from_nanos(1);

    /// One timer, for one sleeper at a time.
    #[derive(Debug)]
    pub struct KernelTimer {
        fd: AsyncFd<OwnedFd>,
    }

    impl KernelTimer {
        /// `None` if there is no descriptor left. Panics outside of a runtime.
        pub fn new() -> Option<Self> {
            let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
            let fd = timerfd_create(TimerfdClockId::Monotonic, flags).ok()?;
            #[expect(
                deprecated,
                reason = "unsound for types that lend any descriptor; this one owns its own"
            )]
            let fd = AsyncFd::new(fd).ok()?;
            Some(Self { fd })
        }

        /// Returns after `span`. A sleep that is dropped before its end does not end the next one.
        pub async fn sleep(&self, span: Duration) -> io::Result<()> {
            let span = span.max(SHORTEST);
            let once = Itimerspec {
                it_interval: NONE,
                it_value: span.try_into().map_err(io::Error::other)?,
            };
            timerfd_settime(&self.fd, TimerfdTimerFlags::empty(), &once)?;
            let mut expirations = [0; 8];
            let expired = |fd: &OwnedFd| Ok(rustix::io::read(fd, &mut expirations)?);
            self.fd.async_io(Interest::READABLE, expired).await?;
            Ok(())
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod elsewhere {
    use super::{Duration, io};

    /// There is no such timer here.
    #[derive(Debug)]
    pub enum KernelTimer {}

    impl KernelTimer {
        /// Returns `None`.
        pub fn new() -> Option<Self> {
            None
        }

        /// Is never called.
        pub async fn sleep(&self, _span: Duration) -> io::Result<()> {
            match *self {}
        }
    }
}
