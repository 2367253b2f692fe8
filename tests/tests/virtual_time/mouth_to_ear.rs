//! A client knows how long voice takes from mouth to ear: what it shows is what the samples say.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_netem::{ClientId, Person, Weather, World, hub_config};
use talkspurt_testkit::noise::{noise, soft_noise};
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

use crate::delay::delays;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECOND: Duration = Duration::from_secs(1);
const FRAMES: [FrameDuration; 3] = [FrameDuration::Ms20, FrameDuration::Ms10, FrameDuration::Ms5];

/// How far the mean of what a client says may be from what the samples say.
const MEAN_ERROR_MS: f64 = 4.0;

fn person(name: &str) -> Person {
    Person {
        gate: false,
        reports_delay: true,
        margin_ms: 0,
        ..Person::new("r", name)
    }
}

/// Somebody talks and somebody listens.
struct Talk {
    world: World,
    frame: Duration,
    ann: ClientId,
    lis: ClientId,
    /// When the listener's client said what.
    said: Vec<(Instant, Duration)>,
}

impl Talk {
    fn new(frame: FrameDuration, seed: u64, weather: Weather, ann: Person) -> Self {
        let mut world = World::new(hub_config(frame), seed);
        let lis = world.join(person("lis"), weather);
        let says = noise(seed, samples(60_000));
        let ann = world.join(ann.saying(says), weather);
        Self {
            world,
            frame: frame.duration(),
            ann,
            lis,
            said: Vec::new(),
        }
    }

    /// Runs for so many seconds, and asks the listener's client at the end of each.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            self.world.run_for(SECOND);
            let said = self.world.client(self.lis).mouth_to_ear();
            self.said.extend(said.map(|said| (self.world.now(), said)));
        }
    }

    /// For each time, what the client said and what the samples say, in milliseconds.
    fn compared(&self) -> Vec<(f64, f64)> {
        let clients = [self.ann, self.lis].map(|id| self.world.client(id));
        let measured = delays(clients[0], clients[1]);
        let millis = |span: Duration| span.as_micros() as f64 / 1_000.0;
        let said = self.said.iter().filter_map(|(at, said)| {
            let before = measured.iter().rfind(|(heard_at, _)| heard_at <= at)?;
            // A frame of this microphone has been said when its first sample counts as spoken.
            Some((millis(*said), millis(before.1 + self.frame)))
        });
        said.collect()
    }
}

/// Each figure is right within so many milliseconds, and their mean within less.
fn assert_close(compared: &[(f64, f64)], most: f64, what: &str) {
    assert!(!compared.is_empty(), "{what}: nothing was said");
    let errors: Vec<f64> = compared
        .iter()
        .map(|(said, measured)| said - measured)
        .collect();
    let mean = errors.iter().sum::<f64>() / errors.len() as f64;
    let worst = errors.iter().map(|error| error.abs()).fold(0.0, f64::max);
    assert!(
        worst <= most && mean.abs() <= MEAN_ERROR_MS,
        "{what}: {mean} ms wrong on average, {worst} at worst: {compared:?}"
    );
}

fn weather(delay_ms: u64, jitter_ms: u64) -> Weather {
    Weather {
        delay: MS(delay_ms),
        jitter: MS(jitter_ms),
        ..Weather::CALM
    }
}

#[test]
fn what_is_shown_is_what_the_samples_say() {
    for frame in FRAMES {
        for_each_seed(3, |seed| {
            for (delay_ms, jitter_ms, most) in
                [(1, 0, 4.0), (35, 0, 4.0), (10, 4, 5.0), (10, 20, 10.0)]
            {
                let mut talk = Talk::new(frame, seed, weather(delay_ms, jitter_ms), person("ann"));
                talk.run(30);
                let what = format!("{frame:?}, {delay_ms} ms, jitter {jitter_ms} ms");
                assert_close(&talk.compared()[6..], most, &what);
            }
        });
    }
}

#[test]
fn it_follows_the_network() {
    for frame in [FrameDuration::Ms20, FrameDuration::Ms5] {
        for_each_seed(3, |seed| {
            let mut talk = Talk::new(frame, seed, weather(2, 0), person("ann"));
            talk.run(12);
            for delay_ms in [40, 5] {
                talk.said.clear();
                for id in [talk.ann, talk.lis] {
                    talk.world.set_weather(id, weather(delay_ms, 0));
                }
                talk.run(16);
                let compared = talk.compared();
                assert_close(
                    &compared[12..],
                    5.0,
                    &format!("{frame:?}, now {delay_ms} ms"),
                );
            }
        });
    }
}

#[test]
fn a_pre_roll_that_is_not_taken_back_yet_is_part_of_it() {
    for frame in FRAMES {
        for_each_seed(3, |seed| {
            let ann = Person {
                gate: true,
                ..person("ann")
            };
            let mut talk = Talk::new(frame, seed, weather(2, 0), ann);
            // The level rises before it opens the gate: that is pre-roll, and no pause follows in
            // which its delay could be taken back.
            let says = [
                vec![0; samples(2_000)],
                soft_noise(seed, samples(40), 6),
                noise(seed, samples(20_000)),
            ];
            let says = says.concat();
            talk.world
                .act(talk.ann, |client, _| client.say(says.clone()));
            talk.run(20);
            let compared = talk.compared();
            let mut without = Talk::new(frame, seed, weather(2, 0), person("ann"));
            without.run(2);
            let without_ms = without.compared()[0].1;
            assert!(
                compared[0].1 >= without_ms + 10.0,
                "no pre-roll: {compared:?}"
            );
            assert_close(&compared[2..], 5.0, &format!("{frame:?}"));
        });
    }
}

#[test]
fn of_several_talkers_the_one_who_takes_longest_counts_and_nobody_hears_its_own_delay() {
    let mut world = World::new(hub_config(FrameDuration::Ms20), 1);
    let [near, far, lis] = [("near", 2), ("far", 90), ("lis", 2)]
        .map(|(name, delay_ms)| world.join(person(name), weather(delay_ms, 0)));
    let say = |world: &mut World, id| {
        world.act(id, |client, _| client.say(noise(1, samples(8_000))));
    };
    let shown = |world: &World, id| {
        let shown = world.client(id).mouth_to_ear();
        shown.map(|it| it.as_millis() as i64)
    };
    say(&mut world, near);
    world.run_for(MS(7_000));
    let alone = shown(&world, lis).unwrap();
    say(&mut world, far);
    world.run_for(MS(7_000));
    world.run_for(MS(500));
    // What was heard last holds on.
    let both = shown(&world, lis).unwrap();
    assert!(
        (70..=110).contains(&(both - alone)),
        "{alone} ms, then {both}"
    );
    // The way to the far one is long, and its own voice is not on it.
    let of_near = shown(&world, far).unwrap();
    assert!(
        (70..=110).contains(&(of_near - alone)),
        "{alone} ms, {of_near}"
    );
    assert!(shown(&world, near).unwrap() > alone);
}

#[test]
fn nothing_is_known_of_talkers_and_listeners_whose_clients_tell_nothing() {
    let silent = |name| Person {
        reports_delay: false,
        ..person(name)
    };
    for (ann, lis) in [
        (silent("ann"), person("lis")),
        (person("ann"), silent("lis")),
    ] {
        let mut world = World::new(hub_config(FrameDuration::Ms20), 1);
        let lis = world.join(lis, Weather::CALM);
        let ann = world.join(ann, Weather::CALM);
        world.act(ann, |client, _| client.say(noise(1, samples(5_000))));
        world.run_for(MS(6_000));
        assert!(world.client(lis).stats().frames_played > 200);
        assert_eq!(world.client(lis).mouth_to_ear(), None);
    }
}

#[test]
fn an_idle_room_costs_nothing() {
    let mut wakeups = [false, true].map(|reports_delay| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), 1);
        for name in ["ann", "lis"] {
            world.join(
                Person {
                    reports_delay,
                    ..person(name)
                },
                Weather::CALM,
            );
        }
        world.run_for(Duration::from_secs(120));
        let packets = world.clients().map(|client| client.stats());
        let packets: Vec<_> = packets
            .map(|it| (it.packets_received, it.packets_transmitted))
            .collect();
        (world.wakeups(), packets)
    });
    let [without, with] = &mut wakeups;
    assert_eq!(without, with);
}
