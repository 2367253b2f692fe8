//! The mix as a 16 kHz mono 16-bit WAV file.

use crate::audio::{ROOM_RATE_HZ, Sink};
use std::{fs::File, io, io::BufWriter, path::Path};

/// The header on disk is brought up to date this often, so that a killed process leaves a file that plays.
const FLUSH_SAMPLES: u32 = ROOM_RATE_HZ / 2;
/// The most samples a WAV file's 32-bit size field can speak of: 37 hours.
const SAMPLES_MAX: u32 = (u32::MAX - 64) / 2;

/// A WAV file as a speaker. Its length is the time that the session wrote to it.
pub struct WavSink {
    writer: Option<hound::WavWriter<BufWriter<File>>>,
    since_flush: u32,
}

impl WavSink {
    /// Creates the file, replacing an older one.
    pub fn create(path: &Path) -> Result<Self, String> {
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: ROOM_RATE_HZ,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let writer = hound::WavWriter::create(path, spec)
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        let mut sink = Self {
            writer: Some(writer),
            since_flush: 0,
        };
        sink.flush()
            .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
        Ok(sink)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.since_flush = 0;
        self.writer
            .as_mut()
            .map_or(Ok(()), |writer| writer.flush().map_err(to_io))
    }
}

impl Sink for WavSink {
    fn write(&mut self, frame: &[i16]) -> io::Result<()> {
        let Some(writer) = &mut self.writer else {
            return Err(io::Error::other("the file is already complete"));
        };
        if writer.duration() >= SAMPLES_MAX - frame.len() as u32 {
            return Err(io::Error::other("the file is as long as a WAV file can be"));
        }
        for &sample in frame {
            writer.write_sample(sample).map_err(to_io)?;
        }
        self.since_flush += frame.len() as u32;
        if self.since_flush >= FLUSH_SAMPLES {
            self.flush()
        } else {
            Ok(())
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.writer
            .take()
            .map_or(Ok(()), |writer| writer.finalize().map_err(to_io))
    }
}

fn to_io(error: hound::Error) -> io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => io::Error::other(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn samples(path: &Path) -> Vec<i16> {
        hound::WavReader::open(path)
            .unwrap()
            .samples::<i16>()
            .map(Result::unwrap)
            .collect()
    }

    #[test]
    fn every_sample_written_is_in_the_file() {
        let dir = TempDir::new();
        let path = dir.path("heard.wav");
        let mut sink = WavSink::create(&path).unwrap();
        let all: Vec<i16> = (0..80 * 320).map(|n| (n % 30_000) as i16).collect();
        all.chunks(320).for_each(|frame| sink.write(frame).unwrap());
        sink.finish().unwrap();
        assert_eq!(samples(&path), all);
        let spec = hound::WavReader::open(&path).unwrap().spec();
        assert_eq!(
            (spec.channels, spec.sample_rate, spec.bits_per_sample),
            (1, 16_000, 16)
        );
        assert!(
            sink.write(&[0; 320]).is_err(),
            "a complete file takes no more"
        );
    }

    #[test]
    fn a_killed_process_leaves_a_file_that_plays() {
        let dir = TempDir::new();
        let path = dir.path("killed.wav");
        let mut sink = WavSink::create(&path).unwrap();
        assert!(samples(&path).is_empty(), "valid from the beginning");
        for _ in 0..60 {
            sink.write(&[7; 320]).unwrap();
        }
        // What is on disk now is what a kill would leave: 1.2 s were written, at most half a second is missing.
        let copy = dir.path("copy.wav");
        std::fs::copy(&path, &copy).unwrap();
        assert_eq!(samples(&copy).len(), 50 * 320);
        std::mem::forget(sink);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let dir = TempDir::new();
        let error = WavSink::create(&dir.path("no/such/dir.wav"))
            .err()
            .expect("there is no such directory");
        assert!(error.contains("dir.wav"), "{error}");
    }
}
