//! The delay from mouth to ear.

use super::*;
use crate::events::DelayParts;
use crate::testing::{Late, Old};
use talkspurt_core::wire::{DelayReport, FEATURE_DELAY_REPORT, ServerPong};

#[test]
fn it_is_told_and_shown_with_what_waits_in_the_devices() {
    let mut room = Room::of("--no-gate --playout-delay 0");
    room.participant.join(room.now, NONCE);
    room.packets();
    let mut welcome = welcome_packet(1, 1);
    welcome.features = FEATURE_DELAY_REPORT;
    room.receive(&stream_of(&ServerPacket::Welcome(welcome)));
    room.participant.handle_timeout(room.now);
    let packets = room.packets();
    let ping = packets.iter().find_map(|packet| match parse(packet) {
        Ok(ClientPacket::Ping(number)) => Some(number),
        _ => None,
    });
    room.now += Duration::from_millis(30);
    room.receive(&stream_of(&ServerPacket::Pong(ServerPong {
        number: ping.expect("a Ping"),
        revision: 1,
        flags: ParticipantFlags::default(),
    })));

    room.participant.capture(room.now, &mut Old);
    let packets = room.packets();
    let told = packets.iter().find_map(|packet| match parse(packet) {
        Ok(ClientPacket::DelayReport(report)) => Some(report.delay_ms),
        _ => None,
    });
    // A frame, what has waited, and half of the round trip.
    assert_eq!(told, Some(20 + 5 + 15));

    assert_eq!(room.participant.snapshot(room.now).delay_ms, None);
    let delay_ms = 40;
    room.receive(&stream_of(&ServerPacket::DelayReport(DelayReport {
        delay_ms,
    })));
    room.receive(&stream_of(&ServerPacket::Voice(said(0))));
    room.now += Duration::from_millis(2);
    room.participant.play(room.now, &mut Late);
    let shown = Some(40 + 15 + 2 + 7);
    let snapshot = room.participant.snapshot(room.now);
    assert_eq!(snapshot.delay_ms, shown);
    assert_eq!(snapshot.levels().delay_ms, shown);
    let parts = DelayParts {
        microphone_ms: Some(5.0),
        pre_roll_ms: Some(0.0),
        one_way_ms: Some(15.0),
        jitter_buffer_ms: Some(2.0),
        speaker_ms: Some(7.0),
    };
    assert_eq!(snapshot.levels().delay_parts, parts);
    room.participant.disconnected();
    assert_eq!(room.participant.counts().delay_ms, shown);
}
