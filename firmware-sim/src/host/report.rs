//! Events of the simulated node on stdout: plain lines for a person, or one JSON object per line.

use std::collections::BTreeMap;
use std::mem;
use std::time::Duration;

use clap::ValueEnum;
use serde_json::{Value, json};
use talkspurt_core::session::{Participant, SessionParams};
use talkspurt_core::time::Instant;
use talkspurt_core::wire::{ParticipantFlags, ParticipantId, Reason};
use talkspurt_host_kit::console::{Lines, OutputError};
use talkspurt_host_kit::events::Event;
use talkspurt_host_kit::sound::{RecordingNotice, recording_line};
use talkspurt_host_kit::words::clean;

use crate::node::{ClientEvent, NodeEvent, NodeStats};
use crate::uart::Counters;

/// How long the last lines may take to be written.
const FINISH_PATIENCE: Duration = Duration::from_millis(500);

/// Format of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One sentence per event
    Text,
    /// One object per line, with `event` and `t_ms`
    Json,
}

/// Follows the roster and reports what changes.
#[derive(Debug)]
pub struct Reporter {
    out: Lines,
    format: Format,
    room: String,
    name: String,
    roster: BTreeMap<u32, Participant>,
}

impl Reporter {
    /// Reports on `out`.
    #[must_use]
    pub fn new(out: Lines, format: Format, room: &str, name: &str) -> Self {
        Self {
            out,
            format,
            room: room.to_owned(),
            name: name.to_owned(),
            roster: BTreeMap::new(),
        }
    }

    /// Waits briefly until everything is written.
    ///
    /// # Errors
    /// When the reader has gone, or the output cannot be written.
    pub fn finish(self) -> Result<(), OutputError> {
        self.out.finish(FINISH_PATIENCE)
    }

    /// Reports the path of the pseudo-terminal, with the same line in both formats.
    pub fn serial(&mut self, path: &str) {
        self.line(&format!("serial on {path}"));
    }

    /// Reports what happened to the recording. The node goes on in any case.
    pub fn recording(&mut self, now: Instant, notice: &RecordingNotice) {
        let (state, file, text) = notice.parts();
        let sentence = recording_line(state, file.as_deref(), &text);
        let mut fields = json!({"state": state, "text": text});
        if let Some(file) = file {
            fields["file"] = file.into();
        }
        self.tell(now, "recording", fields, &sentence);
    }

    /// Reports a node's event.
    pub fn event(&mut self, now: Instant, event: &NodeEvent<'_>) {
        match event {
            NodeEvent::Calling { .. } | NodeEvent::Rejected { .. } | NodeEvent::Left => {}
            NodeEvent::Joined {
                params,
                participants,
            } => self.joined(now, params, *participants),
            NodeEvent::Room(event) => self.room(now, event),
            NodeEvent::Lost { reason, text } => self.reconnecting(now, *reason, text),
        }
    }

    fn room(&mut self, now: Instant, event: &ClientEvent) {
        match event {
            ClientEvent::Listed {
                participant,
                is_first,
            } => {
                if *is_first {
                    self.roster.clear();
                }
                self.enter(participant);
            }
            ClientEvent::RosterComplete => self.roster_complete(now),
            ClientEvent::ParticipantJoined(participant) => {
                self.enter(participant);
                let id = participant.id;
                self.tell_of(now, id, "participant_joined", "joined", json!({}));
            }
            ClientEvent::ParticipantLeft(id, _) => {
                self.tell_of(now, *id, "participant_left", "left", json!({}));
                self.roster.remove(&id.0);
            }
            ClientEvent::State(id, flags) => self.state(now, *id, *flags),
            _ => {}
        }
    }

    /// Reports that the session is over and the node calls again.
    pub fn reconnecting(&mut self, now: Instant, reason: Reason, text: &str) {
        self.roster.clear();
        let sentence = sentence(reason, text);
        let text = format!("lost the server: {sentence}; calling it again");
        let fields = json!({"reason": reason.label()});
        self.tell(now, "reconnecting", fields, &text);
    }

    /// Reports that the node has left, with its counts.
    pub fn left(&mut self, now: Instant, reason: &str, stats: &NodeStats, line: &Counters) {
        let fields = json!({
            "reason": reason,
            "joins": stats.joins,
            "frames": {
                "captured": stats.client.frames_captured,
                "sent": stats.client.frames_sent,
                "received": stats.client.frames_received,
                "played": stats.client.frames_played,
                "concealed": stats.client.frames_concealed,
                "silent": stats.client.frames_silent,
            },
            "packets": {
                "received": stats.client.packets_received,
                "transmitted": stats.client.packets_transmitted,
            },
            "serial": {
                "bytes_in": line.received_bytes,
                "bytes_out": line.transmitted_bytes,
                "unheard_bytes": line.unheard_bytes,
                "dropped_bytes": stats.client.dropped_bytes,
                "crc_errors": stats.client.crc_errors,
                "malformed": stats.client.malformed,
                "overruns": line.overrun_bytes,
                "tx_voice_drops": stats.client.voice_dropped,
            },
        });
        let text = format!(
            "left: {} of {} frames sent, {} played, {} concealed; {} bytes in, {} out, {} dropped, {} overruns, {} voice packets dropped",
            stats.client.frames_sent,
            stats.client.frames_captured,
            stats.client.frames_played,
            stats.client.frames_concealed,
            line.received_bytes,
            line.transmitted_bytes,
            stats.client.dropped_bytes,
            line.overrun_bytes,
            stats.client.voice_dropped,
        );
        self.tell(now, "left", fields, &text);
    }

    fn joined(&mut self, now: Instant, params: &SessionParams, participants: u32) {
        self.roster.clear();
        let (room, name, codec) = (self.room.clone(), self.name.clone(), params.codec_up.name());
        let (rate_hz, frame_ms) = (params.format.rate.hz(), params.format.frame.ms());
        let text = format!(
            "joined {room} as {name}: {participants} in the room, {codec} at {rate_hz} Hz, {frame_ms} ms frames"
        );
        let fields = json!({
            "id": params.id.0,
            "roster_len": participants,
            "room": room,
            "name": name,
            "codec": codec,
            "rate_hz": rate_hz,
            "frame_ms": frame_ms,
        });
        self.tell(now, "joined", fields, &text);
    }

    fn roster_complete(&mut self, now: Instant) {
        let entries: Vec<Value> = self.roster.values().map(entry_json).collect();
        let names = self.roster.values().map(|entry| clean(&entry.name));
        let names: Vec<String> = names.collect();
        let text = format!("in the room: {}", names.join(", "));
        self.tell(now, "roster", json!({"roster": entries}), &text);
    }

    fn state(&mut self, now: Instant, id: ParticipantId, flags: ParticipantFlags) {
        let known = self.roster.get_mut(&id.0);
        let before = known.map(|entry| mem::replace(&mut entry.flags, flags));
        let before = before.unwrap_or_default();
        let changed = |flag| (before.has(flag) != flags.has(flag)).then(|| flags.has(flag));
        if let Some(talking) = changed(ParticipantFlags::TALKING) {
            let event = if talking { "talking" } else { "silent" };
            self.tell_of(now, id, event, &format!("is {event}"), json!({}));
        }
        if let Some(muted) = changed(ParticipantFlags::MUTED) {
            let does = if muted { "is muted" } else { "is unmuted" };
            self.tell_of(now, id, "muted", does, json!({"muted": muted}));
        }
    }

    /// Reports what a participant does.
    fn tell_of(
        &mut self,
        now: Instant,
        id: ParticipantId,
        event: &str,
        does: &str,
        mut fields: Value,
    ) {
        // If noise has swallowed the packet that named the participant, the number has to do.
        let name = self.roster.get(&id.0).map_or_else(
            || format!("participant {}", id.0),
            |entry| entry.name.to_string(),
        );
        let text = format!("{} {does}", clean(&name));
        fields["id"] = id.0.into();
        fields["name"] = name.into();
        self.tell(now, event, fields, &text);
    }

    fn enter(&mut self, participant: &Participant) {
        self.roster.insert(participant.id.0, participant.clone());
    }

    /// Checks that the output still takes lines.
    ///
    /// # Errors
    /// When the reader has gone, or the output cannot be written.
    pub fn check(&self) -> Result<(), OutputError> {
        self.out.check()
    }

    fn tell(&mut self, now: Instant, event: &str, mut fields: Value, text: &str) {
        match self.format {
            Format::Text => self.line(text),
            Format::Json => self.out.push(|missed| {
                fields["event"] = event.into();
                let event = Event {
                    t_ms: now.as_micros() / 1000,
                    missed,
                    kind: fields,
                };
                event.to_json()
            }),
        }
    }

    fn line(&mut self, text: &str) {
        // Names are already clean. This is for anything else in a line.
        let text = clean(text);
        self.out.push(|missed| match missed {
            0 => text,
            _ => format!("({missed} events before this were left out) {text}"),
        });
    }
}

/// Returns the server's sentence, or ours for the same reason.
pub(super) fn sentence(reason: Reason, text: &str) -> String {
    match text {
        "" => reason.to_string(),
        text => clean(text),
    }
}

fn entry_json(entry: &Participant) -> Value {
    json!({
        "id": entry.id.0,
        "name": entry.name.as_str(),
        "talking": entry.flags.has(ParticipantFlags::TALKING),
        "muted": entry.flags.has(ParticipantFlags::MUTED),
    })
}

#[cfg(test)]
pub(super) mod tests;
