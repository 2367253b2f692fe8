//! WAV files in the place of microphone and speaker.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};
use rubato::audioadapter_buffers::direct::SequentialSlice;
use rubato::{Fft, FixedSync, Resampler};
use thiserror::Error;
use tracing::error;

use super::pace::Recorder;

/// Samples per second of every session.
pub const SESSION_HZ: u32 = 16_000;
/// Sample rates that make sense for sound; others are a damaged header.
const SANE_HZ: std::ops::RangeInclusive<u32> = 1_000..=768_000;
/// Samples that the resampler works on at a time.
const CHUNK_SAMPLES: usize = 1024;

/// Why a WAV file cannot be used.
#[derive(Debug, Error)]
pub enum WavError {
    /// It cannot be read, or is no WAV file.
    #[error("cannot read {path}: {source}; give a WAV file with integer or 32-bit float samples")]
    Read {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: hound::Error,
    },
    /// Its format makes no sense.
    #[error("cannot use {path}: {problem}")]
    Format {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// It cannot be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: hound::Error,
    },
}

/// Reads all of a WAV file as the session's samples: mono (the mean of its channels), 16 kHz, 16 bits. A file that is all
/// that already passes bit for bit; others are resampled by FFT.
///
/// # Errors
/// A file that is no WAV file or has a senseless format.
pub fn read(path: &Path) -> Result<Vec<i16>, WavError> {
    let unreadable = |source| WavError::Read {
        path: path.to_owned(),
        source,
    };
    let reader = WavReader::open(path).map_err(unreadable)?;
    let spec = reader.spec();
    if spec.channels == 0 || !SANE_HZ.contains(&spec.sample_rate) {
        let problem = format!("{} channels at {} Hz", spec.channels, spec.sample_rate);
        return Err(WavError::Format {
            path: path.to_owned(),
            problem,
        });
    }
    if spec.sample_format == SampleFormat::Int
        && (spec.channels, spec.sample_rate, spec.bits_per_sample) == (1, SESSION_HZ, 16)
    {
        let samples: Result<Vec<i16>, _> = reader.into_samples().collect();
        return samples.map_err(unreadable);
    }
    let mono = read_mono(reader).map_err(unreadable)?;
    let samples = if spec.sample_rate == SESSION_HZ {
        mono
    } else {
        resample(&mono, spec.sample_rate).map_err(|problem| WavError::Format {
            path: path.to_owned(),
            problem,
        })?
    };
    Ok(samples.into_iter().map(to_i16).collect())
}

/// A 16 kHz mono 16-bit WAV file that what is played goes to.
pub struct WavOutput {
    writer: WavWriter<BufWriter<File>>,
    path: PathBuf,
    unflushed: u32,
    failed: Option<hound::Error>,
}

impl WavOutput {
    /// Creates the file, or empties it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn create(path: &Path) -> Result<Self, WavError> {
        let spec = WavSpec {
            channels: 1,
            sample_rate: SESSION_HZ,
            bits_per_sample: 16,
            sample_format: SampleFormat::Int,
        };
        let writer = WavWriter::create(path, spec).map_err(|source| WavError::Write {
            path: path.to_owned(),
            source,
        })?;
        Ok(Self {
            writer,
            path: path.to_owned(),
            unflushed: 0,
            failed: None,
        })
    }

    /// Completes the file.
    ///
    /// # Errors
    /// When it, or any frame before, could not be written.
    pub fn finish(self) -> Result<(), WavError> {
        let Self {
            writer,
            path,
            failed,
            ..
        } = self;
        let result = failed.map_or_else(|| writer.finalize(), Err);
        result.map_err(|source| WavError::Write { path, source })
    }

    fn write(&mut self, frame: &[i16]) -> Result<(), hound::Error> {
        for &sample in frame {
            self.writer.write_sample(sample)?;
        }
        self.unflushed += frame.len() as u32;
        if self.unflushed >= SESSION_HZ {
            // Once a second the header is made true, so that even a killed program leaves a whole file.
            self.unflushed = 0;
            self.writer.flush()?;
        }
        Ok(())
    }
}

impl Recorder for WavOutput {
    fn record(&mut self, frame: &[i16]) {
        if self.failed.is_none()
            && let Err(failure) = self.write(frame)
        {
            error!("cannot write {}: {failure}", self.path.display());
            self.failed = Some(failure);
        }
    }
}

fn read_mono(reader: WavReader<io::BufReader<File>>) -> Result<Vec<f32>, hound::Error> {
    let spec = reader.spec();
    let interleaved: Result<Vec<f32>, _> = match spec.sample_format {
        SampleFormat::Float => reader.into_samples::<f32>().collect(),
        SampleFormat::Int => {
            let full_scale = 2f32.powi(i32::from(spec.bits_per_sample) - 1);
            let samples = reader.into_samples::<i32>();
            samples
                .map(|sample| sample.map(|sample| sample as f32 / full_scale))
                .collect()
        }
    };
    let channels = usize::from(spec.channels);
    let mean = |frame: &[f32]| frame.iter().sum::<f32>() / channels as f32;
    Ok(interleaved?.chunks_exact(channels).map(mean).collect())
}

fn resample(mono: &[f32], from_hz: u32) -> Result<Vec<f32>, String> {
    if mono.is_empty() {
        return Ok(Vec::new());
    }
    let mut resampler = Fft::<f32>::new(
        from_hz as usize,
        SESSION_HZ as usize,
        CHUNK_SAMPLES,
        1,
        FixedSync::Both,
    )
    .map_err(|error| error.to_string())?;
    let input = SequentialSlice::new(mono, 1, mono.len()).map_err(|error| error.to_string())?;
    let output = resampler
        .process_all(&input, mono.len(), None)
        .map_err(|error| error.to_string())?;
    Ok(output.take_data())
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates: what is louder than full scale is clipped there.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn temporary(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("talkspurt-node-{}-{name}.wav", std::process::id()))
    }

    fn write_sine(path: &Path, spec: WavSpec, hz: f64, seconds: f64) {
        let mut writer = WavWriter::create(path, spec).unwrap();
        for n in 0..(seconds * f64::from(spec.sample_rate)) as u32 {
            let value = (TAU * hz * f64::from(n) / f64::from(spec.sample_rate)).sin() * 0.5;
            for channel in 0..spec.channels {
                // The second channel is silent: mono is the mean.
                let value = if channel == 0 { value } else { 0.0 };
                match spec.sample_format {
                    SampleFormat::Float => writer.write_sample(value as f32).unwrap(),
                    SampleFormat::Int => writer
                        .write_sample(
                            (value * f64::from(1u32 << (spec.bits_per_sample - 1))) as i32,
                        )
                        .unwrap(),
                }
            }
        }
        writer.finalize().unwrap();
    }

    #[test]
    fn what_is_written_is_read_back_bit_for_bit() {
        let path = temporary("back");
        let samples: Vec<i16> = (0..40_000)
            .map(|n| (n * 7919 % 65_536 - 32_768) as i16)
            .collect();
        let mut output = WavOutput::create(&path).unwrap();
        samples.chunks(320).for_each(|frame| output.record(frame));
        output.finish().unwrap();
        assert_eq!(read(&path).unwrap(), samples);
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn any_rate_width_and_channel_count_becomes_the_same_sound() {
        let formats = [
            (SampleFormat::Int, 24, 48_000, 2),
            (SampleFormat::Int, 16, 44_100, 1),
            (SampleFormat::Int, 8, 8_000, 1),
            (SampleFormat::Float, 32, 22_050, 2),
        ];
        for (sample_format, bits_per_sample, sample_rate, channels) in formats {
            let path = temporary(&format!("{sample_rate}"));
            let spec = WavSpec {
                channels,
                sample_rate,
                bits_per_sample,
                sample_format,
            };
            write_sine(&path, spec, 440.0, 1.0);
            let samples = read(&path).unwrap();
            assert!(
                samples.len().abs_diff(16_000) <= 1,
                "{sample_rate}: {}",
                samples.len()
            );
            let amplitude = 0.5 / f64::from(channels);
            for (n, &sample) in samples.iter().enumerate().take(15_000).skip(1_000) {
                let ideal = (TAU * 440.0 * n as f64 / 16_000.0).sin() * amplitude * 32_768.0;
                let error = (f64::from(sample) - ideal).abs();
                // 8 bits have steps of 256; half a sample of delay is 0.086 of a 440 Hz sine's amplitude.
                assert!(
                    error < 256.0 + amplitude * 32_768.0 * 0.086,
                    "{sample_rate} Hz, sample {n}: off by {error}"
                );
            }
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn what_is_no_wav_file_is_refused_by_name() {
        let path = temporary("no");
        std::fs::write(&path, b"RIFF, but nothing else").unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains(path.to_str().unwrap()), "{error}");
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read(&path), Err(WavError::Read { .. })));
    }
}
