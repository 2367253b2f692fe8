//! `talkspurt calibrate`: listens to the noise, shows what the gate makes of it, and proposes fixed
//! thresholds.

use crate::{
    audio::{Captured, Source},
    clock::FrameClock,
    config::Threshold,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use talkspurt_core::audio::{
    format::AudioFormat,
    gate::{Gate, GateConfig, GateLevels},
    level::{LevelMeter, peak},
};

/// The format in which levels are measured: a session's default.
const FORMAT: AudioFormat = AudioFormat::DEFAULT;
/// The open threshold is this far above the loudest noise: a click must not open the gate; quiet
/// speech (15 to 25 dB above the noise of a living room) must.
const OPEN_ABOVE_LOUD_DB: f64 = 6.0;
/// The close threshold is this far above the usual noise.
const CLOSE_ABOVE_USUAL_DB: f64 = 6.0;
/// Least distance between the open and close thresholds. With less, the gate would flutter.
const APART_DB: f64 = 6.0;
/// Least open threshold, -60 dBFS. Below it a microphone hears only itself.
const OPEN_RMS_MIN: u16 = 33;
/// Open threshold (-12 dBFS) above which speech would hardly open the gate.
const OPEN_RMS_LOUD: u16 = 8_231;
/// Share of the frames that are no louder than "loud": all but one in twenty.
const LOUD_SHARE: f64 = 0.95;

/// What was heard.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Heard {
    /// The RMS of each frame captured.
    pub levels_rms: Vec<u16>,
    /// The levels that a gate in mode auto goes by in the end.
    pub gate: Option<GateLevels>,
    /// Whether any sample was not zero.
    pub is_alive: bool,
}

/// What was heard, and the thresholds that follow from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// RMS that half of the frames exceed.
    pub usual_rms: u16,
    /// RMS that one frame in twenty exceeds.
    pub loud_rms: u16,
    /// For `--gate-open`.
    pub open: Threshold,
    /// For `--gate-close`.
    pub close: Threshold,
    /// The noise is so loud that speech may not stand out.
    pub is_noisy: bool,
}

/// Listens for `span`: in real time for a device, at once for a file. `progress` gets each frame's
/// level, and the levels that the gate goes by.
pub fn listen(
    source: &mut dyn Source,
    span: Duration,
    real_time: bool,
    mut progress: impl FnMut(u16, Option<GateLevels>),
) -> Heard {
    let mut frame = [0; FORMAT.frame_samples()];
    let mut heard = Heard::default();
    // The gate's own meter, or the thresholds would not fit the levels that the gate sees.
    let mut meter = LevelMeter::new(FORMAT.rate);
    let mut gate = Gate::new(GateConfig::DEFAULT).expect("the default is valid");
    let mut clock = FrameClock::new(Instant::now(), FORMAT.frame.ms());
    let frames = span.as_millis() as u64 / u64::from(FORMAT.frame.ms());
    for _ in 0..frames {
        let due = clock.next_due();
        if real_time {
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        clock.take_due(due);
        match source.read(&mut frame) {
            Captured::Frame => {
                let levels = meter.measure(&frame);
                gate.push(&levels);
                heard.levels_rms.push(levels.rms());
                heard.is_alive |= peak(&frame) > 0;
                progress(levels.rms(), gate.levels());
            }
            Captured::Missing => {}
            Captured::End => break,
        }
    }
    heard.gate = gate.levels();
    heard
}

/// Proposes thresholds for noise of these levels; `None` if nothing was heard.
#[must_use]
pub fn propose(mut levels: Vec<u16>) -> Option<Proposal> {
    levels.sort_unstable();
    let last = levels.len().checked_sub(1)?;
    let at = |share: f64| levels[(last as f64 * share).round() as usize];
    let (usual_rms, loud_rms) = (at(0.5), at(LOUD_SHARE));
    let open = Threshold::from_rms(loud_rms)
        .shifted_db(OPEN_ABOVE_LOUD_DB)
        .max(Threshold::from_rms(OPEN_RMS_MIN));
    let close = Threshold::from_rms(usual_rms)
        .shifted_db(CLOSE_ABOVE_USUAL_DB)
        .min(open.shifted_db(-APART_DB));
    let is_noisy = open.rms > OPEN_RMS_LOUD;
    Some(Proposal {
        usual_rms,
        loud_rms,
        open,
        close,
        is_noisy,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::NoSource;

    struct Noise(u16);

    impl Source for Noise {
        fn read(&mut self, frame: &mut [i16]) -> Captured {
            self.0 += 1;
            let level = if self.0.is_multiple_of(10) { 400 } else { 100 };
            frame
                .iter_mut()
                .enumerate()
                .for_each(|(n, s)| *s = if n % 2 == 0 { level } else { -level });
            if self.0 > 200 {
                Captured::End
            } else {
                Captured::Frame
            }
        }
    }

    #[test]
    fn thresholds_lie_above_the_noise_and_apart() {
        let heard = listen(&mut Noise(0), Duration::from_secs(100), false, |_, _| ());
        assert!(heard.is_alive);
        assert_eq!(heard.levels_rms.len(), 200);
        let proposal = propose(heard.levels_rms).unwrap();
        assert_eq!((proposal.usual_rms, proposal.loud_rms), (100, 400));
        assert_eq!(
            (proposal.open.rms, proposal.close.rms, proposal.is_noisy),
            (798, 200, false)
        );
    }

    /// A microphone with an offset, in a room without noise.
    struct Offset;

    impl Source for Offset {
        fn read(&mut self, frame: &mut [i16]) -> Captured {
            frame.fill(600);
            Captured::Frame
        }
    }

    #[test]
    fn an_offset_is_not_noise() {
        let heard = listen(&mut Offset, Duration::from_secs(2), false, |_, _| ());
        assert_eq!(heard.levels_rms, [0; 100]);
        assert!(heard.is_alive);
        assert_eq!(propose(heard.levels_rms).unwrap().open.rms, OPEN_RMS_MIN);
    }

    #[test]
    fn extremes_still_give_thresholds_that_join_accepts() {
        for level in [0, 1, 5, 100, 9_000, 32_768] {
            let proposal = propose(vec![level; 50]).unwrap();
            assert!(
                proposal.close < proposal.open && proposal.open.rms >= OPEN_RMS_MIN,
                "{level}: {proposal:?}"
            );
            assert_eq!(proposal.is_noisy, level >= 9_000, "{level}");
        }
    }

    #[test]
    fn without_sound_there_is_no_proposal() {
        let heard = listen(&mut NoSource, Duration::from_millis(100), false, |_, _| ());
        assert_eq!(propose(heard.levels_rms), None);
    }

    /// A microphone that gives the same sample for ever.
    struct Constant(i16);

    impl Source for Constant {
        fn read(&mut self, frame: &mut [i16]) -> Captured {
            frame.fill(self.0);
            Captured::Frame
        }
    }

    #[test]
    fn a_microphone_that_gives_only_zeros_is_dead() {
        for (sample, is_alive) in [(0, false), (1, true)] {
            let heard = listen(
                &mut Constant(sample),
                Duration::from_secs(1),
                false,
                |_, _| (),
            );
            assert_eq!(heard.is_alive, is_alive);
        }
    }

    #[test]
    fn the_floor_and_the_thresholds_are_shown_as_they_move() {
        let mut shown = Vec::new();
        let mut noise = Noise(0);
        let heard = listen(&mut noise, Duration::from_secs(4), false, |_, gate| {
            shown.extend(gate);
        });
        assert_eq!(heard.gate, shown.last().copied());
        assert_eq!(shown.first().unwrap().noise_rms, None);
        // Nine of ten frames have an RMS of 100, and the floor lies 1.5 dB above the lowest.
        let gate = heard.gate.unwrap();
        let noise_rms = gate.noise_rms.unwrap();
        assert!((118..=124).contains(&noise_rms), "{noise_rms}");
        assert!(gate.close_rms > noise_rms && gate.open_rms > gate.close_rms);
    }
}
