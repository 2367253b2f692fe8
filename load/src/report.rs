//! What was measured, for people and for programs.

use anyhow::Result;
use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use crate::cli::Order;
use crate::ledger::Found;
use crate::percentile::{median, percentile};
use crate::round::{Round, Rounds};
use crate::targets::{MustBe, Target, targets};

/// How the delay was measured, for whoever reads the figures.
const DELAY_NOTE: &str = "from before the marked frame is written to a socket until the mix with it is ready to be read from \
    another, over the loopback, by one process with one clock: what the kernel takes both ways is in it";

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
}

/// The figures over all rounds: medians of CPU and memory, percentiles of all delays together.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Figures {
    /// The server's CPU time in milliseconds per participant and second.
    pub server_cpu_ms: f64,
    /// The same of the floor.
    pub floor_cpu_ms: Option<f64>,
    /// Median of the rounds' ratios of server and floor.
    pub ratio: Option<f64>,
    /// The server's CPU time in per cent of a core.
    pub server_cpu_percent: f64,
    /// What the server's resident memory grew by per participant.
    pub resident_kib_per_participant: f64,
    /// Added delay, middle.
    pub delay_p50_ms: Option<f64>,
    /// Added delay, 99th percentile.
    pub delay_p99_ms: Option<f64>,
    /// The longest.
    pub delay_max_ms: Option<f64>,
    /// Marked frames heard by each other member of the room, of those that should have been; 1 is all.
    pub share_delivered: Option<f64>,
    /// How many should have been.
    pub marks_expected: u64,
    /// Marks heard in a room where they were not said.
    pub crossed: u64,
    /// Marks heard by whoever said them.
    pub own_heard: u64,
    /// Marks heard again by the same listener.
    pub repeated: u64,
    /// The generator's own CPU time in per cent of a core.
    pub generator_cpu_percent: f64,
    /// How much later than due the generator sent its frames: the worst round's 99th percentile.
    pub generator_lag_p99_ms: f64,
    /// Frames that the generator could not send.
    pub skipped_frames: u64,
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
                targets(preset, order.plan.frame, &figures)
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
        text += &format!("\nAdded delay: {DELAY_NOTE}.\n");
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
            frame_ms: plan.frame.ms(),
            seconds: order.span.as_secs_f64(),
            rounds: order.rounds,
            seed: plan.seed,
            pinned: order.processors.is_some(),
        }
    }

    fn describe(&self) -> String {
        format!(
            "{} participants in {} rooms of {}, {} of them talking in each; {}, frames of {} ms; {} x {} s, medians",
            self.participants,
            self.rooms,
            self.room_size,
            self.talkers_per_room,
            self.codec,
            self.frame_ms,
            self.rounds,
            self.seconds
        )
    }
}

impl Figures {
    fn new(participants: usize, rounds: &Rounds) -> Self {
        let cpu = |round: &Round| cpu_ms_per_participant_second(participants, round);
        let over = |rounds: &[Round], figure: &dyn Fn(&Round) -> f64| {
            median(&rounds.iter().map(figure).collect::<Vec<f64>>())
        };
        let ratios: Vec<f64> = rounds
            .server
            .iter()
            .zip(&rounds.floor)
            .map(|(server, floor)| cpu(server) / cpu(floor))
            .collect();
        let mut found = Found::default();
        rounds
            .server
            .iter()
            .for_each(|round| found.add(&round.found));
        let delay = |percent| percentile(&found.delays_ms, percent);
        Self {
            server_cpu_ms: over(&rounds.server, &cpu).unwrap_or(0.0),
            floor_cpu_ms: over(&rounds.floor, &cpu),
            ratio: median(&ratios),
            server_cpu_percent: over(&rounds.server, &|r| r.cpu_ms / r.seconds / 10.0)
                .unwrap_or(0.0),
            resident_kib_per_participant: over(&rounds.server, &|r| resident_kib(participants, r))
                .unwrap_or(0.0),
            delay_p50_ms: delay(50.0),
            delay_p99_ms: delay(99.0),
            delay_max_ms: delay(100.0),
            share_delivered: found.share_delivered(),
            marks_expected: found.expected,
            crossed: found.crossed,
            own_heard: found.own_heard,
            repeated: found.repeated,
            generator_cpu_percent: over(&rounds.server, &|r| r.generator_cpu_ms / r.seconds / 10.0)
                .unwrap_or(0.0),
            generator_lag_p99_ms: rounds
                .server
                .iter()
                .map(|r| r.generator_lag_p99_ms)
                .fold(0.0, f64::max),
            skipped_frames: rounds.server.iter().map(|r| r.skipped_frames).sum(),
        }
    }

    fn to_table(&self) -> Table {
        let or_dash = |value: Option<f64>, digits: usize| {
            value.map_or("-".to_owned(), |v| format!("{v:.digits$}"))
        };
        let mut table = Table::new();
        table
            .load_style(ASCII_MARKDOWN)
            .set_header(["figure", "value", "unit"]);
        let mut row = |figure: &str, value: String, unit: &str| {
            table.add_row([figure, &value, unit]);
        };
        row(
            "server's CPU",
            format!("{:.3}", self.server_cpu_ms),
            "ms per participant-second",
        );
        row(
            "floor's CPU",
            or_dash(self.floor_cpu_ms, 3),
            "ms per participant-second",
        );
        row("server / floor", or_dash(self.ratio, 2), "times");
        row(
            "server's CPU",
            format!("{:.2}", self.server_cpu_percent),
            "% of a core",
        );
        row(
            "resident memory",
            format!("{:.1}", self.resident_kib_per_participant),
            "KiB per participant",
        );
        row("added delay p50", or_dash(self.delay_p50_ms, 1), "ms");
        row("added delay p99", or_dash(self.delay_p99_ms, 1), "ms");
        row("added delay, longest", or_dash(self.delay_max_ms, 1), "ms");
        row(
            "delivered",
            or_dash(self.share_delivered.map(|s| s * 100.0), 3),
            "% of marked frames x listeners",
        );
        row(
            "marked frames x listeners",
            self.marks_expected.to_string(),
            "",
        );
        row(
            "heard from another room",
            self.crossed.to_string(),
            "marked frames",
        );
        row(
            "own voice heard",
            self.own_heard.to_string(),
            "marked frames",
        );
        row("heard twice", self.repeated.to_string(), "marked frames");
        row(
            "generator's CPU",
            format!("{:.1}", self.generator_cpu_percent),
            "% of a core",
        );
        row(
            "generator late, p99",
            format!("{:.2}", self.generator_lag_p99_ms),
            "ms",
        );
        row(
            "not sent: server did not read",
            self.skipped_frames.to_string(),
            "frames",
        );
        table
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
            resident_kib_per_participant: resident_kib(participants, server),
        }
    }
}

fn cpu_ms_per_participant_second(participants: usize, round: &Round) -> f64 {
    round.cpu_ms / (participants as f64 * round.seconds)
}

fn resident_kib(participants: usize, round: &Round) -> f64 {
    round.grown_bytes as f64 / 1_024.0 / participants as f64
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

#[cfg(test)]
mod tests {
    use super::*;

    fn round(cpu_ms: f64) -> Round {
        Round {
            seconds: 10.0,
            cpu_ms,
            grown_bytes: 64 * 2_048,
            bytes_in: 1,
            bytes_out: 1,
            found: Found {
                delays_ms: vec![1.0, 2.0, 3.0],
                expected: 4,
                ..Found::default()
            },
            generator_cpu_ms: 500.0,
            generator_lag_p99_ms: 0.1,
            skipped_frames: 0,
        }
    }

    #[test]
    fn figures_are_per_participant_and_second_and_medians() {
        let rounds = Rounds {
            server: [640.0, 1_280.0, 900.0].map(round).into(),
            floor: [640.0, 640.0, 640.0].map(round).into(),
        };
        let figures = Figures::new(64, &rounds);
        assert_eq!(figures.server_cpu_ms, 900.0 / 640.0);
        assert_eq!(figures.floor_cpu_ms, Some(1.0));
        assert_eq!(figures.ratio, Some(900.0 / 640.0));
        assert_eq!(figures.resident_kib_per_participant, 2.0);
        assert_eq!(figures.share_delivered, Some(0.75));
        assert_eq!(figures.delay_p99_ms, Some(3.0));
        assert_eq!(figures.generator_cpu_percent, 5.0);
        assert!(figures.to_table().to_string().contains("1.41"));
    }
}
