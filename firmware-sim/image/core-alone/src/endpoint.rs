//! The size of a whole participant, `endpoint::Client`, on any microcontroller. Nothing runs this;
//! `cargo xtask firmware measure` builds it and reads its sections.
//!
//! Flash is the code and the tables; RAM is the state between calls. The stack and the queues of a
//! serial port do not count as the core's.
#![no_std]
#![no_main]
#![allow(unsafe_code)] // The one place in RAM, and the entry.

mod in_ram;

use core::hint::black_box;

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, CodecId, ImaAdpcm};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::audio::gate::GateConfig;
use talkspurt_core::audio::level::{Dbfs, peak};
use talkspurt_core::carrier::stream::encoded_len_max;
use talkspurt_core::endpoint::{Client, ClientConfig};
use talkspurt_core::session::{HANDSHAKE_TIMEOUT_DEFAULT, JoinRequest};
use talkspurt_core::time::Instant;
use talkspurt_core::voice::uplink::HISTORY_SAMPLES_DEFAULT;
use talkspurt_core::wire::{ParticipantName, RoomName};

use in_ram::InRam;

/// The longest packet of ADPCM, or of a session, with a zero before it, as in `talkspurt-node`.
const ENCODED: usize = encoded_len_max(352) + 1;

/// Everything that the core keeps between calls, and an outgoing packet.
struct Core {
    client: Client<
        ADPCM_PAYLOAD_MAX,
        ENCODED,
        16,
        1448,
        HISTORY_SAMPLES_DEFAULT,
        FRAME_SAMPLES_MAX,
        ImaAdpcm,
    >,
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
    let request = JoinRequest::new(room, name, &[black_box(CodecId::ImaAdpcm)]);
    let Ok(client) = Client::new(ClientConfig::new(request)) else {
        unreachable!("a good configuration")
    };
    Core {
        client,
        packet: [0; ENCODED],
    }
}

#[inline(never)]
fn talk(core: &mut Core) {
    let now = black_box(Instant::ZERO);
    let frame: Frame = black_box(Frame::silence(AudioFormat::DEFAULT.frame_samples()));
    black_box(core.client.push_frame(now, &frame));
    let level = (core.client.level_rms(), peak(&frame));
    black_box((Dbfs::from_rms(level.0), level.1, core.client.is_talking()));
    black_box(core.client.set_gate(black_box(GateConfig::DEFAULT))).ok();
    core.client.set_muted(now, black_box(true));
    core.client.end_talkspurt(now);
}

#[inline(never)]
fn listen(core: &mut Core) {
    let mut bytes: &[u8] = black_box(&[1, 2, 3]);
    while !bytes.is_empty() {
        bytes = core.client.handle_stream(black_box(Instant::ZERO), bytes);
    }
    let mut frame: Frame = Frame::silence(AudioFormat::DEFAULT.frame_samples());
    black_box(core.client.pop_frame(&mut frame));
    black_box(&frame);
    black_box((core.client.jitter_stats(), core.client.stats()));
}

#[inline(never)]
fn keep_session(core: &mut Core) {
    let now = black_box(Instant::ZERO);
    core.client
        .join(now, HANDSHAKE_TIMEOUT_DEFAULT, black_box([1; 8]));
    core.client.handle_timeout(now);
    while let Some(event) = core.client.poll_event() {
        black_box(event);
    }
    while let Some(transmit) = core.client.poll_transmit(now, &mut core.packet) {
        black_box(&core.packet[..transmit.len]);
    }
    black_box((core.client.poll_timeout(), core.client.round_trip()));
    black_box((core.client.closing_text(), core.client.params()));
    if black_box(true) {
        core.client.leave(now);
    }
}
