//! Compares what everyone heard with what everyone said, and says whether that is as it must be.

use comfy_table::Table;
use talkspurt_testkit::heard_speech::{Bounds, Hearing, added_ms, due, hear};
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::speech::UNRELATED;
use talkspurt_testkit::wav::samples;

use super::cast::Experience;
use super::plan::{Kind, Participant, Plan};
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

/// A line of a table, and what is wrong with it.
struct Row {
    /// Whom it is about.
    about: String,
    cells: Vec<String>,
    faults: Vec<String>,
}

/// Everything measured.
#[derive(Default)]
pub struct Findings {
    heard: Vec<Row>,
    traces: Vec<Row>,
    savings: Vec<Row>,
}

impl Findings {
    /// Measures. `unspoken` is a sentence that nobody said.
    pub fn measure(plan: &Plan, experiences: &[Experience], unspoken: &[i16]) -> Self {
        let mut findings = Self::default();
        for (listener, experience) in experiences.iter().enumerate() {
            let own = &experience.participant;
            let recording = Recording::new(&experience.heard);
            let mut hearings = Vec::new();
            for (talker, other) in experiences.iter().enumerate() {
                if talker == listener || other.participant.room != own.room {
                    continue;
                }
                let due = due(other.joined_at, experience.joined_at);
                // Everyone speaks; one whose speech is too soft to be any was not heard.
                let hearing = hear(&plan.spoken_by(talker), &recording, due, LATEST);
                let hearing = hearing.unwrap_or_default();
                findings
                    .heard
                    .push(heard(own, &other.participant, &hearing));
                hearings.push(hearing);
            }
            let similarity = |sound: &[i16]| recording.find(sound).map_or(0.0, |it| it.similarity);
            let strongest = |talks: &dyn Fn(usize) -> bool| {
                let turns = plan.turns.iter().filter(|turn| talks(turn.participant));
                turns
                    .map(|turn| similarity(&turn.sound))
                    .fold(0.0, f64::max)
            };
            let room_of = |participant: usize| experiences[participant].participant.room;
            let similarities = [
                strongest(&|talker| room_of(talker) != own.room),
                strongest(&|talker| talker == listener),
                similarity(unspoken),
            ];
            let added_ms = added_ms(&experience.heard, &hearings);
            findings
                .traces
                .push(traces(own.name, similarities, added_ms));
            let (captured, sent) = (experience.captured, experience.sent);
            findings.savings.push(saving(own.name, captured, sent));
        }
        findings
    }

    /// Whether everything is as it must be.
    pub fn good(&self) -> bool {
        !self.heard.is_empty() && self.faults().is_empty()
    }

    /// All that is wrong, with whom it concerns.
    pub fn faults(&self) -> Vec<String> {
        let rows = self.heard.iter().chain(&self.traces).chain(&self.savings);
        let faults = rows.flat_map(|Row { about, faults, .. }| {
            faults.iter().map(move |fault| format!("{about}: {fault}"))
        });
        faults.collect()
    }

    /// Who heard whom, how much of it, and how late.
    pub fn heard_table(&self) -> Table {
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
        filled(table(titles), &self.heard)
    }

    /// What nobody may hear.
    pub fn traces_table(&self) -> Table {
        let titles = [
            "listener",
            "the other room",
            "own voice",
            "nobody",
            "added sound",
            "",
        ];
        filled(table(titles), &self.traces)
    }

    /// What the gate saved.
    pub fn savings_table(&self) -> Table {
        let titles = [
            "talker",
            "frames captured",
            "frames sent",
            "saved by the gate",
            "",
        ];
        filled(table(titles), &self.savings)
    }
}

/// How one participant heard another.
fn heard(listener: &Participant, talker: &Participant, hearing: &Hearing) -> Row {
    let name = |who: &Participant| format!("{} ({})", who.name, kind(who.kind));
    Row {
        about: format!("{} of {}", listener.name, talker.name),
        cells: vec![
            listener.room.to_owned(),
            name(listener),
            name(talker),
            format!("{:.1} %", hearing.share * 100.0),
            format!("{:.3}", hearing.similarity),
            format!("{:.0} ms", hearing.gap_ms),
            format!("{:.0} ms", hearing.delay_ms),
        ],
        faults: BOUNDS.faults(hearing),
    }
}

/// What a participant must not have heard: similarities of whole sentences, wherever they fit best,
/// with the other room, its own voice, and a sentence that nobody said; milliseconds of loud sound
/// while nobody in the room spoke.
fn traces(name: &str, similarities: [f64; 3], added_ms: f64) -> Row {
    let [other_room, own_voice, _] = similarities;
    let mut faults = Vec::new();
    for (what, similarity) in [("the other room", other_room), ("the own voice", own_voice)] {
        if similarity >= UNRELATED {
            faults.push(format!(
                "{what} was heard at {similarity:.2}, where chance stays below {UNRELATED:.2}"
            ));
        }
    }
    if added_ms > MOST_ADDED_MS {
        faults.push(format!(
            "{added_ms:.0} ms of sound that nobody made, at most {MOST_ADDED_MS:.0} ms"
        ));
    }
    let mut cells = vec![name.to_owned()];
    cells.extend(similarities.map(|similarity| format!("{similarity:.2}")));
    cells.push(format!("{added_ms:.0} ms"));
    Row {
        about: name.to_owned(),
        cells,
        faults,
    }
}

/// Frames of a participant, who spoke, and was silent while others spoke: something was sent, and
/// clearly less than everything.
fn saving(name: &str, captured: u64, sent: u64) -> Row {
    let saved = 100.0 * (1.0 - sent as f64 / captured.max(1) as f64);
    let fault = match sent {
        0 => Some("nothing was sent".to_owned()),
        _ => (saved <= LEAST_SAVED_PERCENT)
            .then(|| format!("saved {saved:.0} %, must be more than {LEAST_SAVED_PERCENT:.0} %")),
    };
    Row {
        about: name.to_owned(),
        cells: vec![
            name.to_owned(),
            captured.to_string(),
            sent.to_string(),
            format!("{saved:.0} %"),
        ],
        faults: fault.into_iter().collect(),
    }
}

/// The table with these rows, each marked as right or wrong.
fn filled(mut table: Table, rows: &[Row]) -> Table {
    for Row { cells, faults, .. } in rows {
        let mark = match faults.is_empty() {
            true => "ok".to_owned(),
            false => format!("WRONG: {}", faults.join("; ")),
        };
        table.add_row(cells.iter().chain([&mark]));
    }
    table
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Desktop(codec) => format!("desktop, {codec}"),
        Kind::Node => "node, adpcm".to_owned(),
        Kind::Firmware(board) => format!("{}, adpcm", board.machine),
    }
}

#[cfg(test)]
mod tests;
