//! Feeds bytes in any chunking through the deframer and both parsers: no panic, nothing unbounded,
//! every byte accounted for, and the same result however the bytes are cut.
//!
//! The first byte of an input says how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use talkspurt_core::carrier::deframer::{BadReason, Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, PACKET_MAX};
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::wire::{ClientPacket, ServerPacket, parse};

/// A node's deframer, which drops anything longer.
const SMALL: usize = 64;

#[derive(Debug, PartialEq, Eq)]
enum Found {
    Packet(Vec<u8>),
    Dropped(u32),
}

fuzz_target!(|data: &[u8]| {
    let Some((&cut, stream)) = data.split_first() else {
        return;
    };
    let whole = deframe::<ENCODED_MAX>(std::iter::once(stream));
    assert_eq!(whole, deframe::<ENCODED_MAX>(stream.chunks(1)));
    assert_eq!(
        whole,
        deframe::<ENCODED_MAX>(stream.chunks(usize::from(cut) + 1))
    );
    assert_eq!(
        deframe::<SMALL>(stream.chunks(1)),
        deframe::<SMALL>(std::iter::once(stream))
    );
    for found in whole {
        if let Found::Packet(packet) = found {
            read(&packet);
        }
    }
    // The same without the CRC, which random bytes seldom get right.
    read(stream);
});

fn deframe<'a, const N: usize>(chunks: impl Iterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut deframer = Deframer::<N>::new();
    let (mut found, mut fed, mut in_packets, mut open) = (Vec::new(), 0u64, 0u64, 0u64);
    let mut unended = 0;
    for mut chunk in chunks {
        while !chunk.is_empty() {
            let (feed, rest) = deframer.feed(chunk);
            let looked_at = &chunk[..chunk.len() - rest.len()];
            let nonzero = looked_at.iter().filter(|&&byte| byte != 0).count() as u64;
            fed += nonzero;
            open += nonzero;
            match feed {
                Feed::NeedMore => assert!(rest.is_empty()),
                Feed::Packet(packet) => {
                    assert!(packet.len() < N);
                    found.push(Found::Packet(packet.to_vec()));
                    in_packets += std::mem::take(&mut open);
                }
                Feed::Bad {
                    dropped_bytes,
                    reason,
                } => {
                    assert_eq!(u64::from(dropped_bytes), std::mem::take(&mut open));
                    // How many are reported before the zero depends on the chunks.
                    unended += dropped_bytes;
                    if reason != BadReason::Unended {
                        found.push(Found::Dropped(std::mem::take(&mut unended)));
                    }
                }
            }
            assert!(rest.len() < chunk.len(), "no progress");
            chunk = rest;
        }
    }
    deframer.reset();
    assert_eq!(deframer.dropped_bytes() + in_packets, fed);
    found
}

/// Both parsers: whatever they parse can be written, and parses to the same value again.
fn read(packet: &[u8]) {
    // Longer than any deframer's buffer, so the core never gets such a packet.
    if packet.len() > PACKET_MAX {
        return;
    }
    let mut out = [0; ENCODED_MAX];
    if let Ok(value) = parse::<ClientPacket<'_>>(packet) {
        let len = write_to_stream(&value, &mut out).expect("what was read fits");
        let [Found::Packet(again)] = &deframe::<ENCODED_MAX>(std::iter::once(&out[..len]))[..]
        else {
            panic!("not one packet")
        };
        assert_eq!(parse::<ClientPacket<'_>>(again), Ok(value));
    }
    if let Ok(value) = parse::<ServerPacket<'_>>(packet) {
        // Names that are too long are read, for a client cuts them, but no server writes them.
        let Ok(len) = write_to_stream(&value, &mut out) else {
            return;
        };
        let [Found::Packet(again)] = &deframe::<ENCODED_MAX>(std::iter::once(&out[..len]))[..]
        else {
            panic!("not one packet")
        };
        assert_eq!(parse::<ServerPacket<'_>>(again), Ok(value));
    }
}
