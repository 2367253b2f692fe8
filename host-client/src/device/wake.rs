//! Wakes the session's thread from an audio callback.
//!
//! A callback must not lock or allocate, so it writes one byte to a pipe, and only while the
//! session waits for it ([`Shared::wake_at`](super::shared::Shared::wake_at)). Where there are no
//! pipes the session wakes by its own clock.

#[cfg(unix)]
pub use unix::{Wake, Waker, pipe};

#[cfg(not(unix))]
pub use elsewhere::{Wake, Waker, pipe};

#[cfg(unix)]
mod unix {
    use std::{
        fs::File,
        future::pending,
        io::{self, Write as _},
        sync::Arc,
    };
    use tokio::net::unix::pipe::{Receiver, Sender};

    /// The callback's end.
    #[derive(Debug, Clone)]
    pub struct Waker(Arc<File>);

    /// The session's end.
    #[derive(Debug)]
    pub struct Wake(Receiver);

    /// Creates both ends. Needs a running runtime.
    ///
    /// # Errors
    /// If the system has no descriptors left.
    pub fn pipe() -> io::Result<(Waker, Wake)> {
        let (reader, writer) = io::pipe()?;
        let writer = Sender::from_owned_fd(writer.into())?.into_nonblocking_fd()?;
        let wake = Receiver::from_owned_fd(reader.into())?;
        Ok((Waker(Arc::new(writer.into())), Wake(wake)))
    }

    impl Waker {
        /// Wakes the session. Never blocks.
        pub fn wake(&self) {
            // A full pipe is a session that has been woken already.
            let _ = (&*self.0).write(&[0]);
        }
    }

    impl Wake {
        /// Waits until the callback has woken the session. Forgets it if it is cancelled.
        pub async fn woken(&self) {
            let (mut bytes, mut is_woken) = ([0; 64], false);
            while !is_woken {
                // Without a callback nobody wakes the session: its clock does.
                if self.0.readable().await.is_err() {
                    pending::<()>().await;
                }
                loop {
                    match self.0.try_read(&mut bytes) {
                        Ok(0) => pending().await,
                        Ok(_) => is_woken = true,
                        Err(_) => break,
                    }
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod elsewhere {
    use std::{convert::Infallible, io};

    /// The callback's end.
    #[derive(Debug, Clone)]
    pub struct Waker(Infallible);

    /// The session's end.
    #[derive(Debug)]
    pub struct Wake(Infallible);

    /// There are none here.
    ///
    /// # Errors
    /// Always.
    pub fn pipe() -> io::Result<(Waker, Wake)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    impl Waker {
        /// Never called.
        pub fn wake(&self) {
            match self.0 {}
        }
    }

    impl Wake {
        /// Never called.
        pub async fn woken(&self) {
            match self.0 {}
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::timeout;

    #[test]
    fn a_session_is_woken_once_however_often_it_was_called() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let (waker, wake) = pipe().unwrap();
            let soon = Duration::from_millis(1);
            assert!(timeout(soon, wake.woken()).await.is_err());
            // More than the pipe holds: no call blocks.
            (0..100_000).for_each(|_| waker.wake());
            wake.woken().await;
            assert!(timeout(soon, wake.woken()).await.is_err(), "woken twice");
            waker.wake();
            wake.woken().await;
        });
    }

    #[test]
    fn without_a_callback_it_waits_for_ever() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.unwrap().block_on(async {
            let (waker, wake) = pipe().unwrap();
            drop(waker);
            assert!(
                timeout(Duration::from_millis(10), wake.woken())
                    .await
                    .is_err()
            );
        });
    }
}
