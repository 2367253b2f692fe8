//! docs/FIRMWARE.md is true: its arithmetic is the code's, and its listings are the example's.

use std::fs;
use std::path::Path;

use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::{FrameDuration, SampleRate};
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::wire::{ClientPacket, Voice};

/// A start bit, eight, a stop bit.
const BITS_PER_BYTE: u32 = 10;

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the package stands in the repository")
}

fn manual() -> String {
    fs::read_to_string(repository().join("docs/FIRMWARE.md")).expect("docs/FIRMWARE.md")
}

/// Returns the bytes on the line of the longest packet with such a payload.
fn on_the_line(payload_bytes: usize) -> usize {
    // No byte is zero, and every number is as long as it can be.
    let payload = vec![0x55; payload_bytes];
    let voice = Voice {
        seq: Seq(u16::MAX),
        timestamp: talkspurt_core::seq::Timestamp(u32::MAX),
        level: 255,
        stream: 0,
        terminator: true,
        payload: &payload,
    };
    write_to_stream(&ClientPacket::Voice(voice), &mut [0; ENCODED_MAX]).expect("it fits")
}

/// Returns the numbers of a table's row, without what is around them. Cells without digits are
/// skipped, as in the rule below the head.
fn numbers(row: &str) -> Vec<u32> {
    row.split('|')
        .skip(2)
        .map(|cell| {
            cell.chars()
                .filter(char::is_ascii_digit)
                .collect::<String>()
        })
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

#[test]
fn the_table_of_baud_rates_matches_the_code() {
    let manual = manual();
    let head = manual
        .lines()
        .find(|line| line.starts_with("| codec | frame |"))
        .expect("the table");
    let bauds = numbers(head);
    assert!(bauds.len() >= 5, "{bauds:?}");
    let rows: Vec<&str> = manual
        .lines()
        .filter(|line| line.starts_with("| ADPCM |") || line.starts_with("| PCM16 |"))
        .collect();
    let codecs = [CodecId::ImaAdpcm, CodecId::Pcm16];
    let frames = [FrameDuration::Ms5, FrameDuration::Ms10, FrameDuration::Ms20];
    let kinds = codecs
        .iter()
        .flat_map(|codec| frames.map(|frame| (codec, frame)));
    assert_eq!(rows.len(), codecs.len() * frames.len());
    for ((codec, frame), row) in kinds.zip(rows) {
        let payload = codec.payload_len(frame.samples(SampleRate::Hz16000));
        let line = on_the_line(payload) as u32;
        let frame_ms = frame.duration().as_micros() as u32 / 1_000;
        let per_second = 1_000 / frame_ms;
        let mut expected = vec![
            frame_ms,
            payload as u32,
            line,
            per_second,
            line * per_second,
        ];
        let share = |baud: &u32| {
            let line_bytes = baud / BITS_PER_BYTE;
            (line * per_second * 100 + line_bytes / 2) / line_bytes
        };
        expected.extend(bauds.iter().map(share));
        assert_eq!(numbers(row), expected, "{row}");
    }
}

#[test]
fn the_listings_match_the_example() {
    let manual = manual();
    let listings: Vec<(&str, &str)> = manual
        .split("<!-- ")
        .skip(1)
        .filter_map(|part| {
            let (path, rest) = part.split_once(" -->\n```rust\n")?;
            Some((path, rest.split_once("```")?.0))
        })
        .collect();
    assert_eq!(
        listings.len(),
        manual.matches("```rust").count(),
        "each listing has its file above it"
    );
    assert!(listings.len() >= 3);
    for (path, listing) in listings {
        let source = fs::read_to_string(repository().join(path)).expect("the listing's file");
        assert!(
            source.contains(listing),
            "{path} has changed; docs/FIRMWARE.md still says:\n{listing}"
        );
    }
}
