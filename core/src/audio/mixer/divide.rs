//! Sums divided by the number of talkers, exactly.

/// The most talkers whose mean is taken by a multiplication: below 2^15.
const EXACT_DIVISOR_MAX: u16 = 32_767;

/// Divides by multiplying with a reciprocal of 32 bits, which is many times cheaper, and exact
/// (Granlund and Montgomery 1994).
///
/// With 2^e <= divisor < 2^(e+1) the reciprocal is floor(2^(31+e) / divisor) + 1, at most 2^31 + 1.
/// It is too large by less than one part in 2^(31+e), and a sum is at most 2^15 * divisor, so the
/// quotient is too large by less than 2^15 * 2^(e+1) / 2^(31+e) = 2^-15: less than the distance to
/// the next integer, 1 / divisor.
pub(super) fn divide(sums: impl Iterator<Item = i32>, divisor: u16, out: &mut [i16]) {
    if divisor > EXACT_DIVISOR_MAX {
        out.iter_mut()
            .zip(sums)
            .for_each(|(out, sum)| *out = (sum / i32::from(divisor)) as i16);
        return;
    }
    let bits = 31 + divisor.ilog2();
    let factor = ((1 << bits) / u64::from(divisor)) as u32 + 1;
    for (out, sum) in out.iter_mut().zip(sums) {
        let magnitude = ((u64::from(sum.unsigned_abs()) * u64::from(factor)) >> bits) as i32;
        *out = (if sum < 0 { -magnitude } else { magnitude }) as i16;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn division_is_exact_for_every_number_of_talkers() {
        for divisor in 1..=u16::MAX {
            let most = i32::from(divisor) * 32_767;
            let edges = (0..64).flat_map(|k| {
                let multiple = most / 64 * k / i32::from(divisor) * i32::from(divisor);
                [multiple - 1, multiple, multiple + 1]
            });
            for sum in edges
                .chain([most, -most - i32::from(divisor)])
                .filter(|s| s.abs() <= most + i32::from(divisor))
            {
                for sum in [sum, -sum].into_iter().filter(|s| *s <= most) {
                    let mut out = [0];
                    divide([sum].into_iter(), divisor, &mut out);
                    assert_eq!(
                        i32::from(out[0]),
                        sum / i32::from(divisor),
                        "{sum} / {divisor}"
                    );
                }
            }
        }
    }
}
