//! What was measured, for people and for programs.

use comfy_table::Table;
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::Order;
use crate::figures::{DELAY_NOTE, Figures, RoundFigures, table};
use crate::round::Rounds;
use crate::targets::{MustBe, Target, targets};

/// Everything, as it is written to stdout.
#[derive(Debug, Serialize)]
pub struct Report {
    load: Value,
    figures: Figures,
    delay_ms_is: &'static str,
    rounds: Vec<RoundFigures>,
    targets: Vec<Target>,
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
            load: load(order),
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
    pub fn to_table(&self, order: &Order) -> String {
        let mut text = format!("{}\n\n{}\n", describe(order), self.figures.to_table());
        if order.stall.is_some() {
            text += &format!("\n{}\n", self.figures.series_table());
        }
        text += &self.figures.notes();
        if !self.targets.is_empty() {
            text += &format!("\n{}\n", targets_table(&self.targets));
        }
        text
    }
}

fn load(order: &Order) -> Value {
    let plan = &order.plan;
    json!({
        "preset": order.preset,
        "participants": plan.participants,
        "rooms": plan.rooms(),
        "room_size": plan.room_size,
        "talkers_per_room": plan.talkers,
        "codec": plan.codec.name(),
        "frame_ms": plan.format.frame.ms(),
        "seconds": order.span.as_secs_f64(),
        "rounds": order.rounds,
        "seed": plan.seed,
        "pinned": order.processors.is_some(),
        // How long a part of it stops, if it does.
        "stall_ms": order.stall.map(|stall| stall.span.as_millis() as u64),
    })
}

fn describe(order: &Order) -> String {
    let plan = &order.plan;
    format!(
        "{} participants in {} rooms of {}, {} of them talking in each; {}, frames of {} ms; \
         {} x {} s, medians{}",
        plan.participants,
        plan.rooms(),
        plan.room_size,
        plan.talkers,
        plan.codec.name(),
        plan.format.frame.ms(),
        order.rounds,
        order.span.as_secs_f64(),
        if order.processors.is_some() {
            "; pinned"
        } else {
            ""
        }
    )
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
