//! The byte examples of `docs/PROTOCOL.md`, both ways: what they say is what the core writes, and
//! what it reads.
//!
//! An example is a fenced block whose first line is `vector NAME`; then lines of a key and its
//! value, which goes on in lines that are indented. `from` names the side, `value` is the packet as
//! JSON, `packet` its bytes, `stream` the bytes on the stream, and `also` other bytes that read as
//! the same. Examples that do not concern packets have keys of their own.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};
use talkspurt_core::audio::codec::{AnyCodec, Codec, CodecId, ImaAdpcm};
use talkspurt_core::audio::level::half_db;
use talkspurt_core::carrier::deframer::{Deframer, Feed};
use talkspurt_core::carrier::stream::{ENCODED_MAX, encoded_len_max};
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{
    ClientPacket, ParseError, RosterEntry, ServerPacket, Text, Voice, encode, parse,
};

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

fn text(text: &Text<'_>) -> String {
    String::from_utf8_lossy(text.0).into_owned()
}

fn seq(after: Option<Seq>) -> Option<u16> {
    after.map(|seq| seq.0)
}

fn token(bytes: Option<&[u8]>) -> String {
    hex(bytes.unwrap_or_default())
}

fn voice(voice: &Voice<'_>) -> Value {
    json!({
        "packet": "Voice", "seq": voice.seq.0, "timestamp": voice.timestamp.0,
        "level": voice.level, "stream": voice.stream, "terminator": voice.terminator,
        "payload": hex(voice.payload),
    })
}

fn entry(entry: &RosterEntry<'_>) -> Value {
    json!({
        "id": entry.id.0, "flags": entry.flags.0, "name": text(&entry.name),
        "pseudonym": token(entry.pseudonym.as_ref().map(|bytes| &bytes[..])),
    })
}

/// A packet as the document writes it; the compiler sees to it that a new one is added here.
fn client_value(packet: &ClientPacket<'_>) -> Value {
    match packet {
        ClientPacket::Hello(hello) => json!({
            "packet": "Hello", "version": hello.version, "nonce": hex(&hello.nonce),
            "max_packet": hello.max_packet, "features": hello.features,
            "resume": token(hello.resume.as_ref().map(|bytes| &bytes[..])), "room": hello.room,
            "name": hello.name, "codecs_up": hex(hello.codecs_up),
            "codecs_down": hex(hello.codecs_down), "rates": hello.rates_hz.to_vec(),
            "flags": hello.flags.0, "roster": hello.roster,
            "credentials": hex(hello.credentials),
        }),
        ClientPacket::Voice(packet) => voice(packet),
        ClientPacket::SetMuted(set) => {
            json!({"packet": "SetMuted", "muted": set.muted, "after": seq(set.after)})
        }
        ClientPacket::Ping(number) => json!({"packet": "Ping", "number": number}),
        ClientPacket::Pong(number) => json!({"packet": "Pong", "number": number}),
        ClientPacket::Bye(bye) => json!({
            "packet": "Bye", "reason": bye.reason.0, "after": seq(bye.after),
            "retry_ms": bye.retry_ms, "text": text(&bye.text),
        }),
        ClientPacket::DelayReport(report) => {
            json!({"packet": "DelayReport", "delay_ms": report.delay_ms})
        }
        ClientPacket::RosterRequest => json!({"packet": "RosterRequest"}),
    }
}

fn server_value(packet: &ServerPacket<'_>) -> Value {
    match packet {
        ServerPacket::Reject(reject) => json!({
            "packet": "Reject", "reason": reject.reason.0, "version": reject.version,
            "nonce": hex(&reject.nonce), "retry_ms": reject.retry_ms, "text": text(&reject.text),
        }),
        ServerPacket::Welcome(welcome) => json!({
            "packet": "Welcome", "version": welcome.version, "nonce": hex(&welcome.nonce),
            "max_packet": welcome.max_packet, "features": welcome.features,
            "resume": token(welcome.resume.as_ref().map(|bytes| &bytes[..])),
            "id": welcome.id.0, "codec_up": welcome.codec_up, "codec_down": welcome.codec_down,
            "rate": welcome.rate_hz, "frame_ms": welcome.frame_ms,
            "idle_timeout_ms": welcome.idle_timeout_ms, "revision": welcome.revision,
            "participants": welcome.participants,
        }),
        ServerPacket::Voice(packet) => voice(packet),
        ServerPacket::Ping(number) => json!({"packet": "Ping", "number": number}),
        ServerPacket::Pong(pong) => json!({
            "packet": "Pong", "number": pong.number, "revision": pong.revision,
            "flags": pong.flags.0,
        }),
        ServerPacket::Bye(bye) => json!({
            "packet": "Bye", "reason": bye.reason.0, "after": seq(bye.after),
            "retry_ms": bye.retry_ms, "text": text(&bye.text),
        }),
        ServerPacket::Roster(roster) => json!({
            "packet": "Roster", "revision": roster.revision, "first": roster.first,
            "total": roster.total, "entries": roster.entries.iter().map(entry).collect::<Vec<_>>(),
        }),
        ServerPacket::Joined(joined) => json!({
            "packet": "Joined", "revision": joined.revision, "entry": entry(&joined.entry),
        }),
        ServerPacket::Left(left) => json!({
            "packet": "Left", "revision": left.revision, "id": left.id.0, "reason": left.reason.0,
        }),
        ServerPacket::State(state) => json!({
            "packet": "State", "revision": state.revision, "id": state.id.0,
            "flags": state.flags.0,
        }),
        ServerPacket::Count(participants) => {
            json!({"packet": "Count", "participants": participants})
        }
        ServerPacket::DelayReport(report) => {
            json!({"packet": "DelayReport", "delay_ms": report.delay_ms})
        }
        ServerPacket::TickHint(hint) => {
            json!({"packet": "TickHint", "seq": hint.seq.0, "shift_us": hint.shift_us})
        }
    }
}

/// What the bytes of a packet of either side mean, and what it looks like on a stream.
fn read_and_write_again(from: &str, packet: &[u8]) -> Result<(Value, Vec<u8>), ParseError> {
    let mut out = [0; ENCODED_MAX];
    let (value, written) = match from {
        "client" => {
            let packet: ClientPacket<'_> = parse(packet)?;
            (client_value(&packet), write_to_stream(&packet, &mut out))
        }
        "server" => {
            let packet: ServerPacket<'_> = parse(packet)?;
            (server_value(&packet), write_to_stream(&packet, &mut out))
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

fn check_packet(vector: &Vector) -> String {
    let name = &vector.name;
    let (from, packet) = (vector.text("from"), vector.bytes("packet"));
    let expected: Value = serde_json::from_str(vector.text("value")).unwrap();
    let (value, stream) =
        read_and_write_again(from, &packet).unwrap_or_else(|error| panic!("{name}: {error}"));
    let found = deframe(&vector.bytes("stream"));
    assert_eq!(
        found.map(|bytes| hex(&bytes)),
        Ok(hex(&packet)),
        "{name}: off the stream"
    );
    if vector.fields.contains_key("also") {
        // Other bytes for the same: where texts are not UTF-8, a client reads what they stand for.
        let (also, _) = read_and_write_again(from, &vector.bytes("also")).unwrap();
        assert_eq!(also, expected, "{name}: also read");
    }
    assert_eq!(value, expected, "{name}: read");
    assert_eq!(
        hex(&stream),
        hex(&vector.bytes("stream")),
        "{name}: written"
    );
    format!("{from} {}", value["packet"])
}

#[test]
fn the_examples_of_the_specification_are_what_the_core_reads_and_writes() {
    let vectors = spec();
    let names: BTreeSet<&str> = vectors.iter().map(|vector| &*vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "a name stands there twice");
    let packets = vectors
        .iter()
        .filter(|vector| vector.fields.contains_key("value"));
    let seen: BTreeSet<String> = packets.map(check_packet).collect();
    assert_eq!(seen.len(), 8 + 13, "every packet has an example: {seen:?}");
}

#[test]
fn what_is_no_packet_or_to_be_ignored_is_told_apart() {
    let vectors = spec();
    let unread = vectors
        .iter()
        .filter(|vector| vector.fields.contains_key("read"));
    let count = unread
        .map(|vector| {
            let read = read_and_write_again(vector.text("from"), &vector.bytes("packet"));
            let outcome = match read {
                Err(ParseError::Malformed) => "malformed".to_owned(),
                Err(ParseError::Skippable) => "skipped".to_owned(),
                Err(ParseError::Unknown) => "unknown".to_owned(),
                Err(ParseError::Version { theirs, nonce }) => {
                    format!("version {theirs}, nonce {}", hex(&nonce))
                }
                other => panic!("{}: read {other:?}", vector.name),
            };
            assert_eq!(outcome, vector.text("read"), "{}", vector.name);
        })
        .count();
    assert!(count >= 8, "{count}");
}

#[test]
fn varints_have_one_form() {
    let mut count = 0;
    for vector in examples("varint-") {
        // In the place of a number in a packet of its own: a Ping's, or a Hello's max_packet.
        let bytes = vector.bytes("bytes");
        let read = if vector.text("type") == "u32" {
            match parse(&[&[5], &bytes[..]].concat()) {
                Ok(ClientPacket::Ping(number)) => Some(number),
                _ => None,
            }
        } else {
            let packet = [&[0, 2], &[1; 8][..], &bytes, &[0; 10]].concat();
            match parse(&packet) {
                Ok(ClientPacket::Hello(hello)) => Some(hello.max_packet.into()),
                _ => None,
            }
        };
        let expected = vector.text("number").parse().ok();
        assert_eq!(read, expected, "{}", vector.name);
        if let Some(number) = expected {
            let mut out = [0; 8];
            let len = encode(&ClientPacket::Ping(number), &mut out).unwrap();
            assert_eq!(out[1..len], bytes, "{}", vector.name);
        }
        count += 1;
    }
    assert!(count >= 10, "{count}");
}

#[test]
fn levels_are_half_decibels_below_full_scale() {
    let vector = examples("level").next().unwrap();
    let numbers = |key: &str| -> Vec<u16> {
        let numbers = vector.text(key).split_whitespace();
        numbers.map(|number| number.parse().unwrap()).collect()
    };
    let levels: Vec<u16> = numbers("rms")
        .into_iter()
        .map(|rms| half_db(rms).into())
        .collect();
    assert_eq!(levels, numbers("level"));
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
        let payload = vector.bytes("payload");
        let mut samples = vec![0; 80];
        let read = ImaAdpcm::default().decode(&payload, &mut samples);
        count += 1;
        if vector.text("decoded") == "invalid" {
            assert!(read.is_err(), "{}", vector.name);
            continue;
        }
        assert_eq!(samples, vector.samples("decoded"), "{}", vector.name);
        // One encoder writes them in a row: the second begins where the first ended.
        let mut written = vec![0; payload.len()];
        encoder
            .encode(&vector.samples("samples"), &mut written)
            .unwrap();
        assert_eq!(hex(&written), hex(&payload), "{}", vector.name);
    }
    assert_eq!(count, 3);
}

#[test]
fn examples_of_damage_are_dropped() {
    let mut count = 0;
    for vector in examples("damaged-") {
        // A reader that takes the packets of every side, or the longest of this implementation.
        match vector.fields.get("bound").map(String::as_str) {
            Some("352") => check_damage::<{ encoded_len_max(352) - 1 }>(&vector),
            Some(other) => panic!("{}: bound {other}", vector.name),
            None => check_damage::<ENCODED_MAX>(&vector),
        }
        count += 1;
    }
    assert!(count >= 5);
}

fn check_damage<const N: usize>(vector: &Vector) {
    let mut deframer = Deframer::<N>::new();
    let stream = vector.bytes("stream");
    let mut rest = &stream[..];
    if vector.text("dropped") != "0 nothing" {
        let (feed, behind) = deframer.feed(rest);
        let Feed::Bad {
            dropped_bytes,
            reason,
        } = feed
        else {
            panic!("{}: {feed:?}", vector.name)
        };
        let dropped = format!("{dropped_bytes} {reason:?}");
        assert_eq!(dropped, vector.text("dropped"), "{}", vector.name);
        rest = behind;
    }
    // The packet behind it arrives.
    let (Feed::Packet(packet), []) = deframer.feed(rest) else {
        panic!("{}: the packet behind it was lost", vector.name)
    };
    assert_eq!(hex(packet), hex(&vector.bytes("then")), "{}", vector.name);
}
