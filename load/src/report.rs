//! What was measured, for people and for programs.

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use crate::cli::Order;
use crate::counters::Counters;
use crate::figures::{DELAY_NOTE, Figures, cpu_ms_per_participant_second, resident_kib};
use crate::percentile::percentile;
use crate::round::{Round, Rounds};
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
    preset: Option<&'static str>,
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

#[derive(Debug, Serialize)]
struct RoundFigures {
    server_cpu_ms: f64,
    floor_cpu_ms: Option<f64>,
    ratio: Option<f64>,
    server_bytes_in_per_second: f64,
    server_bytes_out_per_second: f64,
    floor_bytes_in_per_second: Option<f64>,
    floor_bytes_out_per_second: Option<f64>,
    delay_p99_ms: Option<f64>,
    share_delivered: Option<f64>,
    generator_lag_max_ms: f64,
    crowd_lag_max_ms: Option<f64>,
    server_counters: Option<Counters>,
    resident_kib_per_participant: f64,
}

impl Report {
    /// Of all rounds.
    pub fn new(order: &Order, rounds: &Rounds) -> Self {
        let figures = Figures::new(order.plan.participants, rounds);
        Self {
            load: Load::new(order),
            delay_ms_is: DELAY_NOTE,
            rounds: (0..rounds.server.len())
                .map(|i| {
                    RoundFigures::new(
                        order.plan.participants,
                        &rounds.server[i],
                        rounds.floor.get(i),
                    )
                })
                .collect(),
            targets: order.preset.map_or(Vec::new(), |preset| {
                targets(preset, order.plan.format.frame, &figures)
            }),
            figures,
        }
    }

    /// Whether no target was missed.
    pub fn all_met(&self) -> bool {
        self.targets.iter().all(|target| target.met)
    }

    /// One line of JSON.
    ///
    /// # Errors
    /// None that can happen: every field has a form in JSON.
    pub fn to_json(&self) -> Result<String> {
        Ok(serde_json::to_string(self)?)
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
            preset: order.preset.map(|preset| preset.name()),
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

impl RoundFigures {
    fn new(participants: usize, server: &Round, floor: Option<&Round>) -> Self {
        let cpu = |round: &Round| cpu_ms_per_participant_second(participants, round);
        Self {
            server_cpu_ms: cpu(server),
            floor_cpu_ms: floor.map(cpu),
            ratio: floor.map(|floor| cpu(server) / cpu(floor)),
            server_bytes_in_per_second: server.bytes_in as f64 / server.seconds,
            server_bytes_out_per_second: server.bytes_out as f64 / server.seconds,
            floor_bytes_in_per_second: floor.map(|floor| floor.bytes_in as f64 / floor.seconds),
            floor_bytes_out_per_second: floor.map(|floor| floor.bytes_out as f64 / floor.seconds),
            delay_p99_ms: percentile(&server.found.delays_ms, 99.0),
            share_delivered: server.found.share_delivered(),
            generator_lag_max_ms: server.generator_lag_max_ms,
            crowd_lag_max_ms: server.crowd.as_ref().map(|crowd| crowd.lag_max_ms),
            server_counters: server.counters,
            resident_kib_per_participant: resident_kib(participants, server),
        }
    }
}

fn targets_table(targets: &[Target]) -> Table {
    let mut table = Table::new();
    table
        .load_style(ASCII_MARKDOWN)
        .set_header(["target", "must be", "is", ""]);
    for target in targets {
        let must_be = match target.must_be {
            MustBe::AtMost => "at most",
            MustBe::LessThan => "less than",
            MustBe::Exactly => "exactly",
        };
        table.add_row([
            target.figure.to_owned(),
            format!("{must_be} {} {}", target.limit, target.unit),
            target
                .value
                .map_or("not measured".to_owned(), |value| format!("{value:.3}")),
            if target.met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    table
}
