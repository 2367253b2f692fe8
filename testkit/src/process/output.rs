//! A program's output: its lines as they arrive, and its JSON events.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

/// One line of a program's standard output.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it was read.
    pub at: Instant,
    /// The text without its line end.
    pub text: String,
}

/// One JSON object that a program printed.
#[derive(Clone, Debug)]
pub struct Event {
    /// When it was read.
    pub at: Instant,
    /// The kind of event: its `event` member.
    pub kind: String,
    /// The whole object.
    pub json: Value,
}

impl Event {
    /// Parses a line read now. `None` unless it is a JSON object with an `event` member.
    pub fn parse_text(text: &str) -> Option<Self> {
        Self::parse(&Line {
            at: Instant::now(),
            text: text.to_owned(),
        })
    }

    pub(super) fn parse(line: &Line) -> Option<Self> {
        let json: Value = serde_json::from_str(&line.text).ok()?;
        let kind = json.get("event")?.as_str()?.to_owned();
        Some(Self {
            at: line.at,
            kind,
            json,
        })
    }

    /// Returns a count of frames from a `left` event: `captured`, `sent`, `received`, ... A client
    /// says `frames_sent`, a node `frames` with `sent` in it.
    pub fn frames(&self, what: &str) -> Result<u64> {
        self.number(&format!("/frames_{what}"))
            .or_else(|_| self.number(&format!("/frames/{what}")))
    }

    /// Returns the whole number at `pointer` (`/frames/sent`). If there is none, the error shows
    /// the event.
    pub fn number(&self, pointer: &str) -> Result<u64> {
        let value = self.json.pointer(pointer).and_then(Value::as_u64);
        value.with_context(|| format!("no number at {pointer} in {}", self.json))
    }
}

/// A program's output so far, filled by two threads.
#[derive(Default)]
pub(super) struct Output {
    said: Mutex<Said>,
    pub(super) changed: Condvar,
}

#[derive(Default)]
pub(super) struct Said {
    pub(super) lines: Vec<Line>,
    pub(super) log: Vec<u8>,
    /// Standard output is closed or goes elsewhere.
    pub(super) ended: bool,
}

impl Output {
    pub(super) fn lock(&self) -> MutexGuard<'_, Said> {
        self.said.lock().expect("readers do not panic")
    }
}

pub(super) fn read_lines(from: impl Read + Send + 'static, output: Arc<Output>) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut from = BufReader::new(from);
        let mut raw = Vec::new();
        while matches!(from.read_until(b'\n', &mut raw), Ok(read) if read > 0) {
            let text = String::from_utf8_lossy(&raw)
                .trim_end_matches(['\r', '\n'])
                .to_owned();
            raw.clear();
            output.lock().lines.push(Line {
                at: Instant::now(),
                text,
            });
            output.changed.notify_all();
        }
        output.lock().ended = true;
        output.changed.notify_all();
    })
}

pub(super) fn read_log(
    mut from: impl Read + Send + 'static,
    output: Arc<Output>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        let mut chunk = [0; 4096];
        while let Ok(read @ 1..) = from.read(&mut chunk) {
            output.lock().log.extend_from_slice(&chunk[..read]);
        }
    })
}
