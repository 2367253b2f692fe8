//! What is heard of a recording over a network: `network_on_wav INPUT.wav OUTPUT.wav [NAME=VALUE
//! ...]`.
//!
//! Someone says a 16 kHz file, without a gate, and a listener in the same room hears it: the core's
//! endpoints and the server's rooms on virtual time. The talker's network is calm; on that of the
//! listener voice goes in datagrams, which are lost and delayed by a pattern that follows from the
//! seed. Writes what the listener hears from the moment on in which the talker begins, and prints
//! what the network and the listener's jitter buffer counted as JSON. `cargo xtask quality network`
//! computes figures from both.

mod key_values;

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use key_values::{Arguments, set};
use serde_json::json;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_netem::{Client, Datagrams, Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::exact_runs;
use talkspurt_testkit::wav::{self, RATE_HZ, samples};

/// The network has no other delay than jitter, but this of a local one.
const CALM: Weather = Weather::CALM;
/// Both are in the room by then, and all that was said has been heard long before the end.
const JOIN: Duration = Duration::from_secs(2);
const END: Duration = Duration::from_secs(2);
/// Sound that seems to be later than this only resembles what was said then: playout never delays
/// it so much.
const DELAY_MOST_SAMPLES: usize = RATE_HZ as usize;

/// All that can be set.
struct Settings {
    frame_ms: u8,
    /// Of 100 packets so many are lost, each on its own unless they come in bursts.
    loss_percent: u32,
    /// The mean number of packets that are lost in a row; 1 for losses that know nothing of each
    /// other.
    burst_packets: u32,
    /// Each packet is up to so much later than the one that arrives at once.
    jitter_ms: u64,
    /// What waits in front of the speaker at first: a desktop's default.
    margin_ms: u16,
    seed: u64,
}

impl Settings {
    fn read(settings: &[(String, String)]) -> Result<Self> {
        let mut read = Self {
            frame_ms: 20,
            loss_percent: 0,
            burst_packets: 1,
            jitter_ms: 0,
            margin_ms: 0,
            seed: 1,
        };
        for (name, value) in settings {
            match name.as_str() {
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

    fn weather(&self) -> Weather {
        let datagrams = Datagrams {
            loss_per_mille: self.loss_percent * 10,
            burst_packets: self.burst_packets,
            ..Datagrams::WHOLE
        };
        Weather {
            jitter: Duration::from_millis(self.jitter_ms),
            ..CALM.with_datagrams(datagrams)
        }
    }

    /// Someone who says all of `says`, and hears with the margin asked for.
    fn person(&self, name: &str, says: Vec<i16>) -> Person {
        Person {
            gate: false,
            margin_ms: self.margin_ms,
            ..Person::new("room", name).saying(says)
        }
    }

    /// When the frames of a speaker begin within those of the talker is chance, and lasts for as
    /// long as both stay.
    fn phase(&self) -> Duration {
        let frame_us = u64::from(self.frame_ms) * 1_000;
        Duration::from_micros(Rng::with_seed(self.seed).u64(0..frame_us))
    }
}

/// When the first frame of a client's microphone was whole, and the first one of its speaker began.
fn began(client: &Client) -> Result<Instant> {
    let joined = client.heard_since.context("a client has not joined")?;
    Ok(joined + client.person.phase)
}

/// How long each millisecond took that was heard as it was said, in milliseconds, in order of
/// length: from the moment in which its frame was whole at the talker's to its playing.
fn playout_delays_ms(said: &[i16], heard: &[i16]) -> Vec<f64> {
    let per_ms = f64::from(RATE_HZ) / 1_000.0;
    let mut delays = Vec::new();
    for run in exact_runs(said, heard) {
        let delay = run.heard.checked_sub(run.spoken);
        if let Some(delay) = delay.filter(|delay| *delay <= DELAY_MOST_SAMPLES) {
            let weight = run.len / samples(1);
            delays.extend(std::iter::repeat_n(delay as f64 / per_ms, weight));
        }
    }
    delays.sort_by(f64::total_cmp);
    delays
}

fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    Some(sorted[last * percent / 100])
}

fn main() -> Result<()> {
    let arguments = Arguments::read()?;
    let settings = Settings::read(&arguments.settings)?;
    let frame = FrameDuration::from_millis(settings.frame_ms).context("frame_ms: 5, 10 or 20")?;
    let said = wav::read(&arguments.input)?;
    let millis = said.len() as u64 * 1_000 / u64::from(RATE_HZ);

    let mut world = World::new(hub_config(frame), settings.seed);
    let listener = Person {
        phase: settings.phase(),
        ..settings.person("listener", Vec::new())
    };
    let listener = world.join(listener, settings.weather());
    world.run_for(JOIN);
    let talker = world.join(settings.person("talker", said.clone()), CALM);
    world.run_for(Duration::from_millis(millis) + END);

    let network = world.datagrams(listener).1;
    let (talker, listener) = (world.client(talker), world.client(listener));
    let before = began(talker)?.duration_since(began(listener)?);
    let before_samples = before.as_micros() * u64::from(RATE_HZ) / 1_000_000;
    let heard = listener.heard.get(before_samples as usize..);
    let heard = heard.context("the listener heard nothing")?;
    wav::write(&arguments.output, heard)?;
    let delays_ms = playout_delays_ms(&said, heard);
    let jitter = listener.jitter_stats();
    let report = json!({
        "sent": network.sent,
        "lost_on_the_way": network.lost,
        "overtaken": network.overtaken,
        "late": jitter.late,
        "concealed": jitter.concealed,
        "skipped": jitter.skipped,
        "delay_p50_ms": percentile(&delays_ms, 50),
        "delay_p99_ms": percentile(&delays_ms, 99),
        "exact_ms": delays_ms.len(),
    });
    println!("{report}");
    Ok(())
}
