//! Events as plain lines, for logs, pipes and the lower part of the live view.

use crate::{
    device::{DeviceNotice, DeviceState, Direction},
    events::{Counts, Event, EventKind, RosterLine},
};
use talkspurt_host_kit::{sound::recording_line, words::clean};

/// Returns the line for an event; `None` if a reader need not know it. `own_id` stores our number
/// between calls.
pub(super) fn plain(event: &Event, own_id: &mut Option<u32>) -> Option<String> {
    let line = line(event, own_id);
    match event.missed {
        0 => line,
        missed => Some(format!(
            "({missed} events before this were left out) {}",
            line.unwrap_or_default()
        )),
    }
}

fn line(event: &Event, own_id: &mut Option<u32>) -> Option<String> {
    let who = |id: u32, name: &str| {
        if Some(id) == *own_id {
            "you".to_owned()
        } else {
            clean(name)
        }
    };
    let is = |id: u32| if Some(id) == *own_id { "are" } else { "is" };
    Some(match &event.kind {
        EventKind::Joined {
            id,
            name,
            room,
            codec,
            rate_hz,
            frame_ms,
            roster,
        } => {
            *own_id = Some(*id);
            let others = others(*id, roster);
            format!(
                "joined {} as {} ({codec}, {} kHz, {frame_ms} ms); {others}",
                clean(room),
                clean(name),
                rate_hz / 1_000
            )
        }
        EventKind::ParticipantJoined(line) => format!("{} joined", clean(&line.name)),
        EventKind::ParticipantLeft { name, .. } => format!("{} left", clean(name)),
        EventKind::Talking { id, name } => format!("{} {} talking", who(*id, name), is(*id)),
        EventKind::Silent { id, name } => format!("{} {} silent", who(*id, name), is(*id)),
        EventKind::Muted { id, name, muted } => {
            let how = if *muted { "muted" } else { "no longer muted" };
            format!("{} {} {how}", who(*id, name), is(*id))
        }
        EventKind::Deafened { deafened: true } => "you hear nothing now".to_owned(),
        EventKind::Deafened { deafened: false } => "you hear the room again".to_owned(),
        EventKind::Device(notice) => device_line(notice),
        EventKind::InputQuiet {
            level_dbfs,
            gate_open_dbfs,
            try_gate_open_dbfs,
        } => format!(
            "you are too quiet, nothing is sent: your voice is at {level_dbfs:.0} dBFS, the gate \
             opens at {gate_open_dbfs:.0}; turn the microphone up, or use \
             --gate-open {try_gate_open_dbfs:.0}dB (down arrow in the live view)"
        ),
        EventKind::InputEnded { problem: None } => "the input file has ended".to_owned(),
        EventKind::InputEnded {
            problem: Some(problem),
        } => format!("the input has ended: {problem}"),
        EventKind::Recording { state, file, text } => recording_line(state, file.as_deref(), text),
        // The program's last line on stderr says that it failed.
        EventKind::Failed { .. } | EventKind::Level(_) => return None,
        EventKind::Reconnecting {
            reason,
            attempt,
            retry_in_ms,
        } => {
            let secs = *retry_in_ms as f64 / 1_000.0;
            let reason = clean(reason);
            format!("not in the room ({reason}); trying again in {secs:.1} s (try {attempt})")
        }
        EventKind::Left { reason, counts } => left_line(reason, counts),
    })
}

fn left_line(reason: &str, counts: &Counts) -> String {
    let delay = match counts.delay_ms {
        Some(ms) => format!(", delay {ms} ms"),
        None => String::new(),
    };
    format!(
        "left after {:.1} s ({}): sent {} of {} frames, heard {}, concealed {}, lost {}{delay}",
        counts.stayed_ms as f64 / 1_000.0,
        clean(reason),
        counts.frames_sent,
        counts.frames_captured,
        counts.frames_played,
        counts.frames_concealed,
        counts.packets_lost,
    )
}

fn device_line(notice: &DeviceNotice) -> String {
    let (device, text) = (notice.direction, clean(&notice.text));
    match (device, notice.state) {
        (_, DeviceState::Opened) => format!("{device}: {text}"),
        (_, DeviceState::Lost) => format!("lost the {device} ({text}); reopening it"),
        (Direction::Input, _) => format!("no {device}, you can only listen ({text})"),
        (Direction::Output, _) => format!("no {device}, you hear nothing ({text})"),
    }
}

fn others(own_id: u32, roster: &[RosterLine]) -> String {
    let names: Vec<_> = roster
        .iter()
        .filter(|line| line.id != own_id)
        .map(|line| clean(&line.name))
        .collect();
    match names.as_slice() {
        [] => "you are alone".to_owned(),
        names => format!("with {}", names.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: EventKind) -> Event {
        Event {
            t_ms: 0,
            missed: 0,
            kind,
        }
    }

    fn line(id: u32, name: &str) -> RosterLine {
        RosterLine {
            id,
            name: name.into(),
            talking: false,
            muted: false,
        }
    }

    #[test]
    fn a_stay_reads_like_a_story() {
        let story = [
            EventKind::Joined {
                id: 2,
                name: "bob".into(),
                room: "kitchen".into(),
                codec: "adpcm",
                rate_hz: 16_000,
                frame_ms: 20,
                roster: vec![line(1, "ann"), line(2, "bob")],
            },
            EventKind::Device(DeviceNotice {
                direction: Direction::Input,
                state: DeviceState::Absent,
                text: "none found".into(),
            }),
            EventKind::ParticipantJoined(line(3, "cat")),
            EventKind::Talking {
                id: 2,
                name: "bob".into(),
            },
            EventKind::Silent {
                id: 1,
                name: "ann".into(),
            },
            EventKind::Muted {
                id: 2,
                name: "bob".into(),
                muted: true,
            },
            EventKind::ParticipantLeft {
                id: 3,
                name: "cat".into(),
            },
            EventKind::Reconnecting {
                reason: "gone".into(),
                attempt: 1,
                retry_in_ms: 250,
            },
            EventKind::Left {
                reason: "left".into(),
                counts: Counts {
                    stayed_ms: 1_500,
                    delay_ms: Some(62),
                    ..Counts::default()
                },
            },
        ];
        let mut own_id = None;
        let told: Vec<_> = story
            .into_iter()
            .filter_map(|kind| plain(&event(kind), &mut own_id))
            .collect();
        assert_eq!(
            told,
            [
                "joined kitchen as bob (adpcm, 16 kHz, 20 ms); with ann",
                "no microphone, you can only listen (none found)",
                "cat joined",
                "you are talking",
                "ann is silent",
                "you are muted",
                "cat left",
                "not in the room (gone); trying again in 0.2 s (try 1)",
                "left after 1.5 s (left): sent 0 of 0 frames, heard 0, concealed 0, lost 0, \
                 delay 62 ms",
            ]
        );
    }
}
