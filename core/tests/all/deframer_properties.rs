//! The deframer under any chunking and any damage.

use crate::common::cases::cases;
use crate::common::packets::{OwnedClientPacket, client_packet};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use talkspurt_core::carrier::deframer::{BadReason, Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;

/// What a stream was deframed into, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Found {
    Packet(Vec<u8>),
    Dropped(u32),
}

/// Each packet as it stands in a stream.
fn encoded(packets: &[OwnedClientPacket]) -> Vec<Vec<u8>> {
    packets
        .iter()
        .map(|packet| {
            let mut out = [0; ENCODED_MAX];
            let len = write_to_stream(&packet.borrow(), &mut out).unwrap();
            out[..len].to_vec()
        })
        .collect()
}

/// Feeds chunks until they are used up, checking that every byte is accounted for.
fn deframe<'a, const N: usize>(chunks: impl IntoIterator<Item = &'a [u8]>) -> Vec<Found> {
    let mut deframer = Deframer::<N>::new();
    let mut found = Vec::new();
    // Nonzero bytes: those since the last result, and those that were in packets.
    let (mut open, mut in_packets, mut fed) = (0u64, 0u64, 0u64);
    // Those reported before the zero that ends them.
    let mut unended = 0;
    for chunk in chunks {
        let mut rest = chunk;
        while !rest.is_empty() {
            let before = rest;
            let (feed, left) = deframer.feed(rest);
            rest = left;
            let looked_at = &before[..before.len() - rest.len()];
            open += looked_at.iter().filter(|&&b| b != 0).count() as u64;
            match feed {
                Feed::NeedMore => assert!(rest.is_empty()),
                Feed::Packet(packet) => {
                    found.push(Found::Packet(packet.to_vec()));
                    in_packets += open;
                    fed += std::mem::take(&mut open);
                }
                Feed::Bad {
                    dropped_bytes,
                    reason,
                } => {
                    assert_eq!(u64::from(dropped_bytes), open);
                    fed += std::mem::take(&mut open);
                    unended += dropped_bytes;
                    if reason != BadReason::Unended {
                        found.push(Found::Dropped(std::mem::take(&mut unended)));
                    }
                }
            }
        }
    }
    assert_eq!(deframer.dropped_bytes() + in_packets, fed);
    deframer.reset();
    assert_eq!(
        deframer.dropped_bytes() + in_packets,
        fed + open,
        "including what was cut off"
    );
    found
}

/// Cuts a stream at these places.
fn cut<'a>(stream: &'a [u8], places: &[Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place.index(stream.len() + 1))
        .collect();
    places.extend([0, stream.len()]);
    places.sort_unstable();
    places.windows(2).map(|w| &stream[w[0]..w[1]]).collect()
}

#[derive(Clone, Debug)]
enum Damage {
    Flip(Index, u8),
    Delete(Index, usize),
    Insert(Index, Vec<u8>),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), 1..=255u8).prop_map(|(at, flip)| Damage::Flip(at, flip)),
        (any::<Index>(), 1..100usize).prop_map(|(at, count)| Damage::Delete(at, count)),
        (any::<Index>(), vec(any::<u8>(), 1..100))
            .prop_map(|(at, bytes)| Damage::Insert(at, bytes)),
    ]
}

/// Damages a stream. Returns the result and, for each byte, its original position if it is
/// undamaged.
fn damaged(stream: &[u8], damages: &[Damage]) -> (Vec<u8>, Vec<Option<usize>>) {
    let mut bytes: Vec<(u8, Option<usize>)> = stream
        .iter()
        .enumerate()
        .map(|(i, &byte)| (byte, Some(i)))
        .collect();
    for damage in damages {
        match damage {
            Damage::Flip(at, flip) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes[at] = (bytes[at].0 ^ flip, None);
            }
            Damage::Delete(at, count) if !bytes.is_empty() => {
                let at = at.index(bytes.len());
                bytes.drain(at..(at + count).min(bytes.len()));
            }
            Damage::Insert(at, noise) => {
                let at = at.index(bytes.len() + 1);
                bytes.splice(at..at, noise.iter().map(|&byte| (byte, None)));
            }
            _ => {}
        }
    }
    bytes.into_iter().unzip()
}

proptest! {
    #![proptest_config(cases(600))]

    #[test]
    fn the_chunking_of_packets_does_not_matter(
        packets in vec(client_packet(), 0..8),
        places in vec(any::<Index>(), 0..30),
    ) {
        let packets = encoded(&packets);
        let stream = packets.concat();
        let whole = deframe::<ENCODED_MAX>([&stream[..]]);
        prop_assert_eq!(whole.len(), packets.len());
        prop_assert!(whole.iter().all(|found| matches!(found, Found::Packet(_))));
        prop_assert_eq!(&deframe::<ENCODED_MAX>(cut(&stream, &places)), &whole);
        prop_assert_eq!(&deframe::<ENCODED_MAX>(stream.chunks(1)), &whole);
    }

    #[test]
    fn the_chunking_of_arbitrary_bytes_does_not_matter(
        stream in vec(prop_oneof![1 => Just(0u8), 6 => any::<u8>()], 0..300),
        places in vec(any::<Index>(), 0..30),
    ) {
        prop_assert_eq!(deframe::<64>(cut(&stream, &places)), deframe::<64>([&stream[..]]));
    }

    #[test]
    fn packets_outside_the_damage_arrive(
        packets in vec(client_packet(), 1..10),
        damages in vec(damage(), 0..4),
        places in vec(any::<Index>(), 0..10),
    ) {
        let packets = encoded(&packets);
        let stream = packets.concat();
        let (received, origins) = damaged(&stream, &damages);
        let found = deframe::<ENCODED_MAX>(cut(&received, &places));
        // A packet must arrive if it and the zero before it are there in one piece.
        let mut start = 0;
        let mut found_packets = found.iter().filter_map(|found| match found {
            Found::Packet(packet) => Some(packet),
            Found::Dropped(_) => None,
        });
        for packet in packets {
            let with_zero_before = start.max(1) - 1..start + packet.len();
            let expected: Vec<Option<usize>> = with_zero_before.map(Some).collect();
            let intact = origins.windows(expected.len()).any(|w| w == expected)
                && (start > 0 || origins.starts_with(&expected));
            if intact {
                let [Found::Packet(sent)] = &deframe::<ENCODED_MAX>([&packet[..]])[..] else {
                    unreachable!()
                };
                prop_assert!(
                    found_packets.any(|found| found == sent),
                    "the packet at byte {} is gone",
                    start
                );
            }
            start += packet.len();
        }
    }

    #[test]
    fn damage_to_one_byte_is_always_found(
        packet in client_packet(),
        at in any::<Index>(),
        flip in 1..=255u8,
    ) {
        let packet = &encoded(&[packet])[0];
        let mut received = packet.clone();
        let at = at.index(packet.len() - 1); // The closing zero is not checked.
        received[at] ^= flip;
        let found = deframe::<ENCODED_MAX>([&received[..]]);
        prop_assert!(found.iter().all(|found| matches!(found, Found::Dropped(_))));
    }
}
