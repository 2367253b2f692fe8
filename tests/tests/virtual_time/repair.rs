//! A node's serial line loses packets of the roster and the node's own SetMuted. Everyone's roster
//! becomes true again within the times of docs/PROTOCOL.md: nobody stays as a ghost.

use std::collections::BTreeMap;

use fastrand::Rng;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::ParticipantFlags;
use talkspurt_netem::{Client, ClientId, Person, Weather, World};
use talkspurt_testkit::seeds::for_each_seed;

use crate::serial::{SERIAL, node_and_desk};

/// A Ping goes out each third of the idle timeout, and its Pong tells what was missed. The pages
/// take the rest, or the second SetMuted and its State.
const BY_THE_NEXT_PONG: Duration = Duration::from_millis(5_000 + 500);

/// Nothing can get through.
const DEAF: Weather = Weather {
    damage_per_million: 1_000_000,
    ..SERIAL
};

/// A node on a serial line, a desk on a calm one, and their guests. What is true of the room, the
/// test knows: it is what they were told to do.
struct Scene {
    world: World,
    node: ClientId,
    desk: ClientId,
    guests: Vec<(String, ClientId)>,
    /// Who is there, and whether muted.
    truth: BTreeMap<String, bool>,
    came: usize,
}

impl Scene {
    fn new(seed: u64, guests: usize) -> Self {
        let (world, node, desk) = node_and_desk(seed, vec![], vec![]);
        let truth = ["node", "desk"].map(|name| (name.to_owned(), false));
        let mut scene = Self {
            world,
            node,
            desk,
            guests: Vec::new(),
            truth: truth.into(),
            came: 0,
        };
        for _ in 0..guests {
            scene.join();
        }
        scene.run_ms(1_000);
        assert!(scene.is_true(), "all begins well");
        scene
    }

    fn run_ms(&mut self, ms: u64) {
        self.world.run_for(Duration::from_millis(ms));
    }

    fn join(&mut self) {
        self.came += 1;
        let name = format!("p{}", self.came);
        let id = self.world.join(Person::new("r", &name), Weather::CALM);
        self.truth.insert(name.clone(), false);
        self.guests.push((name, id));
    }

    fn leave(&mut self, index: usize) {
        let (name, id) = self.guests.swap_remove(index);
        self.truth.remove(&name);
        self.world.act(id, |who, now| who.leave(now));
    }

    fn mute(&mut self, name: &str, id: ClientId, muted: bool) {
        self.truth.insert(name.to_owned(), muted);
        self.world.act(id, |who, now| who.set_muted(now, muted));
    }

    fn mute_guest(&mut self, index: usize, muted: bool) {
        let (name, id) = self.guests[index].clone();
        self.mute(&name, id, muted);
    }

    /// Whether the rosters of all in the room are true.
    fn is_true(&self) -> bool {
        let guests = self.guests.iter().map(|(_, id)| *id);
        guests
            .chain([self.node, self.desk])
            .all(|id| self.knows(id))
    }

    fn knows(&self, id: ClientId) -> bool {
        let client = self.world.client(id);
        let flags = |muted| ParticipantFlags::default().with(ParticipantFlags::MUTED, muted);
        let truth = self
            .truth
            .iter()
            .map(|(name, muted)| (name.clone(), flags(*muted)));
        let known: BTreeMap<_, _> = client.roster.values().cloned().collect();
        client.is_in() && client.roster.len() == known.len() && known == truth.collect()
    }

    /// Waits until all rosters are true.
    fn wait_for_truth(&mut self, what: &str, most: Duration) {
        // The world judges; it does not know the truth.
        let end = self.world.now() + most;
        while !self.is_true() {
            let (node, desk) = (self.world.client(self.node), self.world.client(self.desk));
            assert!(
                self.world.now() < end,
                "{what} is not repaired in {} ms: true is {:?}, the node knows {:?}, the desk {:?}",
                most.as_millis(),
                self.truth,
                node.roster,
                desk.roster
            );
            self.run_ms(1);
        }
    }
}

/// Everything that a line can lose of a roster, one packet at a time, with nothing behind it that
/// would show the loss.
#[test]
fn what_a_damaged_line_has_lost_is_repaired_by_the_next_pong() {
    type Loss = (&'static str, fn(&mut Scene), fn(&mut Scene));
    let nothing = |_: &mut Scene| {};
    let losses: [Loss; 7] = [
        ("a Left", nothing, |scene| scene.leave(1)),
        ("a Joined", nothing, Scene::join),
        ("a State, muted", nothing, |scene| scene.mute_guest(0, true)),
        (
            "a State, unmuted",
            |scene| scene.mute_guest(0, true),
            |scene| scene.mute_guest(0, false),
        ),
        ("a SetMuted", nothing, |scene| {
            scene.mute("node", scene.node, true);
        }),
        (
            "a SetMuted that unmutes",
            |scene| scene.mute("node", scene.node, true),
            |scene| scene.mute("node", scene.node, false),
        ),
        ("several of each", nothing, |scene| {
            scene.leave(0);
            scene.join();
            scene.mute_guest(2, true);
            scene.mute("node", scene.node, true);
        }),
    ];
    for_each_seed(8, |seed| {
        let mut rng = Rng::with_seed(seed);
        for (what, before, lose) in losses {
            // Three pages, and any moment between two Pings.
            let mut scene = Scene::new(seed, 15);
            before(&mut scene);
            scene.run_ms(rng.u64(500..6_000));
            assert!(scene.is_true(), "before {what}");
            scene.world.set_weather(scene.node, DEAF);
            lose(&mut scene);
            scene.run_ms(300);
            scene.world.set_weather(scene.node, SERIAL);
            assert!(!scene.is_true(), "{what} was not lost");
            scene.wait_for_truth(what, BY_THE_NEXT_PONG);
            // It stays so.
            scene.run_ms(20_000);
            assert!(scene.is_true(), "{what} came back");
            assert_eq!(scene.world.client(scene.node).joins, 1);
        }
    });
}

/// The next change shows that one was lost, and no Pong is waited for.
#[test]
fn a_change_behind_a_lost_one_has_it_repaired_at_once() {
    for_each_seed(8, |seed| {
        let mut scene = Scene::new(seed, 4);
        // Beyond the second in which a roster is not asked for again.
        scene.run_ms(1_500);
        scene.world.set_weather(scene.node, DEAF);
        scene.leave(0);
        scene.run_ms(20);
        scene.world.set_weather(scene.node, SERIAL);
        scene.run_ms(100);
        assert!(!scene.is_true(), "the Left was not lost");
        scene.mute_guest(0, true);
        scene.wait_for_truth("a Left before a State", Duration::from_millis(200));
    });
}

/// A roster that is asked for is asked for again 2, 4, 8 and 16 s after, if it does not come.
#[test]
fn a_lost_answer_is_asked_for_again() {
    for_each_seed(4, |seed| {
        for (deaf_ms, most_ms) in [(1_900, 200), (5_900, 200), (13_500, 700)] {
            let mut scene = Scene::new(seed, 4);
            scene.run_ms(1_500);
            scene.world.set_weather(scene.node, DEAF);
            scene.leave(0);
            scene.run_ms(20);
            // The change that shows it comes through, but nothing after it: the desk has it sooner.
            scene.world.set_weather(scene.node, SERIAL);
            scene.run_ms(100);
            scene.mute_guest(0, true);
            while !scene.knows(scene.desk) {
                scene.run_ms(1);
            }
            scene.world.set_weather(scene.node, DEAF);
            scene.run_ms(deaf_ms);
            assert!(!scene.is_true(), "the answer was not lost");
            scene.world.set_weather(scene.node, SERIAL);
            let most = Duration::from_millis(most_ms);
            scene.wait_for_truth(&format!("a roster lost for {deaf_ms} ms"), most);
        }
    });
}

/// One byte in 200 is damaged: every tenth of these short packets is hit, and most rosters of some
/// pages. Until the line is calm, a roster errs only about those of whom a packet was lost; then
/// all of them become true.
#[test]
fn after_a_storm_all_rosters_are_true() {
    for_each_seed(8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut scene = Scene::new(seed, 0);
        let noisy = Weather {
            damage_per_million: 5_000,
            ..SERIAL
        };
        scene.world.set_weather(scene.node, noisy);
        let mut erred = 0;
        for _ in 0..150 {
            let there = scene.guests.len();
            match rng.u8(0..8) {
                0..3 if there > 0 => scene.leave(rng.usize(..there)),
                3..5 if there > 0 => scene.mute_guest(rng.usize(..there), rng.bool()),
                5 => scene.mute("node", scene.node, rng.bool()),
                _ => scene.join(),
            }
            scene.run_ms(200);
            erred += u32::from(!scene.is_true());
            let (node, desk) = (
                scene.world.client(scene.node),
                scene.world.client(scene.desk),
            );
            assert_errs_only_where_excused(node, desk);
        }
        assert!(erred > 0, "no packet about a participant was lost");
        scene.world.set_weather(scene.node, SERIAL);
        println!("seed {seed}: untrue after {erred} of 150 changes");
        // The longest wait for a roster that was asked for, and its way.
        scene.wait_for_truth("the storm", Duration::from_millis(16_000 + 500));
        assert!(scene.world.client(scene.node).is_in());
        assert!(scene.world.client(scene.desk).excused.is_empty());
    });
}

fn assert_errs_only_where_excused(noisy: &Client, calm: &Client) {
    if !noisy.is_in() {
        return;
    }
    let of = |client: &Client| {
        let mut roster = client.roster.clone();
        roster.retain(|id, _| !noisy.excused.contains(id));
        roster
    };
    assert_eq!(of(noisy), of(calm), "excused: {:?}", noisy.excused);
}

/// One byte in 500 for two minutes, with a change each 200 ms: each loss is repaired while the
/// noise goes on. Of a lost SetMuted one Pong may be lost as well, and of a lost roster two
/// answers.
#[test]
fn under_steady_noise_no_roster_errs_for_long() {
    for_each_seed(8, |seed| {
        let mut rng = Rng::with_seed(seed);
        let mut scene = Scene::new(seed, 6);
        let noisy = Weather {
            damage_per_million: 2_000,
            ..SERIAL
        };
        scene.world.set_weather(scene.node, noisy);
        let (mut wrong_since, mut longest, mut times) = (None, Duration::ZERO, 0);
        for step in 0..6_000 {
            if step % 10 == 0 {
                let there = scene.guests.len();
                match rng.u8(0..6) {
                    0..2 if there > 4 => scene.leave(rng.usize(..there)),
                    0..2 => scene.join(),
                    2..5 => scene.mute_guest(rng.usize(..there), rng.bool()),
                    _ => scene.mute("node", scene.node, rng.bool()),
                }
            }
            scene.run_ms(20);
            let now: Instant = scene.world.now();
            if scene.is_true() {
                wrong_since = None;
                continue;
            }
            times += u32::from(wrong_since.is_none());
            longest = longest.max(now.duration_since(*wrong_since.get_or_insert(now)));
        }
        println!(
            "seed {seed}: {times} times untrue, {} ms at most",
            longest.as_millis()
        );
        assert!(times > 0, "nothing was lost");
        assert!(
            longest < BY_THE_NEXT_PONG * 2,
            "untrue for {} ms",
            longest.as_millis()
        );
        assert_eq!(scene.world.client(scene.node).joins, 1);
    });
}
