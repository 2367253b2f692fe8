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
use talkspurt_core::time::{Duration, Instant};
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
        Self::with_margin(frame, 0)
    }

    fn with_margin(frame: FrameDuration, target_frames: u16) -> Self {
        let config = JitterConfig {
            pre_roll_max_frames: 0,
            ..JitterConfig::default_for(frame, target_frames)
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
        self.receive_sound(voice(self.next, self.samples), terminator);
    }

    fn receive_sound(&mut self, sound: Vec<i16>, terminator: bool) {
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

    /// A packet is lost.
    fn lose(&mut self) {
        self.said.extend(voice(self.next, self.samples));
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
        for _ in 0..200 {
            listener.play();
        }
        prop_assert!(!listener.host.is_active());
        let end = &listener.said[listener.said.len() - 80..];
        prop_assert!(listener.heard.windows(80).any(|it| it == end), "the end is missing");
    }
}

#[test]
fn a_talkspurt_ends_once_and_with_its_last_frame() {
    for (frame, burst) in [
        (FrameDuration::Ms5, 40),
        (FrameDuration::Ms10, 20),
        (FrameDuration::Ms20, 10),
    ] {
        for later in 0..30 {
            let mut listener = Listener::new(frame);
            (1..burst).for_each(|_| listener.receive(false));
            while listener.host.stats().skipped < later {
                listener.receive(false);
                listener.play();
                if listener.playouts.len() > 600 {
                    break;
                }
            }
            listener.receive(true);
            for _ in 0..3 * burst {
                listener.play();
            }
            let ends = |it: &Playout| *it == Playout::Frame { terminator: true };
            let is_silent = |it: &Playout| *it == Playout::Silence;
            let silent = listener.playouts.iter().position(is_silent).unwrap();
            assert!(ends(&listener.playouts[silent - 1]), "{frame:?}, {later}");
            let all = listener.playouts.iter().filter(|it| ends(it)).count();
            assert_eq!(all, 1, "{frame:?}, {later}");
            assert!(!listener.host.is_active());
        }
    }
}

#[test]
fn one_surplus_frame_waits_long_for_a_quiet_moment() {
    let mut listener = Listener::new(FrameDuration::Ms20);
    listener.receive(false);
    // Three quarters of the window, and then three windows.
    for _ in 0..54 + 3 * 75 - 4 {
        assert!(listener.heard == listener.said[..listener.heard.len()]);
        assert_eq!(listener.host.stats().skipped, 0);
        listener.receive(false);
        listener.play();
    }
    for _ in 0..8 {
        listener.receive(false);
        listener.play();
    }
    assert_eq!(listener.host.stats().skipped, 1);
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

#[test]
fn a_word_is_heard_to_its_end_though_the_next_one_waits_behind_it() {
    for (frame, burst) in [
        (FrameDuration::Ms5, 40),
        (FrameDuration::Ms10, 20),
        (FrameDuration::Ms20, 10),
    ] {
        // The end may come in any state of the compression.
        for later in 0..30 {
            let mut listener = Listener::with_margin(frame, 2);
            (1..burst).for_each(|_| listener.receive(false));
            while listener.host.stats().skipped == 0 {
                listener.receive(false);
                listener.play();
            }
            for _ in 0..later {
                listener.receive(false);
                listener.play();
            }
            // Nothing is as loud as its very end.
            let mut end = voice(listener.next, listener.samples);
            *end.last_mut().unwrap() = 20_000;
            listener.receive_sound(end, true);
            // It waits for the margin.
            listener.receive(false);
            for _ in 0..3 * burst {
                listener.play();
            }
            let is_heard = listener.heard.contains(&20_000);
            assert!(is_heard, "{frame:?}, {later} frames later");
        }
    }
}

#[test]
fn a_surplus_behind_lost_frames_is_taken_out_without_a_click() {
    let mut skipped = 0;
    for seed in 0..40 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut listener = Listener::new(FrameDuration::Ms20);
        (1..10).for_each(|_| listener.receive(false));
        for _ in 0..100 {
            match rng.u8(0..5) {
                0 => listener.lose(),
                _ => listener.receive(false),
            }
            listener.play();
        }
        skipped += listener.host.stats().skipped;
        let (step, most) = (largest_step(&listener.heard), voice_step() * 5 / 4);
        assert!(step <= most, "seed {seed}: a step of {step}, not {most}");
    }
    assert!(skipped > 40, "there was a surplus: {skipped}");
}

#[test]
fn after_a_restart_nothing_is_left_of_what_was_being_compressed() {
    let mut listener = Listener::new(FrameDuration::Ms5);
    (1..40).for_each(|_| listener.receive(false));
    while listener.host.held_back() == Duration::ZERO {
        listener.receive(false);
        listener.play();
    }
    let config = JitterConfig::default_for(FrameDuration::Ms5, 0);
    let format = wide_band(FrameDuration::Ms5);
    listener.host.restart(CodecId::Pcm16.into(), format, config);
    assert!(!listener.host.is_active());
    listener.play();
    assert_eq!(listener.playouts.last(), Some(&Playout::Silence));
}
