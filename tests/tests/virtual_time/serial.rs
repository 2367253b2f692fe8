//! A node behind a serial line at 115,200 baud that damages bytes: the session lives or comes back, speech is heard.

use talkspurt_core::codec::Codec;
use talkspurt_core::frame::FrameDuration;
use talkspurt_core::time::Duration;
use talkspurt_tests::analysis::{Hearing, hear};
use talkspurt_tests::noise::noise;
use talkspurt_tests::seeds::for_each_seed;
use talkspurt_tests::wav::samples;

use crate::netem::{ClientId, Person, Weather, World, hub_config};

const SERIAL: Weather = Weather::serial(115_200);

fn node_and_desk(seed: u64, node: Vec<i16>, desk: Vec<i16>) -> (World, ClientId, ClientId) {
    let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
    let person = |name, codec, says| Person {
        codec,
        gate: false,
        persistent: true,
        ..Person::new("r", name).saying(says)
    };
    let node = world.join(person("node", Codec::ImaAdpcm, node), SERIAL);
    let desk = world.join(person("desk", Codec::Pcm16, desk), Weather::CALM);
    (world, node, desk)
}

/// How the second of sound at `from_ms` was heard.
fn heard(spoken: &[i16], from_ms: u64, to_ms: u64, heard: &[i16]) -> Hearing {
    let pieces: Vec<_> = (from_ms..to_ms)
        .step_by(500)
        .map(|ms| samples(ms)..samples(ms + 500))
        .collect();
    hear(spoken, &pieces, heard).expect("noise is no silence")
}

#[test]
fn a_clean_line_carries_full_duplex() {
    for_each_seed(2, |seed| {
        let (node_says, desk_says) = (noise(seed, samples(10_000)), noise(!seed, samples(10_000)));
        let (mut world, node, desk) = node_and_desk(seed, node_says.clone(), desk_says.clone());
        world.run_for(Duration::from_secs(11));
        for (says, ears) in [(&node_says, desk), (&desk_says, node)] {
            let hearing = heard(says, 0, 10_000, &world.client(ears).heard);
            assert!(hearing.worst_similarity > 0.9, "{hearing:?}");
        }
        assert_eq!(
            world.client(node).voice_packets_out,
            501,
            "every frame and a terminator"
        );
        assert!(
            world.client(node).voice_packets_in >= 495,
            "the line has room for all of it"
        );
        assert_eq!(
            (world.client(node).joins, world.client(node).dropped_bytes),
            (1, 0)
        );
    });
}

#[test]
fn sparse_noise_costs_the_packets_it_hits_and_not_the_session() {
    for_each_seed(4, |seed| {
        let (node_says, desk_says) = (noise(seed, samples(20_000)), noise(!seed, samples(20_000)));
        let (mut world, node, desk) = node_and_desk(seed, node_says.clone(), desk_says.clone());
        world.run_for(Duration::from_secs(1));
        // One byte in 5,000: about every second one of the 100 packets that pass is hit.
        world.set_weather(
            node,
            Weather {
                damage_per_million: 200,
                ..SERIAL
            },
        );
        world.run_for(Duration::from_secs(20));
        assert!(world.client(node).dropped_bytes > 0, "the noise was there");
        assert_eq!(
            (world.client(node).joins, world.client(desk).joins),
            (1, 1),
            "nobody had to join again"
        );
        for (says, ears) in [(&node_says, desk), (&desk_says, node)] {
            let hearing = heard(says, 1_000, 19_500, &world.client(ears).heard);
            assert!(
                hearing.similarity > 0.85,
                "half of the half seconds or more are whole: {hearing:?}"
            );
        }
    });
}

#[test]
fn after_noise_that_ends_everything_the_session_recovers() {
    for_each_seed(4, |seed| {
        let (mut world, node, desk) = node_and_desk(seed, vec![], vec![]);
        world.run_for(Duration::from_secs(1));
        // No packet survives one byte in ten: not the pings, and no Hello either.
        world.set_weather(
            node,
            Weather {
                damage_per_million: 100_000,
                ..SERIAL
            },
        );
        world.act(node, |node, _| node.say(noise(seed, samples(3_000))));
        world.run_until("the node is missed", Duration::from_secs(40), |world| {
            world.client(desk).names() == ["desk"]
        });
        world.set_weather(node, SERIAL);
        world.run_until("it is back", Duration::from_secs(40), |world| {
            world.client(node).is_in() && world.client(desk).names().contains(&"node")
        });
        assert!(world.client(node).joins > 1);
        world.run_for(Duration::from_secs(1));
        let (node_says, desk_says) = (
            noise(seed + 9, samples(3_000)),
            noise(seed + 10, samples(3_000)),
        );
        world.act(node, |node, _| node.say(node_says.clone()));
        world.act(desk, |desk, _| desk.say(desk_says.clone()));
        world.run_for(Duration::from_secs(4));
        for (says, ears) in [(&node_says, desk), (&desk_says, node)] {
            let hearing = heard(says, 0, 3_000, &world.client(ears).heard);
            assert!(hearing.worst_similarity > 0.9, "{hearing:?}");
        }
        assert_eq!(
            world.client(node).names().len(),
            2,
            "its roster is the true one"
        );
        assert_eq!(world.client(desk).names().len(), 2);
    });
}

/// A byte of noise every second on a line on which nobody talks: each lone packet would stick to the noise before it.
#[test]
fn noise_on_a_quiet_line_does_not_end_the_session() {
    let (mut world, node, desk) = node_and_desk(1, vec![], vec![]);
    world.run_for(Duration::from_secs(1));
    for second in 0..60_u8 {
        world.run_for(Duration::from_secs(1));
        world.noise(node, &[1 + second]);
    }
    assert!(world.client(node).dropped_bytes > 0, "the noise was there");
    assert_eq!(
        (world.client(node).joins, world.client(node).closed),
        (1, None)
    );
    assert_eq!(world.client(desk).names().len(), 2);
}
