//! Delay follows the network both ways, and a client that stops reading is only its own problem.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Playout;
use talkspurt_core::wire::Reason;
use talkspurt_netem::{Client, Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{exact_runs, is_whole};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::{RATE_HZ, samples};

use crate::packets;

/// For each stretch, when it was heard and how long after it was spoken, in microseconds of the
/// world's time.
pub fn delays(talker: &Client, listener: &Client) -> Vec<(Instant, Duration)> {
    let since = |client: &Client| client.heard_since.expect("the client has joined");
    let after = |start: Instant, samples: usize| {
        start + Duration::from_micros(samples as u64 * 1_000_000 / u64::from(RATE_HZ))
    };
    exact_runs(&talker.person.says, &listener.heard)
        .into_iter()
        .map(|run| {
            let heard_at = after(since(listener), run.heard);
            (
                heard_at,
                heard_at.duration_since(after(since(talker), run.spoken)),
            )
        })
        .collect()
}

#[test]
fn the_delay_grows_under_jitter_and_shrinks_back() {
    for_each_seed(4, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
        let lis = world.join(Person::new("r", "lis"), Weather::CALM);
        let ann = Person::new("r", "ann").saying(noise(seed, samples(120_000)));
        let ann = world.join(Person { gate: false, ..ann }, Weather::CALM);
        world.run_for(Duration::from_secs(10));
        let storm_begins = world.now();
        for client in [ann, lis] {
            world.set_weather(client, Weather::STORMY);
        }
        world.run_for(Duration::from_secs(20));
        let storm_ends = world.now();
        for client in [ann, lis] {
            world.set_weather(client, Weather::CALM);
        }
        world.run_for(Duration::from_secs(89));
        let delays = delays(world.client(ann), world.client(lis));
        let most = |from: Instant, to: Instant| {
            let within = delays.iter().filter(|(at, _)| (from..to).contains(at));
            within
                .map(|(_, delay)| *delay)
                .max()
                .expect("something was heard")
                .as_millis()
        };
        let before = most(Instant::ZERO, storm_begins);
        let during = most(storm_begins, storm_ends);
        let (_, after) = *delays.last().expect("something was heard");
        assert!(before <= 60, "{before} ms in a calm network");
        assert!(
            during >= before + 40,
            "{before} ms before the storm, at most {during} ms in it"
        );
        assert!(
            after.as_millis() <= before + 20,
            "{before} ms before the storm, {} ms long after it",
            after.as_millis()
        );
        let lis = world.client(lis);
        let concealed = |playouts: &[Playout]| {
            playouts
                .iter()
                .filter(|p| matches!(p, Playout::Concealed | Playout::Faded))
                .count()
        };
        let last_30_s = &lis.playouts[lis.playouts.len() - 30 * 50..];
        assert!(concealed(&lis.playouts) > 0, "the storm had no effect");
        assert_eq!(
            concealed(last_30_s),
            0,
            "frames are concealed long after the storm"
        );
        assert_eq!(lis.playout_frames().1, 1, "the reserve has not shrunk back");
    });
}

/// Noise that is as loud as speech, and has a softer moment as often as speech has syllables.
fn syllables(seed: u64, ms: u64) -> Vec<i16> {
    let mut said = noise(seed, samples(ms));
    for syllable in said.chunks_mut(samples(300)) {
        syllable
            .iter_mut()
            .take(samples(60))
            .for_each(|it| *it /= 16);
    }
    said
}

/// Each write that follows waits behind the one that is late, as in TCP.
#[test]
fn two_seconds_after_a_stall_on_either_side_the_delay_is_what_it_was() {
    for_each_seed(8, |seed| {
        let stall_ms = 100 + seed % 1_400;
        for is_talker in [true, false] {
            let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
            let lis = world.join(Person::new("r", "lis"), Weather::CALM);
            let ann = Person::new("r", "ann").saying(syllables(seed, 20_000));
            let ann = world.join(Person { gate: false, ..ann }, Weather::CALM);
            world.run_for(Duration::from_secs(8));
            let who = if is_talker { ann } else { lis };
            let late = Duration::from_millis(stall_ms);
            world.set_weather(
                who,
                Weather {
                    delay: late,
                    ..Weather::CALM
                },
            );
            let begins = world.now();
            world.run_for(Duration::from_millis(25));
            world.set_weather(who, Weather::CALM);
            world.run_for(Duration::from_secs(9));
            let delays = delays(world.client(ann), world.client(lis));
            // A stretch that is heard bit for bit begins at a disturbance, and lasts until the
            // next.
            let last_before = |at: Instant| {
                let before = delays.iter().take_while(|(from, _)| *from < at);
                before.last().expect("something was heard").1.as_millis()
            };
            let before = last_before(begins);
            let after = last_before(begins + late + Duration::from_millis(2_100));
            assert!(
                after <= before + 20,
                "a stall of {stall_ms} ms, of the talker: {is_talker}; {before} ms before it, {after} \
                 ms 2 s after it"
            );
        }
    });
}

#[test]
fn a_stalled_listener_loses_old_voice_and_others_lose_nothing() {
    for_each_seed(4, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
        let lis = world.join(Person::new("r", "lis"), Weather::CALM);
        let stan = world.join(
            Person::new("r", "stan"),
            Weather {
                buffer_bytes: 8 * 1024,
                ..Weather::CALM
            },
        );
        let says = noise(seed, samples(20_000));
        let ann = Person::new("r", "ann").saying(says.clone());
        world.join(Person { gate: false, ..ann }, Weather::CALM);
        world.run_for(Duration::from_secs(2));
        let stream = world.stream(stan);
        world.stall(stream, true);
        let before = world.client(stan).stats().frames_received;
        world.run_for(Duration::from_secs(8));
        assert_eq!(
            world.client(stan).stats().frames_received,
            before,
            "stan reads nothing"
        );
        assert!(
            world.is_open(world.stream(stan)),
            "a stall is tolerated for the idle timeout"
        );
        // 400 frames were for stan: 12 fill the stream, ten are kept by the server (200 ms), one
        // was begun.
        let dropped = world.voice_dropped(stan);
        assert!(
            (400 - 12 - 10 - 2..400).contains(&dropped),
            "{dropped} of 400 packets dropped"
        );
        assert_eq!(
            world.hub.counters().slow_consumer_drops,
            dropped,
            "others lost voice, too"
        );
        world.stall(stream, false);
        world.run_for(Duration::from_secs(12));
        let runs = exact_runs(&says, &world.client(lis).heard);
        assert!(is_whole(&runs, &says), "heard as {runs:?}");
        let stan = world.client(stan);
        assert_eq!(stan.joins, 1, "stan was dropped");
        let runs = exact_runs(&says, &stan.heard);
        assert!(
            runs.windows(2)
                .all(|pair| pair[0].spoken + pair[0].len <= pair[1].spoken),
            "out of order or repeated: {runs:?}"
        );
        assert!(
            runs.last()
                .is_some_and(|run| run.spoken + run.len == says.len()),
            "stan does not hear the end"
        );
    });
}

#[test]
fn a_client_that_never_reads_again_is_dropped_and_leaves_the_roster() {
    for_each_seed(2, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
        let lis = world.join(Person::new("r", "lis"), Weather::CALM);
        let ann = Person::new("r", "ann").saying(noise(seed, samples(40_000)));
        world.join(Person { gate: false, ..ann }, Weather::CALM);
        // It keeps sending pings, so that it does not count as silent.
        let stream = world.connect(Weather {
            buffer_bytes: 8 * 1024,
            ..Weather::CALM
        });
        world.stall(stream, true);
        world.write(stream, &packets::hello("r", "stan"));
        let mut waited_secs = 0;
        while world.is_open(stream) {
            world.write(stream, &packets::ping(waited_secs));
            world.run_for(Duration::from_secs(1));
            waited_secs += 1;
            assert!(waited_secs < 30, "stan was not dropped");
        }
        assert_eq!(world.client(lis).names(), ["lis", "ann"]);
        assert!(
            (14..20).contains(&waited_secs),
            "dropped after {waited_secs} s of the 15 s idle timeout"
        );
        assert_eq!(
            world.hub.counters().sessions_ended[Reason::SLOW_READER.label()],
            1
        );
    });
}
