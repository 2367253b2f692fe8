//! How long voice takes: what a client tells its server, and what it believes.

use proptest::prelude::*;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::delay::{DELAY_MAX, DELAY_MS_MAX, REPORT_EVERY};
use talkspurt_core::endpoint::DelayMeter;
use talkspurt_core::wire::{DelayReport, FEATURE_DELAY_REPORT, Welcome};

use super::*;
use crate::common::cases::cases;

/// A client whose microphone is always heard, in a room, and its meter.
struct Talk {
    end: End,
    meter: DelayMeter,
    /// The number of the Ping that is answered next.
    pings: u32,
}

impl Talk {
    fn new(reports_delay: bool, features: u32) -> Self {
        let mut end = End::new();
        let mut request = request();
        request.reports_delay = reports_delay;
        let mut config = ClientConfig::new(request);
        config.gate.mode = GateMode::Off;
        end.client = Whole::new(config).unwrap();
        end.client.join(end.now, PATIENCE, NONCE);
        end.sent();
        let welcome = Pair::welcome_packet(&["ada"]);
        end.receive(&ServerPacket::Welcome(Welcome {
            features,
            ..welcome
        }));
        end.client.handle_timeout(end.now);
        end.sent();
        let mut talk = Self {
            end,
            meter: DelayMeter::new(FrameDuration::Ms20),
            pings: 0,
        };
        talk.answer(MS(30));
        talk
    }

    /// Answers the Ping that went out, after so long.
    fn answer(&mut self, round_trip: Duration) {
        self.pings += 1;
        let number = self.pings;
        let (revision, flags) = (1, ParticipantFlags::default());
        let now = self.end.now;
        self.end.now = now + round_trip;
        self.end.receive(&ServerPacket::Pong(ServerPong {
            number,
            revision,
            flags,
        }));
        self.end.now = now;
    }

    /// Says a frame behind which so much sound waits. Returns the report that follows, if one does,
    /// and whether a Ping went out, which is answered after `round_trip`.
    fn say(&mut self, waiting: Duration, round_trip: Duration) -> (Option<u16>, bool) {
        let now = self.end.now;
        self.end.say(0..1);
        self.end.now = now;
        self.end
            .client
            .measure_captured(now, waiting, &mut self.meter);
        let sent = self.end.sent();
        let has_pinged = sent.contains(&Sent::Ping);
        if has_pinged {
            self.answer(round_trip);
        }
        self.end.now = now + FRAME;
        let report = sent.iter().find_map(|it| match it {
            Sent::DelayReport(delay_ms) => Some(*delay_ms),
            _ => None,
        });
        (report, has_pinged)
    }

    /// Plays a frame that comes now, and is heard `more` later.
    fn hear(&mut self, frame: u16, more: Duration) {
        let (now, payload) = (self.end.now, [1; 640]);
        self.end.receive(&ServerPacket::Voice(say(frame, &payload)));
        self.end.client.measure_received(now, &mut self.meter);
        self.end.client.pop_frame(&mut Frame::silence(320));
        self.end.client.measure_played(now, more, &mut self.meter);
        if self.end.sent().contains(&Sent::Ping) {
            self.answer(MS(30));
        }
        self.end.now = now + FRAME;
    }

    fn report(&mut self, delay_ms: u16) {
        self.end
            .receive(&ServerPacket::DelayReport(DelayReport { delay_ms }));
    }
}

const FRAME: Duration = Duration::from_millis(20);

/// The margin of a new client: two frames.
const MARGIN_MICROS: u64 = 40_000;

#[test]
fn a_talker_tells_how_long_its_voice_takes_and_again_when_that_changes() {
    let mut talk = Talk::new(true, FEATURE_DELAY_REPORT);
    let first: Vec<u16> = (0..100)
        .filter_map(|_| talk.say(MS(12), MS(30)).0)
        .collect();
    // A frame, what waits, and half the round trip.
    assert_eq!(first, [20 + 12 + 15]);
    let changed: Vec<u16> = (0..200)
        .filter_map(|_| talk.say(MS(40), MS(30)).0)
        .collect();
    assert!((2..=4).contains(&changed.len()), "{changed:?}");
    assert!(
        changed.last().unwrap().abs_diff(20 + 40 + 15) <= 2,
        "{changed:?}"
    );
}

#[test]
fn whatever_changes_reports_and_pings_are_rare() {
    let mut talk = Talk::new(true, FEATURE_DELAY_REPORT);
    let (mut reports, mut pings) = (0, 0);
    for n in 0..500u64 {
        let (report, has_pinged) = talk.say(MS(n * 7_919 % 900), MS(n * 31 % 300));
        reports += u64::from(report.is_some());
        pings += u64::from(has_pinged);
    }
    let most = 500 * FRAME.as_millis() / REPORT_EVERY.as_millis() + 1;
    assert!((5..=most).contains(&reports), "{reports}");
    assert!((5..=most + 1).contains(&pings), "{pings}");
}

#[test]
fn in_a_calm_network_the_round_trip_is_measured_every_two_seconds() {
    let mut talk = Talk::new(true, FEATURE_DELAY_REPORT);
    for _ in 0..300 {
        talk.say(MS(5), MS(20));
    }
    let pings = (0..500).filter(|_| talk.say(MS(5), MS(20)).1).count();
    assert!((4..=6).contains(&pings), "{pings} in 10 s");
}

#[test]
fn without_the_feature_nothing_is_told_asked_or_believed() {
    for (asks, features) in [(false, u32::MAX), (true, !FEATURE_DELAY_REPORT)] {
        let mut talk = Talk::new(asks, features);
        for _ in 0..150 {
            let (report, has_pinged) = talk.say(MS(12), MS(30));
            assert_eq!(report, None);
            assert!(!has_pinged);
        }
        talk.report(40);
        (0..50).for_each(|n| talk.hear(n, MS(10)));
        assert_eq!(talk.end.client.mouth_to_ear(&talk.meter), None);
    }
}

#[test]
fn a_listener_adds_its_own_part_and_knows_nothing_when_the_server_says_so() {
    let mut talk = Talk::new(true, FEATURE_DELAY_REPORT);
    for _ in 0..5 {
        talk.say(MS(0), MS(30));
    }
    assert_eq!(talk.end.client.mouth_to_ear(&talk.meter), None);
    talk.report(40);
    assert_eq!(
        talk.end.client.mouth_to_ear(&talk.meter),
        None,
        "nothing was heard yet"
    );
    (0..50).for_each(|n| talk.hear(n, MS(10)));
    let delay = talk.end.client.mouth_to_ear(&talk.meter);
    let micros = delay.unwrap().as_micros();
    assert!(
        micros.abs_diff(40_000 + 15_000 + MARGIN_MICROS + 10_000) <= 1_000,
        "{micros}"
    );
    talk.report(0);
    assert_eq!(talk.end.client.mouth_to_ear(&talk.meter), None);
}

proptest! {
    #![proptest_config(cases(64))]

    #[test]
    fn no_value_of_a_server_or_a_device_makes_a_delay_that_is_not_bounded(
        reports in proptest::collection::vec((any::<u16>(), any::<u64>(), 0u64..100_000), 1..40),
    ) {
        let mut talk = Talk::new(true, FEATURE_DELAY_REPORT);
        for (n, (delay_ms, micros, round_trip_ms)) in reports.into_iter().enumerate() {
            let more = Duration::from_micros(micros);
            let (report, _) = talk.say(more, MS(round_trip_ms));
            prop_assert!(report.is_none_or(|ms| ms > 0 && ms <= DELAY_MS_MAX));
            talk.report(delay_ms);
            talk.hear(n as u16, more);
            let delay = talk.end.client.mouth_to_ear(&talk.meter).unwrap_or_default();
            prop_assert!(delay <= DELAY_MAX * 3, "{delay:?}");
        }
    }
}
