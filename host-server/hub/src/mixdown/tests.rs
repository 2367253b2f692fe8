//! The mixing of one tick, and of one after the other.

use talkspurt_core::audio::codec::{Codec, Pcm16};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};

use super::*;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::wire::{ServerPacket, parse};

const SAMPLES: usize = 320;

fn talker(value: i16, last: bool) -> impl FnOnce(&mut Frame) -> (Playout, u8) {
    move |frame| {
        frame.fill(value);
        let level = level::half_db(level::rms(frame));
        (Playout::Frame { terminator: last }, level)
    }
}

/// Tick number, terminator, and the samples of a PCM16 packet.
fn decoded(packet: &SharedPacket) -> (u32, bool, Vec<i16>) {
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    let (Feed::Packet(bytes), _) = deframer.feed(packet) else {
        panic!("no packet")
    };
    let ServerPacket::Voice(voice) = parse(bytes).unwrap() else {
        panic!("no voice")
    };
    assert_eq!(u32::from(voice.seq.0), voice.timestamp.0 / 8);
    let mut samples = vec![0; voice.payload.len() / 2];
    Pcm16.decode(voice.payload, &mut samples).unwrap();
    (voice.timestamp.0 / 8, voice.terminator, samples)
}

/// What numbers the tick of that number.
fn stamp(tick: u16) -> Stamp {
    Stamp {
        seq: Seq(tick),
        timestamp: Timestamp(8 * u32::from(tick)),
    }
}

fn desk() -> (Mixdown, SharedEncoders) {
    desk_by(MixRule::Mean)
}

fn desk_by(rule: MixRule) -> (Mixdown, SharedEncoders) {
    let mut mixdown = Mixdown::new(rule, AudioFormat::DEFAULT);
    mixdown.begin();
    (mixdown, CodecId::ALL.map(AnyCodec::from))
}

fn nobody_yet() -> TalkerState {
    TalkerState::new(FrameDuration::Ms20)
}

#[test]
fn each_hears_the_mean_of_the_others() {
    let (mut mixdown, mut shared) = desk();
    let own: Vec<_> = [300, 500, 1_000]
        .map(|value| mixdown.add(&mut nobody_yet(), talker(value, false)))
        .into();
    let heard = [750, 650, 400].map(|mean| vec![mean; SAMPLES]);
    for (own, heard) in own.into_iter().zip(heard) {
        let packet = mixdown
            .packet_for(
                &mut Listener::new(CodecId::Pcm16),
                own,
                &mut shared,
                stamp(7),
            )
            .unwrap();
        assert_eq!(decoded(&packet), (7, false, heard));
    }
}

#[test]
fn listeners_who_do_not_talk_share_one_encoding_a_codec() {
    let (mut mixdown, mut shared) = desk();
    mixdown.add(&mut nobody_yet(), talker(300, false));
    mixdown.add(&mut nobody_yet(), talker(500, false));
    let mut listeners = [CodecId::Pcm16, CodecId::ImaAdpcm]
        .repeat(10)
        .into_iter()
        .map(Listener::new)
        .collect::<Vec<_>>();
    let packets: Vec<_> = listeners
        .iter_mut()
        .map(|l| mixdown.packet_for(l, None, &mut shared, stamp(1)).unwrap())
        .collect();
    assert_eq!(mixdown.encodings, 2);
    assert!(
        packets
            .iter()
            .skip(2)
            .step_by(2)
            .all(|packet| Arc::ptr_eq(packet, &packets[0]))
    );
    assert!(listeners.iter().all(|l| l.state == listeners[0].state));
}

/// Packets of a listener and of one who has just joined, from a room in which a second talker
/// starts in tick 2.
fn packets_of_an_old_and_a_new_listener(rule: MixRule, values: [i16; 2]) -> (Mixdown, u32) {
    let (mut mixdown, mut shared) = desk_by(rule);
    let mut talkers = [nobody_yet(), nobody_yet()];
    let (mut old, mut new) = (Listener::new(CodecId::Pcm16), Listener::new(CodecId::Pcm16));
    let mut equal_from = 0;
    for tick in 1..=100 {
        mixdown.begin();
        mixdown.add(&mut talkers[0], talker(values[0], false));
        if tick == 1 {
            mixdown.add_nothing(&mut talkers[1]);
            mixdown.packet_for(&mut old, None, &mut shared, stamp(tick));
            continue;
        }
        mixdown.add(&mut talkers[1], talker(values[1], false));
        let [old, new] = [&mut old, &mut new].map(|listener| {
            mixdown
                .packet_for(listener, None, &mut shared, stamp(tick))
                .unwrap()
        });
        if !Arc::ptr_eq(&old, &new) {
            equal_from = tick + 1;
        }
    }
    (mixdown, equal_from.into())
}

#[test]
fn a_newcomer_shares_the_mean_at_once_even_while_it_changes() {
    let (mixdown, equal_from) = packets_of_an_old_and_a_new_listener(MixRule::Mean, [300, 500]);
    assert_eq!((equal_from, mixdown.encodings), (0, 100));
}

#[test]
fn a_newcomer_shares_the_sum_once_the_limiters_agree() {
    // What one hears alone is limited by as much as what both hear: the newcomer's limiter only has
    // to follow.
    let values = [i16::MIN, i16::MIN];
    let (mixdown, equal_from) = packets_of_an_old_and_a_new_listener(MixRule::Sum, values);
    assert_eq!((equal_from, mixdown.encodings), (3, 101));
}

/// Ticks of a room in which everyone says a constant, or nothing (`None`), or one last frame.
struct Script {
    mixdown: Mixdown,
    shared: SharedEncoders,
    talkers: Vec<TalkerState>,
    listeners: Vec<Listener>,
    tick: u32,
}

impl Script {
    /// The last one is a listener who never talks.
    fn new(talkers: usize) -> Self {
        let (mixdown, shared) = desk();
        Self {
            mixdown,
            shared,
            talkers: vec![nobody_yet(); talkers],
            listeners: vec![Listener::new(CodecId::Pcm16); talkers + 1],
            tick: 0,
        }
    }

    /// What everyone hears.
    fn tick(&mut self, says: &[Option<(i16, bool)>]) -> Vec<Vec<i16>> {
        self.tick += 1;
        self.mixdown.begin();
        let mut own: Vec<_> = says
            .iter()
            .zip(&mut self.talkers)
            .map(|(says, state)| match *says {
                Some((value, last)) => self.mixdown.add(state, talker(value, last)),
                None => self.mixdown.add_nothing(state),
            })
            .collect();
        own.resize(self.listeners.len(), None);
        let (mixdown, shared, tick) = (&mut self.mixdown, &mut self.shared, self.tick);
        own.into_iter()
            .zip(&mut self.listeners)
            .map(|(own, listener)| {
                let packet = mixdown.packet_for(listener, own, shared, stamp(tick as u16));
                packet.map_or_else(Vec::new, |packet| decoded(&packet).2)
            })
            .collect()
    }
}

/// Asserts that samples go from one value to another, from near the first to exactly the second.
fn assert_fade(heard: &[i16], from: i16, to: i16) {
    assert_eq!(heard.len(), SAMPLES);
    let step = (i32::from(to) - i32::from(from)).abs() / SAMPLES as i32 + 2;
    let whole: Vec<i32> = std::iter::once(&from)
        .chain(heard)
        .map(|&sample| sample.into())
        .collect();
    assert!(
        whole
            .windows(2)
            .all(|pair| (pair[1] - pair[0]).abs() <= step),
        "{from} to {to}: {heard:?}"
    );
    assert_eq!(heard[SAMPLES - 1], to);
}

#[test]
fn whoever_comes_or_goes_fades_for_those_who_hear_others_too() {
    let mut room = Script::new(2);
    let (ann, ben) = (Some((9_000, false)), Some((-3_000, false)));
    assert_eq!(room.tick(&[ann, None])[2], [9_000; SAMPLES]);
    let heard = room.tick(&[ann, ben]);
    assert_eq!(heard[0], [-3_000; SAMPLES], "of one there is no fade");
    assert_eq!(heard[1], [9_000; SAMPLES]);
    assert_fade(&heard[2], 9_000, 3_000);
    assert_eq!(room.tick(&[ann, ben])[2], [3_000; SAMPLES]);
    let heard = room.tick(&[ann, Some((-3_000, true))]);
    assert_eq!(heard[0], [-3_000; SAMPLES]);
    assert_fade(&heard[2], 3_000, 9_000);
    for heard in [room.tick(&[ann, None]), room.tick(&[ann, None])] {
        assert_eq!(heard, [vec![], vec![9_000; SAMPLES], vec![9_000; SAMPLES]]);
    }
}

#[test]
fn whoever_vanishes_gives_the_share_back_over_a_frame() {
    let mut room = Script::new(3);
    let (ann, ben, eve) = (
        Some((9_000, false)),
        Some((5_000, false)),
        Some((400, false)),
    );
    room.tick(&[ann, ben, eve]);
    assert_eq!(room.tick(&[ann, ben, eve])[3], [4_800; SAMPLES]);
    let heard = room.tick(&[ann, ben, None]);
    assert_fade(&heard[3], 14_000 / 3, 7_000);
    // Each hears one fewer than the listener does.
    assert_fade(&heard[0], 5_000 / 2, 5_000);
    assert_fade(&heard[1], 9_000 / 2, 9_000);
    assert_eq!(heard[2], [7_000; SAMPLES], "whom it hears has not changed");
    assert_eq!(room.tick(&[ann, ben, None])[3], [7_000; SAMPLES]);
}

#[test]
fn silent_senders_do_not_count() {
    let mut room = Script::new(4);
    let (ann, silent) = (Some((9_000, false)), Some((1, false)));
    for _ in 0..20 {
        let heard = room.tick(&[ann, silent, silent, silent]);
        assert_eq!(
            heard[0], [1; SAMPLES],
            "where nobody counts the silent are heard"
        );
        assert_eq!(heard[1..], vec![vec![9_000; SAMPLES]; 4]);
    }
    // One of them says a word.
    let word = Some((3_000, false));
    let heard = room.tick(&[ann, word, silent, silent]);
    assert_fade(&heard[4], 9_000, 6_000);
    for _ in 1..5 {
        let heard = room.tick(&[ann, Some((0, false)), silent, silent]);
        assert_eq!(heard[4], [4_500; SAMPLES], "a pause between two words");
    }
    let heard = room.tick(&[ann, Some((0, false)), silent, silent]);
    assert_fade(&heard[4], 4_500, 9_000);
    let heard = room.tick(&[ann, Some((0, false)), silent, silent]);
    assert_eq!(heard[1..], vec![vec![9_000; SAMPLES]; 4]);
}

#[test]
fn the_last_frame_carries_the_terminator_when_all_others_end() {
    let (mut mixdown, mut shared) = desk();
    let ending = mixdown.add(&mut nobody_yet(), talker(300, true));
    let mut alone = Listener::new(CodecId::Pcm16);
    assert_eq!(
        mixdown.packet_for(&mut alone, ending, &mut shared, stamp(1)),
        None,
        "the end of a talker is not that of what the talker hears"
    );
    let going_on = mixdown.add(&mut nobody_yet(), talker(500, false));
    let mut listener = Listener::new(CodecId::Pcm16);
    assert!(
        !decoded(
            &mixdown
                .packet_for(&mut listener, None, &mut shared, stamp(1))
                .unwrap()
        )
        .1
    );
    let mut talking = Listener::new(CodecId::Pcm16);
    let (_, terminator, heard) = decoded(
        &mixdown
            .packet_for(&mut talking, going_on, &mut shared, stamp(1))
            .unwrap(),
    );
    assert!(terminator, "the only other one has ended");
    assert_eq!(heard, vec![300; SAMPLES]);
    assert!(listener.streaming && !talking.streaming);
}

#[test]
fn an_end_without_a_last_frame_is_told_by_an_empty_packet_once() {
    let (mut mixdown, mut shared) = desk();
    let mut state = nobody_yet();
    mixdown.add(&mut state, talker(300, false));
    let mut listener = Listener::new(CodecId::Pcm16);
    mixdown
        .packet_for(&mut listener, None, &mut shared, stamp(8))
        .unwrap();
    mixdown.begin();
    mixdown.add(&mut state, |_| (Playout::Silence, level::SILENCE));
    assert_eq!(
        decoded(
            &mixdown
                .packet_for(&mut listener, None, &mut shared, stamp(9))
                .unwrap()
        ),
        (9, true, vec![])
    );
    assert_eq!(
        mixdown.packet_for(&mut listener, None, &mut shared, stamp(10)),
        None
    );
}
