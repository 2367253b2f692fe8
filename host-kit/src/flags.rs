//! Values that flags of several programs take, as parsers for clap.

use std::time::Duration;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use talkspurt_core::audio::{codec::CodecId, format::FrameDuration};

/// A year: longer than anybody stays, and safe for every clock.
const SECONDS_MAX: f64 = 365.0 * 24.0 * 3600.0;

/// Returns the parser of a codec's name.
#[must_use]
pub fn codec() -> impl TypedValueParser<Value = CodecId> {
    let pcm16 = PossibleValue::new(CodecId::Pcm16.name());
    let adpcm = PossibleValue::new(CodecId::ImaAdpcm.name());
    let names = PossibleValuesParser::new([
        pcm16.help("Uncompressed 16-bit samples: 256 kbit/s"),
        adpcm.help("IMA ADPCM: 4 bits per sample, 64 kbit/s"),
    ]);
    let named = |name: String| CodecId::ALL.into_iter().find(|codec| codec.name() == name);
    names.try_map(move |name| named(name).ok_or("no codec"))
}

/// Reads the duration of a frame in milliseconds.
///
/// # Errors
/// A sentence that says which ones there are.
pub fn frame_duration(text: &str) -> Result<FrameDuration, String> {
    text.parse()
        .ok()
        .and_then(FrameDuration::from_millis)
        .ok_or_else(|| "expected 5, 10 or 20".to_owned())
}

/// Reads a time span in seconds, such as `2` or `0.5`.
///
/// # Errors
/// A sentence that says what to write instead.
pub fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=SECONDS_MAX).contains(&seconds) => {
            Ok(Duration::from_secs_f64(seconds))
        }
        _ => Err(format!(
            "give seconds from 0 to {SECONDS_MAX}, such as 2 or 0.5"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_codec_is_known_by_its_name() {
        let parse = |name: &str| {
            let command =
                clap::Command::new("x").arg(clap::Arg::new("codec").value_parser(codec()));
            let found = command.try_get_matches_from(["x", name]).ok()?;
            found.get_one::<CodecId>("codec").copied()
        };
        for codec in CodecId::ALL {
            assert_eq!(parse(codec.name()), Some(codec));
        }
        assert_eq!(parse("mp3"), None);
    }

    #[test]
    fn frames_have_three_durations() {
        assert_eq!(frame_duration("5"), Ok(FrameDuration::Ms5));
        for wrong in ["", "7", "20ms", "-5"] {
            assert!(frame_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn seconds_are_finite_and_not_negative() {
        assert_eq!(seconds("0.5"), Ok(Duration::from_millis(500)));
        for wrong in ["-1", "inf", "NaN", "1e300", "soon"] {
            assert!(seconds(wrong).is_err(), "{wrong}");
        }
    }
}
