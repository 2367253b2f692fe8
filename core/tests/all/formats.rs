//! Every rate and frame duration, not only the default one.

use crate::common::ear::largest_step;
use crate::common::session_pair::{NONCE, Pair};
use std::f64::consts::TAU;
use talkspurt_core::audio::codec::{CodecId, ImaAdpcm};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration, SampleRate};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::audio::mixer::{MixRule, MixState, Part, Talkers, render};
use talkspurt_core::carrier::stream::{ENCODED_MAX, TRANSMIT_MAX};
use talkspurt_core::endpoint::{Client, ClientConfig, ClientConfigError, write_to_stream};
use talkspurt_core::session::{ClientEvent, JoinRequest};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig, history_samples};
use talkspurt_core::wire::ServerPacket;

const RATES: [SampleRate; 3] = [SampleRate::Hz8000, SampleRate::Hz16000, SampleRate::Hz48000];

const LONGEST: AudioFormat = AudioFormat {
    rate: SampleRate::Hz48000,
    frame: FrameDuration::Ms20,
};
const FRAME: usize = LONGEST.frame_samples();
const HISTORY: usize = history_samples(LONGEST, 60);

fn formats() -> impl Iterator<Item = AudioFormat> {
    let frames = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20];
    RATES
        .into_iter()
        .flat_map(move |rate| frames.map(|frame| AudioFormat { rate, frame }))
}

/// Frame `number` of a tone of 437 Hz at 8,000.
fn tone(format: AudioFormat, number: usize) -> Vec<i16> {
    let len = format.frame_samples();
    let phase = |n: usize| n as f64 * 437.0 / f64::from(format.rate.hz()) * TAU;
    (number * len..(number + 1) * len)
        .map(|n| (8_000.0 * phase(n).sin()) as i16)
        .collect()
}

#[test]
fn a_voice_passes_bit_for_bit_and_its_gaps_do_not_click() {
    for format in formats() {
        let mut config = UplinkConfig::default_for(CodecId::Pcm16.into(), format);
        config.gate.mode = GateMode::ORIGINAL;
        let mut uplink = Uplink::<HISTORY>::new(config).unwrap();
        let jitter = JitterConfig::default_for(format.frame, 0);
        let mut downlink: Downlink<16, { 2 * FRAME }, FRAME> =
            Downlink::new(CodecId::Pcm16.into(), format, jitter);
        let (mut out, mut heard) = (Frame::silence(0), Vec::new());
        for number in 0..20 {
            let frame = tone(format, number);
            uplink.push(&frame);
            let mut payload = [0; 2 * FRAME];
            while let Some(voice) = uplink.poll_voice(&mut payload) {
                if number != 10 {
                    downlink.push(Instant::ZERO, &voice).unwrap();
                }
            }
            match downlink.pop(&mut out) {
                Playout::Concealed => assert_eq!(number, 10, "{format:?}"),
                _ if number == 11 => {
                    let resumed = format.rate.samples_in_ms(5);
                    assert_eq!(out[resumed..], frame[resumed..], "{format:?}");
                }
                _ => assert_eq!(*out, frame, "{format:?} {number}"),
            }
            heard.extend_from_slice(&out);
        }
        let spoken: Vec<i16> = (0..20).flat_map(|number| tone(format, number)).collect();
        assert!(
            largest_step(&heard) <= 2 * largest_step(&spoken),
            "{format:?}"
        );
    }
}

#[test]
fn the_limiter_ducks_in_2_ms_and_recovers_in_half_a_second() {
    for format in formats() {
        let len = format.frame_samples();
        let mix = |level: i16, talkers: usize, state: &mut MixState| {
            let mut sum = Talkers::<FRAME>::new(format.rate, len);
            (0..talkers).for_each(|_| sum.add(Part::Staying, &vec![level; len]));
            let mut out = Frame::silence(0);
            render(&sum, None, MixRule::Sum, state, &mut out);
            out.to_vec()
        };
        let mut state = MixState::new();
        let ducked = mix(32_000, 60, &mut state);
        let attack = format.rate.samples_in_ms(2);
        // The gain has 15 bits: of sixty shouting at once it leaves two thousandths more or less.
        let held = |sample: &i16| (32_600..=32_767).contains(sample);
        assert!(ducked[attack - 1..].iter().all(held), "{format:?}");
        let frames = (0..).find(|_| mix(1_000, 1, &mut state)[len - 1] == 1_000);
        let ms = (frames.unwrap() + 1) * i32::from(format.frame.ms());
        assert!((490..=520).contains(&ms), "{ms} ms, {format:?}");
    }
}

fn request(rates: &'static [SampleRate]) -> ClientConfig {
    let codecs = [CodecId::ImaAdpcm];
    let names = ("kitchen".parse().unwrap(), "ada".parse().unwrap());
    let mut request = JoinRequest::new(names.0, names.1, &codecs);
    request.rates = rates;
    let mut config = ClientConfig::new(request);
    config.gate.mode = GateMode::ORIGINAL;
    config
}

#[test]
fn a_client_speaks_at_the_rate_that_the_server_chose_of_its_own() {
    const PAYLOAD: usize = CodecId::ImaAdpcm.payload_len(FRAME);
    type Wide = Client<PAYLOAD, TRANSMIT_MAX, 16, 8_192, HISTORY, FRAME, ImaAdpcm>;
    for chosen in RATES {
        let mut client = Wide::new(request(&RATES)).unwrap();
        let now = Instant::from_micros(1_000_000);
        client.join(now, Duration::from_secs(5), NONCE);
        let mut welcome = Pair::welcome_packet(&["ada"]);
        (welcome.codec_up, welcome.rate_hz) = (CodecId::ImaAdpcm.id(), chosen.hz());
        welcome.codec_down = CodecId::ImaAdpcm.id();
        let mut bytes = [0; ENCODED_MAX];
        let len = write_to_stream(&ServerPacket::Welcome(welcome), &mut bytes).unwrap();
        client.handle_stream(now, &bytes[..len]);
        let format = client.params().unwrap().format;
        assert_eq!(
            format,
            AudioFormat {
                rate: chosen,
                ..LONGEST
            }
        );
        client.push_frame(now, &tone(format, 0));
        assert!(client.is_talking(), "{chosen:?}");
        let mut out = Frame::silence(0);
        client.pop_frame(&mut out);
        assert_eq!(out.len(), format.frame_samples());
    }
    // Nobody asked for another rate.
    let mut client = Wide::new(request(&[SampleRate::Hz48000])).unwrap();
    client.join(Instant::ZERO, Duration::from_secs(5), NONCE);
    let mut bytes = [0; ENCODED_MAX];
    let welcome = ServerPacket::Welcome(Pair::welcome_packet(&["ada"]));
    let len = write_to_stream(&welcome, &mut bytes).unwrap();
    client.handle_stream(Instant::ZERO, &bytes[..len]);
    assert!(matches!(client.poll_event(), Some(ClientEvent::Closed(..))));
}

#[test]
fn rates_that_do_not_fit_a_clients_buffers_are_refused() {
    type Node = Client<163, TRANSMIT_MAX, 16, 1_448, 1_280>;
    for rates in [&[][..], &[SampleRate::Hz16000, SampleRate::Hz48000]] {
        let refused = Node::new(request(rates)).err();
        assert_eq!(refused, Some(ClientConfigError::RateDoesNotFit));
    }
    assert!(Node::new(request(&[SampleRate::Hz8000])).is_ok());
}
