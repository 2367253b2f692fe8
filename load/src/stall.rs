//! A part of the load that stops for a while, so that it shows how delay comes back afterwards.

use std::time::Duration;

use clap::ValueEnum;

use crate::plan::Plan;

/// Who stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Who {
    /// The first talker of each room sends nothing, and then all that is due at once
    Talker,
    /// The last member of each room reads nothing
    Listener,
    /// This process does nothing at all, as on a machine that was asleep
    Everyone,
}

/// A stall, once or again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stall {
    /// Who stops.
    pub who: Who,
    /// For how long.
    pub span: Duration,
    /// How long after the measurement begins.
    pub after: Duration,
    /// How long after the beginning of one the next begins.
    pub every: Option<Duration>,
}

impl Stall {
    /// Those who stop, where not all do.
    pub fn participants(self, plan: &Plan) -> Vec<usize> {
        (0..plan.rooms())
            .filter_map(|room| match self.who {
                Who::Talker => plan.talkers_in(room).next(),
                Who::Listener => plan.members(room).last(),
                Who::Everyone => None,
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::audio::format::AudioFormat;

    #[test]
    fn one_of_each_room_stops_or_all() {
        let plan = Plan {
            rooms_named: "load",
            participants: 10,
            room_size: 4,
            talkers: 2,
            codec: CodecId::Pcm16,
            format: AudioFormat::DEFAULT,
            seed: 1,
        };
        let who = |who| {
            let stall = Stall {
                who,
                span: Duration::ZERO,
                after: Duration::ZERO,
                every: None,
            };
            stall.participants(&plan)
        };
        assert_eq!(who(Who::Talker), [0, 4, 8]);
        assert_eq!(who(Who::Listener), [3, 7, 9]);
        assert!(who(Who::Everyone).is_empty());
    }
}
