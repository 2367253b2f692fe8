//! The desktop's participant on a hostile network: what it hears, whom it lists, what it tells its
//! user, and how it comes back. `RECONNECT_AFTER` replaces the back-off of the client's `net`.

use std::collections::BTreeMap;

use clap::Parser;
use talkspurt_client::audio::{Captured, Sink, Source};
use talkspurt_client::config::JoinConfig;
use talkspurt_client::config::flags::{Cli, Command};
use talkspurt_client::events::EventKind;
use talkspurt_client::participant::{self, ParticipantEvent, TRANSMIT_BYTES_MAX};
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::ParticipantId;
use talkspurt_netem::{ClientId, Participant, Person, Weather, World, hub_config};
use talkspurt_testkit::bit_exact::{covered, exact_runs, is_whole};
use talkspurt_testkit::noise::noise;
use talkspurt_testkit::seeds::for_each_seed;
use talkspurt_testkit::wav::samples;

/// How long the program waits before it connects again; the real one waits longer each time.
const RECONNECT_AFTER: Duration = Duration::from_millis(500);

/// What `talkspurt join` is, but for its socket, its clock and its sound cards.
struct Desktop {
    participant: participant::Participant,
    microphone: Samples,
    speaker: Samples,
    /// The room's list, from nothing but what the user was told.
    told: BTreeMap<u32, String>,
    joins: u32,
    next_frame_at: Instant,
    frame: FrameDuration,
    unsent: Vec<u8>,
    reconnect_at: Option<Instant>,
}

/// Said from the first joining on, or heard since the program began.
#[derive(Default)]
struct Samples(Vec<i16>);

impl Source for Samples {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        if self.0.is_empty() {
            return Captured::End;
        }
        let said = frame.len().min(self.0.len());
        frame.fill(0);
        self.0
            .drain(..said)
            .zip(frame)
            .for_each(|(said, sample)| *sample = said);
        Captured::Frame
    }
}

impl Sink for Samples {
    fn write(&mut self, frame: &[i16]) {
        self.0.extend(frame);
    }
}

impl Desktop {
    fn new(flags: &str, says: &[i16], now: Instant) -> Self {
        let line = format!("talkspurt join nowhere --room r --name desk {flags}");
        let cli = Cli::try_parse_from(line.split_whitespace()).expect("the manual's flags");
        let Command::Join(flags) = cli.command else {
            unreachable!("the line says join")
        };
        let config = JoinConfig::try_from(*flags).expect("the flags can be used");
        let mut desktop = Self {
            participant: participant::Participant::new(&config),
            microphone: Samples(says.to_vec()),
            speaker: Samples::default(),
            told: BTreeMap::new(),
            joins: 0,
            next_frame_at: now,
            frame: FrameDuration::Ms20,
            unsent: Vec::new(),
            reconnect_at: None,
        };
        desktop.join(now);
        desktop
    }

    fn names(&self, now: Instant) -> Vec<String> {
        self.assert_shows_what_it_told(now);
        self.told.values().cloned().collect()
    }

    fn assert_shows_what_it_told(&self, now: Instant) {
        let roster = self.participant.snapshot(now).roster;
        let listed: BTreeMap<u32, String> = roster.into_iter().map(|l| (l.id, l.name)).collect();
        assert_eq!(listed, self.told, "shown, and told");
    }

    fn take_events(&mut self, now: Instant) {
        while let Some(event) = self.participant.poll_event() {
            match event {
                ParticipantEvent::Welcomed(params) => self.frame = params.format.frame,
                ParticipantEvent::Told(kind) => self.follow(kind),
                ParticipantEvent::Rejected(..) | ParticipantEvent::Closed(..) => {
                    self.handle_closed(now);
                }
            }
        }
    }

    fn follow(&mut self, told: EventKind) {
        match told {
            EventKind::Joined { roster, .. } => {
                self.joins += 1;
                self.told = roster
                    .into_iter()
                    .map(|line| (line.id, line.name))
                    .collect();
            }
            EventKind::ParticipantJoined(line) => {
                let known = self.told.insert(line.id, line.name);
                assert_eq!(known, None, "told twice");
            }
            EventKind::ParticipantLeft { id, name } => {
                assert_eq!(self.told.remove(&id), Some(name), "never told of");
            }
            _ => {}
        }
    }
}

impl Participant for Desktop {
    fn handle_bytes(&mut self, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.participant.handle_stream(now, bytes);
            self.take_events(now);
        }
    }

    fn handle_closed(&mut self, now: Instant) {
        self.participant.disconnected();
        self.told.clear();
        self.reconnect_at.get_or_insert(now + RECONNECT_AFTER);
    }

    fn handle_time(&mut self, now: Instant) {
        if self
            .participant
            .poll_timeout()
            .is_some_and(|due| due <= now)
        {
            self.participant.handle_timeout(now);
            self.take_events(now);
        }
        while self.next_frame_at <= now {
            self.next_frame_at += self.frame.duration();
            if self.joins > 0 {
                self.participant.capture(now, &mut self.microphone);
            }
            self.participant.play(now, &mut self.speaker);
            self.take_events(now);
        }
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let session = self.participant.poll_timeout();
        let due = [Some(self.next_frame_at), session, self.reconnect_at];
        due.into_iter().flatten().min()
    }

    fn transmit(&mut self, now: Instant, write: &mut dyn FnMut(&[u8]) -> usize) {
        let mut packet = [0; TRANSMIT_BYTES_MAX];
        loop {
            let taken = write(&self.unsent);
            self.unsent.drain(..taken);
            if !self.unsent.is_empty() {
                return;
            }
            let Some(len) = self.participant.poll_transmit(now, &mut packet) else {
                break;
            };
            self.unsent.extend(&packet[..len]);
        }
        self.take_events(now);
    }

    fn wants_session(&self, now: Instant) -> bool {
        self.reconnect_at.is_some_and(|at| at <= now)
    }

    fn keeps_stream(&self) -> bool {
        false
    }

    fn join(&mut self, now: Instant) {
        self.reconnect_at = None;
        self.unsent.clear();
        let nonce = (now.as_micros() + 1).to_le_bytes();
        self.participant.join(now, nonce);
    }

    fn handle_reconnect(&mut self, now: Instant) {
        self.join(now);
    }

    fn excuse(&mut self, _lost: &[ParticipantId]) {}
}

/// A desktop beside someone on the core alone, once both know each other.
fn two(seed: u64, flags: &str, says: &[i16], weather: Weather) -> (World, ClientId, ClientId) {
    let mut world = World::new(hub_config(FrameDuration::Ms20), seed);
    let ben = Person::new("r", "ben").saying(noise(!seed, samples(4_000)));
    let ben = Person {
        gate: false,
        persistent: true,
        ..ben
    };
    let ben = world.join(ben, weather);
    world.run_for(Duration::from_millis(300));
    let desktop = Desktop::new(flags, says, world.now());
    let desktop = world.invite(desktop, weather);
    run_until_both_are_in(&mut world, desktop, ben);
    (world, desktop, ben)
}

fn run_until_both_are_in(world: &mut World, desktop: ClientId, ben: ClientId) {
    // A server that has not noticed a lost participant yet keeps the name for 15 s.
    world.run_until("both are in", Duration::from_secs(40), |world| {
        let mut listed = world.guest::<Desktop>(desktop).names(world.now());
        listed.sort();
        let mut names = world.client(ben).names();
        names.sort_unstable();
        listed == ["ben", "desk"] && names == ["ben", "desk"]
    });
}

#[test]
fn it_is_heard_whole_and_hears_whole() {
    for_each_seed(4, |seed| {
        let says = noise(seed, samples(3_000));
        let (mut world, desktop, ben) = two(seed, "--no-gate", &says, Weather::CALM);
        world.run_for(Duration::from_secs(6));
        let runs = exact_runs(&says, &world.client(ben).heard);
        assert!(is_whole(&runs, &says), "the desktop at ben's: {runs:?}");
        let said = &world.client(ben).person.says;
        let runs = exact_runs(said, &world.guest::<Desktop>(desktop).speaker.0);
        let to_the_end = matches!(runs[..], [run] if run.spoken + run.len == said.len());
        assert!(to_the_end, "ben at the desktop's: {runs:?}");
    });
}

#[test]
fn in_a_storm_most_is_heard_and_the_list_stays_right() {
    for_each_seed(4, |seed| {
        let says = noise(seed, samples(10_000));
        let (mut world, desktop, ben) = two(seed, "--no-gate", &says, Weather::STORMY);
        for number in 0..20 {
            let guest = world.join(
                Person::new("r", &format!("guest {number}")),
                Weather::STORMY,
            );
            world.run_for(Duration::from_millis(600));
            world
                .guest::<Desktop>(desktop)
                .assert_shows_what_it_told(world.now());
            world.act(guest, |guest, now| guest.leave(now));
        }
        run_until_both_are_in(&mut world, desktop, ben);
        let runs = exact_runs(&says, &world.client(ben).heard);
        let heard = covered(&runs, &says);
        assert!(
            heard > says.len() / 2,
            "{heard} of {}: {runs:?}",
            says.len()
        );
        assert_eq!(world.guest::<Desktop>(desktop).joins, 1);
    });
}

#[test]
fn a_stream_that_breaks_is_replaced() {
    for_each_seed(8, |seed| {
        let (mut world, desktop, ben) = two(seed, "--no-gate", &[], Weather::STORMY);
        for joins in 2..5 {
            world.cut(world.stream(desktop));
            run_until_both_are_in(&mut world, desktop, ben);
            assert_eq!(world.guest::<Desktop>(desktop).joins, joins);
        }
    });
}

#[test]
fn whoever_talks_into_a_pulled_cable_notices_within_seconds_and_comes_back() {
    for_each_seed(4, |seed| {
        let says = noise(seed, samples(60_000));
        let (mut world, desktop, ben) = two(seed, "--no-gate", &says, Weather::CALM);
        world.vanish(world.stream(desktop));
        // Asked after a second, and given up three seconds later.
        let noticed = |world: &World| world.guest::<Desktop>(desktop).told.is_empty();
        world.run_until("it notices", Duration::from_millis(4_100), noticed);
        run_until_both_are_in(&mut world, desktop, ben);
        let heard_before = world.client(ben).heard.len();
        world.run_for(Duration::from_secs(3));
        let heard = &world.client(ben).heard[heard_before..];
        let runs = exact_runs(&says, heard);
        assert!(covered(&runs, &says) > samples(2_500), "{runs:?}");
    });
}

/// The server still believes in the old session, which the new one resumes.
#[test]
fn whoever_comes_back_in_time_was_never_gone_for_the_others() {
    for_each_seed(4, |seed| {
        let says = noise(seed, samples(60_000));
        let (mut world, desktop, ben) = two(seed, "--no-gate", &says, Weather::CALM);
        let listed = |world: &World| {
            let mut roster = world.client(ben).roster.iter();
            roster.find_map(|(id, (name, _))| (name == "desk").then_some(*id))
        };
        let id = listed(&world);
        world.vanish(world.stream(desktop));
        for ms in 0..10_000 {
            world.run_for(Duration::from_millis(1));
            assert_eq!(listed(&world), id, "{ms} ms after the cable was pulled");
        }
        assert_eq!(world.guest::<Desktop>(desktop).joins, 2);
    });
}

#[test]
fn damage_on_the_line_costs_voice_but_never_the_room() {
    for_each_seed(4, |seed| {
        let weather = Weather {
            damage_per_million: 200,
            ..Weather::CALM
        };
        let says = noise(seed, samples(10_000));
        let (mut world, desktop, ben) = two(seed, "--no-gate", &says, weather);
        world.run_for(Duration::from_secs(12));
        let runs = exact_runs(&says, &world.client(ben).heard);
        let heard = covered(&runs, &says);
        assert!(heard > says.len() / 2 && heard < says.len(), "{heard}");
        assert_eq!(world.guest::<Desktop>(desktop).joins, 1);
    });
}
