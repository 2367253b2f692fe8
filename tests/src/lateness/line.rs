//! How late a pseudo-terminal is.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::Result;
use serialport::{SerialPort, TTYPort};

/// Both ends of a pseudo-terminal.
pub(super) struct Line {
    near: TTYPort,
    far: TTYPort,
    /// Tells a byte from one before it that came too late.
    number: u8,
}

/// How long a byte is waited for; stands for longer, too.
pub(super) const CARRIED_WITHIN: Duration = Duration::from_secs(1);

impl Line {
    pub(super) fn open() -> Result<Self> {
        let (near, mut far) = TTYPort::pair()?;
        far.set_timeout(CARRIED_WITHIN)?;
        Ok(Self {
            near,
            far,
            number: 0,
        })
    }

    /// How long a byte was on its way.
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

    /// Carries nothing.
    #[cfg(test)]
    pub(super) fn stuck() -> Self {
        let (near, far) = (Self::open().unwrap(), Self::open().unwrap());
        // Ends that are not dropped stay open: nobody hangs up.
        std::mem::forget((near.far, far.near));
        Self {
            near: near.near,
            far: far.far,
            number: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn a_byte_that_takes_its_time_is_seen_as_late_as_it_is() {
        let mut line = Line::open().unwrap();
        let (near, mut far) = TTYPort::pair().unwrap();
        far.set_timeout(Duration::from_secs(60)).unwrap();
        let mut behind = std::mem::replace(&mut line.near, near);
        let delay = Duration::from_millis(50);
        let slow = thread::spawn(move || {
            let mut byte = [0];
            far.read_exact(&mut byte).unwrap();
            thread::sleep(delay);
            behind.write_all(&byte).unwrap();
            (behind, far)
        });
        let took = line.carry();
        drop(slow.join().unwrap());
        assert!((delay..CARRIED_WITHIN).contains(&took), "{took:?}");
    }

    #[test]
    fn a_pseudo_terminal_that_is_late_is_seen() {
        let mut line = Line::open().unwrap();
        let soon = Duration::from_millis(500);
        assert!(line.carry() < soon);
        // What is written goes nowhere for a while, as when the kernel's workers wait.
        let stuck = Line::stuck();
        let near = std::mem::replace(&mut line.near, stuck.near);
        assert_eq!(line.carry(), CARRIED_WITHIN);
        // Then it comes, and is not taken for what is sent next.
        line.near = near;
        line.near.write_all(&[line.number]).unwrap();
        assert!(line.carry() < soon);
        assert_eq!(line.far.bytes_to_read().unwrap(), 0);
    }
}
