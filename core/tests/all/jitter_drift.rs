//! An hour between two clocks that differ by 300 millionths, on virtual time.

use crate::common::ear::largest_step;
use crate::common::wide_band;
use fastrand::Rng;
use talkspurt_core::audio::codec::{AnyCodec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{CatchUp, Compress, LeaveOut, catch_up_samples};
use talkspurt_core::wire::Voice;

const CATCH_UP: usize = catch_up_samples(AudioFormat::DEFAULT);
const FRAME_US: i64 = 20_000;
const POPS: i64 = 3_600_000_000 / FRAME_US;
/// In an hour, this is what the clocks are apart in the end, in frames.
const APART_FRAMES: u32 = 54;

/// What became of an hour.
#[derive(Debug)]
struct Hour {
    concealed: u32,
    skipped: u32,
    most_depth: u16,
    largest_step: i32,
}

/// The sender's frames take so much longer, and come up to `jitter_us` late. Without pauses, or in
/// words of 3 s with pauses of up to 2 s.
fn hour<K: CatchUp>(seed: u64, drift_ppm: i64, jitter_us: i64, pauses: bool) -> Hour {
    let mut rng = Rng::with_seed(seed);
    let config = JitterConfig {
        pre_roll_max_frames: 0,
        ..JitterConfig::default_for(FrameDuration::Ms20, 0)
    };
    let format = wide_band(FrameDuration::Ms20);
    let mut host: Downlink<64, PAYLOAD_MAX, FRAME_SAMPLES_MAX, AnyCodec, K> =
        Downlink::new(CodecId::Pcm16.into(), format, config);
    let voice = voice();
    let sounds: Vec<&[i16]> = voice.chunks(320).collect();
    let mut result = Hour {
        concealed: 0,
        skipped: 0,
        most_depth: 0,
        largest_step: 0,
    };
    let (mut sent, mut number, mut word_left, mut before) = (0i64, 0, 150, 0i16);
    let (mut arrives_us, mut last_arrival) = (rng.i64(0..FRAME_US), 0);
    let mut out = Frame::silence(0);
    for pop in 1..=POPS {
        while arrives_us <= pop * FRAME_US {
            let terminator = pauses && word_left == 1;
            let sound = sounds[number % sounds.len()];
            let payload: Vec<u8> = sound.iter().flat_map(|it| it.to_le_bytes()).collect();
            let packet = Voice {
                seq: Seq(number as u16),
                timestamp: Timestamp(8 * sent as u32),
                level: half_db(rms(sound)),
                stream: 0,
                terminator,
                payload: &payload,
            };
            let now = Instant::from_micros(arrives_us as u64);
            host.push(now, &packet).unwrap();
            number += 1;
            sent += 1;
            word_left -= 1;
            if pauses && word_left == 0 {
                word_left = 150;
                sent += rng.i64(10..100);
            }
            let sent_us = sent * FRAME_US + sent * FRAME_US * drift_ppm / 1_000_000;
            last_arrival = arrives_us.max(last_arrival);
            arrives_us = (sent_us + rng.i64(0..=jitter_us)).max(last_arrival);
        }
        let playout = host.pop(&mut out);
        result.concealed += u32::from(matches!(playout, Playout::Concealed | Playout::Faded));
        result.most_depth = result.most_depth.max(host.depth_frames());
        // Words begin and end at once.
        if playout != Playout::Silence && before != 0 {
            let joined: Vec<i16> = [before].into_iter().chain(out.iter().copied()).collect();
            result.largest_step = result.largest_step.max(largest_step(&joined));
        }
        before = out[out.len() - 1];
    }
    result.skipped = host.stats().skipped;
    result
}

/// 2 s that can be said again and again: the partials have whole numbers of periods.
fn voice() -> Vec<i16> {
    let partial = |n: usize, hz: f64, loud: f64| {
        (n as f64 / 16_000.0 * hz * std::f64::consts::TAU).sin() * loud
    };
    let sample =
        |n| partial(n, 137.5, 5_000.0) + partial(n, 291.0, 2_500.0) + partial(n, 811.5, 1_500.0);
    (0..32_000).map(|n| sample(n) as i16).collect()
}

#[test]
fn a_clock_that_drifts_is_absorbed_for_an_hour_without_a_click() {
    let own_step = largest_step(&voice());
    for (seed, jitter_us) in [(1, 0), (2, 0), (3, 3_000), (4, 3_000)] {
        for (drift_ppm, pauses) in [(300, false), (-300, false), (300, true), (-300, true)] {
            for (is_host, hour) in [
                (
                    true,
                    hour::<Compress<CATCH_UP>>(seed, drift_ppm, jitter_us, pauses),
                ),
                (false, hour::<LeaveOut>(seed, drift_ppm, jitter_us, pauses)),
            ] {
                let what = format!(
                    "seed {seed}, {drift_ppm} ppm, {jitter_us} us, pauses {pauses}, host {is_host}: \
                     {hour:?}"
                );
                // What a slow sender does not send must be made up. Of jitter, the words that begin
                // in its range are concealed once.
                let from_drift = if drift_ppm > 0 { APART_FRAMES } else { 0 };
                let from_jitter = if pauses && jitter_us > 0 {
                    APART_FRAMES
                } else {
                    0
                };
                assert!(hour.concealed <= from_drift + from_jitter, "{what}");
                assert!(hour.skipped <= APART_FRAMES + 1, "{what}");
                assert!(hour.most_depth <= 2, "{what}");
                assert!(
                    hour.largest_step <= own_step + own_step / 4,
                    "{what}, own {own_step}"
                );
            }
        }
    }
}
