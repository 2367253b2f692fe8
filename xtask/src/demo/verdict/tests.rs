//! Findings about conversations that are made up.

use std::time::{Duration, Instant};

use talkspurt_testkit::wav::samples;

use super::*;
use crate::demo::plan::PARTICIPANTS;

/// Sentences that are noise, different for everyone.
fn sound(speaker: usize, nth: usize) -> Vec<i16> {
    let mut state = 1 + speaker as u64 + 100 * nth as u64;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 50) as i16 - 8_192
    };
    (0..samples(1_800)).map(|_| next()).collect()
}

/// A conversation in which everyone hears the others of the rooms that `hears` allows, 80 ms late,
/// and joined 30 ms after the one before.
fn conversation(hears: impl Fn(usize, usize) -> bool) -> (Plan, Vec<Experience>) {
    let plan = Plan::new(&PARTICIPANTS, 20, |speaker, nth| Ok(sound(speaker, nth))).unwrap();
    let begin = Instant::now();
    let joined = |participant: usize| begin + Duration::from_millis(30) * participant as u32;
    let experiences = (0..PARTICIPANTS.len())
        .map(|listener| {
            let mut heard = vec![0; plan.length + samples(1_000)];
            for turn in plan
                .turns
                .iter()
                .filter(|turn| hears(listener, turn.participant))
            {
                let at = turn.start as i64
                    + due(joined(turn.participant), joined(listener))
                    + samples(80) as i64;
                heard[at as usize..at as usize + turn.sound.len()].copy_from_slice(&turn.sound);
            }
            Experience {
                participant: PARTICIPANTS[listener],
                joined_at: joined(listener),
                heard,
                captured: 1_000,
                sent: 300,
                report: None,
            }
        })
        .collect();
    (plan, experiences)
}

fn same_room(a: usize, b: usize) -> bool {
    a != b && PARTICIPANTS[a].room == PARTICIPANTS[b].room
}

#[test]
fn a_right_conversation_is_found_right() {
    let (plan, experiences) = conversation(same_room);
    let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
    assert!(findings.good());
    assert_eq!(findings.heard.len(), 4 * 3 + 2);
    for heard in &findings.heard {
        let Some([share, _, _, delay]) = heard.cells.last_chunk() else {
            panic!("{:?} is no whole row", heard.cells);
        };
        assert_eq!((share.as_str(), delay.as_str()), ("100.0 %", "80 ms"));
    }
    let shown = findings.heard_table().to_string();
    assert!(
        shown.contains("80 ms") && !shown.contains("WRONG"),
        "{shown}"
    );
}

#[test]
fn a_deaf_participant_is_found() {
    let (plan, experiences) =
        conversation(|listener, talker| same_room(listener, talker) && listener != 2);
    let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
    assert!(!findings.good());
    let shown = findings.heard_table().to_string();
    assert!(shown.contains("WRONG"), "{shown}");
    let faults = findings.faults().join("; ");
    assert!(faults.contains("door of anna: nothing heard"), "{faults}");
    assert_eq!(
        findings
            .heard
            .iter()
            .filter(|heard| !heard.faults.is_empty())
            .count(),
        3
    );
}

#[test]
fn a_voice_across_rooms_and_ones_own_voice_are_found() {
    let (plan, experiences) =
        conversation(|a, b| same_room(a, b) || (a, b) == (0, 4) || (a, b) == (5, 5));
    let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
    let bad = findings.traces.iter().filter(|row| !row.faults.is_empty());
    let bad: Vec<&str> = bad.map(|row| row.about.as_str()).collect();
    assert_eq!(bad, ["anna", "dan"]);
    assert!(findings.traces_table().to_string().contains("WRONG"));
}

#[test]
fn a_gate_that_never_closes_or_never_opens_is_found() {
    for (sent, good) in [(300, true), (1_000, false), (0, false)] {
        assert_eq!(saving("anna", 1_000, sent).faults.is_empty(), good);
    }
    assert_eq!(
        saving("anna", 1_000, 300).cells,
        ["anna", "1000", "300", "70 %"]
    );
}

#[test]
fn half_a_sentence_is_not_enough_and_the_row_says_how_much_there_was() {
    let (plan, mut experiences) = conversation(same_room);
    // From Anna's recording the second half of Bea's only sentence disappears.
    let turn = plan.turns_of(1).next().unwrap();
    let at = turn.start + samples(30 + 80 + 900);
    experiences[0].heard[at..at + samples(900)].fill(0);
    let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
    let shown = findings.faults().join("; ");
    assert!(shown.contains("anna of bea: heard"), "{shown}");
    assert!(shown.contains("gap"), "{shown}");
}

#[test]
fn sound_that_nobody_made_is_found() {
    let (plan, mut experiences) = conversation(same_room);
    experiences[3].heard[..samples(300)].copy_from_slice(&sound(8, 8)[..samples(300)]);
    let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
    let shown = findings.faults().join("; ");
    assert_eq!(
        shown,
        "oven: 300 ms of sound that nobody made, at most 40 ms"
    );
}
