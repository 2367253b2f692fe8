//! Layer 4: from samples to the stream, and from a stream with losses to samples.

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, CodecId, PAYLOAD_MAX};
use talkspurt_core::audio::format::{AudioFormat, FrameDuration};
use talkspurt_core::audio::frame::Frame;
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::voice::downlink::{Downlink, Playout};
use talkspurt_core::voice::uplink::{Uplink, UplinkConfig};
use talkspurt_core::wire::{ClientPacket, parse};

use crate::Out;
use crate::gate::code;
use crate::sound::{Numbers, words};

const FORMAT: AudioFormat = AudioFormat {
    frame: FrameDuration::Ms10,
    ..AudioFormat::DEFAULT
};
const FRAMES: u32 = 100;

/// Gate decisions and packets of words with pauses, a mute in the middle of one, and the end.
pub fn uplink(out: &mut Out<'_>) {
    for codec in [CodecId::ImaAdpcm, CodecId::Pcm16] {
        let mut talker = Talker::new(codec);
        let frames = if codec == CodecId::Pcm16 { 20 } else { FRAMES };
        for number in 0..frames {
            if number == 85 || number == 87 {
                talker.uplink.set_muted(number == 85);
            }
            if number + 1 == frames {
                talker.uplink.finish();
            }
            out(&[talker.push(number)]);
            while let Some(packet) = talker.packet() {
                out(packet);
            }
        }
    }
}

/// What is played of that stream when one packet in nine is lost and the others come in clumps.
pub fn downlink(out: &mut Out<'_>) {
    let mut talker = Talker::new(CodecId::ImaAdpcm);
    let mut line = Deframer::<ENCODED_MAX>::new();
    let mut listener = Downlink::<16, ADPCM_PAYLOAD_MAX>::new(
        CodecId::ImaAdpcm.into(),
        FORMAT,
        JitterConfig::default_for(FORMAT.frame, 2),
    );
    let mut numbers = Numbers::new(5);
    let mut frame = Frame::silence(0);
    for number in 0..FRAMES {
        talker.push(number);
        if number % 3 == 2 {
            while let Some(packet) = talker.packet() {
                if numbers.below(9) > 0 {
                    let now = Instant::ZERO + Duration::from_millis(10) * number;
                    hear(&mut line, &mut listener, now, packet);
                }
            }
        }
        let played = match listener.pop(&mut frame) {
            Playout::Frame { terminator } => 1 + u8::from(terminator),
            Playout::Concealed | Playout::Faded => 3,
            Playout::Silence => 0,
        };
        out(&[played]);
        if played > 0 {
            for sample in frame.iter() {
                out(&sample.to_le_bytes());
            }
        }
    }
}

fn hear(
    line: &mut Deframer,
    listener: &mut Downlink<16, ADPCM_PAYLOAD_MAX>,
    now: Instant,
    mut bytes: &[u8],
) {
    while !bytes.is_empty() {
        let (feed, rest) = line.feed(bytes);
        bytes = rest;
        if let Feed::Packet(packet) = feed
            && let Ok(ClientPacket::Voice(voice)) = parse(packet)
        {
            // A payload of another length would be dropped, which shows in the output.
            let _ = listener.push(now, &voice);
        }
    }
}

struct Talker {
    uplink: Uplink,
    packet: [u8; ENCODED_MAX],
}

impl Talker {
    fn new(codec: CodecId) -> Self {
        let mut uplink = Uplink::default_for(codec.into(), FORMAT);
        // The default configuration is valid.
        let _ = uplink.restart(UplinkConfig::default_for(codec.into(), FORMAT));
        Self {
            uplink,
            packet: [0; ENCODED_MAX],
        }
    }

    /// Returns the gate's decision on a frame.
    fn push(&mut self, number: u32) -> u8 {
        let mut samples = [0; FORMAT.frame_samples()];
        words(number, &mut samples);
        code(self.uplink.push(&samples))
    }

    fn packet(&mut self) -> Option<&[u8]> {
        let mut payload = [0; PAYLOAD_MAX];
        let voice = self.uplink.poll_voice(&mut payload)?;
        let len = write_to_stream(&ClientPacket::Voice(voice), &mut self.packet).ok()?;
        Some(&self.packet[..len])
    }
}
