use std::io::{self, Read as _};

use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::time::Duration;
use talkspurt_core::wire::{ParticipantName, Reason};

use super::*;

/// A reporter, and the lines that it has written by its end.
pub fn reporter(format: Format) -> (Reporter, impl FnOnce(Reporter) -> Vec<String>) {
    let (mut reader, writer) = io::pipe().unwrap();
    let out = Lines::to(writer).unwrap();
    let lines = move |reporter: Reporter| {
        reporter.finish().unwrap();
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text.lines().map(str::to_owned).collect()
    };
    (Reporter::new(out, format, "kitchen", "kettle"), lines)
}

fn told(format: Format) -> Vec<String> {
    let (mut reporter, lines) = reporter(format);
    let participant = |id, name| Participant {
        id: ParticipantId(id),
        flags: ParticipantFlags::default(),
        name: ParticipantName::new(name).unwrap(),
    };
    let params = SessionParams {
        id: ParticipantId(7),
        codec_up: CodecId::ImaAdpcm,
        codec_down: CodecId::ImaAdpcm,
        format: AudioFormat::DEFAULT,
        idle_timeout: Duration::from_secs(15),
    };
    let both = ParticipantFlags::TALKING.with(ParticipantFlags::MUTED, true);
    let at = Instant::from_micros(1_234_567);
    reporter.serial("/dev/pts/9");
    reporter.event(at, &NodeEvent::Calling { attempt: 1 });
    reporter.event(
        at,
        &NodeEvent::Joined {
            params,
            participants: 1,
        },
    );
    for event in [
        listed(participant(7, "kettle")),
        ClientEvent::RosterComplete,
        ClientEvent::ParticipantJoined(participant(8, "ann")),
        ClientEvent::State(ParticipantId(8), ParticipantFlags::TALKING),
        ClientEvent::State(ParticipantId(8), both),
        ClientEvent::State(ParticipantId(8), ParticipantFlags::MUTED),
        ClientEvent::ParticipantLeft(ParticipantId(8), Reason::LEAVING),
        ClientEvent::State(ParticipantId(99), ParticipantFlags::TALKING),
    ] {
        reporter.event(at, &NodeEvent::Room(&event));
    }
    reporter.event(
        at,
        &NodeEvent::Lost {
            reason: Reason::IDLE_TIMEOUT,
            text: "",
        },
    );
    reporter.left(at, "leaving", &NodeStats::default(), &Counters::default());
    lines(reporter)
}

#[test]
fn json_has_one_object_a_line_after_the_serial_path() {
    let lines = told(Format::Json);
    assert_eq!(lines[0], "serial on /dev/pts/9");
    let objects: Vec<Value> = lines[1..]
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let events: Vec<&str> = objects
        .iter()
        .map(|object| object["event"].as_str().unwrap())
        .collect();
    assert_eq!(
        events,
        [
            "joined",
            "roster",
            "participant_joined",
            "talking",
            "muted",
            "silent",
            "participant_left",
            "talking",
            "reconnecting",
            "left"
        ]
    );
    assert!(objects.iter().all(|object| object["t_ms"] == 1234));
    let joined = json!({
        "event": "joined", "t_ms": 1234, "id": 7, "roster_len": 1, "room": "kitchen", "name": "kettle",
        "codec": objects[0]["codec"], "rate_hz": 16_000, "frame_ms": 20,
    });
    assert_eq!(objects[0], joined);
    assert_eq!(
        objects[1]["roster"][0],
        json!({"id": 7, "name": "kettle", "talking": false, "muted": false})
    );
    assert_eq!(objects[3]["name"], "ann");
    assert_eq!(objects[7]["name"], "participant 99");
    assert_eq!(
        objects[9].pointer("/serial/tx_voice_drops"),
        Some(&json!(0))
    );
}

#[test]
fn text_says_the_same_in_words() {
    let lines = told(Format::Text);
    assert_eq!(lines.len(), 11);
    assert!(lines[1].starts_with("joined kitchen as kettle: 1 in the room"));
    assert_eq!(lines[4], "ann is talking");
    assert_eq!(lines[5], "ann is muted");
}

fn listed(participant: Participant) -> ClientEvent {
    ClientEvent::Listed {
        participant,
        is_first: true,
    }
}

/// What a server may send that let such a name in: it turns the writing around, or shows nothing.
fn told_of(name: &str, format: Format) -> Vec<String> {
    let (mut reporter, lines) = reporter(format);
    let participant = Participant {
        id: ParticipantId(8),
        flags: ParticipantFlags::default(),
        name: ParticipantName::new(name).unwrap(),
    };
    let id = participant.id;
    for event in [
        listed(participant.clone()),
        ClientEvent::RosterComplete,
        ClientEvent::ParticipantJoined(participant),
        ClientEvent::State(id, ParticipantFlags::TALKING),
        ClientEvent::State(id, ParticipantFlags::MUTED),
        ClientEvent::ParticipantLeft(id, Reason::LEAVING),
    ] {
        reporter.event(Instant::ZERO, &NodeEvent::Room(&event));
    }
    lines(reporter)
}

#[test]
fn names_in_text_lines_are_cleaned() {
    let lines = told_of("b\u{202e}o\u{fe00}b", Format::Text);
    assert_eq!(
        lines,
        [
            "in the room: bob",
            "bob joined",
            "bob is talking",
            "bob is silent",
            "bob is muted",
            "bob left"
        ]
    );
    let lines = told_of("\u{200b}", Format::Text);
    assert_eq!(lines[1], "(unprintable) joined");
}

#[test]
fn names_in_json_are_whole_and_escaped() {
    let name = "b\u{202e}o\u{e0041}b";
    for line in told_of(name, Format::Json) {
        assert!(line.is_ascii(), "{line}");
        let object: Value = serde_json::from_str(&line).unwrap();
        let told = object.get("name").or(object.pointer("/roster/0/name"));
        assert_eq!(told, Some(&json!(name)));
    }
}
