//! Hardware that is broken, or never ready.

use embedded_io::{ErrorKind, ErrorType, Read, ReadReady, Write, WriteReady};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::Instant;

use crate::node::{SampleSink, SampleSource};

/// A port on which every call fails.
pub struct BrokenPort;

impl ErrorType for BrokenPort {
    type Error = ErrorKind;
}

impl Read for BrokenPort {
    fn read(&mut self, _: &mut [u8]) -> Result<usize, ErrorKind> {
        panic!("a read without asking would block")
    }
}

impl ReadReady for BrokenPort {
    fn read_ready(&mut self) -> Result<bool, ErrorKind> {
        Err(ErrorKind::Other)
    }
}

impl Write for BrokenPort {
    fn write(&mut self, _: &[u8]) -> Result<usize, ErrorKind> {
        Err(ErrorKind::Other)
    }

    fn flush(&mut self) -> Result<(), ErrorKind> {
        panic!("flushing waits, and the loop must not")
    }
}

impl WriteReady for BrokenPort {
    fn write_ready(&mut self) -> Result<bool, ErrorKind> {
        Err(ErrorKind::Other)
    }
}

/// A microphone or a speaker that is next ready at the given time.
pub struct At(pub Instant);

impl SampleSource for At {
    fn start(&mut self, _: Instant, _: AudioFormat) {}

    fn capture(&mut self, _: Instant, _: &mut [i16]) -> bool {
        false
    }

    fn next_frame_at(&self) -> Option<Instant> {
        Some(self.0)
    }
}

impl SampleSink for At {
    fn start(&mut self, _: Instant, _: AudioFormat) {}

    fn is_ready(&mut self, _: Instant) -> bool {
        false
    }

    fn play(&mut self, _: &[i16]) {}

    fn next_frame_at(&self) -> Option<Instant> {
        Some(self.0)
    }
}
