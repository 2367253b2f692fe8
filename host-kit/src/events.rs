//! One event as a line of JSON.

use crate::words::escape_hidden;
use serde::Serialize;

/// One event. Every line is an object with the fields of its kind and `event`, the kind's name.
/// Fields are only ever added, so that today's readers understand tomorrow's lines.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Event<K> {
    /// Milliseconds since the program started.
    pub t_ms: u64,
    /// Events left out before this one, because they were not read in time or came too fast.
    #[serde(skip_serializing_if = "is_zero")]
    pub missed: u64,
    /// What happened.
    #[serde(flatten)]
    pub kind: K,
}

impl<K: Serialize> Event<K> {
    /// Returns the line for stdout, without its line end. Names are unchanged, except that
    /// characters that are invisible or change the writing direction are escaped, so that a
    /// terminal shows the line as it is.
    ///
    /// # Panics
    /// When the kind is not an object of plain data.
    #[must_use]
    pub fn to_json(&self) -> String {
        let json = serde_json::to_string(self).expect("an event is plain data");
        escape_hidden(&json)
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn invisible_characters_are_escaped_and_survive() {
        let name = "a\u{202e}b\u{e0041}\u{7f}";
        let kind = json!({"event": "participant_left", "name": name});
        let line = Event {
            t_ms: 5,
            missed: 3,
            kind,
        }
        .to_json();
        assert!(line.contains(r"a\u202eb\udb40\udc41\u007f"), "{line}");
        let value: Value = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "event": "participant_left", "t_ms": 5, "missed": 3, "name": name,
        });
        assert_eq!(value, expected);
    }

    #[test]
    fn nothing_missed_means_no_count() {
        let kind = json!({"event": "x"});
        let event = Event {
            t_ms: 0,
            missed: 0,
            kind,
        };
        let value: Value = serde_json::from_str(&event.to_json()).unwrap();
        assert_eq!(value, json!({"event": "x", "t_ms": 0}));
    }
}
