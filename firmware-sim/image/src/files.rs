//! A microphone and a speaker that are files on the debugging host: raw samples, 16-bit
//! little-endian mono, read and written through semihosting at the pace of the session's frames.

use core::ffi::CStr;

use semihosting::fs::File;
use semihosting::io::{self, Read, Write};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_node_driver::{SampleSink, SampleSource};

use crate::deadline::Deadline;

/// When frames are due: one each period since the node first joined. Both files start at that
/// moment. The microphone's first frame is ready when its last sample has been spoken; the
/// speaker's first frame is due at once.
#[derive(Clone, Copy, Debug, Default)]
struct Schedule {
    due: Option<Instant>,
    period: Duration,
    deadline: Deadline,
}

impl Schedule {
    /// Starts with a frame due at `first`, or continues with another period.
    fn start(&mut self, first: Instant, period: Duration) {
        if self.due.is_none() || self.period != period {
            self.due = Some(first);
            self.period = period;
        }
    }

    fn is_due(&self, now: Instant) -> bool {
        self.due.is_some_and(|due| now >= due)
    }

    /// Notes that a due frame was served.
    fn advance(&mut self, now: Instant) {
        if let Some(due) = &mut self.due {
            self.deadline.serve(now, *due, self.period);
            *due += self.period;
        }
    }
}

/// Plays a file as if it were spoken now, followed by silence.
pub struct FileMicrophone {
    file: Option<File>,
    schedule: Schedule,
    ended_at: Option<Instant>,
}

impl FileMicrophone {
    /// Opens the file; without one it is silent from the start.
    ///
    /// # Errors
    /// When the host cannot open it.
    pub fn open(path: Option<&CStr>) -> io::Result<Self> {
        Ok(Self {
            file: path.map(File::open).transpose()?,
            schedule: Schedule::default(),
            ended_at: None,
        })
    }

    /// Returns when the file's last sample was given, if it was.
    pub const fn ended_at(&self) -> Option<Instant> {
        self.ended_at
    }

    /// Fills `frame` from the file, and with silence after its end.
    fn read(&mut self, now: Instant, frame: &mut [i16]) {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(frame);
        let mut filled = 0;
        while let Some(file) = self.file.as_mut().filter(|_| filled < bytes.len()) {
            match file.read(&mut bytes[filled..]) {
                Ok(count @ 1..) => filled += count,
                _ => {
                    self.file = None;
                    self.ended_at = Some(now);
                }
            }
        }
        bytes[filled..].fill(0);
    }
}

impl SampleSource for FileMicrophone {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        let period = format.frame.duration();
        self.schedule.start(now + period, period);
    }

    fn capture(&mut self, now: Instant, frame: &mut [i16]) -> bool {
        let due = self.schedule.is_due(now);
        if due {
            self.schedule.advance(now);
            self.read(now, frame);
        }
        due
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.schedule.due
    }
}

/// Writes frames to a file, without gaps from the first joining on.
pub struct FileSpeaker {
    file: Option<File>,
    schedule: Schedule,
    asked_at: Instant,
}

impl FileSpeaker {
    /// Creates the file; without one the sound is discarded.
    ///
    /// # Errors
    /// When the host cannot create it.
    pub fn create(path: Option<&CStr>) -> io::Result<Self> {
        Ok(Self {
            file: path.map(File::create).transpose()?,
            schedule: Schedule::default(),
            asked_at: Instant::ZERO,
        })
    }

    /// Returns how punctually it was given its frames.
    pub const fn deadline(&self) -> Deadline {
        self.schedule.deadline
    }
}

impl SampleSink for FileSpeaker {
    fn start(&mut self, now: Instant, format: AudioFormat) {
        self.schedule.start(now, format.frame.duration());
    }

    fn is_ready(&mut self, now: Instant) -> bool {
        self.asked_at = now;
        self.schedule.is_due(now)
    }

    fn play(&mut self, frame: &[i16]) {
        self.schedule.advance(self.asked_at);
        let Some(file) = &mut self.file else { return };
        if file.write_all(bytemuck::cast_slice(frame)).is_err() {
            crate::log::error!("the speaker's file cannot be written any more");
            self.file = None;
        }
    }

    fn next_frame_at(&self) -> Option<Instant> {
        self.schedule.due
    }
}

const _: () = assert!(
    cfg!(target_endian = "little"),
    "samples lie in the files as they lie in memory"
);
