//! The downlink on a good network: what it plays, and the silence in between.

use crate::common::ear::{Ear, PLAYED, PLAYED_LAST, voice};
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecError, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::jitter::{JitterConfig, PushOutcome};
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::wire::Voice;

#[test]
fn packets_are_played_bit_for_bit_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let samples = 16 * usize::from(frame.ms());
        let mut ear = Ear::new(CodecId::Pcm16, frame, 0);
        let mut said = Vec::new();
        for number in 0..100u16 {
            // Every value occurs.
            let frame: Vec<i16> = (0..samples)
                .map(|n| (usize::from(number) * samples + n).wrapping_mul(40_503) as i16)
                .collect();
            ear.receive_packet(number, &frame, number == 99);
            said.extend(frame);
            assert_eq!(ear.play(), if number == 99 { PLAYED_LAST } else { PLAYED });
        }
        assert_eq!(ear.heard, said);
        assert_eq!(ear.play(), Playout::Silence);
        assert_eq!(&*ear.out, vec![0; samples]);
    }
}

#[test]
fn the_margin_is_as_configured_and_one_frame_more_after_a_late_frame() {
    let mut ear = Ear::new(CodecId::Pcm16, FrameDuration::Ms20, 3);
    assert_eq!(ear.downlink.target_frames(), 3);
    (0..4).for_each(|number| _ = ear.receive(number, &voice(number, 320)));
    (0..4).for_each(|_| assert_eq!(ear.play(), PLAYED));
    assert_eq!(ear.play(), Playout::Concealed);
    let _ = ear.receive(4, &voice(4, 320));
    assert_eq!(ear.play(), PLAYED);
    assert_eq!(ear.downlink.target_frames(), 4);
}

#[test]
fn adpcm_is_played_as_it_decodes() {
    let mut ear = Ear::new(CodecId::ImaAdpcm, FrameDuration::Ms20, 0);
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    for number in 0..20 {
        let mut payload = [0; 163];
        encoder.encode(&voice(number, 320), &mut payload).unwrap();
        let mut decoded = [0; 320];
        ImaAdpcm::default().decode(&payload, &mut decoded).unwrap();
        ear.receive(number, &voice(number, 320));
        ear.play();
        assert_eq!(*ear.out, decoded);
    }
}

#[test]
fn before_and_between_talkspurts_there_is_silence() {
    let mut ear = Ear::plain();
    assert_eq!(ear.play(), Playout::Silence);
    ear.receive_packet(0, &voice(0, 320), true);
    assert_eq!(ear.play(), PLAYED_LAST);
    assert_eq!([ear.play(), ear.play()], [Playout::Silence; 2]);
    assert_eq!(&*ear.out, [0; 320]);
    assert!(!ear.downlink.is_active());
}

#[test]
fn invalid_payloads_are_errors_and_change_nothing() {
    let mut ear = Ear::plain();
    fn voice(payload: &[u8]) -> Voice<'_> {
        Voice {
            seq: Seq(0),
            timestamp: Timestamp(0),
            level: 40,
            stream: 0,
            terminator: false,
            payload,
        }
    }
    for payload in [&[][..], &[0; 2], &[0; 639], &[0; 641], &[0; 163]] {
        assert_eq!(
            ear.downlink.push(Instant::ZERO, &voice(payload)),
            Err(CodecError::WrongLength {
                got: payload.len() as u16,
                expected: 640
            })
        );
    }
    assert!(!ear.downlink.is_active());
    assert_eq!(ear.play(), Playout::Silence);
    let mut adpcm: Downlink<8, 163> = Downlink::new(
        CodecId::ImaAdpcm.into(),
        AudioFormat::DEFAULT,
        JitterConfig::default_for(FrameDuration::Ms20, 0),
    );
    let mut payload = [0; 163];
    payload[2] = 89;
    assert_eq!(
        adpcm.push(Instant::ZERO, &voice(&payload)),
        Err(CodecError::BadStepIndex(89))
    );
    payload[2] = 88;
    assert_eq!(
        adpcm.push(Instant::ZERO, &voice(&payload)),
        Ok(PushOutcome::Queued)
    );
}

#[test]
fn the_level_is_that_of_the_frame_that_was_played_last_also_where_it_ends_the_word() {
    let mut ear = Ear::plain();
    let payload = [1; 640];
    for (number, level) in [(0u16, 30), (1, 60), (2, 10)] {
        let voice = Voice {
            seq: Seq(number),
            timestamp: Timestamp(8 * u32::from(number)),
            level,
            stream: 0,
            terminator: number == 2,
            payload: &payload,
        };
        ear.downlink.push(Instant::ZERO, &voice).unwrap();
        ear.play();
        assert_eq!(ear.downlink.level(), level);
    }
}
