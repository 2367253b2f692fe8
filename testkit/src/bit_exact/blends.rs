//! Finds where a listener blended two frames into one, shortening the delay by a frame.

use super::Run;

/// Returns `runs`, extending each to the next where two frames between them were blended into one,
/// which shortened the delay by a frame. Every sample of a blend lies between the two it was made
/// of, give or take one for rounding. A joined run tells what was heard of `spoken`; in `heard` it
/// is a frame shorter.
pub fn joined_over_blends(
    runs: &[Run],
    spoken: &[i16],
    heard: &[i16],
    frame_samples: usize,
) -> Vec<Run> {
    let is_blend = |run: &Run, next: &Run| {
        let (first, heard_at) = (run.spoken + run.len, run.heard + run.len);
        // The ends of a blend may equal what was spoken, and are then part of the runs.
        let shorter_by = (next.spoken - run.spoken) as i64 - (next.heard - run.heard) as i64;
        let blended = next.heard.checked_sub(heard_at);
        let parts = blended.and_then(|len| {
            Some((
                spoken.get(first..first + len)?,
                spoken.get(first + frame_samples..first + frame_samples + len)?,
                heard.get(heard_at..heard_at + len)?,
            ))
        });
        let Some((one, other, heard)) = parts else {
            return false;
        };
        shorter_by == frame_samples as i64
            && (1..=frame_samples).contains(&heard.len())
            && one.iter().zip(other).zip(heard).all(|((&a, &b), heard)| {
                (a.min(b).saturating_sub(1)..=a.max(b).saturating_add(1)).contains(heard)
            })
    };
    let mut joined = runs.to_vec();
    for i in 1..runs.len() {
        let (run, next) = (runs[i - 1], runs[i]);
        if next.spoken > run.spoken && is_blend(&run, &next) {
            joined[i - 1].len = next.spoken - run.spoken;
        }
    }
    joined
}

#[cfg(test)]
mod tests {
    use super::super::{covered, exact_runs};
    use super::*;
    use crate::noise::noise;

    /// The mean of two sounds.
    fn mean(one: &[i16], other: &[i16]) -> Vec<i16> {
        let pairs = one.iter().zip(other);
        pairs
            .map(|(&a, &b)| ((i32::from(a) + i32::from(b)) / 2) as i16)
            .collect()
    }

    #[test]
    fn a_blend_joins_two_runs_and_a_loss_does_not() {
        let spoken = noise(1, 3_200);
        let heard = |blend: &dyn Fn(usize) -> i16| {
            let between: Vec<i16> = (0..320).map(blend).collect();
            [&[0; 50][..], &spoken[..960], &between, &spoken[1_600..]].concat()
        };
        let covered = |heard: &[i16]| {
            let runs = exact_runs(&spoken, heard);
            let joined = joined_over_blends(&runs, &spoken, heard, 320);
            covered(&joined, &spoken)
        };
        let blended = heard(&|i| {
            let (a, b) = (i32::from(spoken[960 + i]), i32::from(spoken[1_280 + i]));
            (a + (b - a) * i as i32 / 320) as i16
        });
        assert_eq!(covered(&blended), 3_200);
        let mut broken = blended.clone();
        broken[1_150] = if broken[1_150] > 0 { -32_768 } else { 32_767 };
        // A blend begins with what was spoken.
        assert!(covered(&broken) < 3_200 - 600, "one wrong sample");
        let other = noise(2, 320);
        assert!(covered(&heard(&|i| other[i])) < 3_200 - 600);
        let dropped = [&spoken[..960], &spoken[1_280..]].concat();
        assert_eq!(covered(&dropped), 3_200 - 320);
        let concealed = [&spoken[..960], &other, &spoken[1_280..]].concat();
        assert_eq!(covered(&concealed), 3_200 - 320);
    }

    #[test]
    fn a_blend_is_of_one_frame_and_shortens_the_delay_by_one() {
        let spoken = noise(1, 3_200);
        let joined = |heard: &[i16]| {
            let runs = exact_runs(&spoken, heard);
            joined_over_blends(&runs, &spoken, heard, 320)
        };
        let blend = |from: usize, len: usize| {
            let (one, other) = (&spoken[from..], &spoken[from + 320..]);
            mean(&one[..len], &other[..len])
        };
        let run = |spoken, heard, len| Run { spoken, heard, len };
        let two = [
            &spoken[..640],
            &blend(640, 320),
            &spoken[1_280..1_920],
            &blend(1_920, 320),
            &spoken[2_560..],
        ]
        .concat();
        let runs = [
            run(0, 0, 1_280),
            run(1_280, 960, 1_280),
            run(2_560, 1_920, 640),
        ];
        assert_eq!(joined(&two), runs, "one after the other");
        // By chance, a sample or two of a blend may equal what was spoken.
        let at_most = |heard: &[i16], most| {
            let covered = covered(&joined(heard), &spoken);
            assert!((most..most + 5).contains(&covered), "{covered}");
        };
        let another_lost = [&spoken[..960], &blend(960, 320), &spoken[1_920..]].concat();
        at_most(&another_lost, 2_240);
        let nothing_shorter = [&spoken[..960], &blend(960, 320), &spoken[1_280..]].concat();
        at_most(&nothing_shorter, 2_880);
        let too_long = [&spoken[..960], &blend(960, 640), &spoken[1_920..]].concat();
        at_most(&too_long, 2_240);
        for (beyond, is_blend) in [(1, true), (2, false)] {
            let (one, other) = (spoken[1_100], spoken[1_420]);
            for sample in [one.max(other) + beyond, one.min(other) - beyond] {
                let mut rounded = [&spoken[..960], &blend(960, 320), &spoken[1_600..]].concat();
                rounded[1_100] = sample;
                let is_whole = covered(&joined(&rounded), &spoken) == spoken.len();
                assert_eq!(is_whole, is_blend, "{beyond} beyond");
            }
        }
        let swapped = [&spoken[1_600..], &spoken[..1_600]].concat();
        assert_eq!(joined(&swapped), exact_runs(&spoken, &swapped));
    }
}
