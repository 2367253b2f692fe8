//! A network that is gone for seconds: afterwards voice is prompt and whole again, whether it goes
//! by the stream or in datagrams.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_netem::{ClientId, Datagrams, Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{exact_runs, is_whole};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

use crate::delay::delays;

const MS: fn(u64) -> Duration = Duration::from_millis;
/// Voice is prompt again so long after an outage.
const PROMPT_AFTER: Duration = Duration::from_secs(2);

/// Voice by the stream, and voice in datagrams.
const CARRIERS: [Weather; 2] = [
    Weather::CALM,
    Weather::CALM.with_datagrams(Datagrams::WHOLE),
];

/// Someone who talks without a pause, and a listener.
struct Talk {
    world: World,
    ann: ClientId,
    lis: ClientId,
}

impl Talk {
    fn new(frame: FrameDuration, seed: u64, weather: Weather) -> Self {
        let mut world = World::new(hub_config(frame), seed);
        let [lis, ann] = [("lis", 0), ("ann", 20_000)].map(|(name, ms)| {
            let person = Person {
                gate: false,
                ..Person::new("r", name).saying(noise(seed, samples(ms)))
            };
            world.join(person, weather)
        });
        Self { world, ann, lis }
    }

    /// Returns the longest delay of what was heard within a span.
    fn delay(&self, from: Instant, to: Instant) -> Duration {
        let [ann, lis] = [self.ann, self.lis].map(|id| self.world.client(id));
        let all = delays(ann, lis);
        // A stretch has one delay from its beginning to the next.
        let first = all.iter().rposition(|(at, _)| *at <= from).unwrap_or(0);
        let those = all[first..].iter().filter(|(at, _)| *at < to);
        let longest = those.map(|(_, delay)| *delay).max();
        longest.expect("something was heard")
    }

    /// Has Ann say one talkspurt more, and returns whether it is heard whole.
    fn is_heard_whole(&mut self, says: Vec<i16>) -> bool {
        let said = says.clone();
        self.world.act(self.ann, |client, _| client.say(says));
        self.world.run_for(MS(2_500));
        let runs = exact_runs(&said, &self.world.client(self.lis).heard);
        is_whole(&runs, &said)
    }
}

#[test]
fn after_an_outage_voice_is_prompt_and_whole() {
    for_each_seed(2, |seed| {
        for frame in [FrameDuration::Ms20, FrameDuration::Ms5] {
            for carrier in CARRIERS {
                for outage_ms in [1_000, 5_000] {
                    for is_talker in [true, false] {
                        let what = format!(
                            "{frame:?}, {outage_ms} ms, datagrams: {}, the talker's: {is_talker}",
                            carrier.datagrams.is_some()
                        );
                        let talk = Talk::new(frame, seed, carrier);
                        assert_recovers(talk, frame, MS(outage_ms), is_talker, &what);
                    }
                }
            }
        }
    });
}

fn assert_recovers(
    mut talk: Talk,
    frame: FrameDuration,
    outage: Duration,
    is_talker: bool,
    what: &str,
) {
    talk.world.run_for(MS(4_000));
    let begins = talk.world.now();
    let calm = talk.delay(begins - MS(2_000), begins);
    let whose = if is_talker { talk.ann } else { talk.lis };
    talk.world.outage(whose, outage);
    talk.world.run_for(outage + PROMPT_AFTER);
    let prompt_from = talk.world.now();
    talk.world.run_for(MS(3_000));
    let after = talk.delay(prompt_from, talk.world.now());
    assert!(
        after <= calm + frame.duration().max(calm / 10),
        "{what}: {} ms before the outage, {} ms after it",
        calm.as_millis(),
        after.as_millis()
    );
    for id in [talk.ann, talk.lis] {
        let client = talk.world.client(id);
        let mut names = client.names();
        names.sort_unstable();
        assert_eq!((client.joins, names), (1, vec!["ann", "lis"]), "{what}");
    }
    talk.world.act(talk.ann, |client, _| client.say(vec![]));
    talk.world.run_for(MS(500));
    for seed in [91, 92] {
        assert!(talk.is_heard_whole(noise(seed, samples(1_500))), "{what}");
    }
}
