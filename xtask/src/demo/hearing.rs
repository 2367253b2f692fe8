//! How one participant heard another: where each piece of what was said is found in what was heard, and how faithfully.

use std::time::Instant;

use talkspurt_tests::analysis::{Recording, speech_pieces};
use talkspurt_tests::wav::samples;

use super::plan::Plan;

/// Pieces of a sentence that are looked for on their own, so that a playout that adapts its delay does not blur them.
const PIECE: usize = samples(600);

/// Looks for every piece of a talker's speech near where it is due. The median delay in ms, and the median similarity.
///
/// `shift` is where the talker's first sample would be in the recording if nothing took time.
pub fn hear(
    plan: &Plan,
    talker: usize,
    recording: &Recording<'_>,
    shift: i64,
) -> Option<(f64, f64)> {
    // Clocks of two processes agree within a few ms: a piece heard this much early would be an error of ours.
    const EARLY: i64 = samples(200) as i64;
    const LATE: i64 = samples(1_500) as i64;
    let mut found = Vec::new();
    for turn in plan.turns_of(talker) {
        for piece in speech_pieces(&turn.sound, 300.0) {
            for part in turn.sound[piece.clone()]
                .chunks(PIECE)
                .enumerate()
                .filter(|(_, part)| part.len() > PIECE / 2)
            {
                let due = shift + (turn.start + piece.start + part.0 * PIECE) as i64;
                let range =
                    (due - EARLY).max(0) as usize..(due + LATE + PIECE as i64).max(0) as usize;
                let (delay, similarity) = recording
                    .find_within(part.1, range)
                    .map_or((LATE, 0.0), |found| {
                        (found.offset as i64 - due, found.similarity)
                    });
                found.push((delay, similarity));
            }
        }
    }
    if found.is_empty() {
        return None;
    }
    let middle = found.len() / 2;
    let delay = *found
        .select_nth_unstable_by_key(middle, |&(delay, _)| delay)
        .1;
    let similarity = *found
        .select_nth_unstable_by(middle, |a, b| a.1.total_cmp(&b.1))
        .1;
    Some((delay.0 as f64 / samples(1) as f64, similarity.1))
}

/// Samples from when `listener` joined to when `talker` did.
pub fn shift(talker: Instant, listener: Instant) -> i64 {
    let signed_ms =
        |later: Instant, earlier: Instant| later.duration_since(earlier).as_secs_f64() * 1000.0;
    let ms = if talker >= listener {
        signed_ms(talker, listener)
    } else {
        -signed_ms(listener, talker)
    };
    (ms * samples(1) as f64).round() as i64
}
