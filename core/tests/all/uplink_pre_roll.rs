//! What is sent of the time before the gate opened.

use crate::common::mic::{Mic, quiet, soft, word};
use crate::common::wide_band;
use crate::uplink::{FIXED, config, marks};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::FrameDuration;
use talkspurt_core::voice::uplink::UplinkConfig;

#[test]
fn the_pre_roll_is_as_configured_but_no_longer_than_the_history() {
    // The default history holds 60 ms and a frame.
    for (pre_roll_frames, first) in [(0, 21), (2, 19), (1_000, 18)] {
        let mut mic = Mic::new(UplinkConfig {
            pre_roll_frames,
            ..config()
        });
        for mark in 1..=20 {
            mic.capture(&soft(mark));
        }
        let opening: Vec<_> = (first..=21).map(|mark| (Some(mark), false)).collect();
        assert_eq!(marks(&mic.capture(&word(21))), opening);
        assert_eq!(
            mic.uplink.stats().frames_overrun,
            0,
            "nothing came too late"
        );
    }
}

#[test]
fn what_lies_before_the_rise_of_the_level_is_not_sent() {
    // At 5 ms frames: a murmur of 30 ms, and the 5 ms before it. A dip below the close threshold
    // begins anew.
    for (dip, first) in [(0, 28), (5, 39)] {
        let config =
            UplinkConfig::default_for(CodecId::Pcm16.into(), wide_band(FrameDuration::Ms5));
        let mut mic = Mic::new(UplinkConfig {
            gate: FIXED,
            pre_roll_frames: 12,
            ..config
        });
        (1..=28).for_each(|mark| _ = mic.capture(&quiet(mark)));
        (29..=34).for_each(|mark| _ = mic.capture(&soft(mark)));
        let word_at = 35 + dip;
        (35..word_at).for_each(|mark| _ = mic.capture(&quiet(mark)));
        let opening = mic.capture(&word(word_at));
        let expected: Vec<_> = (first..=word_at).map(|mark| (Some(mark), false)).collect();
        assert_eq!(marks(&opening), expected);
    }
}

#[test]
fn sixty_milliseconds_of_pre_roll_are_kept_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let config = UplinkConfig::default_for(CodecId::Pcm16.into(), wide_band(frame));
        let mut mic = Mic::new(UplinkConfig {
            gate: FIXED,
            ..config
        });
        for mark in 1..=100 {
            mic.capture(&soft(mark));
        }
        let opening = mic.capture(&word(101));
        assert_eq!(opening.len(), 60 / usize::from(frame.ms()) + 1, "{frame:?}");
        assert_eq!(opening.last().unwrap().mark, Some(101));
        assert_eq!(opening[0].mark, Some(101 - 60 / i16::from(frame.ms())));
    }
}
