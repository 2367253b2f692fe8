//! The byte examples of `docs/PROTOCOL.md`, both ways: the core writes them as given, and reads
//! them.
//!
//! An example is a fenced block whose first line is `vector NAME`. Each further line is a key and
//! its value, which may continue on indented lines. `from` names the side, `value` is the packet as
//! Rust's `{:?}` prints it, `packet` its bytes, `stream` the bytes on the stream. Examples that do
//! not concern packets have their own keys.
//!
//! `vectors/v1.txt` is a copy of the examples of version 1, which later versions must still read:
//! it is never changed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, ImaAdpcm};
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::wire::{ClientPacket, ServerPacket, parse};

struct Vector {
    name: String,
    fields: BTreeMap<String, String>,
}

impl Vector {
    fn text(&self, key: &str) -> &str {
        self.fields
            .get(key)
            .unwrap_or_else(|| panic!("{}: no `{key}`", self.name))
    }

    fn bytes(&self, key: &str) -> Vec<u8> {
        self.text(key)
            .split_whitespace()
            .map(|byte| {
                u8::from_str_radix(byte, 16)
                    .unwrap_or_else(|_| panic!("{}: `{byte}` in `{key}`", self.name))
            })
            .collect()
    }

    fn samples(&self, key: &str) -> Vec<i16> {
        self.text(key)
            .split_whitespace()
            .map(|sample| sample.parse().unwrap())
            .collect()
    }

    /// Whether it is the example of a packet.
    fn is_packet(&self) -> bool {
        self.fields.contains_key("from")
    }
}

fn read(path: &str) -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut vectors: Vec<Vector> = Vec::new();
    let mut inside = false;
    let mut key = String::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("```vector ") {
            vectors.push(Vector {
                name: name.trim().to_owned(),
                fields: BTreeMap::new(),
            });
            inside = true;
        } else if line.starts_with("```") {
            inside = false;
        } else if inside && !line.trim().is_empty() {
            let fields = &mut vectors.last_mut().unwrap().fields;
            let goes_on = line.starts_with(' ');
            let (new_key, value) = line.split_once(' ').unwrap_or((line, ""));
            if !goes_on {
                key = new_key.to_owned();
            }
            let field = fields.entry(key.clone()).or_default();
            if !field.is_empty() {
                field.push(' ');
            }
            field.push_str(value.trim());
        }
    }
    vectors
}

fn spec() -> Vec<Vector> {
    read("../docs/PROTOCOL.md")
}

/// The examples whose names begin with `prefix`.
fn examples(prefix: &str) -> impl Iterator<Item = Vector> {
    spec()
        .into_iter()
        .filter(move |vector| vector.name.starts_with(prefix))
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// Returns how a packet of either side prints, and how it looks on a stream.
fn print_and_encode(from: &str, packet: &[u8]) -> Result<(String, Vec<u8>), String> {
    let mut out = [0; ENCODED_MAX];
    let (value, written) = match from {
        "client" => {
            let value = parse::<ClientPacket<'_>>(packet).map_err(|error| error.to_string())?;
            (format!("{value:?}"), write_to_stream(&value, &mut out))
        }
        "server" => {
            let value = parse::<ServerPacket<'_>>(packet).map_err(|error| error.to_string())?;
            (format!("{value:?}"), write_to_stream(&value, &mut out))
        }
        other => panic!("packets come from a client or a server, not from {other}"),
    };
    Ok((value, out[..written.unwrap()].to_vec()))
}

fn deframe(stream: &[u8]) -> Result<Vec<u8>, String> {
    let mut deframer = Deframer::<ENCODED_MAX>::new();
    match deframer.feed(stream) {
        (Feed::Packet(packet), []) => Ok(packet.to_vec()),
        (feed, rest) => Err(format!("{feed:?}, {} bytes left", rest.len())),
    }
}

fn check_packet(vector: &Vector) {
    let name = &vector.name;
    let packet = vector.bytes("packet");
    let (value, stream) = print_and_encode(vector.text("from"), &packet)
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    assert_eq!(value, vector.text("value"), "{name}: read");
    assert_eq!(
        hex(&stream),
        hex(&vector.bytes("stream")),
        "{name}: written"
    );
    assert_eq!(
        deframe(&vector.bytes("stream")).map(|packet| hex(&packet)),
        Ok(hex(&packet)),
        "{name}: out of the stream"
    );
}

#[test]
fn the_examples_of_the_specification_are_what_the_core_reads_and_writes() {
    let vectors = spec();
    vectors
        .iter()
        .filter(|vector| vector.is_packet())
        .for_each(check_packet);
    let names: BTreeSet<&str> = vectors.iter().map(|vector| &*vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "a name is used twice");
}

/// The names of all packets. The compiler ensures that a new one is added here.
fn client_packet_name(packet: &ClientPacket<'_>) -> &'static str {
    match packet {
        ClientPacket::Hello(_) => "Hello",
        ClientPacket::Voice(_) => "Voice",
        ClientPacket::SetMuted(_) => "SetMuted",
        ClientPacket::Ping(_) => "Ping",
        ClientPacket::Pong(_) => "Pong",
        ClientPacket::Bye(_) => "Bye",
    }
}

fn server_packet_name(packet: &ServerPacket<'_>) -> &'static str {
    match packet {
        ServerPacket::Welcome(_) => "Welcome",
        ServerPacket::Reject(..) => "Reject",
        ServerPacket::Voice(_) => "Voice",
        ServerPacket::Roster(_) => "Roster",
        ServerPacket::Joined(_) => "Joined",
        ServerPacket::Left(_) => "Left",
        ServerPacket::State(..) => "State",
        ServerPacket::Ping(_) => "Ping",
        ServerPacket::Pong(_) => "Pong",
        ServerPacket::Bye(_) => "Bye",
    }
}

#[test]
fn every_packet_has_an_example() {
    let (mut client, mut server) = (BTreeSet::new(), BTreeSet::new());
    for vector in spec().iter().filter(|vector| vector.is_packet()) {
        let packet = vector.bytes("packet");
        match vector.text("from") {
            "client" => client.insert(client_packet_name(&parse(&packet).unwrap())),
            _ => server.insert(server_packet_name(&parse(&packet).unwrap())),
        };
    }
    assert_eq!(
        (client.len(), server.len()),
        (6, 10),
        "{client:?} {server:?}"
    );
}

#[test]
fn the_crc_is_the_one_that_is_specified() {
    let vector = spec()
        .into_iter()
        .find(|vector| vector.name == "crc-32")
        .unwrap();
    let crc = crc::Crc::<u32>::new(&crc::CRC_32_ISO_HDLC).checksum(vector.text("text").as_bytes());
    assert_eq!(format!("{crc:08x}"), vector.text("crc"));
    // Every other example shows that the stream uses it, and where.
    assert_eq!(hex(&crc.to_le_bytes()), hex(&vector.bytes("bytes")));
}

#[test]
fn cobs_examples_decode() {
    let mut count = 0;
    for vector in examples("cobs-") {
        let mut bytes = vector.bytes("encoded");
        assert!(!bytes.contains(&0), "{}", vector.name);
        let len = cobs::decode_in_place(&mut bytes).unwrap();
        assert_eq!(
            hex(&bytes[..len]),
            hex(&vector.bytes("plain")),
            "{}",
            vector.name
        );
        count += 1;
    }
    assert!(count >= 4);
}

#[test]
fn adpcm_examples_decode_and_encode() {
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    let mut count = 0;
    for vector in examples("adpcm-") {
        let (payload, decoded) = (vector.bytes("payload"), vector.samples("decoded"));
        let mut samples = vec![0; decoded.len()];
        ImaAdpcm::default().decode(&payload, &mut samples).unwrap();
        assert_eq!(samples, decoded, "{}", vector.name);
        // One encoder writes them in a row: the second begins where the first ended.
        let mut written = vec![0; payload.len()];
        encoder
            .encode(&vector.samples("samples"), &mut written)
            .unwrap();
        assert_eq!(hex(&written), hex(&payload), "{}", vector.name);
        count += 1;
    }
    assert_eq!(count, 2);
}

#[test]
fn examples_of_damage_are_dropped() {
    let mut count = 0;
    for vector in examples("damaged-") {
        let mut deframer = Deframer::<ENCODED_MAX>::new();
        let stream = vector.bytes("stream");
        let (feed, rest) = deframer.feed(&stream);
        let Feed::Bad {
            dropped_bytes,
            reason,
        } = feed
        else {
            panic!("{}: {feed:?}", vector.name)
        };
        assert_eq!(
            format!("{dropped_bytes} {reason:?}"),
            vector.text("dropped"),
            "{}",
            vector.name
        );
        // The packet after it arrives.
        let packet = deframe(rest).unwrap();
        assert_eq!(hex(&packet), hex(&vector.bytes("then")), "{}", vector.name);
        count += 1;
    }
    assert!(count >= 2);
}

#[test]
fn packets_of_version_1_can_still_be_read() {
    let kept = read("tests/all/vectors/v1.txt");
    assert_eq!(kept.len(), 21, "none is missing");
    for vector in &kept {
        let packet = deframe(&vector.bytes("stream")).unwrap();
        assert_eq!(
            hex(&packet),
            hex(&vector.bytes("packet")),
            "{}",
            vector.name
        );
        let read = print_and_encode(vector.text("from"), &packet);
        assert_eq!(
            read.map(|(value, _)| value),
            Ok(vector.text("value").to_owned()),
            "{}",
            vector.name
        );
    }
}
