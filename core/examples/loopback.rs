//! A client talks to a server that sends everything back, on virtual time. Two seconds of tone take
//! a few milliseconds, and arrive bit for bit as they were sent.
//!
//! `cargo run -p talkspurt-core --example loopback`

use talkspurt_core::audio::codec::{CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::gate::GateMode;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, PACKET_MAX, TRANSMIT_MAX};
use talkspurt_core::endpoint::{Client, ClientConfig, write_to_stream};
use talkspurt_core::session::{
    HANDSHAKE_TIMEOUT_DEFAULT, HelloRequest, JoinRequest, ServerEvent, ServerSession,
    ServerSessionConfig,
};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::uplink::HISTORY_SAMPLES_DEFAULT;
use talkspurt_core::wire::{
    PROTOCOL_VERSION, ParticipantFlags, ParticipantId, Roster, RosterEntry, RosterPage,
    ServerPacket, Welcome, parse,
};

type Desktop = Client<PAYLOAD_MAX, TRANSMIT_MAX, 64, 8192, HISTORY_SAMPLES_DEFAULT>;

const FORMAT: AudioFormat = AudioFormat::DEFAULT;
const FRAMES_SAID: usize = 100;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let request = JoinRequest::new("kitchen".parse()?, "ann".parse()?, &[CodecId::Pcm16]);
    let mut config = ClientConfig::new(request);
    // To a gate that follows the noise, a steady tone is noise.
    config.gate.mode = GateMode::ORIGINAL;
    let mut ann = Box::new(Desktop::new(config)?);
    let mut now = Instant::ZERO;
    let mut server = Echo::new(now);
    // Random in a program: it names the session.
    ann.join(now, HANDSHAKE_TIMEOUT_DEFAULT, *b"loopback");

    let (mut said, mut heard) = (Vec::new(), Vec::new());
    for number in 0..FRAMES_SAID + 50 {
        if let Some(params) = ann.params() {
            let mut frame = Frame::silence(params.format.frame_samples());
            if number < FRAMES_SAID {
                tone(number, &mut frame);
                said.extend_from_slice(&frame);
            }
            ann.push_frame(now, &frame);
            ann.pop_frame(&mut frame);
            heard.extend_from_slice(&frame);
        }
        let mut packet = [0; TRANSMIT_MAX];
        while let Some(transmit) = ann.poll_transmit(now, &mut packet) {
            server.take(now, &packet[..transmit.len]);
        }
        let answer = std::mem::take(&mut server.to_client);
        let mut bytes = &answer[..];
        while !bytes.is_empty() {
            bytes = ann.handle_stream(now, bytes);
            while let Some(event) = ann.poll_event() {
                println!("{event:?}");
            }
        }
        now += FORMAT.frame.duration();
        ann.handle_timeout(now);
    }

    let start = heard
        .iter()
        .position(|&sample| sample != 0)
        .ok_or("nothing was heard")?;
    assert_eq!(heard[start..][..said.len()], said, "bit for bit as said");
    let delay = Duration::from_micros(start as u64 * 1_000_000 / 16_000);
    println!(
        "heard {} ms of what was said, {} ms later",
        said.len() / 16,
        delay.as_millis()
    );
    Ok(())
}

/// Two partials without a common period, loud enough for the gate.
fn tone(number: usize, frame: &mut [i16]) {
    let start = number * frame.len() + 1;
    for (n, sample) in (start..).zip(frame) {
        let wave =
            |period: usize| ((n % period) as i32 - period as i32 / 2) * 16_000 / period as i32;
        *sample = (wave(37) + wave(101)) as i16;
    }
}

/// The server's end of one connection.
struct Echo {
    session: ServerSession,
    deframer: Deframer,
    to_client: Vec<u8>,
}

impl Echo {
    fn new(now: Instant) -> Self {
        let config = ServerSessionConfig::new(FORMAT);
        Self {
            session: ServerSession::new(config, now),
            deframer: Deframer::new(),
            to_client: Vec::new(),
        }
    }

    fn take(&mut self, now: Instant, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (feed, rest) = self.deframer.feed(bytes);
            bytes = rest;
            if let Feed::Packet(packet) = feed
                && let Some(voice) = self.session.handle_packet(now, parse(packet))
            {
                write(&mut self.to_client, &ServerPacket::Voice(voice));
            }
            while let Some(event) = self.session.poll_event() {
                if let ServerEvent::Hello(hello) = event {
                    self.session.accept();
                    write(&mut self.to_client, &welcome(&hello));
                    write(&mut self.to_client, &roster(&hello.name));
                }
            }
            let (revision, flags) = (1, ParticipantFlags::default());
            while let Some(packet) = self.session.poll_transmit(revision, flags) {
                write(&mut self.to_client, &packet);
            }
        }
    }
}

fn write(stream: &mut Vec<u8>, packet: &ServerPacket<'_>) {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).expect("every packet fits");
    stream.extend_from_slice(&bytes[..len]);
}

/// A room with nobody else in it.
fn welcome(hello: &HelloRequest) -> ServerPacket<'static> {
    ServerPacket::Welcome(Welcome {
        version: PROTOCOL_VERSION,
        nonce: hello.nonce,
        max_packet: PACKET_MAX as u16,
        features: 0,
        resume: None,
        id: ParticipantId(1),
        codec_up: hello.codec_up.id(),
        codec_down: hello.codec_down.id(),
        rate_hz: FORMAT.rate.hz(),
        frame_ms: FORMAT.frame.ms(),
        idle_timeout_ms: 15_000,
        revision: 1,
        participants: 1,
    })
}

fn roster(name: &str) -> ServerPacket<'_> {
    let entry = RosterEntry::new(ParticipantId(1), ParticipantFlags::default(), name);
    ServerPacket::Roster(Roster {
        revision: 1,
        first: 0,
        total: 1,
        entries: RosterPage::from_iter([entry]),
    })
}
