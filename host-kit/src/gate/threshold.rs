//! A gate threshold, as RMS or in dBFS.

use std::{fmt, str::FromStr};

/// Full scale of a 16-bit sample, the reference of 0 dBFS.
const FULL_SCALE: f64 = 32_768.0;
/// The largest RMS that a threshold may have.
const RMS_MAX: u16 = 32_767;

/// A loudness to compare frames with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Threshold {
    /// RMS of a frame's samples, 0..=32767.
    pub rms: u16,
}

impl Threshold {
    /// Creates a threshold from an RMS of 16-bit samples.
    #[must_use]
    pub const fn from_rms(rms: u16) -> Self {
        Self {
            rms: if rms > RMS_MAX { RMS_MAX } else { rms },
        }
    }

    /// Returns the loudness moved by `db` decibels.
    #[must_use]
    pub fn shifted_db(self, db: f64) -> Self {
        let rms = f64::from(self.rms.max(1)) * 10f64.powf(db / 20.0);
        Self {
            rms: rms.round().clamp(1.0, f64::from(RMS_MAX)) as u16,
        }
    }

    /// Returns the level in dBFS (0 or less); -96 for silence.
    #[must_use]
    pub fn dbfs(self) -> f64 {
        rms_to_dbfs(self.rms)
    }
}

/// Converts an RMS of 16-bit samples to dBFS; -96 for silence.
#[must_use]
pub fn rms_to_dbfs(rms: u16) -> f64 {
    if rms == 0 {
        -96.0
    } else {
        (20.0 * (f64::from(rms) / FULL_SCALE).log10()).max(-96.0)
    }
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let help = || {
            format!(
                "`{text}` is neither an RMS from 0 to {RMS_MAX} nor a level from -96dB to 0dB, like -24dB"
            )
        };
        let lower = text.trim().to_ascii_lowercase();
        let db = lower
            .strip_suffix("dbfs")
            .or_else(|| lower.strip_suffix("db"));
        if let Some(db) = db {
            let db: f64 = db.trim().parse().map_err(|_| help())?;
            if !(-96.0..=0.0).contains(&db) {
                return Err(help());
            }
            let rms = (FULL_SCALE * 10f64.powf(db / 20.0)).round();
            return Ok(Self {
                rms: rms.min(f64::from(RMS_MAX)) as u16,
            });
        }
        match lower.parse::<u16>() {
            Ok(rms) if rms <= RMS_MAX => Ok(Self { rms }),
            _ => Err(help()),
        }
    }
}

impl fmt::Display for Threshold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:.1} dBFS)", self.rms, self.dbfs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rms_and_decibels_name_the_same_loudness() {
        assert_eq!("2000".parse::<Threshold>().unwrap().rms, 2000);
        assert_eq!("-24dB".parse::<Threshold>().unwrap().rms, 2068);
        assert_eq!("-24 dBFS".parse::<Threshold>().unwrap().rms, 2068);
        assert_eq!("0db".parse::<Threshold>().unwrap().rms, 32_767);
        assert_eq!("-96dB".parse::<Threshold>().unwrap().rms, 1);
        assert!((Threshold::from_rms(2068).dbfs() + 24.0).abs() < 0.01);
        assert_eq!(Threshold::from_rms(1000).shifted_db(6.0206).rms, 2000);
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "", "loud", "32768", "-5", "3dB", "-97dB", "nandB", "dB", "-infdB",
        ] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }
}
