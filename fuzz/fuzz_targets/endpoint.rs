//! A client's endpoint with a server that sends anything, and a program that calls its methods in
//! any order: no panic, no packet that the other side cannot read, nothing after the end.
//!
//! An input is a sequence of operations as in `session`: one byte for the kind, one byte `n`, and
//! `n` bytes of data where the operation takes data. Packets are enclosed for the stream here, so
//! that those in the corpus need no valid CRC.
#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, CodecId};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::FRAME_SAMPLES_MAX;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::{GateConfig, GateMode};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{TRANSMIT_MAX, enclose, encoded_len_max};
use talkspurt_core::delay::DELAY_MAX;
use talkspurt_core::endpoint::{Client, ClientConfig, DelayMeter};
use talkspurt_core::session::{ClientEvent, JoinRequest};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::uplink::{Compress, HISTORY_SAMPLES_DEFAULT, catch_up_samples};
use talkspurt_core::wire::{ClientPacket, Reason, parse};

use input::Input;

const ENCODED: usize = encoded_len_max(352) + 1;

/// As small as a node's, with all that a host adds.
type Host = Client<
    ADPCM_PAYLOAD_MAX,
    ENCODED,
    16,
    1448,
    HISTORY_SAMPLES_DEFAULT,
    FRAME_SAMPLES_MAX,
    AnyCodec,
    Compress<{ catch_up_samples(AudioFormat::DEFAULT) }>,
>;

fuzz_target!(|data: &[u8]| {
    let mut rig = Rig::new();
    let mut input = Input(data);
    while let Some(what) = input.byte() {
        rig.step(what, &mut input);
    }
});

/// A client, and its server's deframer.
struct Rig {
    now: Instant,
    client: Box<Host>,
    delay: DelayMeter,
    server: Deframer<TRANSMIT_MAX>,
    is_over: bool,
}

impl Rig {
    fn new() -> Self {
        let (room, name) = ("r".parse().unwrap(), "n".parse().unwrap());
        let mut request = JoinRequest::new(room, name, &CodecId::ALL);
        request.shifts_frames = true;
        request.reports_delay = true;
        Self {
            now: Instant::ZERO,
            client: Box::new(Host::new(ClientConfig::new(request)).unwrap()),
            delay: DelayMeter::new(FrameDuration::Ms20),
            server: Deframer::new(),
            is_over: true,
        }
    }

    fn step(&mut self, what: u8, input: &mut Input<'_>) {
        let now = self.now;
        match what % 16 {
            0 | 1 => self.receive_packet(input.bytes()),
            2 => self.receive(input.bytes()),
            // 1 ms to 65 s.
            3 => {
                self.now += Duration::from_millis(u64::from(input.number()).pow(2));
                self.client.handle_timeout(self.now);
            }
            4 => {
                // Events of an earlier session are gone.
                while self.client.poll_event().is_some() {}
                let timeout = Duration::from_millis(u64::from(input.number()) * 40);
                // All zeros are no nonce.
                self.client.join(now, timeout, [input.number() | 1; 8]);
                self.is_over = false;
            }
            5 => self.client.leave(now),
            6 => self.client.end(Reason(input.number())),
            7 | 8 => self.say(i16::from(input.number()) * 100),
            9 => self.hear(),
            10 => self.client.set_muted(now, input.number() % 2 == 0),
            11 => self.client.keep_back(now, input.number() % 2 == 0),
            12 => self.client.end_talkspurt(now),
            13 => self.client.expect_answers(now),
            14 => self.set_gate(input),
            _ => self.transmit(),
        }
        self.take_events();
    }

    /// Delivers any packet, with a valid CRC.
    fn receive_packet(&mut self, packet: &[u8]) {
        let mut stream = [0; TRANSMIT_MAX];
        stream[..packet.len()].copy_from_slice(packet);
        let len = enclose(&mut stream, packet.len()).expect("255 bytes fit");
        self.receive(&stream[..len]);
    }

    fn receive(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let rest = self.client.handle_stream(self.now, bytes);
            assert!(rest.len() < bytes.len(), "no progress");
            bytes = rest;
            self.client.measure_received(self.now, &mut self.delay);
            self.take_events();
        }
    }

    fn say(&mut self, sample: i16) {
        let samples = self
            .client
            .params()
            .map_or(FRAME_SAMPLES_MAX, |params| params.format.frame_samples());
        let mut frame = [sample; FRAME_SAMPLES_MAX];
        frame
            .iter_mut()
            .step_by(2)
            .for_each(|sample| *sample = -*sample);
        let duration = self
            .client
            .params()
            .map(|params| params.format.frame.duration());
        if let Some(shift) = self.client.take_tick_shift() {
            assert!(shift > Duration::ZERO && Some(shift) < duration);
        }
        self.client.push_frame(self.now, &frame[..samples]);
        let waiting = Duration::from_millis(sample.unsigned_abs().into());
        self.client
            .measure_captured(self.now, waiting, &mut self.delay);
    }

    fn hear(&mut self) {
        let mut frame = Frame::silence(0);
        self.client.pop_frame(&mut frame);
        self.client
            .measure_played(self.now, Duration::ZERO, &mut self.delay);
        let delay = self.client.mouth_to_ear(&self.delay).unwrap_or_default();
        assert!(delay <= DELAY_MAX * 3);
        let expected = self
            .client
            .params()
            .map(|params| params.format.frame_samples());
        assert!(expected.is_none_or(|samples| samples == frame.len()));
    }

    fn set_gate(&mut self, input: &mut Input<'_>) {
        let (open, close) = (input.number(), input.number());
        let (window, hold) = (input.number(), input.number());
        let mode = match input.number() % 3 {
            0 => GateMode::Auto {
                open_above_db: open,
            },
            1 => GateMode::Fixed {
                open_rms: u16::from(open) * 257,
                close_rms: u16::from(close) * 257,
            },
            _ => GateMode::Off,
        };
        let gate = GateConfig {
            mode,
            window_ms: u16::from(window) * 2,
            hold_ms: u16::from(hold) * 6,
        };
        let is_good = gate.check().is_ok();
        assert_eq!(self.client.set_gate(gate).is_ok(), is_good);
    }

    /// Checks that whatever is transmitted is one packet that a server can read.
    fn transmit(&mut self) {
        let mut out = [0; ENCODED];
        let Some(transmit) = self.client.poll_transmit(self.now, &mut out) else {
            return;
        };
        let (Feed::Packet(packet), []) = self.server.feed(&out[..transmit.len]) else {
            panic!("not one packet")
        };
        let packet = parse::<ClientPacket<'_>>(packet).expect("a packet of this version");
        let is_voice = matches!(packet, ClientPacket::Voice(_));
        assert_eq!(transmit.droppable, is_voice);
        assert!(
            !is_voice || self.client.params().is_some(),
            "voice after the end"
        );
    }

    fn take_events(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert!(!self.is_over, "{event:?} after the end");
            self.is_over = matches!(event, ClientEvent::Rejected(..) | ClientEvent::Closed(..));
        }
        let waits = self.client.poll_timeout().is_some();
        assert!(
            waits || self.client.is_closed(),
            "an open session has a timeout"
        );
    }
}
