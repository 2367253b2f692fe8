//! Voice of codecs outside the endpoint: what it sends and gives is that of frames.

use super::*;
use crate::common::cases::cases;
use crate::common::mic::Mic;
use proptest::collection::vec;
use proptest::prelude::*;
use talkspurt_core::audio::codec::CodecError;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::seq::Timestamp;
use talkspurt_core::voice::downlink::PayloadPlayout;
use talkspurt_core::voice::uplink::{EncodedFrame, UplinkConfig};

/// A payload of 20 ms in PCM16, and its frame's number.
fn encoded(number: u32, payload: &[u8]) -> EncodedFrame<'_> {
    EncodedFrame {
        timestamp: Timestamp(8 * number),
        level: 40,
        payload,
        terminator: false,
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Frame { is_word: bool },
    Mute(bool),
    KeepBack(bool),
    EndTalkspurt,
    Transmit,
    Wait(u64),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        20 => any::<bool>().prop_map(|is_word| Op::Frame { is_word }),
        1 => any::<bool>().prop_map(Op::Mute),
        1 => any::<bool>().prop_map(Op::KeepBack),
        1 => Just(Op::EndTalkspurt),
        10 => Just(Op::Transmit),
        2 => (0..400u64).prop_map(Op::Wait),
    ];
    vec(op, 1..200)
}

/// Two clients in a room: one is given frames, the other what a codec elsewhere makes of them.
struct Twins {
    frames: End,
    payloads: End,
    /// That codec, with a gate of its own.
    mic: Mic,
    captured: i16,
    silenced: [bool; 2],
}

impl Twins {
    fn new() -> Self {
        let mut config = UplinkConfig::default_for(CodecId::Pcm16.into(), AudioFormat::DEFAULT);
        config.gate.mode = GateMode::ORIGINAL;
        Self {
            frames: End::joined(20),
            payloads: End::joined(20),
            mic: Mic::new(config),
            captured: 0,
            silenced: [false; 2],
        }
    }

    fn both(&mut self, act: impl Fn(&mut Whole, Instant)) {
        for end in [&mut self.frames, &mut self.payloads] {
            act(&mut end.client, end.now);
        }
    }

    fn run(&mut self, op: Op) {
        match op {
            Op::Frame { is_word } => self.capture(is_word),
            Op::Mute(muted) => {
                self.silenced[0] = muted;
                self.both(|client, now| client.set_muted(now, muted));
            }
            Op::KeepBack(kept_back) => {
                self.silenced[1] = kept_back;
                self.both(|client, now| client.keep_back(now, kept_back));
            }
            Op::EndTalkspurt => {
                self.mic.uplink.finish();
                self.both(|client, now| client.end_talkspurt(now));
            }
            Op::Wait(ms) => {
                self.frames.now += MS(ms);
                self.payloads.now += MS(ms);
            }
            Op::Transmit => self.transmit(),
        }
        self.mic.uplink.set_muted(self.silenced.contains(&true));
        // Its ends without a frame are the clients' own affair.
        self.mic.poll_all();
    }

    fn capture(&mut self, is_word: bool) {
        self.captured += 1;
        let number = self.captured;
        let frame = if is_word { word(number) } else { quiet(number) };
        self.frames.client.push_frame(self.frames.now, &frame);
        for sent in self.mic.capture(&frame) {
            let encoded = EncodedFrame {
                timestamp: Timestamp(sent.timestamp),
                level: sent.level,
                payload: &sent.payload,
                terminator: sent.terminator,
            };
            let pushed = self
                .payloads
                .client
                .push_payload(self.payloads.now, encoded);
            assert_eq!(pushed, Ok(true));
        }
    }

    /// Byte for byte.
    fn transmit(&mut self) {
        let all = |end: &mut End| std::iter::from_fn(|| end.transmit()).collect::<Vec<_>>();
        assert_eq!(all(&mut self.payloads), all(&mut self.frames));
    }
}

proptest! {
    #![proptest_config(cases(300))]

    #[test]
    fn what_a_codec_elsewhere_encodes_is_sent_as_frames_are(ops in ops()) {
        let mut twins = Twins::new();
        for op in ops {
            twins.run(op);
            prop_assert_eq!(twins.frames.client.is_talking(), twins.payloads.client.is_talking());
        }
        // The last words go, and end.
        twins.both(Client::leave);
        twins.transmit();
        let counted = |end: &End| {
            let stats = end.client.stats();
            (stats.frames_sent, stats.talkspurts, stats.voice_dropped)
        };
        prop_assert_eq!(counted(&twins.frames), counted(&twins.payloads));
    }

    #[test]
    fn a_decoder_elsewhere_gets_what_is_played_as_it_came_and_in_order(
        steps in vec((vec((0..6u16, any::<bool>()), 0..3), 0..3u8), 1..200),
    ) {
        let (mut frames, mut payloads) = (End::joined(5), End::joined(5));
        let (mut newest, mut last) = (0, 0);
        for (packets, pops) in steps {
            for (behind, terminator) in packets {
                // Some are lost, late, doubled, or come before their turn.
                newest += 3 - behind.min(3);
                let number = (newest + 10) - behind;
                let payload = loud(number);
                let voice = Voice {
                    terminator,
                    ..say_for_5_ms(number, &payload)
                };
                frames.receive(&ServerPacket::Voice(voice));
                payloads.receive(&ServerPacket::Voice(voice));
            }
            for _ in 0..pops {
                let frame = frames.client.pop_frame(&mut Frame::silence(0));
                let mut buffer = [0; 160];
                let payload = payloads.client.pop_payload(&mut buffer);
                let expected = match payload {
                    PayloadPlayout::Payload { bytes, terminator } => {
                        let number = u16::from_le_bytes([bytes[0], bytes[1]]);
                        prop_assert_eq!(bytes, loud(number), "as it came");
                        prop_assert!(number > last, "{} after {}", number, last);
                        last = number;
                        matches!(frame, Playout::Frame { terminator: same } if same == terminator)
                    }
                    PayloadPlayout::Missing => frame == Playout::Concealed,
                    PayloadPlayout::Silence => {
                        matches!(frame, Playout::Silence | Playout::Faded)
                    }
                };
                prop_assert!(expected, "{:?}, {:?}", frame, payload);
            }
            prop_assert_eq!(frames.client.playout_frames(), payloads.client.playout_frames());
        }
        prop_assert_eq!(frames.client.jitter_stats(), payloads.client.jitter_stats());
        let played = |end: &End| {
            let stats = end.client.stats();
            (stats.frames_played, stats.frames_concealed, stats.frames_silent)
        };
        prop_assert_eq!(played(&frames), played(&payloads));
    }
}

/// A frame of 5 ms in PCM16: always as loud, so that delay is taken back at no quiet moment.
fn loud(number: u16) -> Vec<u8> {
    let mark = number.to_le_bytes();
    [&mark[..], &[0x55; 158]].concat()
}

#[test]
fn a_payload_that_is_no_frame_of_the_session_is_refused_and_the_next_is_as_good_as_ever() {
    let mut end = End::joined(20);
    for (len, terminator) in [(0, false), (0, true), (639, false), (641, true)] {
        let payload = [1; 641];
        let frame = EncodedFrame {
            terminator,
            ..encoded(1, &payload[..len])
        };
        let expected = CodecError::WrongLength {
            got: len as u16,
            expected: 640,
        };
        let pushed = end.client.push_payload(end.now, frame);
        assert_eq!(pushed, Err(expected));
    }
    assert_eq!(end.sent(), []);
    assert!(!end.client.is_talking());
    let pushed = end.client.push_payload(end.now, encoded(2, &[1; 640]));
    assert_eq!(pushed, Ok(true));
    assert_eq!(end.sent(), [Sent::Frame(0x0101)]);
    assert!(end.client.is_talking(), "whatever the gate thinks");
}

#[test]
fn payloads_are_gone_outside_a_room_and_while_muted() {
    let mut end = End::new();
    let frame = encoded(1, &[1; 640]);
    assert_eq!(end.client.push_payload(end.now, frame), Ok(false));
    end.join(20);
    end.client.set_muted(end.now, true);
    assert_eq!(end.client.push_payload(end.now, frame), Ok(false));
    end.client.set_muted(end.now, false);
    assert_eq!(end.client.push_payload(end.now, frame), Ok(true));
    end.sent();
    end.client.leave(end.now);
    assert_eq!(end.client.push_payload(end.now, frame), Ok(false));
    let bye = Sent::Bye(Reason::LEAVING);
    assert_eq!(end.sent(), [Sent::EndOfTalk, bye]);
}

#[test]
fn frames_and_payloads_may_take_turns() {
    let mut end = End::joined(20);
    end.say(1..3);
    let payload = [3; 640];
    let mut last = encoded(3, &payload);
    last.terminator = true;
    assert_eq!(end.client.push_payload(end.now, last), Ok(true));
    assert!(!end.client.is_talking());
    end.say(4..5);
    let sent = [&frames(1..3)[..], &[Sent::Frame(0x0303)], &frames(4..5)];
    assert_eq!(end.sent(), sent.concat(), "nothing twice, as a pre-roll");
}

#[test]
fn surplus_delay_is_taken_back_a_payload_at_a_time() {
    let mut end = End::joined(5);
    let receive = |end: &mut End, number| {
        let payload = loud(number);
        end.receive(&ServerPacket::Voice(say_for_5_ms(number, &payload)));
    };
    (1..40).for_each(|number| receive(&mut end, number));
    let (mut last, mut left_out) = (0, 0);
    for number in 40..600 {
        let mut buffer = [0; 160];
        let PayloadPlayout::Payload { bytes, .. } = end.client.pop_payload(&mut buffer) else {
            assert_eq!(last, 0, "the margin is filled at the beginning only");
            continue;
        };
        let now = u16::from_le_bytes([bytes[0], bytes[1]]);
        assert!((1..=2).contains(&(now - last)), "{now} after {last}");
        left_out += now - last - 1;
        last = now;
        receive(&mut end, number);
    }
    assert!(left_out > 10, "{left_out}");
    assert_eq!(u32::from(left_out), end.client.jitter_stats().skipped);
}

fn say_for_5_ms(number: u16, payload: &[u8]) -> Voice<'_> {
    Voice {
        timestamp: Timestamp(2 * u32::from(number)),
        ..say(number, payload)
    }
}

#[test]
fn each_way_has_a_codec_of_its_own() {
    let (adpcm, pcm16) = (CodecId::ImaAdpcm, CodecId::Pcm16);
    for (up, down) in [(adpcm, pcm16), (pcm16, adpcm)] {
        let mut end = End::new();
        end.client.join(end.now, PATIENCE, NONCE);
        let mut welcome = Pair::welcome_packet(&["ada"]);
        (welcome.codec_up, welcome.codec_down) = (up.id(), down.id());
        end.receive(&ServerPacket::Welcome(welcome));
        end.sent();
        // What a codec elsewhere has encoded is judged by the codec of its way.
        let (ours, theirs) = (vec![0; up.payload_len(320)], vec![0; down.payload_len(320)]);
        let pushed = end.client.push_payload(end.now, encoded(1, &theirs));
        assert!(matches!(pushed, Err(CodecError::WrongLength { .. })));
        let pushed = end.client.push_payload(end.now, encoded(1, &ours));
        assert_eq!(pushed, Ok(true));
        end.client.end_talkspurt(end.now);
        // What the client encodes itself is of that codec, too.
        end.client.push_frame(end.now, &word(7));
        let mut sent = Vec::new();
        while let Some((bytes, _)) = end.transmit() {
            let mut deframer: Deframer = Deframer::new();
            let (Feed::Packet(packet), []) = deframer.feed(&bytes) else {
                panic!("no packet")
            };
            if let Ok(ClientPacket::Voice(voice)) = parse(packet) {
                sent.push((voice.level, voice.payload.len()));
            }
        }
        assert_eq!((sent[0], sent[1]), ((40, ours.len()), (255, 0)));
        assert_eq!(sent[2].1, ours.len());
        for (number, payload) in [(1, &ours), (2, &theirs), (3, &theirs), (4, &theirs)] {
            end.receive(&ServerPacket::Voice(say(number, payload)));
        }
        assert_eq!(end.client.stats().frames_received, 3);
    }
}
