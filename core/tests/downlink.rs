//! The downlink: what is played when packets come, come late, or do not come.

use talkspurt_core::codec::{Codec, CodecError, Encoder};
use talkspurt_core::downlink::{Downlink, Playout};
use talkspurt_core::frame::{Frame, FrameDuration};
use talkspurt_core::jitter::{JitterConfig, PushOutcome};
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::Voice;

const PLAYED: Playout = Playout::Frame { terminator: false };
const PLAYED_LAST: Playout = Playout::Frame { terminator: true };

struct Ear {
    downlink: Downlink<64>,
    encoder: Encoder,
    out: Frame,
    /// All that was heard.
    heard: Vec<i16>,
}

impl Ear {
    fn new(codec: Codec, frame: FrameDuration, target_frames: u16) -> Self {
        let config = JitterConfig::default_for(frame, target_frames);
        Self {
            downlink: Downlink::new(codec, frame, config),
            encoder: Encoder::new(codec),
            out: Frame::silence(0),
            heard: Vec::new(),
        }
    }

    /// PCM16, 20 ms, no margin.
    fn plain() -> Self {
        Self::new(Codec::Pcm16, FrameDuration::Ms20, 0)
    }

    fn receive(&mut self, number: u16, samples: &[i16]) -> PushOutcome {
        self.receive_packet(number, samples, false)
    }

    fn receive_packet(&mut self, number: u16, samples: &[i16], terminator: bool) -> PushOutcome {
        let mut payload = [0; 640];
        let len = self.encoder.encode(samples, &mut payload).unwrap();
        self.downlink
            .push(&Voice {
                seq: Seq(number),
                timestamp_frames: number.into(),
                terminator,
                payload: &payload[..len],
            })
            .unwrap()
    }

    fn receive_empty_terminator(&mut self, number: u16) {
        let voice = Voice {
            seq: Seq(number),
            timestamp_frames: number.into(),
            terminator: true,
            payload: &[],
        };
        self.downlink.push(&voice).unwrap();
    }

    fn play(&mut self) -> Playout {
        let playout = self.downlink.pop(&mut self.out);
        self.heard.extend_from_slice(&self.out);
        playout
    }

    /// The largest step between neighbouring samples of all that was heard.
    fn largest_step(&self) -> i32 {
        self.heard
            .windows(2)
            .map(|w| (i32::from(w[1]) - i32::from(w[0])).abs())
            .max()
            .unwrap()
    }
}

/// A triangle wave of 200 Hz and amplitude 8,000 whose steps are 400; frame `number` goes on where the one before it ended.
fn wave(number: u16, samples: usize) -> Vec<i16> {
    let start = usize::from(number) * samples;
    (start..start + samples)
        .map(|n| ((n % 80) as i16 - 40).abs() * 400 - 8_000)
        .collect()
}

const WAVE_STEP: i32 = 400;

/// What a fade to nothing over a frame adds to the steps of a wave of amplitude 8,000, and rounding.
fn fade_step(samples: usize) -> i32 {
    8_000 / samples as i32 + 1
}

#[test]
fn what_comes_is_played_bit_for_bit_at_every_frame_duration() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let samples = 16 * usize::from(frame.ms());
        let mut ear = Ear::new(Codec::Pcm16, frame, 0);
        let mut said = Vec::new();
        for number in 0..100u16 {
            // Every value comes by.
            let frame: Vec<i16> = (0..samples)
                .map(|n| (usize::from(number) * samples + n).wrapping_mul(40_503) as i16)
                .collect();
            ear.receive_packet(number, &frame, number == 99);
            said.extend(frame);
            assert_eq!(ear.play(), if number == 99 { PLAYED_LAST } else { PLAYED });
        }
        assert_eq!(ear.heard, said);
        assert_eq!(ear.downlink.frames_received_and_played(), (100, 100));
        assert_eq!(ear.play(), Playout::Silence);
        assert_eq!(&*ear.out, vec![0; samples]);
    }
}

#[test]
fn adpcm_is_played_as_it_decodes() {
    let mut ear = Ear::new(Codec::ImaAdpcm, FrameDuration::Ms20, 0);
    let mut encoder = Encoder::new(Codec::ImaAdpcm);
    for number in 0..20 {
        let mut payload = [0; 163];
        encoder.encode(&wave(number, 320), &mut payload).unwrap();
        let mut decoded = [0; 320];
        Codec::ImaAdpcm.decode(&payload, &mut decoded).unwrap();
        ear.receive(number, &wave(number, 320));
        ear.play();
        assert_eq!(*ear.out, decoded);
    }
}

#[test]
fn before_and_between_talkspurts_there_is_silence() {
    let mut ear = Ear::plain();
    assert_eq!(ear.play(), Playout::Silence);
    ear.receive_packet(0, &wave(0, 320), true);
    assert_eq!(ear.play(), PLAYED_LAST);
    assert_eq!([ear.play(), ear.play()], [Playout::Silence; 2]);
    assert_eq!(&*ear.out, [0; 320]);
    assert!(!ear.downlink.is_active());
}

#[test]
fn a_lost_frame_is_concealed_without_a_click() {
    let mut ear = Ear::new(Codec::Pcm16, FrameDuration::Ms20, 1);
    for number in [0, 1, 3, 4] {
        ear.receive(number, &wave(number, 320));
    }
    assert_eq!(
        [ear.play(), ear.play(), ear.play(), ear.play()],
        [PLAYED, PLAYED, Playout::Concealed, PLAYED]
    );
    // Into the concealment; out of it the next frame is bit for bit what was sent.
    let concealed = &ear.heard[640 - 1..960];
    assert!(
        concealed
            .windows(2)
            .all(|w| (i32::from(w[1]) - i32::from(w[0])).abs() <= WAVE_STEP + fade_step(320))
    );
    assert!(
        concealed[1..160].iter().any(|s| s.abs() > 5_000),
        "it is not silence"
    );
    assert!(
        concealed[300..].iter().all(|s| s.abs() <= 4_300),
        "it fades to half"
    );
    assert_eq!(ear.heard[960..], wave(3, 320));
    assert_eq!(ear.downlink.stats().concealed, 1);
}

#[test]
fn a_talkspurt_that_breaks_off_fades_to_silence_without_a_click() {
    for frame in [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20] {
        let samples = 16 * usize::from(frame.ms());
        let mut ear = Ear::new(Codec::Pcm16, frame, 0);
        let mut number = 0;
        while ear.heard.len() < 960 {
            ear.receive(number, &wave(number, samples));
            assert_eq!(ear.play(), PLAYED);
            number += 1;
        }
        let mut concealed_frames = 0;
        while ear.play() == Playout::Concealed {
            concealed_frames += 1;
        }
        assert_eq!(
            concealed_frames * frame.ms(),
            100,
            "100 ms are concealed at any frame duration"
        );
        assert!(
            ear.largest_step() <= WAVE_STEP + fade_step(samples),
            "{frame:?}"
        );
        assert!(ear.out.iter().all(|&s| s == 0));
        assert!(!ear.downlink.is_active());
    }
}

#[test]
fn a_talkspurt_that_is_cut_by_mute_fades_within_a_frame() {
    let mut ear = Ear::plain();
    for number in 0..3 {
        ear.receive(number, &wave(number, 320));
        ear.play();
    }
    // Frame 2 ends at the wave's middle; go on to where it is loud.
    ear.receive(3, &[8_000; 320]);
    ear.play();
    ear.heard.clear();
    ear.receive_empty_terminator(4);
    assert_eq!(ear.play(), Playout::Concealed);
    assert_eq!(ear.play(), Playout::Silence);
    assert!(ear.heard[0] > 7_900);
    assert!(ear.largest_step() <= 26, "a straight line to zero");
    assert!(!ear.downlink.is_active());
    assert_eq!(
        ear.downlink.frames_received_and_played(),
        (4, 4),
        "an empty packet is no frame"
    );
}

#[test]
fn after_silence_an_empty_terminator_makes_no_sound() {
    let mut ear = Ear::plain();
    ear.receive(0, &[0; 320]);
    ear.play();
    ear.receive_empty_terminator(1);
    assert_eq!(ear.play(), Playout::Silence);
}

#[test]
fn the_end_of_the_range_is_concealed_without_overflow() {
    for value in [i16::MIN, i16::MAX] {
        let mut ear = Ear::plain();
        ear.receive(0, &[value; 320]);
        ear.play();
        for _ in 0..5 {
            assert_eq!(ear.play(), Playout::Concealed);
        }
        assert!(
            ear.heard.windows(2).all(|w| w[1].abs_diff(w[0]) < 110),
            "{value}"
        );
    }
}

#[test]
fn payloads_that_are_no_frame_are_errors_and_leave_no_trace() {
    let mut ear = Ear::plain();
    fn voice(payload: &[u8]) -> Voice<'_> {
        Voice {
            seq: Seq(0),
            timestamp_frames: 0,
            terminator: false,
            payload,
        }
    }
    for payload in [&[][..], &[0; 2], &[0; 639], &[0; 641], &[0; 163]] {
        assert_eq!(
            ear.downlink.push(&voice(payload)),
            Err(CodecError::WrongLength {
                got: payload.len() as u16,
                expected: 640
            })
        );
    }
    assert!(!ear.downlink.is_active());
    assert_eq!(ear.play(), Playout::Silence);
    let mut adpcm: Downlink<8, 163> = Downlink::new(
        Codec::ImaAdpcm,
        FrameDuration::Ms20,
        JitterConfig::default_for(FrameDuration::Ms20, 0),
    );
    let mut payload = [0; 163];
    payload[2] = 89;
    assert_eq!(
        adpcm.push(&voice(&payload)),
        Err(CodecError::BadStepIndex(89))
    );
    payload[2] = 88;
    assert_eq!(adpcm.push(&voice(&payload)), Ok(PushOutcome::Queued));
}

#[test]
fn a_burst_is_absorbed_and_the_delay_comes_back_in_pauses() {
    let mut ear = Ear::plain();
    // Speech: half a second of wave, a quarter of near-silence, and so on.
    let speech = |number: u16| {
        if number % 38 < 25 {
            wave(number, 320)
        } else {
            vec![(number % 7) as i16; 320]
        }
    };
    let mut number = 0;
    // A stall: a second of packets at once.
    for _ in 0..50 {
        assert_eq!(ear.receive(number, &speech(number)), PushOutcome::Queued);
        number += 1;
    }
    let mut frames = 0;
    while ear.downlink.depth_frames() > 0 {
        assert_eq!(ear.play(), PLAYED);
        ear.receive(number, &speech(number));
        number += 1;
        frames += 1;
        assert!(
            frames < 1_500,
            "30 s later still {} frames late",
            ear.downlink.depth_frames()
        );
        // The packet just received is what the next pop plays: one is no delay.
        if ear.downlink.depth_frames() == 1 {
            break;
        }
    }
    assert_eq!(ear.downlink.stats().skipped, 49);
    assert_eq!(ear.downlink.stats().overflowed, 0);
    // And it stays: from here on every frame is bit for bit what was sent.
    for _ in 0..200 {
        let next = number - 1;
        assert_eq!(ear.play(), PLAYED);
        assert_eq!(&*ear.out, speech(next));
        ear.receive(number, &speech(number));
        number += 1;
    }
}

#[test]
fn shortening_the_delay_makes_no_click_even_in_the_midst_of_a_vowel() {
    let mut ear = Ear::plain();
    let mut number = 0;
    for _ in 0..20 {
        ear.receive(number, &wave(number, 320));
        number += 1;
    }
    for _ in 0..2_000 {
        ear.play();
        ear.receive(number, &wave(number, 320));
        number += 1;
    }
    assert_eq!(ear.downlink.stats().skipped, 19);
    // A cross-fade of two waves is as smooth as they are, and what the weights add.
    assert!(
        ear.largest_step() <= WAVE_STEP + 16_000 / 320 + 1,
        "{}",
        ear.largest_step()
    );
}

#[test]
fn clear_silences_at_once() {
    let mut ear = Ear::plain();
    for number in 0..5 {
        ear.receive(number, &wave(number, 320));
    }
    ear.play();
    ear.downlink.clear();
    assert_eq!(ear.downlink.depth_frames(), 0);
    assert_eq!(ear.play(), Playout::Silence);
    assert_eq!(&*ear.out, [0; 320]);
}
