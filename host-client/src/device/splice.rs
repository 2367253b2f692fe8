//! Makes sound shorter or longer where nobody hears it: in a pause.

/// A frame whose samples are all below this is a pause: -44 dBFS, the noise of a room.
const QUIET_PEAK: u16 = 200;
/// The two ends of a splice are blended over this. Seconds.
const BLEND_S: f64 = 0.002;

/// Returns whether a frame is so quiet that a splice in it is not heard.
pub(super) fn is_quiet(frame: &[i16]) -> bool {
    frame
        .iter()
        .all(|sample| sample.unsigned_abs() < QUIET_PEAK)
}

/// Returns how many samples a splice at this rate blends.
pub(super) fn blend_samples(rate_hz: u32) -> usize {
    (BLEND_S * f64::from(rate_hz)) as usize
}

/// Writes `block` to `out` with `surplus` samples left out of it, or as many repeated if that is
/// below 0: as many as fit, half of the block at most. Returns by how much it got shorter.
pub(super) fn splice(block: &[f32], surplus: isize, rate_hz: u32, out: &mut Vec<f32>) -> isize {
    let blend = blend_samples(rate_hz);
    out.clear();
    let room = (block.len() / 2).saturating_sub(blend);
    let moved = surplus.unsigned_abs().min(room);
    // The end of the first part, and the place that takes its turn there.
    let (from, to) = if surplus > 0 {
        (blend, blend + moved)
    } else {
        (blend + moved, blend)
    };
    if moved == 0 {
        out.extend_from_slice(block);
        return 0;
    }
    out.extend_from_slice(&block[..from]);
    out.extend((0..blend).map(|n| {
        let share = (n + 1) as f32 / (blend + 1) as f32;
        block[from + n] + (block[to + n] - block[from + n]) * share
    }));
    out.extend_from_slice(&block[to + blend..]);
    block.len() as isize - out.len() as isize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ramp_gets_shorter_or_longer_without_a_step() {
        let block: Vec<f32> = (0..960).map(|n| n as f32).collect();
        let mut out = Vec::new();
        for surplus in [0, 1, 100, 384, 5_000, -1, -100, -384, -5_000isize] {
            let shorter = splice(&block, surplus, 48_000, &mut out);
            assert_eq!(out.len() as isize, 960 - shorter);
            assert_eq!(shorter, surplus.clamp(-384, 384));
            assert_eq!((out[0], out[out.len() - 1]), (0.0, 959.0));
            // The blend spreads the difference over 96 samples.
            let step = out
                .windows(2)
                .map(|w| (w[1] - w[0]).abs())
                .fold(0.0, f32::max);
            assert!(
                step < 1.0 + 384.0 / 96.0 + 0.1,
                "{surplus}: a step of {step}"
            );
        }
    }

    #[test]
    fn a_block_that_is_too_short_stays_as_it_is() {
        let block = [1.0; 150];
        let mut out = Vec::new();
        assert_eq!(splice(&block, 50, 48_000, &mut out), 0);
        assert_eq!(out, block);
    }

    #[test]
    fn a_voice_is_not_quiet() {
        assert!(is_quiet(&[0, 199, -199]));
        assert!(!is_quiet(&[0, 200]) && !is_quiet(&[i16::MIN]));
    }
}
