//! Any sound file as 16 kHz mono 16-bit.

use super::{
    Fault,
    decode::{Bytes, Decoder},
    resample::ToRoomRate,
};
use crate::{
    channels::{ChannelPicker, InputChannel},
    sample::{ROOM_RATE_HZ, to_i16},
    sound::{Captured, Source},
};
use std::{
    collections::VecDeque,
    fs::File,
    io::{BufReader, Read},
    path::{Path, PathBuf},
};

/// Reads a sound file as 16 kHz mono 16-bit samples, block by block: memory does not grow with the
/// file.
///
/// The output is as long as the file: `sample frames * 16000 / rate`, rounded. A file that is
/// already 16 kHz mono 16-bit is passed through unchanged. [`InputChannel`] says which of several
/// channels is heard.
pub struct WavReader {
    path: PathBuf,
    decoder: Decoder,
    picker: ChannelPicker,
    converter: Option<ToRoomRate>,
    interleaved: Vec<f32>,
    mono: Vec<f32>,
    ready: VecDeque<i16>,
    ended: bool,
}

impl WavReader {
    /// Opens a file and checks that it can be played. Blocks for as long as the system takes to
    /// open and read it.
    ///
    /// # Errors
    /// When it cannot be read, or its format is not supported.
    pub fn open(path: &Path, channel: InputChannel) -> Result<Self, String> {
        let opened = File::open(path).and_then(|file| Ok((file.metadata()?, file)));
        let (metadata, file) = opened.map_err(|error| Fault::Io(error).at(path))?;
        let file_bytes = metadata.is_file().then_some(metadata.len());
        Self::from_bytes(BufReader::new(file), file_bytes, path, channel)
    }

    /// Reads from any source of bytes. `file_bytes` is how many there are, if known; `path` is its
    /// name in errors.
    ///
    /// # Errors
    /// When it cannot be read, or its format is not supported.
    pub fn from_bytes(
        input: impl Read + Send + Sync + 'static,
        file_bytes: Option<u64>,
        path: &Path,
        channel: InputChannel,
    ) -> Result<Self, String> {
        Self::new(Box::new(input), file_bytes, path, channel).map_err(|fault| fault.at(path))
    }

    fn new(
        input: Bytes,
        file_bytes: Option<u64>,
        path: &Path,
        channel: InputChannel,
    ) -> Result<Self, Fault> {
        let decoder = Decoder::open(input, file_bytes)?;
        channel.check(decoder.channels).map_err(Fault::Format)?;
        let converter = match decoder.rate_hz {
            ROOM_RATE_HZ => None,
            rate_hz => {
                Some(ToRoomRate::new(rate_hz).map_err(|error| Fault::format(error.to_string()))?)
            }
        };
        Ok(Self {
            path: path.to_owned(),
            picker: ChannelPicker::new(channel, decoder.channels, decoder.rate_hz),
            decoder,
            converter,
            interleaved: Vec::new(),
            mono: Vec::new(),
            ready: VecDeque::new(),
            ended: false,
        })
    }

    /// Fills `out`. Returns fewer samples only at the end.
    pub fn read(&mut self, out: &mut [i16]) -> usize {
        while self.ready.len() < out.len() && !self.ended {
            self.refill();
        }
        let count = out.len().min(self.ready.len());
        for (to, from) in out.iter_mut().zip(self.ready.drain(..count)) {
            *to = from;
        }
        count
    }

    fn refill(&mut self) {
        self.decoder.read(&mut self.interleaved);
        if let Some(problem) = self.decoder.warning.take() {
            tracing::warn!("{}: {problem}", self.path.display());
        }
        self.mono.clear();
        for frame in self.interleaved.chunks_exact(self.picker.channels()) {
            self.mono.push(self.picker.pick(frame.iter().copied()));
        }
        self.ended = self.interleaved.is_empty();
        match &mut self.converter {
            None => self.ready.extend(self.mono.iter().copied().map(to_i16)),
            Some(converter) => {
                converter.push(&self.mono, &mut self.ready);
                if self.ended {
                    converter.finish(&mut self.ready);
                }
            }
        }
    }
}

/// A sound file read as fast as possible. Blocks.
impl Source for WavReader {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        let count = self.read(frame);
        frame[count..].fill(0);
        match count {
            0 => Captured::End,
            _ => Captured::Frame,
        }
    }
}

#[cfg(test)]
mod tests;
