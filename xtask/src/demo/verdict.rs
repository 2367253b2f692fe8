//! Compares what everyone heard with what everyone said, and says whether that is as it must be.

use comfy_table::Table;
use talkspurt_testkit::heard_speech::{Bounds, Hearing, added_ms, due, hear};
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::speech::UNRELATED;
use talkspurt_testkit::wav::{millis, samples};

use super::cast::Experience;
use super::plan::{Kind, Plan};
use crate::report::table;

/// A frame that comes later than this was not heard.
const LATEST: usize = samples(500);

/// What is heard of one talker at a time. Measured where timers are on time: 96 to 100 %, 0.997,
/// gaps of 40 ms, delays of 60 to 200 ms. A conversation is still one at 400 ms, mouth to ear
/// (ITU-T G.114).
const BOUNDS: Bounds = Bounds {
    share: 0.93,
    similarity: 0.99,
    gap_ms: 80.0,
    delay_ms: 400.0,
    spread_ms: 200.0,
};
/// Sound that nobody made: a click may come where a talkspurt is concealed at its end.
const MOST_ADDED_MS: f64 = 40.0;
/// What the gate saves at least of a talker who is silent while others speak.
const LEAST_SAVED_PERCENT: f64 = 20.0;

/// How one participant heard another.
pub struct Heard {
    listener: usize,
    talker: usize,
    hearing: Hearing,
}

impl Heard {
    fn faults(&self) -> Vec<String> {
        BOUNDS.faults(&self.hearing)
    }
}

/// What a participant must not have heard: similarities of whole sentences, wherever they fit best.
pub struct Traces {
    listener: usize,
    other_room: f64,
    own_voice: f64,
    unspoken: f64,
    /// Milliseconds of loud sound while nobody in the room spoke.
    added_ms: f64,
}

impl Traces {
    fn faults(&self) -> Vec<String> {
        let heard = |what: &str, similarity: f64| {
            (similarity >= UNRELATED).then(|| {
                format!("{what} at {similarity:.2}, where chance stays below {UNRELATED:.2}")
            })
        };
        let added = format!(
            "{:.0} ms of sound that nobody made, at most {MOST_ADDED_MS:.0} ms",
            self.added_ms
        );
        let faults = [
            heard("the other room was heard", self.other_room),
            heard("the own voice was heard", self.own_voice),
            (self.added_ms > MOST_ADDED_MS).then_some(added),
        ];
        faults.into_iter().flatten().collect()
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
    fn faults(&self) -> Vec<String> {
        if self.sent == 0 {
            return vec!["nothing was sent".to_owned()];
        }
        let saved = self.percent();
        let fault = format!("saved {saved:.0} %, more than {LEAST_SAVED_PERCENT:.0} %");
        (saved <= LEAST_SAVED_PERCENT)
            .then_some(fault)
            .into_iter()
            .collect()
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
            let mut hearings = Vec::new();
            for (talker, other) in experiences
                .iter()
                .enumerate()
                .filter(|&(talker, _)| talker != listener)
            {
                if other.participant.room == experience.participant.room {
                    let due = due(other.joined_at, experience.joined_at);
                    let hearing = hear(&plan.spoken_by(talker), &recording, due, LATEST);
                    hearings.push(Heard {
                        listener,
                        talker,
                        // Everyone speaks; one whose speech is too soft to be any was not heard.
                        hearing: hearing.unwrap_or_default(),
                    });
                }
            }
            let talkers = hearings.iter().map(|heard| &heard.hearing);
            let added_ms = added_ms(&experience.heard, talkers);
            findings.heard.extend(hearings);
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
                added_ms,
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
        !self.heard.is_empty()
            && self.heard.iter().all(|heard| heard.faults().is_empty())
            && self.traces.iter().all(|traces| traces.faults().is_empty())
            && self.savings.iter().all(|saving| saving.faults().is_empty())
    }

    /// All that is wrong, with who it concerns.
    pub fn faults(&self, experiences: &[Experience]) -> Vec<String> {
        let name = |index: usize| experiences[index].participant.name;
        let heard = self.heard.iter().flat_map(|heard| {
            let faults = heard.faults().into_iter();
            faults.map(|fault| {
                let [listener, talker] = [heard.listener, heard.talker].map(name);
                format!("{listener} of {talker}: {fault}")
            })
        });
        let traces = self.traces.iter().flat_map(|traces| {
            let faults = traces.faults().into_iter();
            faults.map(|fault| format!("{}: {fault}", name(traces.listener)))
        });
        let savings = self.savings.iter().enumerate().flat_map(|(index, saving)| {
            let faults = saving.faults().into_iter();
            faults.map(move |fault| format!("{}: {fault}", name(index)))
        });
        heard.chain(traces).chain(savings).collect()
    }

    /// Who heard whom, how much of it, and how late.
    pub fn heard_table(&self, experiences: &[Experience]) -> Table {
        let titles = [
            "room",
            "listener",
            "talker",
            "heard",
            "similarity",
            "gap",
            "delay",
            "",
        ];
        let mut table = table(titles);
        for heard in &self.heard {
            let [listener, talker] =
                [heard.listener, heard.talker].map(|i| &experiences[i].participant);
            let hearing = &heard.hearing;
            table.add_row([
                listener.room.to_owned(),
                format!("{} ({})", listener.name, kind(listener.kind)),
                format!("{} ({})", talker.name, kind(talker.kind)),
                format!("{:.1} %", hearing.share * 100.0),
                format!("{:.3}", hearing.similarity),
                format!("{:.0} ms", hearing.gap_ms),
                format!("{:.0} ms", hearing.delay_ms),
                mark(&heard.faults()),
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
            "nobody",
            "added sound",
            "",
        ]);
        for traces in &self.traces {
            let similarity = |value: f64| format!("{value:.2}");
            table.add_row([
                experiences[traces.listener].participant.name.to_owned(),
                similarity(traces.other_room),
                similarity(traces.own_voice),
                similarity(traces.unspoken),
                format!("{:.0} ms", traces.added_ms),
                mark(&traces.faults()),
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
                mark(&saving.faults()),
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

fn mark(faults: &[String]) -> String {
    if faults.is_empty() {
        "ok".to_owned()
    } else {
        format!("WRONG: {}", faults.join("; "))
    }
}

/// Seconds of sound, for people.
pub fn seconds(sound: &[i16]) -> f64 {
    millis(sound.len()) / 1000.0
}

#[cfg(test)]
mod tests;
