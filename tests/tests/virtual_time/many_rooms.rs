//! Two thousand participants in two hundred rooms, each on another network.

use fastrand::Rng;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::Duration;
use talkspurt_hub::HubConfig;
use talkspurt_netem::{ClientId, Datagrams, Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{covered, exact_runs};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

const ROOMS: usize = 200;
const IN_A_ROOM: usize = 10;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Voice that waits at the server for one listener: 200 ms of PCM16, and a packet that is on its
/// way.
const WAITING_BYTES_MAX: usize = 11 * 660;
/// Frames that wait to be played: a longer stall is not played late.
const DEPTH_MAX_FRAMES: u16 = 15 + 1;

/// Carries three quarters of a voice in PCM16.
const SLOW: Weather = Weather {
    bytes_per_second: Some(24_000),
    buffer_bytes: 4 * 1024,
    ..Weather::CALM
};

/// The weather of a participant: calm, a storm on the stream, or datagrams that are overtaken, and
/// lost and doubled, too.
fn weather(rng: &mut Rng) -> Weather {
    let jittery = Weather {
        jitter: MS(rng.u64(0..=40)),
        ..Weather::CALM
    };
    let lossy = Datagrams {
        loss_per_mille: rng.u32(0..=100),
        burst_packets: rng.u32(1..=4),
        duplicates_per_mille: rng.u32(0..=100),
    };
    match rng.u8(0..4) {
        0 => Weather::CALM,
        1 => Weather::STORMY,
        2 => jittery.with_datagrams(Datagrams::WHOLE),
        _ => jittery.with_datagrams(lossy),
    }
}

struct Room {
    names: Vec<String>,
    talker: ClientId,
    /// The last one is on a slow line.
    listeners: Vec<ClientId>,
}

impl Room {
    fn join(world: &mut World, nth: usize, rng: &mut Rng) -> Self {
        let room = format!("room {nth}");
        let mut names: Vec<_> = (1..IN_A_ROOM).map(|nth| format!("lis {nth}")).collect();
        names.insert(0, "ann".to_owned());
        let mut join = |name: &String| {
            let person = Person {
                gate: false,
                phase: Duration::from_micros(rng.u64(0..20_000)),
                ..Person::new(&room, name)
            };
            let is_last = *name == names[IN_A_ROOM - 1];
            world.join(person, if is_last { SLOW } else { weather(rng) })
        };
        let talker = join(&names[0]);
        let listeners = names[1..].iter().map(join).collect();
        Self {
            names,
            talker,
            listeners,
        }
    }

    fn is_roster_true(&self, world: &World) -> bool {
        let mut everyone = self.listeners.iter().chain([&self.talker]);
        everyone.all(|id| {
            let mut names = world.client(*id).names();
            names.sort_unstable();
            names == self.names
        })
    }

    /// Returns the least share of the talkspurt that a listener on a line that can carry it has
    /// heard, and the share of the one on a slow line.
    fn heard(&self, world: &World) -> (f64, f64) {
        let said = &world.client(self.talker).person.says;
        let share = |id: &ClientId| {
            let runs = exact_runs(said, &world.client(*id).heard);
            let in_order = runs.is_sorted_by(|one, next| one.spoken + one.len <= next.spoken);
            assert!(in_order, "out of order or twice: {runs:?}");
            covered(&runs, said) as f64 / said.len() as f64
        };
        let (slow, others) = self.listeners.split_last().expect("a room has listeners");
        (others.iter().map(share).fold(1.0, f64::min), share(slow))
    }
}

fn assert_queues_are_bounded(world: &World) {
    for member in world.hub.rooms().flat_map(|room| room.members()) {
        let waiting: usize = member.link.outbox.packets().map(<[u8]>::len).sum();
        assert!(waiting <= WAITING_BYTES_MAX, "{waiting} bytes wait for one");
    }
    let participants = world.hub.rooms().flat_map(|room| room.participants());
    let at_server = participants.map(|it| it.depth_frames());
    let at_clients = world.clients().map(|it| it.playout_frames().0);
    let most = at_server.chain(at_clients).max();
    assert!(most <= Some(DEPTH_MAX_FRAMES), "{most:?} frames wait");
}

#[test]
fn two_thousand_in_two_hundred_rooms_hear_their_talkers() {
    for_each_seed(1, |seed| {
        let mut rng = Rng::with_seed(seed);
        let config = HubConfig {
            max_participants: ROOMS * IN_A_ROOM,
            ..hub_config(FrameDuration::Ms20)
        };
        let mut world = World::new(config, seed);
        let rooms: Vec<_> = (0..ROOMS)
            .map(|nth| {
                world.run_for(MS(2));
                Room::join(&mut world, nth, &mut rng)
            })
            .collect();
        world.run_for(MS(1_000));
        for (nth, room) in rooms.iter().enumerate() {
            let says = noise(seed ^ nth as u64, samples(2_000));
            world.act(room.talker, |client, _| client.say(says));
        }
        for quarter in 0..10 {
            if quarter == 2 {
                // In each fifth room a listener's network breaks.
                for room in rooms.iter().step_by(5) {
                    world.outage(room.listeners[0], MS(400));
                }
            }
            world.run_for(MS(250));
            assert_queues_are_bounded(&world);
        }
        world.run_for(MS(1_000));
        let gauges = world.hub.gauges();
        assert_eq!((gauges.rooms, gauges.talkers), (ROOMS, 0));
        assert!(
            world.hub.counters().slow_consumer_drops > 0,
            "no line was slow"
        );
        for room in &rooms {
            assert!(room.is_roster_true(&world), "{:?}", room.names);
            let (least, on_slow_line) = room.heard(&world);
            assert!(least >= 0.5, "a listener heard {least} of the voice");
            assert!(
                on_slow_line >= 0.2,
                "{on_slow_line} was heard over a slow line"
            );
        }
    });
}
