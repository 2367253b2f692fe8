//! The downlink of a host: surplus delay goes by time compression, in the midst of speech.

use crate::common::cases::cases;
use crate::common::ear::{largest_step, voice, voice_step};
use crate::common::wide_band;
use proptest::prelude::*;
use talkspurt_core::audio::codec::{AnyCodec, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::audio::level::{half_db, rms};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{Compress, catch_up_samples};
use talkspurt_core::wire::Voice;

const CATCH_UP: usize = catch_up_samples(AudioFormat::DEFAULT);
type Host = Downlink<64, PAYLOAD_MAX, FRAME_SAMPLES_MAX, AnyCodec, Compress<CATCH_UP>>;

/// A talker whose frames come as the test wants, and what the host plays of them.
struct Listener {
    host: Host,
    samples: usize,
    next: u16,
    said: Vec<i16>,
    heard: Vec<i16>,
    playouts: Vec<Playout>,
}

impl Listener {
    fn new(frame: FrameDuration) -> Self {
        let config = JitterConfig {
            pre_roll_max_frames: 0,
            ..JitterConfig::default_for(frame, 0)
        };
        let format = wide_band(frame);
        Self {
            host: Host::new(CodecId::Pcm16.into(), format, config),
            samples: format.frame_samples(),
            next: 0,
            said: Vec::new(),
            heard: Vec::new(),
            playouts: Vec::new(),
        }
    }

    fn receive(&mut self, terminator: bool) {
        let sound = voice(self.next, self.samples);
        let payload: Vec<u8> = sound.iter().flat_map(|it| it.to_le_bytes()).collect();
        let units = (self.samples / 40) as u32;
        let packet = Voice {
            seq: Seq(self.next),
            timestamp: Timestamp(units * u32::from(self.next)),
            level: half_db(rms(&sound)),
            stream: 0,
            terminator,
            payload: &payload,
        };
        self.host.push(Instant::ZERO, &packet).unwrap();
        self.said.extend(sound);
        self.next += 1;
    }

    fn play(&mut self) {
        let mut out = Frame::silence(0);
        self.playouts.push(self.host.pop(&mut out));
        self.heard.extend_from_slice(&out);
    }

    /// Sound that came and was not heard yet, if none was taken out.
    fn depth_ms(&self) -> usize {
        usize::from(self.host.depth_frames()) * self.samples / 16
    }
}

/// Frames of these durations, and so many of them that come at once.
fn bursts() -> impl Strategy<Value = (FrameDuration, u16)> {
    prop_oneof![
        (Just(FrameDuration::Ms20), 3..15u16),
        (Just(FrameDuration::Ms10), 3..30u16),
        (Just(FrameDuration::Ms5), 3..60u16),
    ]
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn a_surplus_is_gone_in_two_seconds_of_speech_without_a_click((frame, burst) in bursts()) {
        let mut listener = Listener::new(frame);
        (1..burst).for_each(|_| listener.receive(false));
        for _ in 0..2_000 / usize::from(frame.ms()) {
            listener.receive(false);
            listener.play();
        }
        prop_assert!(listener.depth_ms() <= usize::from(frame.ms()), "{} ms", listener.depth_ms());
        let all_played = listener.playouts.iter().all(|it| matches!(it, Playout::Frame { .. }));
        prop_assert!(all_played, "something was concealed");
        // A cross-fade of two stretches of the voice adds the slope of the fade, over 5 ms or more.
        let step = largest_step(&listener.heard);
        prop_assert!(step <= voice_step() + voice_step() / 4, "a step of {}", step);
        // What is left of the talkspurt is heard to its last sample.
        listener.receive(true);
        while listener.host.is_active() {
            listener.play();
        }
        let end = &listener.said[listener.said.len() - 80..];
        prop_assert!(listener.heard.windows(80).any(|it| it == end), "the end is missing");
    }
}

#[test]
fn without_a_surplus_every_frame_is_heard_bit_for_bit() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let mut listener = Listener::new(frame);
        for _ in 0..400 {
            listener.receive(false);
            listener.play();
        }
        assert!(listener.heard == listener.said, "{frame:?}");
    }
}

#[test]
fn what_waits_to_be_made_shorter_is_played_when_nothing_else_is_there() {
    let mut listener = Listener::new(FrameDuration::Ms5);
    (0..3).for_each(|_| listener.receive(false));
    while listener.host.stats().skipped == 0 {
        listener.receive(false);
        listener.play();
    }
    while listener.host.depth_frames() > 0 {
        listener.play();
    }
    assert!(listener.host.is_next_here());
    listener.play();
    assert!(
        listener
            .playouts
            .iter()
            .all(|it| matches!(it, Playout::Frame { .. }))
    );
    assert!(largest_step(&listener.heard) <= voice_step() + voice_step() / 4);
    listener.play();
    assert_eq!(listener.playouts.last(), Some(&Playout::Concealed));
}
