//! Who hears what, sample by sample, on a calm network.

use fastrand::Rng;
use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::audio::mixer::MixRule;
use talkspurt_core::time::Duration;
use talkspurt_netem::{Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{Run, covered, exact_runs, mean_of};
use talkspurt_testkit::noise::{noise, soft_noise};
use talkspurt_testkit::recording::Recording;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

const FRAMES: [FrameDuration; 3] = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20];

/// A talker without a gate, whose frames begin at a random phase.
fn talker(room: &str, name: &str, says: Vec<i16>, frame: FrameDuration, rng: &mut Rng) -> Person {
    let phase = Duration::from_micros(rng.u64(0..frame.duration().as_micros()));
    Person {
        gate: false,
        phase,
        ..Person::new(room, name).saying(says)
    }
}

fn assert_heard_whole(spoken: &[i16], heard: &[i16], who: &str) {
    let runs = exact_runs(spoken, heard);
    let one_run = matches!(runs[..], [Run { spoken: 0, len, .. }] if len == spoken.len());
    assert!(
        one_run,
        "{who}: {} samples, heard as {runs:?}",
        spoken.len()
    );
}

#[test]
fn a_listener_hears_the_mean_and_each_talker_the_other_bit_for_bit() {
    for_each_seed(4, |seed| {
        for frame in FRAMES {
            let mut rng = Rng::with_seed(seed);
            let (ann, ben) = (noise(seed, samples(3_000)), noise(!seed, samples(3_000)));
            let mut world = World::new(hub_config(frame), seed);
            let lis = world.join(talker("r", "lis", vec![], frame, &mut rng), Weather::CALM);
            let a = world.join(
                talker("r", "ann", ann.clone(), frame, &mut rng),
                Weather::CALM,
            );
            world.run_for(Duration::from_millis(rng.u64(0..200)));
            let b = world.join(
                talker("r", "ben", ben.clone(), frame, &mut rng),
                Weather::CALM,
            );
            world.run_for(Duration::from_secs(4));
            assert_heard_whole(&ben, &world.client(a).heard, "ben as heard by ann");
            // Ben joined late, and hears ann from the middle of a word to its end.
            let runs = exact_runs(&ann, &world.client(b).heard);
            let to_the_end = matches!(
                runs[..],
                [run] if run.spoken < samples(260) && run.spoken + run.len == ann.len()
            );
            assert!(to_the_end, "{frame:?}: ann as heard by ben: {runs:?}");
            let frame_samples = frame.samples(SampleRate::Hz16000);
            let mean = mean_of(&ann, &ben, &world.client(lis).heard, frame_samples);
            assert!(mean.overlap > samples(2_700), "{mean:?}");
            // One frame fades from the first talker to the mean of both.
            assert!(
                mean.overlap - mean.matching <= frame_samples,
                "{frame:?}: {mean:?}"
            );
        }
    });
}

#[test]
fn rooms_do_not_hear_each_other() {
    for_each_seed(4, |seed| {
        let frame = FrameDuration::Ms20;
        let mut rng = Rng::with_seed(seed);
        let mut world = World::new(hub_config(frame), seed);
        let says = [noise(seed, samples(2_000)), noise(!seed, samples(2_000))];
        let rooms = ["red", "blue"];
        let talkers = [0, 1].map(|i| {
            let person = talker(rooms[i], "ann", says[i].clone(), frame, &mut rng);
            world.join(person, Weather::CALM)
        });
        let listeners = rooms.map(|room| world.join(Person::new(room, "lis"), Weather::CALM));
        world.run_for(Duration::from_secs(3));
        for i in [0, 1] {
            let lis = world.client(listeners[i]);
            assert_heard_whole(&says[i], &lis.heard, rooms[i]);
            assert_eq!(
                exact_runs(&says[1 - i], &lis.heard),
                [],
                "{} heard the other room",
                rooms[i]
            );
            let ann = world.client(talkers[i]);
            assert!(
                ann.heard.iter().all(|&s| s == 0),
                "ann heard someone in {}",
                rooms[i]
            );
            assert_eq!(lis.names(), ["ann", "lis"]);
            assert_eq!(ann.names(), ["ann", "lis"]);
        }
        assert_eq!(world.hub.gauges().rooms, 2);
    });
}

#[test]
fn a_silent_talker_sends_nothing() {
    for_each_seed(4, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
        // RMS near 600: above the close threshold (500), below the open one (2000).
        let murmur = soft_noise(seed, samples(10_000), 10);
        let silent = world.join(Person::new("r", "silent").saying(murmur), Weather::CALM);
        let lis = world.join(Person::new("r", "lis"), Weather::CALM);
        world.run_for(Duration::from_secs(10));
        let (silent, lis) = (world.client(silent), world.client(lis));
        assert_eq!(
            (silent.stats().frames_sent, lis.stats().frames_received),
            (0, 0)
        );
        let counters = world.hub.counters();
        assert_eq!((counters.ticks, counters.encodings), (0, 0));
        // From each a Hello, and a ping at once and every 5 s.
        assert_eq!(counters.packets_in, 2 * (1 + 2), "not only session packets");
        assert_eq!(
            silent.playouts.len(),
            500,
            "frames were not played all the time"
        );
    });
}

#[test]
fn the_first_60_ms_of_a_word_arrive() {
    for_each_seed(4, |seed| {
        for frame in FRAMES {
            let (onset, loud, end) = (samples(1_000), samples(1_060), samples(1_560));
            // Breath (RMS 100), an onset below the threshold (RMS 1000), the word.
            let mut says = soft_noise(seed, onset, 60);
            says.extend(soft_noise(seed + 1, loud - onset, 6));
            says.extend(noise(!seed, end - loud));
            let mut world = World::new(hub_config(frame), seed);
            let lis = world.join(Person::new("r", "lis"), Weather::CALM);
            world.join(Person::new("r", "ann").saying(says.clone()), Weather::CALM);
            world.run_for(Duration::from_secs(3));
            let runs = exact_runs(&says, &world.client(lis).heard);
            let first = runs.first().expect("the word was heard");
            assert_eq!(
                first.spoken, onset,
                "{frame:?}: not from the pre-roll on: {runs:?}"
            );
            // Later the delay caused by the pre-roll is reduced during quiet moments, by blending
            // frames.
            assert!(first.len >= samples(60 + 250), "{frame:?}: {runs:?}");
        }
    });
}

#[test]
fn with_the_sum_rule_voices_add_up() {
    for_each_seed(4, |seed| {
        let says: Vec<_> = (0..3)
            .map(|i| soft_noise(seed ^ i, samples(2_000), 4))
            .collect();
        let sum: Vec<i16> = (0..samples(2_000))
            .map(|i| says.iter().map(|s| s[i]).sum())
            .collect();
        let heard = heard_with_the_sum_rule(&says, seed);
        assert_eq!(
            covered(&exact_runs(&sum, &heard), &sum),
            sum.len(),
            "a sum was limited"
        );
    });
}

#[test]
fn with_the_sum_rule_loud_voices_are_limited_and_never_wrap() {
    for_each_seed(4, |seed| {
        let says: Vec<_> = (0..4).map(|i| noise(seed ^ i, samples(2_000))).collect();
        let sum: Vec<i32> = (0..samples(2_000))
            .map(|i| says.iter().map(|s| i32::from(s[i])).sum())
            .collect();
        let clipped: Vec<i16> = sum
            .iter()
            .map(|&s| s.clamp(-32_768, 32_767) as i16)
            .collect();
        let heard = heard_with_the_sum_rule(&says, seed);
        let found = Recording::new(&heard)
            .find(&clipped)
            .expect("the sum was not heard");
        assert!(found.similarity > 0.95, "{found:?}");
        for (i, (&sum, &heard)) in sum.iter().zip(&heard[found.offset..]).enumerate() {
            let heard = i32::from(heard);
            let wrapped = heard.signum() * sum.signum() < 0 && sum.abs() > 1;
            assert!(
                !wrapped && heard.abs() <= sum.abs() + 1,
                "sample {i}: {sum} became {heard}"
            );
        }
    });
}

/// Returns what a listener hears of talkers whose frames go out at the same moments.
fn heard_with_the_sum_rule(says: &[Vec<i16>], seed: u64) -> Vec<i16> {
    let mut config = hub_config(FrameDuration::Ms20);
    config.mix_rule = MixRule::Sum;
    let mut world = World::new(config, seed);
    let lis = world.join(Person::new("r", "lis"), Weather::CALM);
    for (i, says) in says.iter().enumerate() {
        let person = Person::new("r", &format!("talker {i}")).saying(says.clone());
        world.join(
            Person {
                gate: false,
                ..person
            },
            Weather::CALM,
        );
    }
    world.run_for(Duration::from_secs(3));
    world.client(lis).heard.clone()
}
