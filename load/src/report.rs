//! What was measured, for people and for programs.

use comfy_table::Table;
use serde::Serialize;

use crate::cli::{Order, Preset};
use crate::figures::{DELAY_NOTE, Figures, RoundFigures, table};
use crate::round::Rounds;
use crate::targets::{MustBe, Target, targets};

/// Everything, as it is written to stdout.
#[derive(Debug, Serialize)]
pub struct Report {
    load: Load,
    figures: Figures,
    delay_ms_is: &'static str,
    rounds: Vec<RoundFigures>,
    targets: Vec<Target>,
}

#[derive(Debug, Serialize)]
struct Load {
    preset: Option<Preset>,
    participants: usize,
    rooms: usize,
    room_size: usize,
    talkers_per_room: usize,
    codec: &'static str,
    frame_ms: u8,
    seconds: f64,
    rounds: u32,
    seed: u64,
    pinned: bool,
    /// How long a part of it stops, if it does.
    stall_ms: Option<u64>,
}

impl Report {
    /// Of all rounds.
    pub fn new(order: &Order, rounds: &Rounds) -> Self {
        let each = RoundFigures::of_all(order.plan.participants, rounds);
        let figures = Figures::new(order.plan.participants, rounds, &each);
        let targets = order
            .preset
            .map(|p| targets(p, order.plan.format.frame, &figures));
        Self {
            load: Load::new(order),
            delay_ms_is: DELAY_NOTE,
            rounds: each,
            targets: targets.unwrap_or_default(),
            figures,
        }
    }

    /// Whether no target was missed.
    pub fn all_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }

    /// Tables for people.
    pub fn to_table(&self) -> String {
        let mut text = format!("{}\n\n{}\n", self.load.describe(), self.figures.to_table());
        if self.load.stall_ms.is_some() {
            text += &format!("\n{}\n", self.figures.series_table());
        }
        text += &self.figures.notes();
        if !self.targets.is_empty() {
            text += &format!("\n{}\n", targets_table(&self.targets));
        }
        text
    }
}

impl Load {
    fn new(order: &Order) -> Self {
        let plan = &order.plan;
        Self {
            preset: order.preset,
            participants: plan.participants,
            rooms: plan.rooms(),
            room_size: plan.room_size,
            talkers_per_room: plan.talkers,
            codec: plan.codec.name(),
            frame_ms: plan.format.frame.ms(),
            seconds: order.span.as_secs_f64(),
            rounds: order.rounds,
            seed: plan.seed,
            pinned: order.processors.is_some(),
            stall_ms: order.stall.map(|stall| stall.span.as_millis() as u64),
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} participants in {} rooms of {}, {} of them talking in each; {}, frames of {} ms; {} x {} s, medians{}",
            self.participants,
            self.rooms,
            self.room_size,
            self.talkers_per_room,
            self.codec,
            self.frame_ms,
            self.rounds,
            self.seconds,
            if self.pinned { "; pinned" } else { "" }
        )
    }
}

fn targets_table(targets: &[Target]) -> Table {
    let mut table = table(["target", "must be", "is", ""]);
    for target in targets {
        let must_be = match target.must_be {
            MustBe::AtMost => "at most",
            MustBe::LessThan => "less than",
            MustBe::Exactly => "exactly",
        };
        let must_be = format!("{must_be} {} {}", target.limit, target.unit);
        let value = target.value.map(|value| format!("{value:.3}"));
        let is = value.as_deref().unwrap_or("not measured");
        let met = if target.met { "met" } else { "MISSED" };
        table.add_row([target.figure, &must_be, is, met]);
    }
    table
}
