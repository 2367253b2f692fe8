//! What is heard of a recording when packets are lost: `loss_on_wav INPUT.wav OUTPUT.wav
//! [NAME=VALUE ...]`.
//!
//! Sends a 16 kHz file through the core's uplink (without a gate), drops and delays packets by a
//! pattern that follows from the seed, and plays what arrives through the core's downlink, on
//! virtual time. Prints what the jitter buffer counted as JSON. `cargo xtask quality loss` computes
//! figures from the file.

mod key_values;

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use key_values::{Arguments, set};
use serde_json::json;
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{GateConfig, GateMode};
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::Voice;
use talkspurt_netem::PacketLoss;
use talkspurt_testkit::wav;

/// Packets that a desktop's buffer holds.
const SLOTS: usize = 64;

/// All that can be set.
struct Settings {
    codec: String,
    frame_ms: u8,
    /// Of 100 packets so many are lost, each on its own unless they come in bursts.
    loss_percent: f64,
    /// The mean number of packets that are lost in a row; 1 for losses that know nothing of each
    /// other.
    burst_packets: f64,
    /// Each packet is up to so much later than the one that arrives at once.
    jitter_ms: f64,
    /// What waits in front of the speaker at first: an endpoint's default.
    margin_ms: u32,
    seed: u64,
}

impl Settings {
    fn read(settings: &[(String, String)]) -> Result<Self> {
        let mut read = Self {
            codec: "pcm16".to_owned(),
            frame_ms: 20,
            loss_percent: 0.0,
            burst_packets: 1.0,
            jitter_ms: 0.0,
            margin_ms: 40,
            seed: 1,
        };
        for (name, value) in settings {
            match name.as_str() {
                "codec" => set(&mut read.codec, value)?,
                "frame_ms" => set(&mut read.frame_ms, value)?,
                "loss_percent" => set(&mut read.loss_percent, value)?,
                "burst_packets" => set(&mut read.burst_packets, value)?,
                "jitter_ms" => set(&mut read.jitter_ms, value)?,
                "margin_ms" => set(&mut read.margin_ms, value)?,
                "seed" => set(&mut read.seed, value)?,
                _ => bail!("there is no setting {name}"),
            }
        }
        Ok(read)
    }

    fn format(&self) -> Result<AudioFormat> {
        Ok(AudioFormat {
            rate: SampleRate::Hz16000,
            frame: FrameDuration::from_millis(self.frame_ms).context("frame_ms: 5, 10 or 20")?,
        })
    }

    fn codec(&self, format: AudioFormat) -> Result<AnyCodec> {
        let id = CodecId::ALL
            .into_iter()
            .find(|id| id.name() == self.codec)
            .context("codec: pcm16 or adpcm")?;
        AnyCodec::for_session(id, format).context("the codec has no such format")
    }

    fn uplink(&self, format: AudioFormat) -> Result<UplinkConfig> {
        let open_always = GateConfig {
            mode: GateMode::Off,
            ..GateConfig::DEFAULT
        };
        Ok(UplinkConfig {
            codec: self.codec(format)?,
            format,
            gate: open_always,
            pre_roll_frames: 0,
        })
    }
}

/// A network that loses and delays packets.
struct Network {
    rng: Rng,
    pattern: PacketLoss,
    loss: f64,
    burst_packets: f64,
    jitter_us: f64,
}

impl Network {
    fn new(settings: &Settings) -> Self {
        Self {
            rng: Rng::with_seed(settings.seed),
            pattern: PacketLoss::default(),
            loss: settings.loss_percent / 100.0,
            burst_packets: settings.burst_packets,
            jitter_us: settings.jitter_ms * 1_000.0,
        }
    }

    /// How long the next packet is on its way, in microseconds; `None` if it is lost.
    fn carry(&mut self) -> Option<u64> {
        let (share, burst_packets) = (self.loss, self.burst_packets);
        let is_lost = self.pattern.next(&mut self.rng, share, burst_packets);
        let late = self.rng.f64();
        (!is_lost).then_some((late * self.jitter_us) as u64)
    }
}

/// A packet on its way.
struct Packet {
    seq: Seq,
    timestamp: Timestamp,
    level: u8,
    payload: Vec<u8>,
}

impl Packet {
    fn voice(&self) -> Voice<'_> {
        Voice {
            seq: self.seq,
            timestamp: self.timestamp,
            level: self.level,
            stream: 0,
            terminator: false,
            payload: &self.payload,
        }
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let settings = Settings::read(&arguments.settings)?;
    let format = settings.format()?;
    let margin_frames = format.frame.frames_in_ms(settings.margin_ms) as u16;
    let mut jitter = JitterConfig::default_for(format.frame, margin_frames);
    jitter.target_max_frames = jitter.target_max_frames.max(margin_frames);
    let mut uplink: Uplink = Uplink::new(settings.uplink(format)?)?;
    let mut downlink: Downlink<SLOTS> = Downlink::new(settings.codec(format)?, format, jitter);
    let mut network = Network::new(&settings);
    // By the time of arrival, and in order of sending where that is equal.
    let mut on_their_way = BTreeMap::new();
    let (mut heard, mut frame) = (Vec::new(), Frame::silence(format.frame_samples()));
    let mut buffer = [0; PAYLOAD_MAX];
    let (mut sent, mut lost) = (0, 0);

    for (nth, samples) in wav::read(&arguments.input)?
        .chunks_exact(format.frame_samples())
        .enumerate()
    {
        let now_us = nth as u64 * u64::from(settings.frame_ms) * 1_000;
        uplink.push(samples);
        while let Some(voice) = uplink.poll_voice(&mut buffer) {
            sent += 1;
            let Some(late_us) = network.carry() else {
                lost += 1;
                continue;
            };
            let packet = Packet {
                seq: voice.seq,
                timestamp: voice.timestamp,
                level: voice.level,
                payload: voice.payload.to_vec(),
            };
            on_their_way.insert((now_us + late_us, sent), packet);
        }
        while let Some(first) = on_their_way.first_entry()
            && first.key().0 <= now_us
        {
            let ((arrived_us, _), packet) = first.remove_entry();
            downlink.push(Instant::from_micros(arrived_us), &packet.voice())?;
        }
        downlink.pop(&mut frame);
        heard.extend_from_slice(&frame);
    }
    wav::write(&arguments.output, &heard)?;
    let stats = downlink.stats();
    let report = json!({
        "sent": sent,
        "lost_on_the_way": lost,
        "late": stats.late,
        "lost": stats.lost,
        "concealed": stats.concealed,
        "skipped": stats.skipped,
        "margin_frames": downlink.target_frames(),
    });
    println!("{report}");
    Ok(())
}
