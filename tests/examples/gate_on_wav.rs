//! What the gate makes of a recording: `gate_on_wav INPUT.wav OUTPUT.wav [NAME=VALUE ...]`.
//!
//! Runs the core's uplink over a 16 kHz file. Writes what a listener without a network hears, each
//! frame at its timestamp, and prints JSON: the decision and the level of each frame, and the spans
//! of the recording that were sent. `cargo xtask quality gate` computes figures from them.

mod key_values;

use anyhow::{Context, Result, bail};
use key_values::{Arguments, set};
use serde_json::json;
use talkspurt_core::audio::codec::{PAYLOAD_MAX, Pcm16};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};
use talkspurt_core::audio::gate::{GateConfig, GateDecision, GateMode};
use talkspurt_core::voice::uplink::{
    Compress, PRE_ROLL_MAX_MS, Uplink, UplinkConfig, catch_up_samples, history_samples,
};
use talkspurt_testkit::wav;

/// Room for the longest pre-roll and the longest frame.
const HISTORY: usize = history_samples(AudioFormat::DEFAULT, PRE_ROLL_MAX_MS as usize);

/// As the desktop client has it.
const CATCH_UP: usize = catch_up_samples(AudioFormat::DEFAULT);

/// All that can be set.
struct Settings {
    frame_ms: u8,
    pre_roll_ms: u32,
    gate: GateConfig,
    /// With `gate=fixed`: the thresholds.
    open_rms: u16,
    close_rms: u16,
}

impl Settings {
    fn read(settings: &[(String, String)]) -> Result<Self> {
        let mut read = Self {
            frame_ms: 20,
            pre_roll_ms: PRE_ROLL_MAX_MS.into(),
            gate: GateConfig::DEFAULT,
            open_rms: 2_000,
            close_rms: 500,
        };
        for (name, value) in settings {
            match name.as_str() {
                "frame_ms" => set(&mut read.frame_ms, value)?,
                "pre_roll_ms" => set(&mut read.pre_roll_ms, value)?,
                "open_rms" => set(&mut read.open_rms, value)?,
                "close_rms" => set(&mut read.close_rms, value)?,
                "window_ms" => set(&mut read.gate.window_ms, value)?,
                "hold_ms" => set(&mut read.gate.hold_ms, value)?,
                "gate" => read.gate.mode = mode(value)?,
                _ => bail!("there is no setting {name}"),
            }
        }
        if let GateMode::Fixed {
            open_rms,
            close_rms,
        } = &mut read.gate.mode
        {
            (*open_rms, *close_rms) = (read.open_rms, read.close_rms);
        }
        Ok(read)
    }

    fn uplink(&self, format: AudioFormat) -> UplinkConfig<Pcm16> {
        UplinkConfig {
            codec: Pcm16,
            format,
            gate: self.gate,
            pre_roll_frames: format.frame.frames_in_ms(self.pre_roll_ms) as u16,
        }
    }
}

fn mode(name: &str) -> Result<GateMode> {
    match name {
        "auto" => Ok(GateMode::AUTO),
        "fixed" => Ok(GateMode::ORIGINAL),
        "off" => Ok(GateMode::Off),
        _ => bail!("gate is auto, fixed or off, not {name}"),
    }
}

/// What was sent, as it goes on.
#[derive(Default)]
struct Sent {
    /// What is heard, each frame at its timestamp.
    heard: Vec<i16>,
    /// First and last frame of each span of the recording that was sent, the last one exclusive.
    spans: Vec<[usize; 2]>,
}

impl Sent {
    /// Takes what is sent of the `nth` frame, with so many before it if it opened the gate.
    fn take(&mut self, nth: usize, decision: GateDecision, pre_roll_frames: u32) {
        match decision {
            GateDecision::Closed => {}
            GateDecision::Opened => {
                let first = nth.saturating_sub(pre_roll_frames as usize);
                self.spans.push([first, nth + 1]);
            }
            // What waits for the frame after it is sent with that.
            _ => {
                if let Some([_, end]) = self.spans.last_mut() {
                    *end = nth + 1;
                }
            }
        }
    }

    /// Places a frame at the sample where it is heard.
    fn place(&mut self, at: usize, payload: &[u8]) {
        let samples = payload.as_chunks().0.iter();
        let end = at + payload.len() / 2;
        self.heard.resize(self.heard.len().max(end), 0);
        let place = self.heard[at..end].iter_mut();
        place
            .zip(samples)
            .for_each(|(heard, bytes)| *heard = i16::from_le_bytes(*bytes));
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let settings = Settings::read(&arguments.settings)?;
    let frame = FrameDuration::from_millis(settings.frame_ms).context("frame_ms: 5, 10 or 20")?;
    let format = AudioFormat {
        rate: SampleRate::Hz16000,
        frame,
    };
    let said = wav::read(&arguments.input)?;
    let mut uplink: Uplink<HISTORY, Pcm16, Compress<CATCH_UP>> =
        Uplink::new(settings.uplink(format))?;
    let mut sent = Sent::default();
    let (mut decisions, mut levels) = (String::new(), Vec::new());
    let mut buffer = [0; PAYLOAD_MAX];
    for (nth, samples) in said.chunks_exact(format.frame_samples()).enumerate() {
        let pre_roll_before = uplink.stats().frames_pre_roll;
        let decision = uplink.push(samples);
        decisions.push(match decision {
            GateDecision::Closed => '.',
            GateDecision::Opened => '<',
            GateDecision::Open => '-',
            GateDecision::Closing => '>',
        });
        levels.push(uplink.level_rms());
        while let Some(voice) = uplink.poll_voice(&mut buffer) {
            // The session's clock stands at one frame when the first frame starts.
            let units = (voice.timestamp.0 - frame.units()) as usize;
            sent.place(units * format.rate.samples_in_ms(5) / 2, voice.payload);
        }
        let pre_roll = uplink.stats().frames_pre_roll - pre_roll_before;
        sent.take(nth, decision, pre_roll);
    }
    wav::write(&arguments.output, &sent.heard)?;
    let report = json!({
        "frame_ms": settings.frame_ms,
        "decisions": decisions,
        "level_rms": levels,
        "sent_frames": sent.spans,
    });
    println!("{report}");
    Ok(())
}
