//! A 16 kHz mono 16-bit WAV file that is valid at every moment.

use crate::sample::ROOM_RATE_HZ;
use std::{
    fs::{File, OpenOptions},
    io::{self, Seek as _, SeekFrom, Write as _},
    path::Path,
};

/// Bytes before the first sample.
const HEADER_BYTES: u32 = 44;
/// Bytes of a sample.
const SAMPLE_BYTES: u32 = 2;
/// Most bytes of samples that a WAV file's 32-bit sizes can state: 37 hours.
pub const DATA_BYTES_MAX: u32 = u32::MAX - HEADER_BYTES;

/// A WAV file being written.
///
/// Samples are written as they come; [`flush`](Self::flush) updates the sizes in the header. In a
/// pipe the sizes say "unknown", as ffmpeg's do.
pub struct WavWriter {
    file: File,
    /// Whether sizes can be corrected and the file cut.
    is_regular: bool,
    data_bytes: u32,
    limit_bytes: u32,
    buffer: Vec<u8>,
}

impl WavWriter {
    /// Opens a file for writing without changing its content. Returns whether it is new.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn open(path: &Path) -> io::Result<(File, bool)> {
        match Self::open_new(path) {
            Ok(file) => Ok((file, true)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                let mut options = OpenOptions::new();
                // A symbolic link whose target does not exist also counts as existing.
                options.write(true).create(true).truncate(false);
                options.open(path).map(|file| (file, false))
            }
            Err(error) => Err(error),
        }
    }

    /// Opens a file that must not exist yet.
    ///
    /// # Errors
    /// When it cannot be opened, or already exists.
    pub fn open_new(path: &Path) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(path)
    }

    /// Empties the file and writes its header. The file takes `limit_bytes` of samples.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn new(file: File, limit_bytes: u32) -> io::Result<Self> {
        let is_regular = file.metadata()?.is_file();
        let mut writer = Self {
            file,
            is_regular,
            data_bytes: 0,
            limit_bytes: limit_bytes.min(DATA_BYTES_MAX),
            buffer: Vec::new(),
        };
        if is_regular {
            writer.file.set_len(0)?;
        }
        let header = header(if is_regular { Some(0) } else { None });
        writer.file.write_all(&header)?;
        Ok(writer)
    }

    /// Returns whether `samples` more fit into the file.
    #[must_use]
    pub fn has_room_for(&self, samples: usize) -> bool {
        let bytes = samples as u64 * u64::from(SAMPLE_BYTES);
        !self.is_regular || u64::from(self.data_bytes) + bytes <= u64::from(self.limit_bytes)
    }

    /// Appends samples.
    ///
    /// # Errors
    /// When they cannot be written, or do not fit. What was written before stays valid.
    pub fn write(&mut self, samples: &[i16]) -> io::Result<()> {
        if !self.has_room_for(samples.len()) {
            return Err(io::Error::other("the file is as long as a WAV file can be"));
        }
        self.buffer.clear();
        let bytes = samples.iter().flat_map(|sample| sample.to_le_bytes());
        self.buffer.extend(bytes);
        let written = self.file.write_all(&self.buffer);
        if written.is_ok() && self.is_regular {
            self.data_bytes += self.buffer.len() as u32;
        }
        written.inspect_err(|_| self.recover())
    }

    /// Updates the sizes in the header.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn flush(&mut self) -> io::Result<()> {
        if !self.is_regular {
            return Ok(());
        }
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&header(Some(self.data_bytes)))?;
        let end = u64::from(HEADER_BYTES) + u64::from(self.data_bytes);
        self.file.seek(SeekFrom::Start(end)).map(drop)
    }

    /// After a failed write: keeps the whole samples that got to the disk, and updates the header.
    fn recover(&mut self) {
        if !self.is_regular {
            return;
        }
        if let Ok(position) = self.file.stream_position() {
            let data = position.saturating_sub(u64::from(HEADER_BYTES));
            self.data_bytes = (data as u32).min(DATA_BYTES_MAX) / SAMPLE_BYTES * SAMPLE_BYTES;
        }
        let end = u64::from(HEADER_BYTES) + u64::from(self.data_bytes);
        // The header is overwritten in place, which needs no room on the disk.
        let repaired = self.file.set_len(end).and_then(|()| self.flush());
        if let Err(error) = repaired {
            tracing::warn!(
                "the recording's header is out of date: {}",
                crate::words::describe(&error)
            );
        }
    }
}

fn header(data_bytes: Option<u32>) -> [u8; HEADER_BYTES as usize] {
    let mut header = *b"RIFF....WAVEfmt \x10\0\0\0\x01\0\x01\0....\0\0\0\0\x02\0\x10\0data....";
    let riff_bytes = data_bytes.map_or(u32::MAX, |bytes| bytes + HEADER_BYTES - 8);
    header[4..8].copy_from_slice(&riff_bytes.to_le_bytes());
    header[24..28].copy_from_slice(&ROOM_RATE_HZ.to_le_bytes());
    header[28..32].copy_from_slice(&(ROOM_RATE_HZ * SAMPLE_BYTES).to_le_bytes());
    header[40..].copy_from_slice(&data_bytes.unwrap_or(u32::MAX).to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(path: &Path) -> Vec<i16> {
        let mut reader = hound::WavReader::open(path).unwrap();
        let spec = reader.spec();
        assert_eq!(
            (spec.channels, spec.sample_rate, spec.bits_per_sample),
            (1, 16_000, 16)
        );
        reader.samples::<i16>().map(Result::unwrap).collect()
    }

    fn create(path: &Path) -> WavWriter {
        WavWriter::new(WavWriter::open(path).unwrap().0, DATA_BYTES_MAX).unwrap()
    }

    #[test]
    fn every_sample_written_is_in_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("heard.wav");
        std::fs::write(&path, vec![7; 1_000_000]).unwrap();
        let mut writer = create(&path);
        assert_eq!(
            samples(&path),
            [0i16; 0],
            "valid from the beginning, and the old file is gone"
        );
        let all: Vec<i16> = (0..80 * 320)
            .map(|n| (n * 7 % 65_536 - 32_768) as i16)
            .collect();
        all.chunks(320)
            .for_each(|frame| writer.write(frame).unwrap());
        assert_eq!(
            samples(&path),
            [0i16; 0],
            "the header knows nothing of them yet"
        );
        writer.flush().unwrap();
        assert_eq!(samples(&path), all);
        writer.write(&[1, 2]).unwrap();
        writer.flush().unwrap();
        assert_eq!(samples(&path)[all.len()..], [1, 2]);
    }

    #[test]
    fn opening_does_not_touch_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("old.wav");
        assert!(WavWriter::open(&path).unwrap().1);
        std::fs::write(&path, b"precious").unwrap();
        assert!(!WavWriter::open(&path).unwrap().1);
        assert_eq!(std::fs::read(&path).unwrap(), b"precious");
        assert!(WavWriter::open_new(&path).is_err());
    }

    #[test]
    fn a_full_file_takes_no_more_and_stays_valid() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.wav");
        let mut writer = WavWriter::new(WavWriter::open(&path).unwrap().0, 1_000).unwrap();
        writer.write(&[3; 500]).unwrap();
        assert!(writer.write(&[3]).is_err());
        writer.flush().unwrap();
        assert_eq!(samples(&path), [3; 500]);
    }

    #[test]
    fn into_a_pipe_the_sizes_are_unknown() {
        use std::io::Read as _;
        let (mut read, write) = io::pipe().unwrap();
        let file = File::from(std::os::fd::OwnedFd::from(write));
        let mut writer = WavWriter::new(file, 10).unwrap();
        writer.write(&[5; 100]).unwrap();
        writer.flush().unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        read.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes.len(), 44 + 200);
        assert_eq!(bytes[40..44], [0xFF; 4]);
    }
}
