//! Talkers shift their frames to the room's tick: after their first pause nobody's voice waits long
//! in the server, and nobody shifts again and again.

use std::collections::VecDeque;

use fastrand::Rng;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_netem::{ClientId, Person, Weather, World, hub_config};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

/// How closely the world is watched.
const STEP: Duration = Duration::from_micros(100);
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Arrivals are spread over this much.
const CALM_JITTER: Duration = Duration::from_micros(500);

/// A frame waits in the server for so long at most, once its talker has followed a hint; on top of
/// that comes how much earlier it came than the latest.
const WAIT_MAX: Duration = Duration::from_millis(5);

fn calm() -> Weather {
    Weather {
        jitter: CALM_JITTER,
        ..Weather::CALM
    }
}

/// A room whose talkers begin their frames at any time.
struct Talk {
    world: World,
    rng: Rng,
    frame: Duration,
    talkers: Vec<Talker>,
    ticks: u64,
    /// When the room ticked, and whether somebody talked before and talks on.
    ticked_at: Vec<(Instant, bool)>,
}

struct Talker {
    id: ClientId,
    frames_sent: u32,
    /// When the frames left that were not mixed yet.
    waiting: VecDeque<Instant>,
    /// When each frame was mixed, and how long it had waited at most.
    waits: Vec<(Instant, Duration)>,
    quiet_until: Instant,
    is_talking: bool,
}

impl Talk {
    fn new(frame: FrameDuration, talkers: usize, seed: u64) -> Self {
        let mut world = World::new(hub_config(frame), seed);
        let mut rng = Rng::with_seed(seed);
        let talkers = (0..talkers).map(|number| {
            let phase = Duration::from_micros(rng.u64(0..frame.duration().as_micros()));
            let person = Person::new("r", &format!("talker {number}"));
            let id = world.join(
                Person {
                    gate: false,
                    phase,
                    ..person
                },
                calm(),
            );
            Talker {
                id,
                frames_sent: 0,
                waiting: VecDeque::new(),
                waits: Vec::new(),
                quiet_until: Instant::ZERO,
                is_talking: false,
            }
        });
        let talkers = talkers.collect();
        let frame = frame.duration();
        // All are in by then.
        world.run_for(Duration::from_secs(1));
        Self {
            world,
            rng,
            frame,
            talkers,
            ticks: 0,
            ticked_at: Vec::new(),
        }
    }

    /// Has a talker say a word of so many milliseconds.
    fn say(&mut self, talker: usize, ms: u64) {
        let says = noise(self.rng.u64(..), samples(ms));
        let id = self.talkers[talker].id;
        self.world.act(id, |client, _| client.say(says));
    }

    fn run_for(&mut self, span: Duration) {
        let end = self.world.now() + span;
        while self.world.now() < end {
            self.world.run_for(STEP);
            self.watch();
        }
    }

    fn watch(&mut self) {
        let (now, ticks) = (self.world.now(), self.world.hub.counters().ticks);
        for talker in &mut self.talkers {
            let sent = self.world.client(talker.id).stats().frames_sent;
            let new = sent.wrapping_sub(talker.frames_sent);
            talker.waiting.extend((0..new).map(|_| now));
            talker.frames_sent = sent;
        }
        let in_the_room = |id: ClientId| {
            let name = &self.world.client(id).person.name;
            let mut all = self.world.hub.rooms().flat_map(|room| room.participants());
            all.find(|it| *it.name == **name).expect("nobody leaves")
        };
        let mut goes_on = false;
        for talker in &mut self.talkers {
            let is_talking = in_the_room(talker.id).is_talking();
            goes_on |= std::mem::replace(&mut talker.is_talking, is_talking) && is_talking;
        }
        if ticks == std::mem::replace(&mut self.ticks, ticks) {
            return;
        }
        self.ticked_at.push((now, goes_on));
        for talker in &mut self.talkers {
            let mut on_the_way = talker.waiting.iter().rev();
            let arrived_by = |sent: &&Instant| now.duration_since(**sent) < Weather::CALM.delay;
            let on_the_way = on_the_way.by_ref().take_while(arrived_by).count();
            let depth = usize::from(in_the_room(talker.id).depth_frames());
            while talker.waiting.len() > depth + on_the_way {
                let Some(sent) = talker.waiting.pop_front() else {
                    break;
                };
                let waited = (now.duration_since(sent).as_micros())
                    .saturating_sub(Weather::CALM.delay.as_micros());
                talker.waits.push((now, Duration::from_micros(waited)));
            }
        }
    }

    /// The longest wait of a talker's frames since then.
    fn longest_wait(&self, talker: usize, since: Instant) -> Duration {
        let waits = self.talkers[talker].waits.iter();
        let waits = waits.filter(|(at, _)| *at >= since).map(|(_, wait)| *wait);
        waits.max().expect("something was said")
    }

    fn shifts(&self, talker: usize) -> &[(Instant, Duration)] {
        &self.world.client(self.talkers[talker].id).shifts
    }

    /// As long as somebody talks, the room ticks each frame.
    fn assert_ticks_stand_still(&self) {
        for pair in self.ticked_at.windows(2) {
            let [(before, goes_on), (after, _)] = pair else {
                unreachable!()
            };
            let apart = after.duration_since(*before);
            let is_frame = apart < self.frame + STEP + STEP && apart + STEP + STEP > self.frame;
            assert!(is_frame || !goes_on, "{apart:?} after {before:?}");
        }
    }
}

#[test]
fn after_its_first_pause_a_second_talker_hardly_waits() {
    for frame in [FrameDuration::Ms20, FrameDuration::Ms10, FrameDuration::Ms5] {
        for_each_seed(4, |seed| {
            let mut talk = Talk::new(frame, 2, seed);
            talk.say(0, 10_000);
            talk.run_for(MS(200));
            talk.say(1, 600);
            talk.run_for(MS(900));
            let since = talk.world.now();
            for _ in 0..8 {
                talk.say(1, 600);
                talk.run_for(MS(900));
            }
            for talker in 0..2 {
                let wait = talk.longest_wait(talker, since);
                let most = WAIT_MAX + CALM_JITTER + STEP;
                assert!(wait <= most, "{talker} of {frame:?}: {wait:?}");
            }
            assert!(talk.shifts(1).len() <= 1, "{:?}", talk.shifts(1));
            assert_eq!(talk.shifts(0), [], "the tick is its own");
            assert_eq!(talk.world.hub.frame_counters().concealed, 0);
            talk.assert_ticks_stand_still();
        });
    }
}

#[test]
fn talkers_who_take_turns_and_interrupt_each_other_agree_and_stay_so() {
    for (frame, talkers) in [
        (FrameDuration::Ms20, 2),
        (FrameDuration::Ms20, 3),
        (FrameDuration::Ms5, 3),
    ] {
        for_each_seed(4, |seed| {
            let mut talk = Talk::new(frame, talkers, seed);
            let end = talk.world.now() + Duration::from_secs(40);
            let settled = talk.world.now() + Duration::from_secs(20);
            while talk.world.now() < end {
                for talker in 0..talkers {
                    if talk.talkers[talker].quiet_until <= talk.world.now() {
                        let word_ms = talk.rng.u64(100..1_500);
                        let pause_ms = talk.rng.u64(150..2_000);
                        talk.say(talker, word_ms);
                        talk.talkers[talker].quiet_until =
                            talk.world.now() + MS(word_ms + pause_ms);
                    }
                }
                talk.run_for(MS(10));
            }
            for talker in 0..talkers {
                let wait = talk.longest_wait(talker, settled);
                let most = WAIT_MAX + CALM_JITTER + STEP;
                assert!(wait <= most, "{talker} of {talkers}: {wait:?}");
                let shifts = talk.shifts(talker);
                assert!(shifts.len() <= 3, "{talker} of {talkers}: {shifts:?}");
                assert!(
                    shifts.iter().all(|(at, _)| *at < settled),
                    "{talker} of {talkers} shifts on and on: {shifts:?}"
                );
            }
            assert_eq!(talk.world.hub.frame_counters().concealed, 0);
            talk.assert_ticks_stand_still();
        });
    }
}

#[test]
fn whoever_does_not_shift_is_heard_as_before() {
    for_each_seed(4, |seed| {
        let mut talk = Talk::new(FrameDuration::Ms20, 1, seed);
        let person = Person {
            gate: false,
            shifts_frames: false,
            phase: MS(9),
            ..Person::new("r", "steady")
        };
        let steady = talk.world.join(person, calm());
        talk.run_for(MS(500));
        talk.say(0, 8_000);
        for _ in 0..6 {
            let says = noise(talk.rng.u64(..), samples(600));
            talk.world.act(steady, |client, _| client.say(says));
            talk.run_for(MS(900));
        }
        assert_eq!(talk.world.client(steady).shifts, []);
        assert_eq!(talk.world.client(steady).joins, 1);
        assert_eq!(talk.world.hub.frame_counters().concealed, 0);
    });
}
