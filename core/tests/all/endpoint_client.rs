//! A client's endpoint: what goes to the carrier, when, and what comes of what the carrier brings. On
//! virtual time.

use std::ops::Range;

use crate::common::mic::{quiet, word};
use crate::common::session_pair::{Pair, say};
use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, Codec, PAYLOAD_MAX};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{GateConfigError, GateDecision, GateSettings};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, encoded_len_max};
use talkspurt_core::endpoint::{
    self, ClientConfig, ClientConfigError, ClientStats, write_to_stream,
};
use talkspurt_core::session::{ClientEvent, JoinRequest};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::Playout;
use talkspurt_core::voice::uplink::HISTORY_SAMPLES_DEFAULT;
use talkspurt_core::wire::{
    ByeReason, CREDENTIALS_BYTES_MAX, ClientPacket, RejectReason, ServerPacket, Voice, parse,
};

const MS: fn(u64) -> Duration = Duration::from_millis;
const PATIENCE: Duration = Duration::from_secs(5);

type Client<const PAYLOAD: usize, const ENCODED: usize> =
    endpoint::Client<PAYLOAD, ENCODED, 64, 32_768, HISTORY_SAMPLES_DEFAULT>;

/// A client of any codec.
type Whole = Client<PAYLOAD_MAX, ENCODED_MAX>;

/// The longest packets of a client that has memory for ADPCM only.
const SMALL_ENCODED: usize = encoded_len_max(256);
type Small = Client<ADPCM_PAYLOAD_MAX, SMALL_ENCODED>;

fn request() -> JoinRequest {
    let codecs = [Codec::Pcm16, Codec::ImaAdpcm];
    JoinRequest::new("kitchen".parse().unwrap(), "ada".parse().unwrap(), &codecs)
}

/// A client, the time, and what it has told.
struct End {
    client: Whole,
    now: Instant,
    events: Vec<ClientEvent>,
}

impl End {
    fn new() -> Self {
        Self {
            client: Whole::new(ClientConfig::new(request())).unwrap(),
            now: Instant::from_micros(1_000_000),
            events: Vec::new(),
        }
    }

    /// In a room of PCM16, alone, with nothing to transmit.
    fn joined(frame_ms: u8) -> Self {
        let mut end = Self::new();
        end.join(frame_ms);
        end
    }

    fn join(&mut self, frame_ms: u8) {
        self.client.join(self.now, PATIENCE);
        self.sent();
        let mut welcome = Pair::welcome_packet(&["ada"]);
        welcome.frame_ms = frame_ms;
        self.receive(&ServerPacket::Welcome(welcome));
        // A Ping is due at once.
        self.client.handle_timeout(self.now);
        self.sent();
        self.events.clear();
    }

    fn receive(&mut self, packet: &ServerPacket<'_>) {
        let mut bytes = [0; ENCODED_MAX];
        let len = write_to_stream(packet, &mut bytes).unwrap();
        self.receive_bytes(&bytes[..len]);
    }

    fn receive_bytes(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = self.client.handle_stream(self.now, bytes);
            self.take_events();
        }
    }

    fn handle_timeout(&mut self) {
        self.client.handle_timeout(self.now);
        self.take_events();
    }

    fn take_events(&mut self) {
        let client = &mut self.client;
        self.events
            .extend(std::iter::from_fn(|| client.poll_event()));
    }

    /// Takes one packet: as it stands in the stream, and whether it may be dropped.
    fn transmit(&mut self) -> Option<(Vec<u8>, bool)> {
        let mut out = [0xaa; ENCODED_MAX + 1];
        let transmit = self.client.poll_transmit(self.now, &mut out)?;
        self.take_events();
        assert!(out[transmit.len..].iter().all(|&byte| byte == 0xaa));
        Some((out[..transmit.len].to_vec(), transmit.droppable))
    }

    /// Takes all there is to transmit, each packet in a word.
    fn sent(&mut self) -> Vec<Sent> {
        let transmitted = std::iter::from_fn(|| self.transmit());
        let sent = transmitted.map(|(bytes, droppable)| {
            let sent = Sent::of(&bytes);
            assert_eq!(droppable, matches!(sent, Sent::Frame(_) | Sent::EndOfTalk));
            sent
        });
        sent.collect()
    }

    /// Says words of 20 ms, one at a time, that nobody takes; each is marked with its number.
    fn say(&mut self, numbers: Range<i16>) {
        for number in numbers {
            self.client.push_frame(self.now, &word(number));
            self.now += MS(20);
        }
    }

    fn play(&mut self) -> (Playout, i16) {
        let mut out = Frame::silence(0);
        let playout = self.client.pop_frame(&mut out);
        (playout, out[100])
    }
}

/// A packet that was transmitted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Sent {
    Hello {
        muted: bool,
    },
    /// By the mark of the frame, or the sequence number if its codec has none.
    Frame(i16),
    EndOfTalk,
    Muted(bool),
    Ping,
    Pong(u32),
    Bye(ByeReason),
}

impl Sent {
    fn of(bytes: &[u8]) -> Self {
        let mut deframer: Deframer = Deframer::new();
        let (Feed::Packet(packet), []) = deframer.feed(bytes) else {
            panic!("not one packet: {bytes:?}")
        };
        match parse(packet).unwrap() {
            ClientPacket::Hello(hello) => Self::Hello { muted: hello.muted },
            ClientPacket::Voice(Voice {
                payload: [],
                terminator: true,
                ..
            }) => Self::EndOfTalk,
            ClientPacket::Voice(voice) => match voice.payload {
                [low, high, ..] if voice.payload.len() >= 160 => {
                    Self::Frame(i16::from_le_bytes([*low, *high]))
                }
                _ => Self::Frame(voice.seq.0 as i16),
            },
            ClientPacket::SetMuted(muted) => Self::Muted(muted),
            ClientPacket::Ping(_) => Self::Ping,
            ClientPacket::Pong(number) => Self::Pong(number),
            ClientPacket::Bye(reason) => Self::Bye(reason),
        }
    }
}

fn frames(numbers: Range<i16>) -> Vec<Sent> {
    numbers.map(Sent::Frame).collect()
}

#[test]
fn joining_talking_listening_and_leaving() {
    let mut end = End::new();
    assert!(end.client.is_closed());
    assert_eq!((end.sent(), end.client.poll_timeout()), (vec![], None));
    end.client.join(end.now, PATIENCE);
    assert_eq!(end.sent(), [Sent::Hello { muted: false }]);
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    let [
        ClientEvent::Joined(params, 1),
        ClientEvent::Listed(_),
        ClientEvent::RosterComplete,
    ] = end.events[..]
    else {
        panic!("{:?}", end.events)
    };
    assert_eq!(end.client.params(), Some(params));
    assert_eq!(
        end.client.push_frame(end.now, &quiet(1)),
        GateDecision::Closed
    );
    end.say(2..4);
    assert!(end.client.is_talking());
    assert_eq!(end.sent(), frames(1..4), "the frame before comes along");
    end.receive(&ServerPacket::Voice(say(1, &[1; 640])));
    end.receive(&ServerPacket::Voice(say(2, &[1; 640])));
    (0..2).for_each(|_| _ = end.play());
    assert_eq!(end.play(), (Playout::Frame { terminator: false }, 0x0101));
    // The last words go before the Bye.
    end.say(4..6);
    end.client.leave(end.now);
    assert!(end.client.is_leaving());
    assert_eq!(
        end.client.push_frame(end.now, &word(6)),
        GateDecision::Closed
    );
    end.events.clear();
    let last = [Sent::Frame(4), Sent::Frame(5), Sent::EndOfTalk];
    let bye = Sent::Bye(ByeReason::Leaving);
    assert_eq!(end.sent(), [&last[..], &[bye]].concat());
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::Leaving)]);
    assert!(end.client.is_closed() && !end.client.is_leaving());
    assert_eq!(end.client.poll_timeout(), None);
}

#[test]
fn whoever_leaves_a_carrier_that_takes_nothing_says_bye_after_500_ms() {
    let mut end = End::joined(20);
    end.say(0..3);
    let since = end.now;
    end.client.leave(since);
    assert_eq!(end.client.poll_timeout(), Some(since + MS(500)));
    end.now = since + MS(499);
    end.handle_timeout();
    assert_eq!(end.events, []);
    end.now = since + MS(500);
    end.handle_timeout();
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::Leaving)]);
    assert_eq!(end.sent(), [Sent::Bye(ByeReason::Leaving)]);
}

#[test]
fn who_has_nothing_to_say_leaves_at_once() {
    let mut end = End::joined(20);
    end.client.leave(end.now);
    end.handle_timeout();
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::Leaving)]);
    assert_eq!(end.sent(), [Sent::Bye(ByeReason::Leaving)]);
    // Before the Welcome, too; and before the Hello there is nothing to take back.
    end.client.join(end.now, PATIENCE);
    end.sent();
    end.client.leave(end.now);
    assert_eq!(end.sent(), [Sent::Bye(ByeReason::Leaving)]);
    end.client.join(end.now, PATIENCE);
    end.client.leave(end.now);
    assert_eq!(end.sent(), []);
}

#[test]
fn a_stalled_carrier_costs_voice_of_300_ms_and_nothing_else() {
    let mut end = End::joined(20);
    end.say(0..50);
    end.receive(&ServerPacket::Ping(7));
    // Frame 35 is said at 700 ms, and it is 1,000 ms now.
    let newest = frames(36..50);
    assert_eq!(end.sent(), [&[Sent::Pong(7)], &newest[..]].concat());
    let stats = end.client.stats();
    assert_eq!((stats.voice_dropped, stats.frames_sent), (36, 50));
    // Just before that it is still worth hearing.
    end.say(50..51);
    end.now += MS(279);
    assert_eq!(end.sent(), frames(50..51));
}

#[test]
fn a_burst_is_bounded_by_the_pre_roll_and_300_ms() {
    for (frame_ms, most) in [(20, 18), (10, 36), (5, 72)] {
        let mut end = End::joined(frame_ms);
        let samples = 16 * usize::from(frame_ms);
        for number in 0..200 {
            end.client.push_frame(end.now, &word(number)[..samples]);
        }
        assert_eq!(end.sent(), frames(200 - most..200), "{frame_ms} ms");
        assert_eq!(end.client.stats().voice_dropped, 200 - most as u32);
        // There is room again.
        end.client.push_frame(end.now, &word(200)[..samples]);
        assert_eq!(end.sent(), frames(200..201));
    }
}

/// Packets of PCM16 voice at 20 ms take 650 bytes and more: 260 kbit/s.
#[test]
fn on_a_slow_uplink_voice_is_never_late_by_more_than_it_may_wait() {
    let mut end = End::joined(20);
    let start = end.now;
    let mut half_sent = std::collections::VecDeque::new();
    // Gives how late the frames arrived that did, by when they were said.
    let mut run = |end: &mut End, ms: Range<u64>, bytes_per_ms: usize| {
        let mut arrived = Vec::new();
        for at in ms {
            end.now = start + MS(at);
            // An answer each second, or the server counts as lost.
            if at % 1_000 == 0 {
                end.receive(&ServerPacket::Ping(1));
            }
            if at % 20 == 0 {
                end.client.push_frame(end.now, &word((at / 20) as i16));
            }
            let mut room = bytes_per_ms;
            while room > 0 {
                if half_sent.is_empty() {
                    let Some((bytes, _)) = end.transmit() else {
                        break;
                    };
                    let name = Sent::of(&bytes);
                    half_sent.push_back((name, bytes.len()));
                }
                let (_, left) = half_sent.front_mut().unwrap();
                let taken = room.min(*left);
                (room, *left) = (room - taken, *left - taken);
                if *left == 0
                    && let Some((Sent::Frame(number), _)) = half_sent.pop_front()
                {
                    let said_at = number as u64 * 20;
                    arrived.push((said_at, at - said_at));
                }
            }
        }
        arrived
    };
    // 200 kbit/s for a quarter of a minute.
    let slow = run(&mut end, 20..15_000, 25);
    let latest = slow.iter().map(|(_, late)| late).max();
    assert!(latest.is_some_and(|late| *late < 340), "{latest:?}");
    let carried = 15_000 * 25 / 660;
    assert!(slow.len().abs_diff(carried) < 8, "the line was never idle");
    let lost = 749 - slow.len() as u32;
    assert!(end.client.stats().voice_dropped.abs_diff(lost) <= 16);
    // The line recovers: what waits goes at once, and nothing after it is late.
    let fast = run(&mut end, 15_000..17_000, 1_000);
    let late = fast.iter().rfind(|(_, late)| *late > 1);
    assert!(
        late.is_some_and(|(said_at, _)| *said_at < 15_040),
        "{late:?}"
    );
    assert!(fast.len() <= 100 + 16, "{}", fast.len());
    assert_eq!(end.events, []);
}

#[test]
fn control_packets_overtake_voice_that_waits() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.client.set_muted(true);
    end.receive(&ServerPacket::Ping(4_711));
    let control = [Sent::Muted(true), Sent::Pong(4_711)];
    assert_eq!(end.sent(), [&control[..], &frames(0..2)].concat());
}

#[test]
fn the_muted_send_no_voice_and_the_others_are_told() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.sent();
    end.client.set_muted(true);
    assert!(!end.client.is_talking());
    end.say(2..4);
    assert_eq!(end.sent(), [Sent::Muted(true), Sent::EndOfTalk]);
    end.client.set_muted(false);
    end.say(4..5);
    let nothing_from_before = [Sent::Muted(false), Sent::Frame(4)];
    assert_eq!(end.sent(), nothing_from_before);
    // It holds for the next session, whose Hello says so.
    end.client.set_muted(true);
    end.client.end(ByeReason::Leaving);
    end.client.join(end.now, PATIENCE);
    assert_eq!(end.sent(), [Sent::Hello { muted: true }]);
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    end.say(5..7);
    assert_eq!(end.sent(), []);
}

#[test]
fn voice_is_kept_back_and_nobody_is_told() {
    let mut end = End::joined(20);
    end.say(0..2);
    end.sent();
    end.client.keep_back(true);
    end.say(2..4);
    assert_eq!(end.sent(), [Sent::EndOfTalk]);
    // Both at a time: whatever ends first, the other holds.
    end.client.set_muted(true);
    end.client.set_muted(false);
    end.say(4..5);
    assert_eq!(end.sent(), [Sent::Muted(false)], "still kept back");
    end.client.set_muted(true);
    end.client.keep_back(false);
    end.say(5..6);
    assert_eq!(end.sent(), [Sent::Muted(true)]);
    end.client.set_muted(false);
    end.client.keep_back(true);
    // It holds for the next session.
    end.client.end(ByeReason::Leaving);
    end.join(20);
    end.say(6..7);
    assert_eq!(end.sent(), []);
    end.client.keep_back(false);
    end.say(7..8);
    assert_eq!(end.sent(), frames(7..8));
}

#[test]
fn a_microphone_that_is_gone_ends_the_talkspurt() {
    let mut end = End::joined(20);
    end.client.end_talkspurt(end.now);
    assert_eq!(end.sent(), [], "there is none");
    end.say(0..2);
    end.client.end_talkspurt(end.now);
    let said = [Sent::Frame(0), Sent::Frame(1), Sent::EndOfTalk];
    assert_eq!(end.sent(), said);
    let stats = end.client.stats();
    assert_eq!((stats.talkspurts, stats.frames_captured), (1, 2));
    assert_eq!(stats.frames_sent, 2, "its end is no frame");
}

#[test]
fn noise_is_tolerated_and_a_stream_of_garbage_is_not() {
    let mut end = End::joined(20);
    let noise = [[9; 511].as_slice(), &[0]].concat();
    for second in 0..60 {
        (0..8).for_each(|_| end.receive_bytes(&noise));
        end.now += MS(1_000);
        end.receive(&ServerPacket::Ping(second));
        end.handle_timeout();
    }
    assert_eq!(end.events, []);
    end.sent();
    // 16,384 bytes at once, in the smallest pieces, and one more.
    end.receive_bytes(&[9, 0].repeat(16_384));
    assert_eq!(end.events, []);
    end.receive_bytes(&[9, 0]);
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::ProtocolError)]);
    assert_eq!(end.sent(), [Sent::Bye(ByeReason::ProtocolError)]);
    let stats = end.client.stats();
    assert_eq!(stats.dropped_bytes, 60 * 8 * 511 + 16_385);
    assert_eq!((stats.malformed, stats.crc_errors), (60 * 8 + 16_385, 0));
}

#[test]
fn bytes_that_nothing_ends_are_garbage() {
    let mut end = End::joined(20);
    let bytes = 16_384 + 1;
    (0..bytes - 1).for_each(|_| end.receive_bytes(&[7]));
    assert_eq!(end.events, []);
    end.receive_bytes(&[7]);
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::ProtocolError)]);
    assert_eq!(end.client.stats().dropped_bytes, bytes);
}

#[test]
fn a_damaged_packet_is_counted_and_the_next_one_is_read() {
    let mut end = End::joined(20);
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Ping(0x0102_0304), &mut bytes).unwrap();
    let mut damaged = bytes;
    damaged[2] ^= 1;
    end.receive_bytes(&damaged[..len]);
    // In pieces, as streams bring them.
    let (beginning, rest) = bytes[..len].split_at(len / 2);
    end.receive_bytes(beginning);
    assert_eq!(end.sent(), []);
    end.receive_bytes(rest);
    assert_eq!(end.sent(), [Sent::Pong(0x0102_0304)]);
    let stats = end.client.stats();
    assert_eq!((stats.crc_errors, stats.malformed), (1, 0));
    assert_eq!(stats.dropped_bytes, len as u64 - 1, "without the zero");
}

#[test]
fn after_the_end_it_joins_again_on_the_same_stream() {
    let mut end = End::joined(20);
    end.say(0..3);
    end.receive(&ServerPacket::Voice(say(1, &[1; 640])));
    end.receive(&ServerPacket::Bye(ByeReason::Stopping));
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::Stopping)]);
    assert_eq!(end.sent(), [], "what waited has gone with the session");
    assert_eq!(
        end.client.push_frame(end.now, &word(3)),
        GateDecision::Closed
    );
    end.client.end_talkspurt(end.now);
    assert_eq!(end.client.poll_timeout(), None);
    let before = end.client.stats();
    // At once: no pause, and yet a zero ends whatever was sent in part.
    end.client.join(end.now, PATIENCE);
    let (hello, _) = end.transmit().unwrap();
    assert_eq!(hello[0], 0);
    end.receive(&ServerPacket::Reject(RejectReason::ServerFull, "later"));
    assert_eq!(
        end.events.pop(),
        Some(ClientEvent::Rejected(RejectReason::ServerFull))
    );
    assert_eq!(end.client.reject_text(), "later");
    end.join(10);
    assert_eq!(end.client.reject_text(), "");
    end.client.push_frame(end.now, &word(4)[..160]);
    assert_eq!(end.sent(), frames(4..5), "nothing of the other session");
    let stats = end.client.stats();
    assert_eq!(
        (stats.frames_sent, stats.talkspurts),
        (4, 2),
        "counts go on"
    );
    assert!(stats.packets_transmitted > before.packets_transmitted);
    // A half packet of another stream is not the beginning of this one's.
    end.receive_bytes(&[5, 5, 5]);
    end.client.end(ByeReason::ConnectionLost);
    end.client.reset_stream();
    end.join(20);
    assert!(end.client.params().is_some(), "the Welcome was read");
}

#[test]
fn no_answer_to_the_hello_closes() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE);
    end.sent();
    assert_eq!(end.client.poll_timeout(), Some(end.now + PATIENCE));
    end.now += PATIENCE;
    end.handle_timeout();
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::IdleTimeout)]);
    assert_eq!(end.sent(), []);
}

#[test]
fn a_talker_who_expects_answers_gives_a_silent_server_up_after_three_seconds() {
    let mut end = End::joined(20);
    let since = end.now;
    let mut pings = 0;
    while end.events.is_empty() {
        end.say(0..1);
        end.client.expect_answers(end.now);
        pings += end
            .sent()
            .iter()
            .filter(|sent| **sent == Sent::Ping)
            .count();
        end.handle_timeout();
    }
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::ConnectionLost)]);
    let after_ms = end.now.duration_since(since).as_millis();
    assert!((3_000..=4_100).contains(&after_ms), "{after_ms} ms");
    assert!((2..=4).contains(&pings), "{pings}");
    // Others have the idle timeout.
    let mut end = End::joined(20);
    let since = end.now;
    while end.events.is_empty() {
        end.say(0..1);
        end.sent();
        end.handle_timeout();
    }
    assert_eq!(end.events, [ClientEvent::Closed(ByeReason::IdleTimeout)]);
    assert_eq!(end.now.duration_since(since), MS(15_000));
}

#[test]
fn a_zero_goes_before_the_first_packet_and_after_each_pause() {
    let mut end = End::new();
    end.client.join(end.now, PATIENCE);
    let begins_with_zero = |end: &mut End| end.transmit().unwrap().0[0] == 0;
    assert!(begins_with_zero(&mut end));
    end.receive(&ServerPacket::Welcome(Pair::welcome_packet(&["ada"])));
    let mut number = 0;
    for (pause_ms, expected) in [(0, false), (99, false), (100, true), (99, false)] {
        end.now += MS(pause_ms);
        number += 1;
        end.receive(&ServerPacket::Ping(number));
        assert_eq!(begins_with_zero(&mut end), expected, "{pause_ms} ms");
    }
    // Before voice, too.
    end.now += MS(100);
    end.say(0..2);
    assert!(begins_with_zero(&mut end));
    assert!(!begins_with_zero(&mut end));
}

#[test]
fn the_longest_packets_fit_the_buffers() {
    let mut request = request();
    request.room = "r".repeat(32).parse().unwrap();
    request.name = "n".repeat(32).parse().unwrap();
    request
        .credentials
        .resize(CREDENTIALS_BYTES_MAX, 0xff)
        .unwrap();
    let mut end = End::new();
    end.client = Whole::new(ClientConfig::new(request)).unwrap();
    end.join(20);
    end.say(0..1);
    assert_eq!(end.sent(), frames(0..1));
    // Of a buffer that is too small nothing is written, and voice stays.
    end.say(1..2);
    let mut small = [0xaa; 600];
    assert_eq!(end.client.poll_transmit(end.now, &mut small), None);
    assert_eq!(small, [0xaa; 600]);
    assert_eq!(end.client.poll_transmit(end.now, &mut []), None);
    assert_eq!(end.sent(), frames(1..2));
}

#[test]
fn a_client_with_little_memory_offers_only_what_it_can_hold() {
    let mut small = Small::new(ClientConfig::new(request())).unwrap();
    assert_eq!(small.request().codecs[..], [Codec::ImaAdpcm.id()]);
    let now = Instant::from_micros(1_000_000);
    small.join(now, PATIENCE);
    let mut out = [0; SMALL_ENCODED + 1];
    small.poll_transmit(now, &mut out).unwrap();
    let mut welcome = Pair::welcome_packet(&["ada"]);
    welcome.codec = Codec::ImaAdpcm.id();
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(&ServerPacket::Welcome(welcome), &mut bytes).unwrap();
    assert_eq!(small.handle_stream(now, &bytes[..len]), &[0; 0]);
    while small.poll_event().is_some() {}
    small.push_frame(now, &word(1));
    let sent = small.poll_transmit(now, &mut out).unwrap();
    assert!(sent.droppable && Sent::of(&out[..sent.len]) == Sent::Frame(0));

    let mut pcm16_only = request();
    pcm16_only.codecs.truncate(1);
    let refused = Small::new(ClientConfig::new(pcm16_only)).err();
    assert_eq!(refused, Some(ClientConfigError::NoCodecFits));
}

#[test]
fn a_gate_is_checked_at_the_start_and_when_it_is_changed() {
    let mut config = ClientConfig::new(request());
    config.gate.close_rms = config.gate.open_rms + 1;
    let wrong = GateConfigError::CloseAboveOpen;
    let bad = config.gate;
    assert_eq!(
        Whole::new(config).err(),
        Some(ClientConfigError::Gate(wrong))
    );
    let mut end = End::joined(20);
    assert_eq!(end.client.set_gate(bad), Err(wrong));
    end.say(0..1);
    assert_eq!(end.sent(), frames(0..1), "nothing has changed");
    // Full scale opens for nothing; it holds for the next session too.
    let deaf = GateSettings {
        open_rms: 32_768,
        ..GateSettings::default()
    };
    end.client.end_talkspurt(end.now);
    end.sent();
    assert_eq!(end.client.set_gate(deaf), Ok(()));
    end.say(1..3);
    assert_eq!(end.sent(), []);
    end.client.end(ByeReason::Leaving);
    end.join(20);
    end.say(3..5);
    assert_eq!(end.sent(), []);
}

#[test]
fn what_was_heard_last_fades_when_a_session_ends_and_nothing_of_it_comes_later() {
    let mut end = End::joined(20);
    for number in 0..6 {
        end.receive(&ServerPacket::Voice(say(number, &[9; 640])));
    }
    assert_eq!(end.client.playout_frames().0, 6);
    assert_eq!(end.play().0, Playout::Frame { terminator: false });
    end.receive(&ServerPacket::Bye(ByeReason::Stopping));
    assert_eq!(end.play().0, Playout::Faded);
    assert_eq!(end.play(), (Playout::Silence, 0));
    end.join(20);
    assert_eq!(end.play(), (Playout::Silence, 0));
    let ClientStats {
        frames_played,
        frames_concealed,
        frames_silent,
        frames_received,
        ..
    } = end.client.stats();
    assert_eq!((frames_played, frames_concealed, frames_silent), (1, 1, 2));
    assert_eq!(frames_received, 6);
}

#[test]
fn voice_that_is_no_frame_of_the_session_is_dropped() {
    let mut end = End::joined(20);
    end.receive(&ServerPacket::Voice(say(0, &[9; 100])));
    let terminator = Voice {
        terminator: true,
        ..say(1, &[])
    };
    end.receive(&ServerPacket::Voice(terminator));
    assert_eq!(end.events, []);
    assert_eq!(end.client.stats().frames_received, 0);
}
