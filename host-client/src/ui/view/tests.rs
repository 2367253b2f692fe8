use super::*;
use crate::events::{Counts, DelayParts};
use ratatui::{Terminal, backend::TestBackend};

pub(in crate::ui) fn snapshot() -> Snapshot {
    let line = |id, name: &str, talking, muted| RosterLine {
        id,
        name: name.into(),
        talking,
        muted,
    };
    Snapshot {
        connected: true,
        id: 2,
        codec: "pcm16",
        frame_ms: 20,
        roster: vec![
            line(1, "ann", false, true),
            line(2, "bob", false, false),
            line(3, "cat", true, false),
        ],
        input_rms: 3_000,
        output_rms: 0,
        gate: Some(GateLevels {
            noise_rms: Some(300),
            open_rms: 2_000,
            close_rms: 500,
        }),
        talking: true,
        muted: false,
        key_held: None,
        too_quiet: false,
        deafened: false,
        delay_ms: Some(62),
        delay_parts: DelayParts::default(),
        round_trip_ms: Some(1.25),
        playout_ms: 60,
        counts: Counts {
            packets_lost: 4,
            ..Counts::default()
        },
    }
}

fn drawn(width: u16, height: u16, snapshot: &Snapshot) -> Vec<String> {
    let lines = VecDeque::from(["joined kitchen".to_owned(), "cat is talking".to_owned()]);
    let stay = Stay {
        room: "kitchen".into(),
        server: "localhost:8255".into(),
        push_to_talk: false,
    };
    let scene = Scene {
        stay: &stay,
        snapshot,
        lines: &lines,
        help: " m mute ",
    };
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, &scene)).unwrap();
    let buffer = terminal.backend().buffer();
    let row = |y| {
        (0..width)
            .map(|x| buffer[(x, y)].symbol())
            .collect::<String>()
    };
    (0..height).map(row).collect()
}

#[test]
fn everything_asked_for_is_on_the_screen() {
    let rows = drawn(110, 20, &snapshot());
    let all = rows.join("\n");
    for part in [
        "kitchen on localhost:8255",
        "in the room",
        "talking",
        "● cat",
        "✕ ann muted",
        "○ bob (you)",
        "┃",
        "│",
        "delay 62 ms",
        "round trip 1.2 ms",
        "playout 60 ms",
        "lost 4",
        "gate -24/-36 dB",
        "noise -41 dB",
        "cat is talking",
        "m mute",
    ] {
        assert!(all.contains(part), "{part} is missing:\n{all}");
    }
    let cat = rows.iter().position(|row| row.contains("● cat")).unwrap();
    let ann = rows.iter().position(|row| row.contains("✕ ann")).unwrap();
    assert!(cat < ann, "talkers come first");
}

#[test]
fn the_delay_is_shown_in_small_terminals_too_unless_it_is_not_known() {
    for (width, height) in [(40, 12), (80, 24), (120, 30)] {
        let all = drawn(width, height, &snapshot()).join("\n");
        assert!(all.contains("delay 62 ms"), "{all}");
    }
    let unknown = Snapshot {
        delay_ms: None,
        ..snapshot()
    };
    let all = drawn(80, 24, &unknown).join("\n");
    assert!(!all.contains("delay"), "{all}");
}

#[test]
fn long_lines_are_wrapped_between_words() {
    let rows = wrapped("you are too quiet, nothing is sent", 16);
    assert_eq!(rows, ["you are too", "  quiet, nothing", "  is sent"]);
    assert_eq!(wrapped("abcdefghijkl", 6), ["abcd", "  efgh", "  ijkl"]);
    assert_eq!(wrapped("", 6), [""]);
    assert_eq!(wrapped("a b", 3), ["a b"]);
    let rows = wrapped("joined the talk-spurt", 16);
    assert_eq!(rows, ["joined the", "  talk-spurt"], "no word is divided");
    // Wide characters take two columns each.
    let rows = wrapped("joined 東京の部屋 as 田中一郎太郎次 (pcm16)", 14);
    assert_eq!(
        rows,
        [
            "joined",
            "  東京の部屋",
            "  as",
            "  田中一郎太郎",
            "  次 (pcm16)"
        ]
    );
}

#[test]
fn control_characters_in_names_are_removed() {
    let mut odd = snapshot();
    odd.roster[1].name = "b\u{202e}o\u{1b}[2Jb".into();
    let all = drawn(110, 20, &odd).join("\n");
    assert!(all.contains("○ bo[2Jb (you)"), "{all}");
}

#[test]
fn a_roster_that_just_fits_is_not_cut() {
    // The line that says how many more there are takes the place of one.
    for height in 1..30 {
        let all = drawn(110, height, &snapshot()).join("\n");
        assert!(!all.contains("and 1 more"), "{all}");
    }
}

#[test]
fn any_size_of_terminal_is_drawn() {
    let mut crowded = snapshot();
    crowded.roster = (0..500)
        .map(|id| RosterLine {
            id,
            name: "x".repeat(32),
            talking: false,
            muted: false,
        })
        .collect();
    for (width, height) in [(1, 1), (5, 3), (20, 8), (80, 24), (300, 100)] {
        drawn(width, height, &crowded);
    }
    let rows = drawn(80, 24, &crowded);
    assert!(
        rows.iter().any(|row| row.contains("and 486 more")),
        "{rows:#?}"
    );
}
