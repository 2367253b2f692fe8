//! Samples: 16-bit integers in a session, floats where sound is converted.

/// Samples per second in a room: 16 kHz, wide-band speech.
pub const ROOM_RATE_HZ: u32 = 16_000;

/// Converts a 16-bit sample to a float in -1.0..1.0.
#[must_use]
pub fn to_f32(sample: i16) -> f32 {
    f32::from(sample) / 32_768.0
}

/// Converts a float to a 16-bit sample: rounded, clipped at full scale. NaN becomes silence.
#[must_use]
pub fn to_i16(sample: f32) -> i16 {
    // `as` saturates, and turns NaN into 0.
    (sample * 32_768.0).round() as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sample_survives_the_way_through_float() {
        for sample in i16::MIN..=i16::MAX {
            assert_eq!(to_i16(to_f32(sample)), sample);
        }
    }

    #[test]
    fn floats_out_of_range_clip() {
        assert_eq!(
            (to_i16(1.0), to_i16(-7.0), to_i16(f32::NAN)),
            (i16::MAX, i16::MIN, 0)
        );
    }
}
