//! Cross-fades, by which a mix goes from one set of talkers to the next.

/// Bits after the point of a weight: the widest difference of two samples times unity fits 32 bits.
const WEIGHT_BITS: u32 = 14;
/// Bits after the point of a weight's step from sample to sample.
const STEP_BITS: u32 = 30;

/// Weights that rise in equal steps over `len` samples, to unity at the last. A frame has fewer than
/// 2^16 samples, so rounding the step up makes the last weight unity and no more.
fn weights(len: usize) -> impl Iterator<Item = i32> {
    let step = (1u32 << STEP_BITS).div_ceil(len.max(1) as u32);
    (1..=len as u32).map(move |n| ((step * n) >> (STEP_BITS - WEIGHT_BITS)).cast_signed())
}

/// Makes `to` what leads there from `from`: the last sample is that of `to`, and each lies between
/// the two (both included).
pub(super) fn cross_fade(from: &[i16], to: &mut [i16]) {
    let weights = weights(to.len());
    for ((to, &from), weight) in to.iter_mut().zip(from).zip(weights) {
        let way = i32::from(*to) - i32::from(from);
        *to = (i32::from(from) + ((way * weight) >> WEIGHT_BITS)) as i16;
    }
}

/// As [`cross_fade`], of sums.
pub(super) fn cross_fade_sums(from: &[i32], to: &mut [i32]) {
    let weights = weights(to.len());
    for ((to, &from), weight) in to.iter_mut().zip(from).zip(weights) {
        let way = i64::from(*to) - i64::from(from);
        *to = (i64::from(from) + ((way * i64::from(weight)) >> WEIGHT_BITS)) as i32;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fade_goes_straight_from_one_to_the_other_and_ends_there() {
        for len in [1, 2, 39, 40, 80, 160, 320, 960, u16::MAX.into()] {
            for (from, to) in [
                (i16::MIN, i16::MAX),
                (i16::MAX, i16::MIN),
                (7, 7),
                (0, -3),
                (-20_000, 20_000),
            ] {
                let mut faded = std::vec![to; len];
                cross_fade(&std::vec![from; len], &mut faded);
                let mut sums = std::vec![i32::from(to); len];
                cross_fade_sums(&std::vec![i32::from(from); len], &mut sums);
                assert!(
                    sums.iter()
                        .copied()
                        .eq(faded.iter().copied().map(i32::from))
                );
                assert_eq!(faded[len - 1], to);
                let way = i64::from(to) - i64::from(from);
                for (n, &faded) in (1..).zip(&faded) {
                    let exact = i64::from(from) + way * n / len as i64;
                    // A weight is right to 2^-14, which of the whole range is four.
                    assert!((i64::from(faded) - exact).abs() <= 5, "{from} to {to}, {n}");
                    assert!((from.min(to)..=from.max(to)).contains(&faded));
                }
            }
        }
    }
}
