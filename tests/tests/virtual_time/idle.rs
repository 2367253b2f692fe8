//! A room in which nobody talks costs nothing: no ticks, and no wake-ups except for keepalives.

use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::Duration;
use talkspurt_netem::{Person, Weather, World, hub_config};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

#[test]
fn a_server_without_anyone_never_wakes() {
    let world = World::new(hub_config(FrameDuration::Ms5), 1);
    assert_eq!(world.hub.poll_timeout(), None);
}

#[test]
fn silent_rooms_do_not_tick_and_wake_for_keepalives_only() {
    for_each_seed(2, |seed| {
        let mut world = World::new(hub_config(FrameDuration::Ms5), seed);
        for i in 0..60 {
            let person = Person::new(&format!("room {}", i % 20), &format!("p{i}"));
            world.join(person, Weather::CALM);
        }
        world.run_for(Duration::from_secs(10));
        assert!(
            world
                .clients()
                .all(|client| client.is_in() && client.names().len() == 3)
        );
        let before = world.wakeups();
        world.run_for(Duration::from_secs(60));
        assert_eq!(world.hub.counters().ticks, 0);
        // Frames of 5 ms would make 12,000 ticks a room. The server checks for a silent client once
        // it may have been silent for 15 s. Since a ping has arrived by then, the next check is at
        // least 10 s later.
        let wakeups = world.wakeups() - before;
        assert!(
            wakeups <= 60 * 6,
            "{wakeups} wake-ups for 60 silent clients in 60 s"
        );
        assert_eq!(
            world
                .hub
                .counters()
                .handshake_failures
                .values()
                .sum::<u64>(),
            0
        );
    });
}

#[test]
fn a_room_falls_asleep_after_each_talkspurt() {
    for_each_seed(4, |seed| {
        for frame in [FrameDuration::Ms5, FrameDuration::Ms20] {
            let mut world = World::new(hub_config(frame), seed);
            let ann = world.join(Person::new("r", "ann"), Weather::CALM);
            let lis = world.join(Person::new("r", "lis"), Weather::CALM);
            let mut ticks_before = 0;
            for word in 0..3 {
                world.run_for(Duration::from_secs(5));
                world.act(ann, |ann, _| ann.say(noise(seed + word, samples(500))));
                // 500 ms of word; the gate closes up to 300 ms later, and the pre-roll came first.
                world.run_for(Duration::from_millis(1_500));
                let ticks = world.hub.counters().ticks;
                assert!(
                    ticks > ticks_before,
                    "the room did not wake for word {word}"
                );
                world.run_for(Duration::from_secs(5));
                assert_eq!(
                    world.hub.counters().ticks,
                    ticks,
                    "the room did not sleep after it"
                );
                ticks_before = ticks;
            }
            assert_eq!(world.hub.gauges().talkers, 0);
            assert!(
                world
                    .client(lis)
                    .roster
                    .values()
                    .all(|(_, flags)| flags.0 == 0),
                "someone is still shown as talking"
            );
        }
    });
}

#[test]
fn no_deadline_remains_after_the_last_participant_leaves() {
    let mut world = World::new(hub_config(FrameDuration::Ms20), 1);
    let ann = world.join(
        Person::new("r", "ann").saying(noise(1, samples(9_000))),
        Weather::CALM,
    );
    world.run_for(Duration::from_secs(1));
    assert_eq!(world.hub.gauges().rooms, 1);
    world.act(ann, |ann, now| ann.leave(now));
    world.run_for(Duration::from_secs(20));
    assert_eq!(
        (world.hub.gauges().rooms, world.hub.gauges().participants),
        (0, 0)
    );
    assert_eq!(world.hub.poll_timeout(), None, "a deadline remains");
}
