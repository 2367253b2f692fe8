//! Sequences of inputs, timeouts and calls at both ends of a session and of the voice path, with a
//! peer that sends anything: no panic, nothing after the end, nothing unbounded.
//!
//! An input is a sequence of operations: one byte for the kind, one byte `n`, and `n` bytes of data
//! where the operation takes data. So every string of bytes is a valid input, and packets can be in
//! the corpus as they are.
#![no_main]

mod input;

use libfuzzer_sys::fuzz_target;
use talkspurt_core::audio::codec::{CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::GateConfig;
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::seq::{Seq, Timestamp};
use talkspurt_core::session::{
    ClientEvent, ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest, ServerEvent, ServerSession,
    ServerSessionConfig,
};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::{ParticipantFlags, Reason, Voice, parse};

use input::Input;

const FORMAT: AudioFormat = AudioFormat {
    frame: FrameDuration::Ms5,
    ..AudioFormat::DEFAULT
};
const SLOTS: usize = 16;

fuzz_target!(|data: &[u8]| {
    let mut rig = Rig::new();
    let mut input = Input(data);
    while let Some(what) = input.byte() {
        rig.step(what, &mut input);
    }
    rig.fall_silent();
});

/// Both ends of a session and of the voice path, side by side.
struct Rig {
    now: Instant,
    client: ClientSession,
    client_is_over: bool,
    server: ServerSession,
    server_is_in: bool,
    server_is_over: bool,
    uplink: Uplink,
    muted: bool,
    downlink: Downlink<SLOTS, 160>,
    heard: Frame,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::ZERO;
        let request = JoinRequest::new("r".parse().unwrap(), "n".parse().unwrap(), &CodecId::ALL);
        let mut client = ClientSession::new(request);
        client.begin(HANDSHAKE_TIMEOUT_DEFAULT, [1; 8], now);
        let config = ServerSessionConfig::new(FORMAT);
        let gate = GateConfig {
            window_ms: 40,
            hold_ms: 20,
            ..GateConfig::DEFAULT
        };
        let uplink = UplinkConfig {
            gate,
            ..UplinkConfig::default_for(CodecId::ImaAdpcm.into(), FORMAT)
        };
        Self {
            now,
            client,
            client_is_over: false,
            server: ServerSession::new(config, now),
            server_is_in: false,
            server_is_over: false,
            uplink: Uplink::new(uplink).unwrap(),
            muted: false,
            downlink: Downlink::new(
                CodecId::Pcm16.into(),
                FORMAT,
                JitterConfig::default_for(FORMAT.frame, 1),
            ),
            heard: Frame::silence(0),
        }
    }

    fn step(&mut self, what: u8, input: &mut Input<'_>) {
        match what % 12 {
            0 => self.to_client(input.bytes()),
            1 => self.to_server(input.bytes()),
            2 => {
                // 1 ms to 65 s.
                self.now += Duration::from_millis(u64::from(input.number()).pow(2));
                self.client.handle_timeout(self.now);
                self.server.handle_timeout(self.now);
                assert!(self.client.poll_timeout().is_none_or(|at| at > self.now));
                assert!(self.server.poll_timeout().is_none_or(|at| at > self.now));
            }
            3 => self
                .server
                .handle_garbage(self.now, u32::from(input.number()).pow(3)),
            4 => self
                .client
                .set_muted(input.number() % 2 == 0, self.uplink.last_seq()),
            5 => match input.number() {
                0 => self.server.handle_disconnect(),
                1 => self.client.leave(self.uplink.last_seq()),
                2 => self.client.end(Reason::IDLE_TIMEOUT),
                3 => {
                    self.downlink.clear();
                    assert_eq!(self.downlink.depth_frames(), 0);
                }
                n if Reason(n) == Reason::REJOINED => {} // Which only a Hello can cause.
                n => self.server.end(Reason(n), "why"),
            },
            6 => {
                let sample = i16::from(input.number()) * 100;
                self.uplink.push(&[sample; FORMAT.frame_samples()]);
            }
            7 => self.poll_uplink(),
            8 => {
                self.muted = input.number() % 2 == 0;
                self.uplink.set_muted(self.muted);
            }
            9 => self.uplink.finish(),
            10 => self.push_voice(input),
            _ => self.play(),
        }
        self.drain();
    }

    fn to_client(&mut self, packet: &[u8]) {
        let voice = self.client.handle_packet(self.now, parse(packet));
        assert!(voice.is_none() || self.client.params().is_some());
        if let Some(voice) = voice {
            // An invalid payload is an error and nothing more.
            let _ = self.downlink.push(self.now, &voice);
        }
    }

    fn to_server(&mut self, packet: &[u8]) {
        let voice = self.server.handle_packet(self.now, parse(packet));
        assert!(voice.is_none() || self.server_is_in);
        if let Some(voice) = voice {
            let _ = self.downlink.push(self.now, &voice);
        }
    }

    /// Takes events and packets, as the contract asks after each input.
    fn drain(&mut self) {
        while let Some(event) = self.client.poll_event() {
            assert!(!self.client_is_over, "{event:?} after the end");
            self.client_is_over =
                matches!(event, ClientEvent::Closed(..) | ClientEvent::Rejected(..));
        }
        while let Some(event) = self.server.poll_event() {
            assert!(!self.server_is_over, "{event:?} after the end");
            match event {
                ServerEvent::Hello(hello) if hello.muted => {
                    self.server.end(Reason::ROOM_FULL, &hello.name);
                }
                ServerEvent::Hello(_) => {
                    self.server.accept();
                    self.server_is_in = true;
                }
                ServerEvent::Muted(_) => assert!(self.server_is_in),
                ServerEvent::Repeated
                | ServerEvent::RosterRequested
                | ServerEvent::DelayReported(_) => {
                    assert!(self.server_is_in);
                }
                ServerEvent::Left(reason, _) => {
                    assert!(self.server_is_in);
                    self.server_is_in = false;
                    self.server_is_over = reason != Reason::REJOINED;
                }
                ServerEvent::Refused(_) => {
                    assert!(!self.server_is_in);
                    self.server_is_over = true;
                }
                other => panic!("{other:?} is news"),
            }
        }
        while self.client.poll_transmit().is_some() {}
        while self
            .server
            .poll_transmit(1, ParticipantFlags::default())
            .is_some()
        {}
        assert_eq!(self.client.is_closed(), self.client_is_over);
        assert_eq!(self.server.is_closed(), self.server_is_over);
        assert_eq!(self.server.is_joined(), self.server_is_in);
    }

    fn poll_uplink(&mut self) {
        let mut payload = [0; PAYLOAD_MAX];
        let most = self.uplink.stats().frames_captured + 2;
        let mut sent = 0;
        while self.uplink.poll_voice(&mut payload).is_some() {
            sent += 1;
            assert!(sent <= most, "more packets than frames");
        }
        let stats = self.uplink.stats();
        assert!(stats.frames_sent + stats.frames_overrun <= stats.frames_captured);
    }

    /// Pushes a hostile voice packet with any numbers and any payload (of the right length, every
    /// other time).
    fn push_voice(&mut self, input: &mut Input<'_>) {
        let (near, seq, timestamp, flags) = (
            input.number(),
            input.number(),
            input.number(),
            input.number(),
        );
        let bytes = input.bytes();
        let mut payload = [0; 160];
        let len = bytes.len().min(160);
        payload[..len].copy_from_slice(&bytes[..len]);
        let voice = Voice {
            seq: Seq(u16::from(seq) * if near < 200 { 1 } else { 257 }),
            timestamp: Timestamp(u32::from(timestamp) * if near < 200 { 2 } else { 0x0101_0101 }),
            level: near,
            stream: flags >> 4,
            terminator: flags & 1 != 0,
            payload: if flags & 2 != 0 { bytes } else { &payload },
        };
        let valid = voice.payload.len() == 160 || (voice.terminator && voice.payload.is_empty());
        assert_eq!(self.downlink.push(self.now, &voice).is_ok(), valid);
        assert!(usize::from(self.downlink.depth_frames()) <= SLOTS);
    }

    fn play(&mut self) {
        let playout = self.downlink.pop(&mut self.heard);
        assert_eq!(self.heard.len(), FORMAT.frame_samples());
        assert!(playout != Playout::Silence || self.heard.iter().all(|&sample| sample == 0));
    }

    /// Without further input, waiting frames are played and then there is silence.
    fn fall_silent(&mut self) {
        for _ in 0..100 {
            self.play();
        }
        assert!(!self.downlink.is_active());
        self.uplink.finish();
        self.poll_uplink();
        assert!(!self.uplink.is_talking());
    }
}
