//! Compares what everyone heard with what everyone said, and says whether that is as it must be.

use comfy_table::Table;
use talkspurt_tests::analysis::Recording;
use talkspurt_tests::speech::UNRELATED;
use talkspurt_tests::wav::millis;

use super::cast::Experience;
use super::hearing::{hear, shift};
use super::plan::{Kind, Plan};
use crate::report::table;

/// What is heard of one talker at a time must be this similar. ADPCM's own noise (31 dB below the signal) leaves 0.999; the
/// rest allows for concealed frames and for the soft ends that the gate cuts.
const LEAST_SIMILARITY: f64 = 0.9;
/// A conversation is still one at this delay, mouth to ear (ITU-T G.114: at most 400 ms).
const MOST_DELAY_MS: f64 = 400.0;

/// How one participant heard another.
pub struct Heard {
    listener: usize,
    talker: usize,
    delay_ms: f64,
    similarity: f64,
}

impl Heard {
    fn good(&self) -> bool {
        self.similarity >= LEAST_SIMILARITY && (0.0..=MOST_DELAY_MS).contains(&self.delay_ms)
    }
}

/// What a participant must not have heard: similarities of whole sentences, wherever they fit best.
pub struct Traces {
    listener: usize,
    other_room: f64,
    own_voice: f64,
    unspoken: f64,
}

impl Traces {
    fn good(&self) -> bool {
        self.other_room < UNRELATED && self.own_voice < UNRELATED
    }
}

/// Frames of one participant.
pub struct Saving {
    captured: u64,
    sent: u64,
}

impl Saving {
    fn percent(&self) -> f64 {
        100.0 * (1.0 - self.sent as f64 / self.captured.max(1) as f64)
    }

    /// It spoke, and was silent while others spoke: something was sent, and clearly less than everything.
    fn good(&self) -> bool {
        self.sent > 0 && self.percent() > 20.0
    }
}

/// Everything measured.
pub struct Findings {
    heard: Vec<Heard>,
    traces: Vec<Traces>,
    savings: Vec<Saving>,
}

impl Findings {
    /// Measures. `unspoken` is a sentence that nobody said.
    pub fn measure(plan: &Plan, experiences: &[Experience], unspoken: &[i16]) -> Self {
        let mut findings = Self {
            heard: Vec::new(),
            traces: Vec::new(),
            savings: Vec::new(),
        };
        for (listener, experience) in experiences.iter().enumerate() {
            let recording = Recording::new(&experience.heard);
            for (talker, other) in experiences
                .iter()
                .enumerate()
                .filter(|&(talker, _)| talker != listener)
            {
                if other.participant.room == experience.participant.room {
                    let shift = shift(other.joined_at, experience.joined_at);
                    let (delay_ms, similarity) =
                        hear(plan, talker, &recording, shift).unwrap_or((f64::NAN, 0.0));
                    findings.heard.push(Heard {
                        listener,
                        talker,
                        delay_ms,
                        similarity,
                    });
                }
            }
            let strongest = |talkers: &dyn Fn(usize) -> bool| {
                let turns = plan.turns.iter().filter(|turn| talkers(turn.participant));
                turns
                    .filter_map(|turn| recording.find(&turn.sound))
                    .map(|found| found.similarity)
                    .fold(0.0, f64::max)
            };
            let room_of = |participant: usize| experiences[participant].participant.room;
            findings.traces.push(Traces {
                listener,
                other_room: strongest(&|talker| room_of(talker) != room_of(listener)),
                own_voice: strongest(&|talker| talker == listener),
                unspoken: recording
                    .find(unspoken)
                    .map_or(0.0, |found| found.similarity),
            });
            findings.savings.push(Saving {
                captured: experience.captured,
                sent: experience.sent,
            });
        }
        findings
    }

    /// Whether everything is as it must be.
    pub fn good(&self) -> bool {
        self.heard.iter().all(Heard::good)
            && self.traces.iter().all(Traces::good)
            && self.savings.iter().all(Saving::good)
    }

    /// Who heard whom, with which delay and similarity.
    pub fn heard_table(&self, experiences: &[Experience]) -> Table {
        let mut table = table(["room", "listener", "heard", "delay", "similarity", ""]);
        for heard in &self.heard {
            let [listener, talker] =
                [heard.listener, heard.talker].map(|i| &experiences[i].participant);
            table.add_row([
                listener.room.to_owned(),
                format!("{} ({})", listener.name, kind(listener.kind)),
                format!("{} ({})", talker.name, kind(talker.kind)),
                format!("{:.0} ms", heard.delay_ms),
                format!("{:.3}", heard.similarity),
                mark(heard.good()),
            ]);
        }
        table
    }

    /// What nobody may hear.
    pub fn traces_table(&self, experiences: &[Experience]) -> Table {
        let mut table = table([
            "listener",
            "the other room",
            "own voice",
            "a sentence nobody said",
            "",
        ]);
        for traces in &self.traces {
            let similarity = |value: f64| format!("{value:.2}");
            table.add_row([
                experiences[traces.listener].participant.name.to_owned(),
                similarity(traces.other_room),
                similarity(traces.own_voice),
                similarity(traces.unspoken),
                mark(traces.good()),
            ]);
        }
        table
    }

    /// What the gate saved.
    pub fn savings_table(&self, experiences: &[Experience]) -> Table {
        let mut table = table([
            "talker",
            "frames captured",
            "frames sent",
            "saved by the gate",
            "",
        ]);
        for (saving, experience) in self.savings.iter().zip(experiences) {
            table.add_row([
                experience.participant.name.to_owned(),
                saving.captured.to_string(),
                saving.sent.to_string(),
                format!("{:.0} %", saving.percent()),
                mark(saving.good()),
            ]);
        }
        table
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Desktop(codec) => format!("desktop, {codec}"),
        Kind::Node => "node, adpcm".to_owned(),
        Kind::Firmware(board) => format!("{}, adpcm", board.machine),
    }
}

fn mark(good: bool) -> String {
    if good {
        "ok".to_owned()
    } else {
        "WRONG".to_owned()
    }
}

/// Seconds of sound, for people.
pub fn seconds(sound: &[i16]) -> f64 {
    millis(sound.len()) / 1000.0
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use talkspurt_tests::wav::samples;

    use super::super::plan::PARTICIPANTS;
    use super::*;

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

    /// A conversation in which everyone hears the others of the rooms that `hears` allows, 80 ms late, and joined 30 ms
    /// after the one before.
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
                        + shift(joined(turn.participant), joined(listener))
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
            assert!(
                (heard.delay_ms - 80.0).abs() < 1.0 && heard.similarity > 0.999,
                "{}",
                heard.delay_ms
            );
        }
        let shown = findings.heard_table(&experiences).to_string();
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
        assert_eq!(
            findings.heard.iter().filter(|heard| !heard.good()).count(),
            3
        );
    }

    #[test]
    fn a_voice_across_rooms_and_ones_own_voice_are_found() {
        let (plan, experiences) =
            conversation(|a, b| same_room(a, b) || (a, b) == (0, 4) || (a, b) == (5, 5));
        let findings = Findings::measure(&plan, &experiences, &sound(6, 9));
        let bad: Vec<usize> = findings
            .traces
            .iter()
            .filter(|t| !t.good())
            .map(|t| t.listener)
            .collect();
        assert_eq!(bad, [0, 5]);
        assert!(
            findings
                .traces_table(&experiences)
                .to_string()
                .contains("WRONG")
        );
    }

    #[test]
    fn a_gate_that_never_closes_or_never_opens_is_found() {
        for (sent, good) in [(300, true), (1_000, false), (0, false)] {
            assert_eq!(
                Saving {
                    captured: 1_000,
                    sent
                }
                .good(),
                good
            );
        }
        assert!(
            (Saving {
                captured: 1_000,
                sent: 300
            }
            .percent()
                - 70.0)
                .abs()
                < 1e-9
        );
    }
}
