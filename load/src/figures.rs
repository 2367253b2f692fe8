//! What many rounds come to, in a few figures.

use comfy_table::Table;
use comfy_table::presets::ASCII_MARKDOWN;
use serde::Serialize;

use crate::counters::Counters;
use crate::ledger::Found;
use crate::percentile::{median, percentile};
use crate::round::{Round, Rounds};

/// How the delay was measured, for whoever reads the figures.
pub const DELAY_NOTE: &str = "from before the marked frame is written to a socket until the mix with it is ready to be read from \
    another, over the loopback, by one process with one clock: what the kernel takes both ways is in it";

/// A generator that keeps time sends its frames a wake-up (0.1 ms) late; one that does not, a time
/// slice of the scheduler's (3 ms).
const GENERATOR_LAG_MS_MAX: f64 = 1.0;

/// A figure, its value if this load has it, digits behind the point, and the unit.
type Row = (&'static str, Option<f64>, usize, &'static str);

/// A crowd that is later than this makes its changes in heaps, and its load is lighter than asked
/// for. Its members change every 83 ms.
const CROWD_LAG_MS_MAX: f64 = 80.0;

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
    /// Marked frames heard by each other member of the room, of those that should have been; 1 is
    /// all.
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
    /// The latest frame of all rounds.
    pub generator_lag_max_ms: f64,
    /// How much later than due the latest change of a crowd was made.
    pub crowd_lag_max_ms: Option<f64>,
    /// What the server counted in all rounds.
    pub server_counters: Option<Counters>,
    /// Frames that the generator could not send.
    pub skipped_frames: u64,
    /// What the slowest newcomer beside a crowd took to join.
    pub join_max_ms: Option<f64>,
    /// How the delay went, second by second of the round.
    pub delay_by_second: Vec<Second>,
}

/// The delay of the marked frames that were sent in one second.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Second {
    /// Seconds since the round began.
    pub second: usize,
    /// Middle.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// How many were heard.
    pub heard: usize,
}

/// Seconds in which nothing was heard are left out.
fn seconds(found: &Found) -> Vec<Second> {
    let by_second = found.delays_ms_by_second.iter().enumerate();
    by_second
        .filter_map(|(second, delays_ms)| {
            Some(Second {
                second,
                p50_ms: percentile(delays_ms, 50.0)?,
                p99_ms: percentile(delays_ms, 99.0)?,
                heard: delays_ms.len(),
            })
        })
        .collect()
}

/// One round in figures.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RoundFigures {
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

impl RoundFigures {
    /// Of each round.
    pub fn of_all(participants: usize, rounds: &Rounds) -> Vec<Self> {
        let servers = rounds.server.iter().enumerate();
        servers
            .map(|(number, server)| Self::new(participants, server, rounds.floor.get(number)))
            .collect()
    }

    fn new(participants: usize, server: &Round, floor: Option<&Round>) -> Self {
        let cpu = |round: &Round| round.cpu_ms / (participants as f64 * round.seconds);
        let bytes_in = |round: &Round| round.bytes_in as f64 / round.seconds;
        let bytes_out = |round: &Round| round.bytes_out as f64 / round.seconds;
        Self {
            server_cpu_ms: cpu(server),
            floor_cpu_ms: floor.map(cpu),
            ratio: floor.map(|floor| cpu(server) / cpu(floor)),
            server_bytes_in_per_second: bytes_in(server),
            server_bytes_out_per_second: bytes_out(server),
            floor_bytes_in_per_second: floor.map(bytes_in),
            floor_bytes_out_per_second: floor.map(bytes_out),
            delay_p99_ms: percentile(&server.found.delays_ms(), 99.0),
            share_delivered: server.found.share_delivered(),
            generator_lag_max_ms: percentile(&server.pacing.lags_ms, 100.0).unwrap_or(0.0),
            crowd_lag_max_ms: server.crowd.as_ref().map(|crowd| crowd.lag_max_ms),
            server_counters: server.counters,
            resident_kib_per_participant: server.grown_bytes as f64 / 1_024.0 / participants as f64,
        }
    }
}

impl Figures {
    /// Of all rounds.
    pub fn new(participants: usize, rounds: &Rounds, each: &[RoundFigures]) -> Self {
        let middle = |figure: fn(&RoundFigures) -> Option<f64>| {
            median(&each.iter().filter_map(figure).collect::<Vec<f64>>())
        };
        let worst = |figure: fn(&RoundFigures) -> Option<f64>| {
            each.iter().filter_map(figure).reduce(f64::max)
        };
        let servers = || rounds.server.iter();
        let of_generator = |round: &Round| round.generator_cpu_ms / round.seconds / 10.0;
        let lag_p99_ms = |round: &Round| percentile(&round.pacing.lags_ms, 99.0);
        let joins_ms = servers()
            .flat_map(|round| &round.crowd)
            .flat_map(|crowd| &crowd.joins_ms);
        let server_cpu_ms = middle(|round| Some(round.server_cpu_ms)).unwrap_or(0.0);
        let resident_kib = middle(|round| Some(round.resident_kib_per_participant));
        let mut found = Found::default();
        servers().for_each(|round| found.add(&round.found));
        let delays_ms = found.delays_ms();
        let counters = each.iter().filter_map(|round| round.server_counters);
        Self {
            server_cpu_ms,
            floor_cpu_ms: middle(|round| round.floor_cpu_ms),
            ratio: middle(|round| round.ratio),
            server_cpu_percent: server_cpu_ms * participants as f64 / 10.0,
            resident_kib_per_participant: resident_kib.unwrap_or(0.0),
            delay_p50_ms: percentile(&delays_ms, 50.0),
            delay_p99_ms: percentile(&delays_ms, 99.0),
            delay_max_ms: percentile(&delays_ms, 100.0),
            share_delivered: found.share_delivered(),
            marks_expected: found.expected,
            crossed: found.crossed,
            own_heard: found.own_heard,
            repeated: found.repeated,
            generator_cpu_percent: median(&servers().map(of_generator).collect::<Vec<_>>())
                .unwrap_or(0.0),
            generator_lag_p99_ms: servers().filter_map(lag_p99_ms).fold(0.0, f64::max),
            generator_lag_max_ms: worst(|round| Some(round.generator_lag_max_ms)).unwrap_or(0.0),
            crowd_lag_max_ms: worst(|round| round.crowd_lag_max_ms),
            server_counters: counters.reduce(Counters::and),
            skipped_frames: servers().map(|round| round.pacing.skipped_frames).sum(),
            delay_by_second: seconds(&found),
            join_max_ms: joins_ms.copied().reduce(f64::max),
        }
    }

    /// One row for each second.
    pub fn series_table(&self) -> Table {
        let mut table = table(["second", "delay p50, ms", "delay p99, ms", "heard"]);
        for second in &self.delay_by_second {
            table.add_row([
                second.second.to_string(),
                format!("{:.1}", second.p50_ms),
                format!("{:.1}", second.p99_ms),
                second.heard.to_string(),
            ]);
        }
        table
    }

    /// One row for each figure that this load has.
    pub fn to_table(&self) -> Table {
        let mut table = table(["figure", "value", "unit"]);
        for (figure, value, digits, unit) in [self.costs(), self.voice(), self.causes()].concat() {
            if let Some(value) = value {
                table.add_row([figure, &format!("{value:.digits$}"), unit]);
            }
        }
        table
    }

    fn costs(&self) -> Vec<Row> {
        let per_second = "ms per participant-second";
        let cpu_percent = Some(self.server_cpu_percent);
        let resident_kib = Some(self.resident_kib_per_participant);
        vec![
            ("server's CPU", Some(self.server_cpu_ms), 3, per_second),
            ("floor's CPU", self.floor_cpu_ms, 3, per_second),
            ("server / floor", self.ratio, 2, "times"),
            ("server's CPU", cpu_percent, 2, "% of a core"),
            ("resident memory", resident_kib, 1, "KiB per participant"),
        ]
    }

    fn voice(&self) -> Vec<Row> {
        let percent = self.share_delivered.map(|share| share * 100.0);
        let hearings = "marked frames x listeners";
        let of_hearings = "% of marked frames x listeners";
        let frames = "marked frames";
        let count = |count| self.if_marked(count as f64);
        vec![
            ("added delay p50", self.delay_p50_ms, 1, "ms"),
            ("added delay p99", self.delay_p99_ms, 1, "ms"),
            ("added delay, longest", self.delay_max_ms, 1, "ms"),
            ("delivered", percent, 3, of_hearings),
            (hearings, count(self.marks_expected), 0, ""),
            ("heard from another room", count(self.crossed), 0, frames),
            ("own voice heard", count(self.own_heard), 0, frames),
            ("heard twice", count(self.repeated), 0, frames),
            ("newcomer joins, longest", self.join_max_ms, 1, "ms"),
        ]
    }

    /// Why a frame may have been lost or late.
    fn causes(&self) -> Vec<Row> {
        let generator_cpu = Some(self.generator_cpu_percent);
        let lag_p99_ms = self.if_marked(self.generator_lag_p99_ms);
        let lag_max_ms = self.if_marked(self.generator_lag_max_ms);
        let unsent = self.if_marked(self.skipped_frames as f64);
        let counters = self.server_counters.filter(|_| self.marks_expected > 0);
        let count = |count: fn(Counters) -> u64| counters.map(|of| count(of) as f64);
        let overflowed = count(|of| of.overflowed);
        let given_up = count(|of| of.ticks_skipped);
        vec![
            ("generator's CPU", generator_cpu, 1, "% of a core"),
            ("generator late, p99", lag_p99_ms, 2, "ms"),
            ("generator late, longest", lag_max_ms, 2, "ms"),
            ("not sent: server did not read", unsent, 0, "frames"),
            ("crowd late, longest", self.crowd_lag_max_ms, 1, "ms"),
            ("server concealed", count(|of| of.concealed), 0, "frames"),
            ("server skipped", count(|of| of.skipped), 0, "frames"),
            ("server dropped: too many waited", overflowed, 0, "frames"),
            ("server gave up: it was late", given_up, 0, "ticks"),
        ]
    }

    /// A figure that says something only of a load with voice.
    fn if_marked(&self, figure: f64) -> Option<f64> {
        (self.marks_expected > 0).then_some(figure)
    }

    /// What the figures cannot say for themselves.
    pub fn notes(&self) -> String {
        let mut notes = String::new();
        if self.delay_p99_ms.is_some() {
            notes += &format!("\nAdded delay: {DELAY_NOTE}.\n");
        }
        if self.generator_lag_p99_ms > GENERATOR_LAG_MS_MAX {
            notes += "\nThis machine was too busy for the generator to keep time: delays are too long by as much, and frames may have \
                      been dropped to shorten them. Measure again when nothing else runs.\n";
        }
        if self.crowd_lag_max_ms.unwrap_or(0.0) > CROWD_LAG_MS_MAX {
            notes += "\nThis machine was too busy for the crowd: at times it made fewer changes than it should, then many at once. The \
                      load was lighter or rougher than asked for.\n";
        }
        if self.share_delivered.is_some_and(|share| share < 1.0) && self.server_counters.is_some() {
            notes += "\nFrames were lost. A generator that was late for longer than the jitter buffer holds explains frames that the \
                      server concealed or skipped; with a generator in time, the server was late itself.\n";
        }
        notes
    }
}

/// An empty table.
pub fn table<const COLUMNS: usize>(header: [&str; COLUMNS]) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header);
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crowd::Outcome;
    use crate::generator::Pacing;

    fn round(cpu_ms: f64) -> Round {
        Round {
            seconds: 10.0,
            cpu_ms,
            grown_bytes: 64 * 2_048,
            bytes_in: 1,
            bytes_out: 1,
            found: Found {
                delays_ms_by_second: vec![vec![1.0, 2.0], vec![3.0]],
                expected: 4,
                ..Found::default()
            },
            generator_cpu_ms: 500.0,
            pacing: Pacing {
                lags_ms: [vec![0.1; 99], vec![cpu_ms / 1_000.0]].concat(),
                skipped_frames: 0,
            },
            counters: Some(Counters {
                concealed: 2,
                ..Counters::default()
            }),
            crowd: Some(Outcome {
                joins_ms: vec![3.0, 7.0, 5.0],
                lag_max_ms: 12.0,
            }),
        }
    }

    #[test]
    fn figures_are_per_participant_and_second_and_medians() {
        let rounds = Rounds {
            server: [640.0, 1_280.0, 900.0].map(round).into(),
            floor: [640.0, 640.0, 640.0].map(round).into(),
        };
        let figures = Figures::new(64, &rounds, &RoundFigures::of_all(64, &rounds));
        assert_eq!(figures.server_cpu_ms, 900.0 / 640.0);
        assert_eq!(figures.floor_cpu_ms, Some(1.0));
        assert_eq!(figures.ratio, Some(900.0 / 640.0));
        assert_eq!(figures.resident_kib_per_participant, 2.0);
        assert_eq!(figures.share_delivered, Some(0.75));
        assert_eq!(figures.delay_p99_ms, Some(3.0));
        assert_eq!(figures.generator_cpu_percent, 5.0);
        assert_eq!(figures.join_max_ms, Some(7.0));
        assert_eq!(figures.generator_lag_max_ms, 1.28);
        assert_eq!(figures.crowd_lag_max_ms, Some(12.0));
        assert_eq!(figures.server_counters.unwrap().concealed, 6);
        assert!(figures.notes().contains("Frames were lost"));
        assert!(figures.to_table().to_string().contains("1.41"));
        assert!(!figures.notes().contains("too busy"));
        let busy = Figures {
            generator_lag_p99_ms: 1.1,
            ..figures.clone()
        };
        assert!(busy.notes().contains("too busy for the generator"));
        let crowded = Figures {
            crowd_lag_max_ms: Some(90.0),
            ..figures
        };
        assert!(crowded.notes().contains("too busy for the crowd"));
    }

    #[test]
    fn a_silent_load_has_no_rows_of_voice() {
        let silent = Figures::default();
        let table = silent.to_table().to_string();
        assert!(table.contains("% of a core") && !table.contains("delay"));
        assert_eq!(silent.notes(), "");
    }
}
