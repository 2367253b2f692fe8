//! What happened to a recording, in words.

use std::path::PathBuf;

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
    /// Returns what happened in a word, for an event: `continued`, `stopped` or `lost`.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self {
            Self::Continued { .. } => "continued",
            Self::Stopped { .. } => "stopped",
            Self::Lost { .. } => "lost",
        }
    }

    /// Returns the file concerned.
    #[must_use]
    pub fn file(&self) -> Option<String> {
        match self {
            Self::Continued { path } | Self::Stopped { path, .. } => {
                Some(path.display().to_string())
            }
            Self::Lost { .. } => None,
        }
    }

    /// Returns why it happened.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Continued { .. } => "the previous file is as long as a WAV file can be".into(),
            Self::Stopped { problem, .. } => problem.clone(),
            Self::Lost { ms } => format!("the disk was too slow: {ms} ms are silence"),
        }
    }
}

/// Returns a sentence for people about a notice, from its [state](RecordingNotice::state),
/// [file](RecordingNotice::file) and [text](RecordingNotice::text).
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
            let file = notice.file();
            let told = recording_line(notice.state(), file.as_deref(), &notice.text());
            assert_eq!((notice.state(), told.as_str()), (state, line));
        }
    }
}
