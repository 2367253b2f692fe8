//! A participant with the test as its server. Time is an argument, so nothing waits.

use super::*;
use crate::{
    audio::NoSource,
    testing::{NONCE, join_config, stream_of, welcome, welcome_packet},
};
use talkspurt_core::{
    carrier::deframer::{Deframer, Feed},
    seq::Timestamp,
    wire::{ClientPacket, ParticipantFlags, ServerPacket, SetMuted, Voice, parse},
};

mod delay;
mod pre_roll;

const FRAME: Duration = Duration::from_millis(20);

/// A source that gives the frames of a list, then ends.
struct Script(std::vec::IntoIter<(Captured, i16)>);

impl Script {
    fn of(frames: impl IntoIterator<Item = (Captured, i16)>) -> Self {
        Self(frames.into_iter().collect::<Vec<_>>().into_iter())
    }

    fn left(&self) -> usize {
        self.0.len()
    }
}

impl Source for Script {
    fn read(&mut self, frame: &mut [i16]) -> Captured {
        let (captured, sample) = self.0.next().unwrap_or((Captured::End, 0));
        // The highest possible frequency: a constant would be an offset, which no gate hears.
        for (n, out) in frame.iter_mut().enumerate() {
            *out = if n % 2 == 0 { sample } else { -sample };
        }
        captured
    }
}

#[derive(Default)]
struct Tape(Vec<i16>);

impl Sink for Tape {
    fn write(&mut self, frame: &[i16]) {
        self.0.extend_from_slice(frame);
    }
}

/// A participant and its current time.
struct Room {
    participant: Participant,
    now: Instant,
}

impl Room {
    /// Creates one in a room of PCM16 at 20 ms, alone.
    fn of(flags: &str) -> Self {
        let mut room = Self {
            participant: Participant::new(&join_config(flags)),
            now: Instant::ZERO,
        };
        room.join();
        room
    }

    fn join(&mut self) {
        self.participant.join(self.now, NONCE);
        self.packets();
        let told = self.receive(&welcome(1, &["ann"]));
        assert!(matches!(told[..], [EventKind::Joined { .. }]), "{told:?}");
    }

    /// Takes bytes from the server. Returns the events for the user.
    fn receive(&mut self, mut bytes: &[u8]) -> Vec<EventKind> {
        let mut events = Vec::new();
        while !bytes.is_empty() {
            bytes = self.participant.handle_stream(self.now, bytes);
            events.extend(self.events());
        }
        let told = events.into_iter().filter_map(|event| match event {
            ParticipantEvent::Told(kind) => Some(kind),
            _ => None,
        });
        told.collect()
    }

    fn events(&mut self) -> Vec<ParticipantEvent> {
        std::iter::from_fn(|| self.participant.poll_event()).collect()
    }

    /// Takes everything to transmit, packet by packet, without the zeros.
    fn packets(&mut self) -> Vec<Vec<u8>> {
        let mut out = [0; TRANSMIT_BYTES_MAX];
        let mut packets = Vec::new();
        while let Some(len) = self.participant.poll_transmit(self.now, &mut out) {
            let mut deframer: Deframer = Deframer::new();
            let (Feed::Packet(packet), []) = deframer.feed(&out[..len]) else {
                panic!("not one packet")
            };
            packets.push(packet.to_vec());
        }
        packets
    }

    /// Takes the voice to transmit: first sample and terminator of each packet.
    fn said(&mut self) -> Vec<(i16, bool)> {
        let packets = self.packets();
        let voices = packets.iter().filter_map(|packet| match parse(packet) {
            Ok(ClientPacket::Voice(voice)) => {
                let sample = voice.payload.first_chunk::<2>();
                Some((
                    sample.map_or(0, |s| i16::from_le_bytes(*s)),
                    voice.terminator,
                ))
            }
            _ => None,
        });
        voices.collect()
    }

    /// Captures all of a script, a frame at a time. Returns the voice that is transmitted.
    fn run(&mut self, frames: impl IntoIterator<Item = (Captured, i16)>) -> Vec<(i16, bool)> {
        let mut script = Script::of(frames);
        let mut said = Vec::new();
        while script.left() > 0 {
            self.participant.capture(self.now, &mut script);
            said.extend(self.said());
            self.now += FRAME;
        }
        said
    }
}

#[test]
fn the_end_of_the_input_ends_the_talkspurt() {
    let said = Room::of("--no-gate").run([
        (Captured::Frame, 7),
        (Captured::Frame, 8),
        (Captured::End, 0),
        (Captured::End, 0),
    ]);
    assert_eq!(said, [(7, false), (8, false), (0, true)]);
}

#[test]
fn a_microphone_that_vanishes_while_talking_does_not_talk_for_ever() {
    let missing = [(Captured::Missing, 0); 100];
    let mut room = Room::of("--no-gate");
    let said = room.run([(Captured::Frame, 7)].into_iter().chain(missing));
    let expected = 1 + 14 + 1;
    assert_eq!(
        said.len(),
        expected,
        "the frame, 280 ms of silence, the terminator"
    );
    assert_eq!(said.last(), Some(&(0, true)));
    let mut back = Script::of([(Captured::Frame, 7)]);
    room.participant.capture(room.now, &mut back);
    let packets = room.packets();
    let Ok(ClientPacket::Voice(voice)) = parse(packets.last().unwrap()) else {
        panic!("{packets:?}")
    };
    assert_eq!(voice.timestamp, Timestamp(8 * 102), "its clock has gone on");
}

#[test]
fn a_listener_sends_no_voice_even_without_a_gate() {
    let mut room = Room::of("--no-gate");
    for _ in 0..100 {
        room.participant.capture(room.now, &mut NoSource);
        assert_eq!(room.said(), []);
        room.now += FRAME;
    }
}

#[test]
fn only_received_voice_is_played_and_bit_for_bit() {
    let (mut talker, mut listener) = (Room::of("--no-gate"), Room::of(""));
    let mut tape = Tape::default();
    let mut play = |listener: &mut Room| {
        listener.participant.play(listener.now, &mut tape);
    };
    let said = (1..=30).map(|n| (Captured::Frame, n * 100));
    let mut script = Script::of(said.chain([(Captured::End, 0)]));
    while script.left() > 0 {
        talker.participant.capture(talker.now, &mut script);
        for packet in talker.packets() {
            if let Ok(ClientPacket::Voice(voice)) = parse(&packet) {
                listener.receive(&stream_of(&ServerPacket::Voice(voice)));
                play(&mut listener);
            }
        }
    }
    (0..10).for_each(|_| play(&mut listener));
    assert_eq!(tape.0.len(), 41 * 320, "a frame each time, whatever came");
    let heard: Vec<i16> = tape
        .0
        .chunks(320)
        .map(|frame| frame[0])
        .filter(|&s| s != 0)
        .collect();
    assert_eq!(heard[..30], (1..=30).map(|n| n * 100).collect::<Vec<_>>());
    assert_eq!(
        heard.len(),
        31,
        "the end, cut at full level, fades in a frame"
    );
    let counts = listener.participant.counts();
    assert_eq!(
        (
            counts.frames_received,
            counts.frames_played,
            counts.frames_concealed
        ),
        (30, 30, 0)
    );
    let counts = talker.participant.counts();
    assert_eq!(
        (
            counts.talkspurts,
            counts.frames_captured,
            counts.frames_sent
        ),
        (1, 30, 30)
    );
}

#[test]
fn the_deafened_and_those_outside_a_room_hear_silence_in_frames_of_the_session() {
    let mut room = Room::of("");
    let voice = Voice {
        payload: &[9; 640],
        ..said(0)
    };
    let mut tape = Tape::default();
    room.participant.set_deafened(true);
    assert_eq!(
        room.events(),
        [ParticipantEvent::Told(EventKind::Deafened {
            deafened: true
        })]
    );
    room.participant.set_deafened(true);
    assert_eq!(room.events(), [], "the second call changes nothing");
    for _ in 0..3 {
        room.receive(&stream_of(&ServerPacket::Voice(voice)));
        room.participant.play(room.now, &mut tape);
    }
    room.participant.disconnected();
    room.participant.play(room.now, &mut tape);
    assert_eq!(tape.0, [0; 4 * 320]);
}

#[test]
fn the_push_to_talk_key_is_the_gate_and_is_not_announced() {
    let mut room = Room::of("--ptt");
    let quiet = || [(Captured::Frame, 3); 3];
    assert_eq!(room.run(quiet()), []);
    room.participant.hold_key(room.now, true);
    assert_eq!(room.run(quiet()), [(3, false); 3]);
    room.participant.hold_key(room.now, false);
    // The talkspurt ends although no frame follows.
    let packets = room.packets();
    let [packet] = &packets[..] else {
        panic!("{packets:?}")
    };
    let ends = |voice: Voice<'_>| voice.terminator && voice.payload.is_empty();
    assert!(matches!(parse(packet), Ok(ClientPacket::Voice(voice)) if ends(voice)));
    assert_eq!(room.run(quiet()), []);
    assert!(room.participant.snapshot(room.now).gate.is_none());
    // Without push-to-talk there is no key to release.
    let mut room = Room::of("--no-gate");
    room.participant.hold_key(room.now, false);
    assert_eq!(room.run(quiet()), [(3, false); 3]);
}

#[test]
fn the_gate_is_moved_and_comes_back() {
    let mut room = Room::of("--gate fixed");
    let closes = |room: &Room| room.participant.snapshot(room.now).gate.unwrap().close_rms;
    let before = closes(&room);
    room.participant.shift_gate(-14.0);
    assert_eq!(room.run([(Captured::Frame, 900)]), [(900, false)]);
    room.participant.shift_gate(14.0);
    assert_eq!(closes(&room), before);
}

#[test]
fn a_muted_participant_says_so_and_stays_muted_in_the_next_session() {
    let mut room = Room::of("--no-gate");
    room.run([(Captured::Frame, 3)]);
    room.participant.set_muted(room.now, true);
    let packets = room.packets();
    assert_eq!(packets.len(), 2, "and the end of the talkspurt");
    assert!(matches!(
        parse(&packets[0]),
        Ok(ClientPacket::SetMuted(SetMuted { muted: true, .. }))
    ));
    room.participant.disconnected();
    room.participant.join(room.now, NONCE);
    let hello = &room.packets()[0];
    assert!(
        matches!(parse(hello), Ok(ClientPacket::Hello(hello)) if hello.flags == ParticipantFlags::MUTED)
    );
    room.receive(&welcome(1, &["ann"]));
    assert_eq!(room.run([(Captured::Frame, 3)]), []);
}

#[test]
fn pcm16_is_preferred() {
    let mut room = Room {
        participant: Participant::new(&join_config("")),
        now: Instant::ZERO,
    };
    room.participant.join(room.now, NONCE);
    let hello = &room.packets()[0];
    let codecs = [CodecId::Pcm16.id(), CodecId::ImaAdpcm.id()];
    assert!(matches!(parse(hello), Ok(ClientPacket::Hello(hello)) if hello.codecs_up == codecs));
}

#[test]
fn no_state_of_a_connection_is_left_to_the_next() {
    let mut room = Room::of("");
    let loud = [9_000_i16, -9_000].map(i16::to_le_bytes).concat();
    let voice = Voice {
        payload: &loud.repeat(160),
        ..said(0)
    };
    room.receive(&stream_of(&ServerPacket::Voice(voice)));
    (0..4).for_each(|_| {
        room.participant.play(room.now, &mut Tape::default());
    });
    assert!(room.participant.params().is_some());
    room.receive(&[5, 5, 5]);
    room.participant.disconnected();
    assert_eq!(room.participant.params(), None);
    assert_eq!(room.events(), [], "its driver knows");
    assert_eq!(room.participant.snapshot(room.now).roster, []);
    room.participant.join(room.now, NONCE);
    assert_eq!(room.participant.params(), None);
    room.join();
    assert_eq!(room.participant.snapshot(room.now).output_rms, 0);
}

#[test]
fn only_consecutive_missing_frames_mean_a_lost_microphone() {
    let some = [&[(Captured::Frame, 7)][..], &[(Captured::Missing, 0); 14]].concat();
    let said = Room::of("--no-gate").run(some.repeat(3));
    assert_eq!(said.len(), 45);
    assert!(said.iter().all(|(_, ends)| !ends));
}

#[test]
fn a_microphone_has_as_long_to_come_back_in_shorter_frames() {
    let mut room = Room::of("--no-gate");
    room.participant.disconnected();
    room.participant.join(room.now, NONCE);
    room.packets();
    let mut welcome = welcome_packet(1, 1);
    welcome.frame_ms = 5;
    room.receive(&stream_of(&ServerPacket::Welcome(welcome)));
    let missing = [(Captured::Missing, 0); 100];
    let said = room.run([(Captured::Frame, 7)].into_iter().chain(missing));
    assert_eq!(said.len(), 1 + 59 + 1);
    // The wait for the speaker is also given in milliseconds.
    let voice = Voice {
        payload: &[1; 160],
        ..self::said(0)
    };
    room.receive(&stream_of(&ServerPacket::Voice(voice)));
    assert_eq!(room.participant.snapshot(room.now).playout_ms, 5);
}

#[test]
fn jitter_asks_for_no_reserve_of_the_desktop_s_clock() {
    for (playout_delay_ms, frames) in [(0, 0), (40, 2)] {
        let mut room = Room::of(&format!("--no-gate --playout-delay {playout_delay_ms}"));
        for number in 0..40 {
            // Each third one comes two frames late.
            if number % 3 != 0 || number == 0 {
                room.receive(&stream_of(&ServerPacket::Voice(said(number))));
            }
            room.participant.play(room.now, &mut Tape::default());
            if number > 2 && (number - 2) % 3 == 0 {
                room.receive(&stream_of(&ServerPacket::Voice(said(number - 2))));
            }
        }
        assert!(room.participant.client.playout_frames().1 > frames);
        assert_eq!(room.participant.margin_frames(), frames);
    }
}

#[test]
fn counts_go_on_over_sessions() {
    let mut room = Room::of("--no-gate");
    for session in 1..=2u64 {
        // One of each pair is lost.
        for number in [0, 2, 4, 6, 8, 10] {
            room.receive(&stream_of(&ServerPacket::Voice(said(number))));
        }
        (0..40).for_each(|_| {
            room.participant.play(room.now, &mut Tape::default());
        });
        room.run([(Captured::Frame, 7)]);
        let counts = room.participant.counts();
        assert_eq!(counts.packets_lost, 5 * session);
        assert!(counts.frames_concealed >= 5 * session, "{counts:?}");
        assert_eq!(
            (counts.frames_sent, counts.frames_received),
            (session, 6 * session)
        );
        room.participant.disconnected();
        assert_eq!(
            room.participant.counts(),
            counts,
            "nothing is counted twice"
        );
        room.join();
    }
}

#[test]
fn unsent_voice_beyond_the_longest_pre_roll_and_300_ms_is_dropped_and_counted() {
    let mut room = Room::of("--no-gate");
    room.participant.handle_timeout(room.now);
    let mut script = Script::of([(Captured::Frame, 7); 200]);
    while script.left() > 0 {
        room.participant.capture(room.now, &mut script);
    }
    // 200 ms and 300 ms, in frames of 20 ms.
    assert_eq!(room.participant.counts().frames_dropped, 200 - 25);
}

#[test]
fn a_talker_reconnects_after_three_seconds_without_an_answer() {
    let mut room = Room::of("--no-gate");
    let mut script = Script::of([(Captured::Frame, 7); 500]);
    let mut events = Vec::new();
    while events.is_empty() {
        room.now += FRAME;
        room.participant.handle_timeout(room.now);
        room.participant.capture(room.now, &mut script);
        room.packets();
        events = room.events();
    }
    let lost = ParticipantEvent::Closed(Reason::CONNECTION_LOST, Duration::ZERO);
    assert_eq!(events, [lost]);
    let after_ms = room.now.duration_since(Instant::ZERO).as_millis();
    assert!((3_000..=4_100).contains(&after_ms), "{after_ms} ms");
}

#[test]
fn a_voice_that_is_too_quiet_is_reported_and_shown_for_a_while() {
    let mut room = Room::of("--gate fixed");
    // Four syllables a second, all below the gate.
    let level = |frame: i16| if frame % 12 < 6 { 900 } else { 5 };
    room.run((0..200).map(|frame| (Captured::Frame, level(frame))));
    let events = room.events();
    let [
        ParticipantEvent::Told(EventKind::InputQuiet {
            level_dbfs,
            try_gate_open_dbfs,
            ..
        }),
    ] = events[..]
    else {
        panic!("{events:?}")
    };
    assert!(try_gate_open_dbfs < level_dbfs, "the voice would open it");
    assert!(room.participant.snapshot(room.now).too_quiet);
    room.now += TOO_QUIET_SHOWN;
    assert!(!room.participant.snapshot(room.now).too_quiet);
    let mut muted = Room::of("--gate fixed --muted");
    muted.run((0..200).map(|frame| (Captured::Frame, level(frame))));
    assert_eq!(muted.events(), []);
    let mut muted = Room::of("--gate fixed");
    muted.participant.set_muted(muted.now, true);
    muted.run((0..200).map(|frame| (Captured::Frame, level(frame))));
    assert_eq!(muted.events(), []);
}

/// Builds a voice packet from the middle of a talkspurt.
fn said(number: u16) -> Voice<'static> {
    Voice {
        seq: talkspurt_core::seq::Seq(number),
        timestamp: Timestamp(8 * u32::from(number)),
        level: 40,
        stream: 0,
        terminator: false,
        payload: &[1; 640],
    }
}
