//! What happened to a recording, in words.

use std::path::{Path, PathBuf};

/// What happened to a recording.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordingNotice {
    /// The file is as long as a WAV file can be; the recording goes on in this one.
    Continued {
        /// The next file.
        path: PathBuf,
    },
    /// Nothing more is recorded.
    Stopped {
        /// The last file.
        path: PathBuf,
        /// Why.
        problem: String,
    },
    /// The disk was too slow: this much sound is replaced by silence.
    Lost {
        /// Milliseconds.
        ms: u64,
    },
}

impl RecordingNotice {
    /// Returns the parts of an event: what happened in a word (`continued`, `stopped` or `lost`),
    /// the file concerned, and why.
    #[must_use]
    pub fn parts(&self) -> (&'static str, Option<String>, String) {
        let name = |path: &Path| Some(path.display().to_string());
        match self {
            Self::Continued { path } => {
                let text = "the previous file is as long as a WAV file can be";
                ("continued", name(path), text.to_owned())
            }
            Self::Stopped { path, problem } => ("stopped", name(path), problem.clone()),
            Self::Lost { ms } => {
                let text = format!("the disk was too slow: {ms} ms are silence");
                ("lost", None, text)
            }
        }
    }
}

/// Returns a sentence for people about a notice, from its [parts](RecordingNotice::parts).
#[must_use]
pub fn recording_line(state: &str, file: Option<&str>, text: &str) -> String {
    let file = file.unwrap_or_default();
    match state {
        "stopped" => {
            format!("the recording {file} has stopped ({text}); you are still in the room")
        }
        "continued" => format!("the recording goes on in {file} ({text})"),
        _ => format!("the recording has a gap ({text})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_notice_has_its_sentence() {
        let path = || PathBuf::from("heard.wav");
        let problem = "no space left on device".to_owned();
        for (notice, state, line) in [
            (
                RecordingNotice::Continued { path: path() },
                "continued",
                "the recording goes on in heard.wav \
                 (the previous file is as long as a WAV file can be)",
            ),
            (
                RecordingNotice::Stopped {
                    path: path(),
                    problem,
                },
                "stopped",
                "the recording heard.wav has stopped (no space left on device); \
                 you are still in the room",
            ),
            (
                RecordingNotice::Lost { ms: 40 },
                "lost",
                "the recording has a gap (the disk was too slow: 40 ms are silence)",
            ),
        ] {
            let (told_state, file, text) = notice.parts();
            let told = recording_line(told_state, file.as_deref(), &text);
            assert_eq!((told_state, told.as_str()), (state, line));
        }
    }
}
