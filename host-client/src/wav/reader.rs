//! Any WAV file as 16 kHz mono.

use crate::audio::{Captured, ROOM_RATE_HZ, Source, to_i16};
use rubato::{Fft, FixedSync, Resampler as _, audioadapter_buffers::direct::SequentialSlice};
use std::{collections::VecDeque, fs::File, io::BufReader, path::Path};

/// Sample frames converted at a time.
const CHUNK: usize = 1_024;
/// The rates that make sense as sound; others are refused.
const RATE_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;

/// Why a WAV file cannot be played.
#[derive(Debug, thiserror::Error)]
pub enum WavError {
    /// The file is not there, not readable, or no WAV.
    #[error("cannot read {path}: {source}")]
    Open {
        /// The file.
        path: String,
        /// What hound says.
        source: hound::Error,
    },
    /// A format that is legal but makes no sense here.
    #[error("cannot play {path}: {problem}")]
    Format {
        /// The file.
        path: String,
        /// What is odd about it.
        problem: String,
    },
}

/// Reads a WAV file as 16 kHz mono 16-bit samples, a chunk at a time: memory does not grow with the file.
///
/// The output is as long as the file: `sample frames * 16000 / rate`, rounded.
pub struct WavReader {
    path: String,
    samples: Samples,
    channels: usize,
    converter: Option<Converter>,
    ready: VecDeque<i16>,
    ended: bool,
}

enum Samples {
    Int {
        samples: hound::WavIntoSamples<BufReader<File>, i32>,
        unit: f32,
    },
    Float(hound::WavIntoSamples<BufReader<File>, f32>),
}

impl WavReader {
    /// Opens a file and checks that it can be played.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        let name = path.display().to_string();
        let reader = hound::WavReader::open(path).map_err(|source| WavError::Open {
            path: name.clone(),
            source,
        })?;
        let spec = reader.spec();
        let refuse = |problem: String| {
            Err(WavError::Format {
                path: name.clone(),
                problem,
            })
        };
        if spec.channels == 0 || !RATE_HZ.contains(&spec.sample_rate) {
            return refuse(format!(
                "{} channels at {} Hz",
                spec.channels, spec.sample_rate
            ));
        }
        let samples = match (spec.sample_format, spec.bits_per_sample) {
            (hound::SampleFormat::Float, 32) => Samples::Float(reader.into_samples()),
            (hound::SampleFormat::Int, bits @ 1..=32) => Samples::Int {
                samples: reader.into_samples(),
                unit: 1.0 / 2f32.powi(i32::from(bits) - 1),
            },
            (_, bits) => {
                return refuse(format!("samples of {bits} bits; convert it to 16-bit PCM"));
            }
        };
        let converter = match spec.sample_rate {
            ROOM_RATE_HZ => None,
            rate_hz => match Converter::new(rate_hz) {
                Ok(converter) => Some(converter),
                Err(error) => return refuse(error.to_string()),
            },
        };
        let channels = usize::from(spec.channels);
        Ok(Self {
            path: name,
            samples,
            channels,
            converter,
            ready: VecDeque::with_capacity(4 * CHUNK),
            ended: false,
        })
    }

    /// Fills as much of `out` as there is; less than all of it only at the end.
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
        let mut mono = Vec::with_capacity(CHUNK);
        while mono.len() < CHUNK {
            match self.next_mono() {
                Some(sample) => mono.push(sample),
                None => {
                    self.ended = true;
                    break;
                }
            }
        }
        match &mut self.converter {
            None => self.ready.extend(mono.into_iter().map(to_i16)),
            Some(converter) => converter.convert(mono, self.ended, &mut self.ready),
        }
    }

    /// The mean of the channels. A damaged or cut file ends where the damage begins.
    fn next_mono(&mut self) -> Option<f32> {
        let mut sum = 0.0;
        for _ in 0..self.channels {
            let sample = match &mut self.samples {
                Samples::Int { samples, unit } => {
                    samples.next().map(|s| s.map(|s| s as f32 * *unit))
                }
                Samples::Float(samples) => samples.next(),
            };
            match sample? {
                Ok(sample) => sum += sample,
                Err(error) => {
                    tracing::warn!(file = self.path, %error, "the file is damaged; it ends here");
                    return None;
                }
            }
        }
        Some(sum / self.channels as f32)
    }
}

/// A fixed ratio, computed by FFT: the best quality for a file, whose clock is ours.
struct Converter {
    fft: Fft<f32>,
    output: Vec<f32>,
    rate_hz: u64,
    taken: u64,
    made: u64,
    /// Samples still to drop at the start: the filter's delay.
    delay: usize,
}

impl Converter {
    fn new(rate_hz: u32) -> Result<Self, rubato::ResamplerConstructionError> {
        let fft = Fft::new(
            rate_hz as usize,
            ROOM_RATE_HZ as usize,
            CHUNK,
            1,
            FixedSync::Input,
        )?;
        let (output, delay) = (vec![0.0; fft.output_frames_max()], fft.output_delay());
        Ok(Self {
            fft,
            output,
            rate_hz: u64::from(rate_hz),
            taken: 0,
            made: 0,
            delay,
        })
    }

    /// Converts one chunk; the last one is followed by what is left in the filter.
    fn convert(&mut self, mut chunk: Vec<f32>, last: bool, ready: &mut VecDeque<i16>) {
        self.taken += chunk.len() as u64;
        let whole = if last { self.expected() } else { u64::MAX };
        while !chunk.is_empty() || (last && self.made < whole) {
            chunk.resize(self.fft.input_frames_next(), 0.0);
            let made = self.process(&chunk);
            let fresh = self.delay.min(made)..made;
            self.delay -= fresh.start;
            for &sample in &self.output[fresh] {
                if self.made < whole {
                    ready.push_back(to_i16(sample));
                    self.made += 1;
                }
            }
            chunk.clear();
        }
    }

    fn expected(&self) -> u64 {
        (self.taken * u64::from(ROOM_RATE_HZ) + self.rate_hz / 2) / self.rate_hz
    }

    fn process(&mut self, chunk: &[f32]) -> usize {
        let capacity = self.output.len();
        let source =
            SequentialSlice::new(chunk, 1, chunk.len()).expect("one channel fits its own length");
        let mut target = SequentialSlice::new_mut(&mut self.output, 1, capacity)
            .expect("one channel fits its own length");
        // Only buffers of a wrong length are refused, and these are not.
        self.fft
            .process_into_buffer(&source, &mut target, None)
            .expect("buffers have the length asked for")
            .1
    }
}

/// A WAV file as a microphone.
pub struct WavSource {
    reader: WavReader,
}

impl WavSource {
    /// Opens a file and checks that it can be played.
    pub fn open(path: &Path) -> Result<Self, WavError> {
        WavReader::open(path).map(|reader| Self { reader })
    }
}

impl Source for WavSource {
    /// The last frame is filled up with silence.
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        let count = self.reader.read(frame);
        frame[count..].fill(0);
        if count == 0 {
            Captured::End
        } else {
            Captured::Frame
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;

    fn write(path: &Path, spec: hound::WavSpec, samples: impl Iterator<Item = f64>) {
        let mut writer = hound::WavWriter::create(path, spec).unwrap();
        for sample in samples {
            for channel in 0..spec.channels {
                // Channels lie symmetrically around the sample, so that their mean is the sample.
                let spread = if channel % 2 == 0 { 0.1 } else { -0.1 };
                let value = sample + if spec.channels == 2 { spread } else { 0.0 };
                match spec.sample_format {
                    hound::SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                    hound::SampleFormat::Int => {
                        let full = 2f64.powi(i32::from(spec.bits_per_sample) - 1);
                        writer.write_sample((value * full) as i32).unwrap();
                    }
                }
            }
        }
        writer.finalize().unwrap();
    }

    fn read_all(path: &Path) -> Vec<i16> {
        let mut source = WavSource::open(path).unwrap();
        let (mut all, mut frame) = (Vec::new(), [0i16; 320]);
        while source.read(&mut frame) == Captured::Frame {
            all.extend_from_slice(&frame);
        }
        all
    }

    #[test]
    fn room_format_passes_unchanged() {
        let dir = TempDir::new();
        let path = dir.path("exact.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        let mut writer = hound::WavWriter::create(&path, spec).unwrap();
        let samples: Vec<i16> = (0..1_000i32)
            .map(|n| (n * 7_919 % 65_536 - 32_768) as i16)
            .collect();
        samples
            .iter()
            .for_each(|&s| writer.write_sample(s).unwrap());
        writer.finalize().unwrap();
        let heard = read_all(&path);
        assert_eq!(heard[..1_000], samples);
        assert_eq!(heard[1_000..], [0; 280], "the last frame is filled up");
    }

    #[test]
    fn every_rate_format_and_channel_count_keeps_length_and_sound() {
        let dir = TempDir::new();
        let formats = [
            (hound::SampleFormat::Int, 8),
            (hound::SampleFormat::Int, 16),
            (hound::SampleFormat::Int, 24),
        ];
        let formats = formats.into_iter().chain([
            (hound::SampleFormat::Int, 32),
            (hound::SampleFormat::Float, 32),
        ]);
        for (format, bits) in formats {
            for (rate_hz, channels) in [
                (8_000u32, 1u16),
                (16_000, 2),
                (22_050, 2),
                (44_100, 1),
                (48_000, 2),
                (48_000, 6),
            ] {
                let path = dir.path("any.wav");
                let spec = hound::WavSpec {
                    channels,
                    sample_rate: rate_hz,
                    bits_per_sample: bits,
                    sample_format: format,
                };
                let tone = |n: f64| 0.5 * (std::f64::consts::TAU * 440.0 * n).sin();
                write(
                    &path,
                    spec,
                    (0..rate_hz).map(|n| tone(f64::from(n) / f64::from(rate_hz))),
                );
                let heard = read_all(&path);
                assert_eq!(
                    heard.len(),
                    16_000,
                    "{rate_hz} Hz, {channels} channels, {bits} bits"
                );
                let worst = (2_000..14_000)
                    .map(|n| (f64::from(heard[n]) / 32_768.0 - tone(n as f64 / 16_000.0)).abs())
                    .fold(0.0, f64::max);
                // The filter's delay is trimmed to a whole sample: half a sample of 440 Hz at half scale is 0.043.
                let allowed = if bits == 8 { 0.06 } else { 0.045 };
                assert!(
                    worst < allowed,
                    "{rate_hz} Hz, {channels} channels, {bits} bits: off by {worst}"
                );
            }
        }
    }

    #[test]
    fn what_is_no_wav_is_refused_with_its_name() {
        let dir = TempDir::new();
        let path = dir.path("noise.wav");
        std::fs::write(&path, b"RIFF and nothing else").unwrap();
        let error = WavSource::open(&path)
            .err()
            .expect("it is no WAV")
            .to_string();
        assert!(error.contains("noise.wav"), "{error}");
        assert!(WavSource::open(&dir.path("missing.wav")).is_err());
    }

    #[test]
    fn a_cut_file_ends_where_it_was_cut() {
        let dir = TempDir::new();
        let path = dir.path("cut.wav");
        let spec = hound::WavSpec {
            channels: 1,
            sample_rate: 16_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        write(&path, spec, (0..16_000).map(|_| 0.25));
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let heard = read_all(&path);
        assert!((7_000..9_000).contains(&heard.len()), "{}", heard.len());
    }
}
