//! The size of the core's floors below the endpoint on any microcontroller: all that a node uses,
//! both ways. The linker keeps it because each value comes from outside and goes outside. Nothing
//! runs this; `cargo xtask firmware measure` builds it and reads its sections.
//!
//! Flash is the code and the tables; RAM is the state between calls. The stack and the queues of a
//! serial port do not count as the core's.
#![no_std]
#![no_main]
#![allow(unsafe_code)] // The one place in RAM, and the entry.

mod in_ram;

use core::hint::black_box;

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::gate::GateConfig;
use talkspurt_core::audio::jitter::JitterConfig;
use talkspurt_core::audio::level::{Dbfs, peak};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::encoded_len_max;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::session::{ClientSession, HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::downlink::Downlink;
use talkspurt_core::voice::uplink::{HISTORY_SAMPLES_DEFAULT, Uplink, UplinkConfig};
use talkspurt_core::wire::{ClientPacket, ParticipantName, RoomName, parse};

use in_ram::InRam;

/// The longest packet of ADPCM, or of a session, as in `talkspurt-node`.
const ENCODED: usize = encoded_len_max(352);
const FORMAT: AudioFormat = AudioFormat::DEFAULT;

/// Everything that the core keeps between calls, and an outgoing packet.
struct Core {
    uplink: Uplink<HISTORY_SAMPLES_DEFAULT, ImaAdpcm>,
    downlink: Downlink<16, ADPCM_PAYLOAD_MAX, FRAME_SAMPLES_MAX, ImaAdpcm>,
    session: ClientSession,
    deframer: Deframer<ENCODED>,
    packet: [u8; ENCODED],
}

static CORE: InRam<Core> = InRam::new();

#[unsafe(no_mangle)]
extern "C" fn begin() -> ! {
    // SAFETY: called once, with no other reference to it.
    let core = unsafe { CORE.fill(make) };
    loop {
        talk(core);
        listen(core);
        keep_session(core);
    }
}

#[inline(never)]
fn make() -> Core {
    let (Ok(room), Ok(name)) = (
        RoomName::new(black_box("kitchen")),
        ParticipantName::new(black_box("node-1")),
    ) else {
        unreachable!("good names")
    };
    let codec = ImaAdpcm::default;
    Core {
        uplink: Uplink::default_for(codec(), FORMAT),
        downlink: Downlink::new(codec(), FORMAT, JitterConfig::default_for(FORMAT.frame, 2)),
        session: ClientSession::new(JoinRequest::new(
            room,
            name,
            &[black_box(CodecId::ImaAdpcm)],
        )),
        deframer: Deframer::new(),
        packet: [0; ENCODED],
    }
}

#[inline(never)]
fn talk(core: &mut Core) {
    let frame: Frame = black_box(Frame::silence(FORMAT.frame_samples()));
    black_box(core.uplink.push(&frame));
    let mut payload = [0; ADPCM_PAYLOAD_MAX];
    while let Some(voice) = core.uplink.poll_voice(&mut payload) {
        let written = write_to_stream(&ClientPacket::Voice(voice), &mut core.packet);
        black_box(written).ok();
    }
    let level = (core.uplink.level_rms(), peak(&frame));
    black_box((Dbfs::from_rms(level.0), level.1, core.uplink.is_talking()));
    black_box(core.uplink.set_gate(black_box(GateConfig::DEFAULT))).ok();
    core.uplink.set_muted(black_box(true));
    core.uplink.finish();
    black_box(core.uplink.stats());
}

#[inline(never)]
fn listen(core: &mut Core) {
    let bytes: &[u8] = black_box(&[1, 2, 3]);
    let now = black_box(Instant::ZERO);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (feed, more) = core.deframer.feed(rest);
        rest = more;
        match feed {
            Feed::Packet(packet) => {
                if let Some(voice) = core.session.handle_packet(now, parse(packet)) {
                    let _ = black_box(core.downlink.push(now, &voice));
                }
            }
            Feed::NeedMore => {}
            Feed::Bad { reason, .. } => {
                black_box(reason);
            }
        }
    }
    let mut frame: Frame = Frame::silence(FORMAT.frame_samples());
    black_box(core.downlink.pop(&mut frame));
    black_box(&frame);
    black_box((core.downlink.stats(), core.deframer.dropped_bytes()));
}

#[inline(never)]
fn keep_session(core: &mut Core) {
    let now = black_box(Instant::ZERO);
    core.session
        .begin(HANDSHAKE_TIMEOUT_DEFAULT, black_box([1; 8]), now);
    core.session.handle_timeout(now);
    while let Some(event) = core.session.poll_event() {
        black_box(event);
    }
    while let Some(packet) = core.session.poll_transmit() {
        black_box(write_to_stream(&packet, &mut core.packet)).ok();
    }
    black_box((core.session.poll_timeout(), core.session.round_trip()));
    black_box(core.session.closing_text());
    if let Some(params) = core.session.params() {
        let jitter = JitterConfig::default_for(params.format.frame, black_box(2));
        let codec = |id| ImaAdpcm::for_session(id, params.format).unwrap_or_default();
        core.downlink
            .restart(codec(params.codec_down), params.format, jitter);
        let uplink = UplinkConfig::default_for(codec(params.codec_up), params.format);
        black_box(core.uplink.restart(uplink)).ok();
        core.deframer.reset();
    }
    core.session
        .set_muted(black_box(true), core.uplink.last_seq());
    if black_box(true) {
        core.session.leave(core.uplink.last_seq());
    }
}
