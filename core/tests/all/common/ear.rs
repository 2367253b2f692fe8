//! A listener's downlink, and a voice to play.

use std::ops::Range;

use crate::common::wide_band;
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId};
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::jitter::{JitterConfig, PushOutcome};
use talkspurt_core::audio::level::{SILENCE, half_db, rms};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::wire::Voice;

pub const PLAYED: Playout = Playout::Frame { terminator: false };
pub const PLAYED_LAST: Playout = Playout::Frame { terminator: true };

/// Samples over which a frame fades in after a gap (5 ms); the rest is as it was sent.
pub const RESUME: usize = 80;

pub struct Ear {
    pub downlink: Downlink<64>,
    pub encoder: AnyCodec,
    pub out: Frame,
    /// Each frame played is a frame later.
    now: Instant,
    /// All sound heard so far.
    pub heard: Vec<i16>,
}

impl Ear {
    /// Without pre-roll: what waits, waits because of the network.
    pub fn new(codec: CodecId, frame: FrameDuration, target_frames: u16) -> Self {
        let config = JitterConfig {
            pre_roll_max_frames: 0,
            ..JitterConfig::default_for(frame, target_frames)
        };
        Self::with(codec, frame, config)
    }

    pub fn with(codec: CodecId, frame: FrameDuration, config: JitterConfig) -> Self {
        Self {
            downlink: Downlink::new(codec.into(), wide_band(frame), config),
            encoder: AnyCodec::from(codec),
            out: Frame::silence(0),
            now: Instant::ZERO,
            heard: Vec::new(),
        }
    }

    /// PCM16, 20 ms, no margin.
    pub fn plain() -> Self {
        Self::new(CodecId::Pcm16, FrameDuration::Ms20, 0)
    }

    pub fn receive(&mut self, number: u16, samples: &[i16]) -> PushOutcome {
        self.receive_packet(number, samples, false)
    }

    pub fn receive_packet(
        &mut self,
        number: u16,
        samples: &[i16],
        terminator: bool,
    ) -> PushOutcome {
        let mut payload = [0; 640];
        let len = self.encoder.encode(samples, &mut payload).unwrap();
        let level = half_db(rms(samples));
        self.receive_payload(number, level, terminator, &payload[..len])
    }

    pub fn receive_empty_terminator(&mut self, number: u16) {
        self.receive_payload(number, SILENCE, true, &[]);
    }

    fn receive_payload(
        &mut self,
        number: u16,
        level: u8,
        terminator: bool,
        payload: &[u8],
    ) -> PushOutcome {
        self.receive_voice(&Voice {
            seq: Seq(number),
            timestamp: Timestamp(self.frame_units() * u32::from(number)),
            level,
            stream: 0,
            terminator,
            payload,
        })
    }

    pub fn receive_voice(&mut self, voice: &Voice<'_>) -> PushOutcome {
        self.downlink.push(self.now, voice).unwrap()
    }

    /// Units of a timestamp in a frame, at 16 kHz.
    fn frame_units(&self) -> u32 {
        self.downlink.frame_samples() as u32 / 40
    }

    pub fn play(&mut self) -> Playout {
        let micros = 2_500 * u64::from(self.frame_units());
        self.now += Duration::from_micros(micros);
        let playout = self.downlink.pop(&mut self.out);
        self.heard.extend_from_slice(&self.out);
        playout
    }

    /// Plays a frame and returns its number, ignoring a fade at its start.
    pub fn play_and_name(
        &mut self,
        sound: impl Fn(u16) -> Vec<i16>,
        mut among: Range<u16>,
    ) -> Option<u16> {
        let Playout::Frame { .. } = self.play() else {
            return None;
        };
        among.find(|&number| self.out[RESUME..] == sound(number)[RESUME..])
    }
}

/// Three partials without a common period, so that every frame differs. Frame `number` continues
/// where the one before it ended.
pub fn voice(number: u16, samples: usize) -> Vec<i16> {
    let start = usize::from(number) * samples;
    (start..start + samples)
        .map(|n| {
            let partial = |hz: f64, loud: f64| {
                (n as f64 / 16_000.0 * hz * std::f64::consts::TAU).sin() * loud
            };
            (partial(137.3, 5_000.0) + partial(291.1, 2_500.0) + partial(811.7, 1_500.0)) as i16
        })
        .collect()
}

/// The voice in frames of 20 ms; the frames in `quiet` are a 500th as loud.
pub fn voice_with_quiet(number: u16, quiet: &Range<u16>) -> Vec<i16> {
    let divisor = if quiet.contains(&number) { 500 } else { 1 };
    voice(number, 320)
        .iter()
        .map(|sample| sample / divisor)
        .collect()
}

/// The largest step between neighbouring samples.
pub fn largest_step(sound: &[i16]) -> i32 {
    let steps = sound
        .windows(2)
        .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs());
    steps.max().unwrap()
}

/// The voice's own largest step.
pub fn voice_step() -> i32 {
    largest_step(
        &(0..100)
            .flat_map(|number| voice(number, 320))
            .collect::<Vec<_>>(),
    )
}
