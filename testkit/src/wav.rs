//! WAV files of the tests: mono, 16 bit, 16 kHz.

use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Samples per second of every file here: the rate of a Talkspurt room.
pub const RATE_HZ: u32 = 16_000;

/// Returns the number of samples in `ms` milliseconds.
pub const fn samples(ms: u64) -> usize {
    (ms * RATE_HZ as u64 / 1000) as usize
}

/// Returns how many milliseconds `samples` samples last.
pub fn millis(samples: usize) -> f64 {
    samples as f64 * 1000.0 / f64::from(RATE_HZ)
}

/// Reads the samples of a mono 16-bit 16 kHz file. Any other format is an error that names it.
pub fn read(path: &Path) -> Result<Vec<i16>> {
    let mut reader =
        hound::WavReader::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let spec = reader.spec();
    ensure!(
        spec.channels == 1 && spec.sample_rate == RATE_HZ && spec.bits_per_sample == 16,
        "{} has {} channels, {} Hz and {} bits; expected mono, {RATE_HZ} Hz, 16 bits",
        path.display(),
        spec.channels,
        spec.sample_rate,
        spec.bits_per_sample
    );
    reader
        .samples::<i16>()
        .collect::<Result<_, _>>()
        .with_context(|| format!("{} is damaged", path.display()))
}

/// Writes `samples` as a mono 16-bit 16 kHz file.
pub fn write(path: &Path, samples: &[i16]) -> Result<()> {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE_HZ,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let context = || format!("cannot write {}", path.display());
    let mut writer = hound::WavWriter::create(path, spec).with_context(context)?;
    for &sample in samples {
        writer.write_sample(sample).with_context(context)?;
    }
    writer.finalize().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let spoken = [0, 1, -1, i16::MAX, i16::MIN];
        write(&path, &spoken).unwrap();
        assert_eq!(read(&path).unwrap(), spoken);
    }

    #[test]
    fn another_format_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.wav");
        let spec = hound::WavSpec {
            channels: 2,
            sample_rate: 48_000,
            bits_per_sample: 16,
            sample_format: hound::SampleFormat::Int,
        };
        hound::WavWriter::create(&path, spec)
            .unwrap()
            .finalize()
            .unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("2 channels, 48000 Hz"), "{error}");
    }

    #[test]
    fn durations_convert_both_ways() {
        assert_eq!(samples(20), 320);
        assert!((millis(320) - 20.0).abs() < 1e-9);
    }
}
