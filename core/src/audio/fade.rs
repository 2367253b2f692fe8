//! A weight that falls or rises from sample to sample.

/// All of a sound, as a weight.
pub(crate) const FULL_Q15: i32 = 1 << 15;

/// A weight that goes from one value to another in a straight line.
pub(crate) struct Fade {
    weight_q30: i32,
    step_q30: i32,
}

impl Fade {
    /// Begins next to `from_q15` and is at `to_q15` after so many samples, which are not none.
    pub(crate) const fn new(from_q15: i32, to_q15: i32, samples: usize) -> Self {
        Self {
            weight_q30: from_q15 << 15,
            step_q30: ((to_q15 - from_q15) << 15) / samples as i32,
        }
    }

    /// Blends `other`, by the next weight, into a sample.
    pub(crate) const fn next(&mut self, sample: i16, other: i16) -> i16 {
        self.weight_q30 += self.step_q30;
        let apart = other as i32 - sample as i32;
        (sample as i32 + ((apart * (self.weight_q30 >> 15)) >> 15)) as i16
    }
}

/// Blends `other` into `out`. Its weight goes from `from_q15` to `to_q15` in a straight line.
pub(crate) fn fade<'a>(
    out: &mut [i16],
    other: impl Iterator<Item = &'a i16>,
    from_q15: i32,
    to_q15: i32,
) {
    let mut fade = Fade::new(from_q15, to_q15, out.len());
    for (out, &other) in out.iter_mut().zip(other) {
        *out = fade.next(*out, other);
    }
}
