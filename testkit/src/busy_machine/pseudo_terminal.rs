//! Measures how late a pseudo-terminal is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use serialport::{SerialPort, TTYPort};

/// Both ends of a pseudo-terminal.
pub(super) struct Line {
    near: Box<dyn Write + Send>,
    far: Box<dyn Read + Send>,
    /// Distinguishes a byte from an earlier one that arrived too late.
    number: u8,
}

/// How long to wait for a byte. A longer delay counts as this.
pub(super) const CARRIED_WITHIN: Duration = Duration::from_secs(1);

impl Line {
    pub(super) fn open() -> Result<Self> {
        let (near, mut far) = TTYPort::pair()?;
        far.set_timeout(CARRIED_WITHIN)?;
        Ok(Self::of(near, far))
    }

    /// `far` must give up reading after [`CARRIED_WITHIN`].
    fn of(near: impl Write + Send + 'static, far: impl Read + Send + 'static) -> Self {
        Self {
            near: Box::new(near),
            far: Box::new(far),
            number: 0,
        }
    }

    /// Returns how long a byte was on its way.
    pub(super) fn carry(&mut self) -> Duration {
        let sent = Instant::now();
        self.number = self.number.wrapping_add(1);
        let mut byte = [self.number];
        let mut there = self.near.write_all(&byte);
        byte[0] = self.number.wrapping_sub(1);
        while there.is_ok() && byte[0] != self.number {
            there = self.far.read_exact(&mut byte);
        }
        there.map_or(CARRIED_WITHIN, |()| sent.elapsed())
    }

    /// A line that carries nothing.
    #[cfg(test)]
    pub(super) fn stuck() -> Self {
        Self::of(std::io::sink(), tests::Nothing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::os::unix::net::UnixStream;
    use std::thread;

    /// A reader that has timed out.
    pub(in super::super) struct Nothing;

    impl Read for Nothing {
        fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
            Err(ErrorKind::TimedOut.into())
        }
    }

    #[test]
    fn the_delay_of_a_byte_is_measured() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let (mut behind, end) = UnixStream::pair().unwrap();
        let mut line = Line::of(near, end);
        let delay = Duration::from_millis(50);
        let slow = thread::spawn(move || {
            let mut byte = [0];
            far.read_exact(&mut byte).unwrap();
            thread::sleep(delay);
            behind.write_all(&byte).unwrap();
        });
        let took = line.carry();
        slow.join().unwrap();
        assert!(took >= delay, "{took:?}");
    }

    #[test]
    fn a_late_byte_is_not_mistaken_for_the_next() {
        assert_eq!(Line::stuck().carry(), CARRIED_WITHIN);
        let (near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        let mut line = Line::of(near.try_clone().unwrap(), far.try_clone().unwrap());
        line.number = 255;
        (&near).write_all(&[255]).unwrap();
        assert_ne!(line.carry(), CARRIED_WITHIN);
        let rest = (&far).read(&mut [0]).unwrap_err();
        assert_eq!(rest.kind(), ErrorKind::WouldBlock, "both were read");
    }

    #[test]
    fn a_pseudo_terminal_that_carries_nothing_is_waited_for() {
        let mut line = Line::open().unwrap();
        // Kept open, so that nobody hangs up.
        let _near = std::mem::replace(&mut line.near, Box::new(std::io::sink()));
        let began = Instant::now();
        assert_eq!(line.carry(), CARRIED_WITHIN);
        assert!(began.elapsed() >= CARRIED_WITHIN);
    }

    #[test]
    fn a_real_pseudo_terminal_carries_bytes() {
        let mut line = Line::open().unwrap();
        let carried = (0..10).any(|_| line.carry() != CARRIED_WITHIN);
        assert!(carried, "none of ten bytes arrived within a second");
    }
}
