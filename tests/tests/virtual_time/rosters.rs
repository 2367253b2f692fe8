//! Everyone's roster is correct, whoever comes and goes, and however they do.

use std::collections::BTreeMap;

use fastrand::Rng;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{ParticipantFlags, Reason};
use talkspurt_netem::{ClientId, Person, Weather, World, hub_config};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

/// The truth: who is there, in which room, and whether muted.
type Truth = BTreeMap<String, (ClientId, String, bool)>;

struct Churn {
    world: World,
    rng: Rng,
    truth: Truth,
    rooms: usize,
    came: usize,
}

impl Churn {
    fn new(rooms: usize, seed: u64) -> Self {
        let mut config = hub_config(FrameDuration::Ms20);
        config.room_capacity = 256;
        Self {
            world: World::new(config, seed),
            rng: Rng::with_seed(seed),
            truth: Truth::new(),
            rooms,
            came: 0,
        }
    }

    fn join_someone(&mut self) {
        self.came += 1;
        let name = format!("p{}", self.came);
        let room = format!("room {}", self.rng.usize(0..self.rooms));
        let weather = if self.rng.bool() {
            Weather::CALM
        } else {
            Weather::STORMY
        };
        let id = self.world.join(Person::new(&room, &name), weather);
        self.truth.insert(name, (id, room, false));
    }

    /// Makes someone leave, crash, lose the network, mute or say a word.
    fn do_something(&mut self) {
        let Some(name) = self.rng.choice(self.truth.keys()).cloned() else {
            return;
        };
        let id = self.truth[&name].0;
        // Someone who is still joining may not know it yet.
        if !self.world.client(id).is_in() {
            return;
        }
        let stream = self.world.stream(id);
        match self.rng.u8(0..6) {
            0 => self.world.act(id, |client, now| client.leave(now)),
            1 => self.world.cut(stream),
            2 => self.world.vanish(stream),
            3 => {
                let seed = self.rng.u64(..);
                return self
                    .world
                    .act(id, |client, _| client.say(noise(seed, samples(300))));
            }
            _ => {
                let muted = self.rng.bool();
                self.truth
                    .get_mut(&name)
                    .expect("the name was just found")
                    .2 = muted;
                return self
                    .world
                    .act(id, |client, now| client.set_muted(now, muted));
            }
        }
        self.truth.remove(&name);
    }

    fn pause(&mut self, most_ms: u64) {
        let pause = Duration::from_millis(self.rng.u64(0..=most_ms));
        self.world.run_for(pause);
    }

    /// Waits until everything on its way has arrived and the vanished have timed out, then checks
    /// all rosters.
    fn assert_all_know_the_truth(&mut self) {
        self.world.run_for(Duration::from_secs(25));
        assert_eq!(self.world.hub.gauges().participants, self.truth.len());
        for (name, (id, room, _)) in &self.truth {
            let there = self.truth.iter().filter(|(_, (_, other, _))| other == room);
            let flags =
                |muted: bool| ParticipantFlags::default().with(ParticipantFlags::MUTED, muted);
            let true_list: BTreeMap<_, _> = there
                .map(|(name, (_, _, muted))| (name.clone(), flags(*muted)))
                .collect();
            let client = self.world.client(*id);
            assert!(
                client.is_in(),
                "{name} is not in the room: {:?} {:?}",
                client.closed,
                client.rejected
            );
            let known: BTreeMap<_, _> = client.roster.values().cloned().collect();
            assert_eq!(known, true_list, "{name} in {room}");
            assert_eq!(
                client.roster.len(),
                true_list.len(),
                "{name} sees someone twice"
            );
        }
    }
}

#[test]
fn two_hundred_come_and_go_in_one_room() {
    for_each_seed(2, |seed| {
        let mut churn = Churn::new(1, seed);
        (0..200).for_each(|_| churn.join_someone());
        churn.pause(2_000);
        for _ in 0..200 {
            churn.do_something();
            if churn.truth.len() < 200 && churn.rng.bool() {
                churn.join_someone();
            }
            churn.pause(40);
        }
        assert!(
            churn.truth.len() > 100 && churn.came > 250,
            "too little churn: {} joined",
            churn.came
        );
        churn.assert_all_know_the_truth();
    });
}

#[test]
fn rooms_fill_and_empty() {
    for_each_seed(4, |seed| {
        let mut churn = Churn::new(12, seed);
        for _ in 0..300 {
            if churn.rng.u8(0..3) == 0 {
                churn.join_someone();
            }
            churn.do_something();
            churn.pause(200);
        }
        churn.assert_all_know_the_truth();
        let names: Vec<_> = churn.truth.values().map(|(id, ..)| *id).collect();
        for id in names {
            churn.world.act(id, |client, now| client.leave(now));
        }
        churn.truth.clear();
        churn.assert_all_know_the_truth();
        assert_eq!(churn.world.hub.gauges().rooms, 0);
    });
}

#[test]
fn a_name_is_free_at_once_after_a_visible_crash_and_otherwise_after_the_timeout() {
    let mut world = World::new(hub_config(FrameDuration::Ms20), 1);
    let first = world.join(Person::new("r", "ann"), Weather::CALM);
    world.run_for(Duration::from_millis(100));
    let same = world.join(Person::new("r", "ann"), Weather::CALM);
    let elsewhere = world.join(Person::new("other", "ann"), Weather::CALM);
    world.run_for(Duration::from_millis(100));
    assert_eq!(world.client(same).rejected, Some(Reason::NAME_TAKEN));
    assert!(world.client(elsewhere).is_in());
    let stream = world.stream(first);
    world.cut(stream);
    let second = world.join(Person::new("r", "ann"), Weather::CALM);
    world.run_for(Duration::from_millis(100));
    assert!(world.client(second).is_in());
    let stream = world.stream(second);
    world.vanish(stream);
    let persistent = Person {
        persistent: true,
        ..Person::new("r", "ann")
    };
    let third = world.join(persistent, Weather::CALM);
    world.run_until(
        "the name is not free after the idle timeout",
        Duration::from_secs(16),
        |world| world.client(third).is_in(),
    );
    assert_eq!(world.client(third).names(), ["ann"]);
}

#[test]
fn talkers_are_shown_as_talking_while_they_talk() {
    for_each_seed(4, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
        let [ann, lis] =
            ["ann", "lis"].map(|name| world.join(Person::new("r", name), Weather::CALM));
        world.run_for(Duration::from_secs(1));
        let talking =
            |world: &World, id| world.client(id).roster[&world.client(ann).id().unwrap()].1;
        world.act(ann, |ann, _| ann.say(noise(seed, samples(1_000))));
        for (after_ms, expected) in [
            (200, ParticipantFlags::TALKING),
            (2_000, ParticipantFlags::default()),
        ] {
            world.run_for(Duration::from_millis(after_ms));
            for id in [ann, lis] {
                assert_eq!(talking(&world, id), expected, "{after_ms} ms on");
            }
        }
        // A client that vanishes in the middle of a word stops talking at once, and leaves after
        // the timeout.
        world.act(ann, |ann, _| ann.say(noise(seed, samples(9_000))));
        world.run_for(Duration::from_secs(1));
        assert_eq!(talking(&world, lis), ParticipantFlags::TALKING);
        let stream = world.stream(ann);
        world.vanish(stream);
        world.run_for(Duration::from_secs(1));
        assert_eq!(talking(&world, lis), ParticipantFlags::default());
        world.run_for(Duration::from_secs(16));
        assert_eq!(world.client(lis).names(), ["lis"]);
    });
}
