//! What the figures of a preset must be.

use serde::Serialize;
use talkspurt_core::audio::format::FrameDuration;

use MustBe::{AtMost, Exactly, LessThan};

use crate::cli::Preset;
use crate::figures::Figures;

/// One thing that a figure must be.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Target {
    /// What is measured.
    pub figure: &'static str,
    /// What it came to; `None` if it could not be measured, which counts as a miss.
    pub value: Option<f64>,
    /// How it is compared: at most, less than, exactly.
    pub must_be: MustBe,
    /// With what.
    pub limit: f64,
    /// In what.
    pub unit: &'static str,
    /// Whether it is so.
    pub met: bool,
}

/// How a value is compared with its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum MustBe {
    /// Not above it.
    AtMost,
    /// Below it.
    LessThan,
    /// The same.
    Exactly,
}

/// Resident memory that a participant may cost, in KiB.
const RESIDENT_KIB_MAX: f64 = 64.0;
/// What a marked frame may take beyond the frame for which it waits for the mix, in milliseconds.
const DELAY_BEYOND_FRAME_MS: f64 = 5.0;
/// What 1,000 silent participants may cost, in per cent of a core.
const IDLE_CPU_PERCENT_MAX: f64 = 1.0;

/// What a marked frame may take while a crowd flickers beside its room, in milliseconds.
const DELAY_BESIDE_CROWD_MS: f64 = 40.0;
/// What a newcomer may take to join meanwhile, in milliseconds.
const JOIN_BESIDE_CROWD_MS: f64 = 200.0;

/// What is measured, in what, and what it came to.
type Figure = (&'static str, &'static str, Option<f64>);

/// The targets of a preset.
pub fn targets(preset: Preset, frame: FrameDuration, figures: &Figures) -> Vec<Target> {
    let delivered = figures.share_delivered.map(|share| share * 100.0);
    let delivered = target(("delivered", "%", delivered), Exactly, 100.0);
    let delay = ("added delay p99", "ms", figures.delay_p99_ms);
    let resident_kib = Some(figures.resident_kib_per_participant);
    let resident = ("resident memory per participant", "KiB", resident_kib);
    let resident = target(resident, AtMost, RESIDENT_KIB_MAX);
    let voice = |ratio_max| {
        let ratio = ("server's CPU / floor's CPU", "times", figures.ratio);
        let delay_max_ms = f64::from(frame.ms()) + DELAY_BEYOND_FRAME_MS;
        let zero = |name, count: u64| target((name, "", Some(count as f64)), Exactly, 0.0);
        vec![
            target(ratio, AtMost, ratio_max),
            delivered,
            target(delay, AtMost, delay_max_ms),
            resident,
            zero("heard from another room", figures.crossed),
            zero("own voice heard", figures.own_heard),
        ]
    };
    match preset {
        Preset::Rooms => voice(2.0),
        Preset::TwoOfEight => voice(1.5),
        Preset::Idle => {
            let cpu = Some(figures.server_cpu_percent);
            let cpu = ("CPU of 1,000 silent participants", "% of a core", cpu);
            vec![target(cpu, LessThan, IDLE_CPU_PERCENT_MAX), resident]
        }
        Preset::Flapping | Preset::FlappingWords => {
            let joins = ("newcomer joins, longest", "ms", figures.join_max_ms);
            vec![
                delivered,
                target(delay, AtMost, DELAY_BESIDE_CROWD_MS),
                target(joins, AtMost, JOIN_BESIDE_CROWD_MS),
            ]
        }
    }
}

fn target((figure, unit, value): Figure, must_be: MustBe, limit: f64) -> Target {
    let met = value.is_some_and(|value| match must_be {
        AtMost => value <= limit,
        LessThan => value < limit,
        Exactly => value == limit,
    });
    Target {
        figure,
        value,
        must_be,
        limit,
        unit,
        met,
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum;

    use super::*;

    fn good() -> Figures {
        Figures {
            ratio: Some(1.4),
            share_delivered: Some(1.0),
            delay_p99_ms: Some(24.9),
            resident_kib_per_participant: 60.0,
            server_cpu_percent: 0.9,
            join_max_ms: Some(199.9),
            ..Figures::default()
        }
    }

    fn missed(preset: Preset, figures: &Figures) -> Vec<&'static str> {
        let targets = targets(preset, FrameDuration::Ms20, figures);
        targets
            .iter()
            .filter(|t| !t.met)
            .map(|t| t.figure)
            .collect()
    }

    #[test]
    fn each_target_can_be_met_and_missed() {
        for preset in Preset::value_variants() {
            assert!(missed(*preset, &good()).is_empty(), "{preset:?}");
        }
        let bad = Figures {
            ratio: Some(1.8),
            share_delivered: Some(0.999),
            delay_p99_ms: Some(25.1),
            resident_kib_per_participant: 65.0,
            server_cpu_percent: 1.0,
            crossed: 1,
            own_heard: 1,
            ..Figures::default()
        };
        assert_eq!(
            missed(Preset::Rooms, &bad).len(),
            5,
            "1.8 is good enough here"
        );
        assert_eq!(missed(Preset::TwoOfEight, &bad).len(), 6);
        assert_eq!(missed(Preset::Idle, &bad).len(), 2);
    }

    #[test]
    fn beside_a_crowd_all_is_heard_in_time_and_newcomers_get_in() {
        let just_met = Figures {
            delay_p99_ms: Some(40.0),
            join_max_ms: Some(200.0),
            ..good()
        };
        let lost = Figures {
            share_delivered: Some(0.999),
            ..just_met.clone()
        };
        let late = Figures {
            delay_p99_ms: Some(40.1),
            ..just_met.clone()
        };
        let slow_to_join = Figures {
            join_max_ms: Some(200.1),
            ..just_met.clone()
        };
        let nobody_came = Figures {
            join_max_ms: None,
            ..just_met.clone()
        };
        for preset in [Preset::Flapping, Preset::FlappingWords] {
            assert_eq!(missed(preset, &just_met), [""; 0]);
            assert_eq!(missed(preset, &lost), ["delivered"]);
            assert_eq!(missed(preset, &late), ["added delay p99"]);
            assert_eq!(missed(preset, &slow_to_join), ["newcomer joins, longest"]);
            assert_eq!(missed(preset, &nobody_came), ["newcomer joins, longest"]);
        }
    }

    #[test]
    fn what_was_not_measured_is_missed() {
        let figures = Figures {
            ratio: None,
            ..good()
        };
        assert_eq!(
            missed(Preset::Rooms, &figures),
            ["server's CPU / floor's CPU"]
        );
    }
}
