//! The log on stderr. A stderr that is full, closed or unread loses lines, and nothing else happens.

use super::Problem;
use std::{
    env,
    io::{self, IsTerminal as _, Write},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};
use tracing_subscriber::{EnvFilter, filter::LevelFilter, fmt::MakeWriter};

/// Lines that may wait for stderr; more are lost.
const LINES_MAX: usize = 1_024;
/// How long the end of a program waits for the last lines.
const END_PATIENCE: Duration = Duration::from_millis(200);
/// The variable of all programs that log.
const VARIABLE: &str = "RUST_LOG";

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colour where stderr is a terminal. `module` says whether the line names the module it comes from.
    Text {
        /// Name the module.
        module: bool,
    },
    /// A JSON object.
    Json,
}

/// A filter from text such as `info` or `talkspurt_client::net=debug`.
///
/// A lone word that is neither a level nor one of this project's modules is refused: `inof` would be taken for a module's
/// name, and everything else would be silent.
///
/// # Errors
/// What is wrong with it, in a sentence.
pub fn filter(text: &str) -> Result<EnvFilter, String> {
    let wrong = |part: &str| {
        format!(
            "`{part}` is not a log level; use error, warn, info, debug, trace, or MODULE=LEVEL \
             as in talkspurt_client::net=debug"
        )
    };
    for part in text.split(',').map(str::trim) {
        let is_word = !part.contains(['=', ':', '[']) && !part.starts_with("talkspurt");
        if !part.is_empty() && is_word && part.parse::<LevelFilter>().is_err() {
            return Err(wrong(part));
        }
    }
    EnvFilter::try_new(text).map_err(|_| wrong(text))
}

/// The filter of the variable `RUST_LOG`; `default` if it is not set or empty.
///
/// # Errors
/// What is wrong with it, as [`Problem::Usage`].
pub fn filter_from_env(default: &str) -> Result<EnvFilter, Problem> {
    let text = env::var_os(VARIABLE).filter(|text| !text.is_empty());
    let Some(text) = text else {
        return filter(default).map_err(Problem::Usage);
    };
    let problem = |what: &str| Problem::Usage(format!("{VARIABLE}: {what}"));
    let text = text.to_str().ok_or_else(|| problem("it is not UTF-8"))?;
    filter(text).map_err(|what| problem(&what))
}

/// Starts logging to stderr. Call it once in a program, and keep what it returns until the end.
///
/// # Panics
/// When it is called twice.
#[must_use]
pub fn start_log(filter: EnvFilter, format: LogFormat) -> Log {
    let (log, writer) = Log::to(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // It would be reported with a macro that panics.
        .log_internal_errors(false)
        .with_writer(writer);
    match format {
        LogFormat::Text { module } => builder
            .with_target(module)
            .with_ansi(io::stderr().is_terminal())
            .init(),
        LogFormat::Json => builder.json().init(),
    }
    log
}

/// The log's end: when it is dropped, lines that still wait are written, if stderr takes them soon.
#[derive(Debug)]
pub struct Log {
    sender: SyncSender<Message>,
}

enum Message {
    Line(Vec<u8>),
    /// Answered when all lines before it are written.
    Flush(SyncSender<()>),
}

impl Log {
    /// Without a thread there is no log.
    fn to(output: impl Write + Send + 'static) -> (Self, LogWriter) {
        let (sender, messages) = mpsc::sync_channel(LINES_MAX);
        let _ = thread::Builder::new()
            .name("log".into())
            .spawn(move || write_all(output, &messages));
        let writer = LogWriter(sender.clone());
        (Self { sender }, writer)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let until = Instant::now() + END_PATIENCE;
        let (flushed, done) = mpsc::sync_channel(1);
        while self
            .sender
            .try_send(Message::Flush(flushed.clone()))
            .is_err()
        {
            if Instant::now() >= until {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
        let _ = done.recv_timeout(until.saturating_duration_since(Instant::now()));
    }
}

fn write_all(mut output: impl Write, messages: &Receiver<Message>) {
    for message in messages {
        // A line that cannot be written is lost; the next one may find room.
        let _ = match message {
            Message::Line(line) => output.write_all(&line),
            Message::Flush(flushed) => output.flush().map(|()| {
                let _ = flushed.try_send(());
            }),
        };
    }
}

/// Hands lines to the log's thread; never waits, never fails.
#[derive(Clone)]
struct LogWriter(SyncSender<Message>);

impl Write for LogWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let _ = self.0.try_send(Message::Line(line.to_vec()));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LogWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    #[test]
    fn the_last_lines_are_written_at_the_end() {
        let (mut reader, output) = io::pipe().unwrap();
        let (log, mut writer) = Log::to(output);
        (0..100).for_each(|n| writeln!(writer, "line {n}").unwrap());
        drop(log);
        drop(writer);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        assert!(text.ends_with("line 99\n"), "{text}");
    }

    #[test]
    fn a_log_that_nobody_reads_holds_nobody() {
        let (_reader, output) = io::pipe().unwrap();
        let (log, mut writer) = Log::to(output);
        let line = [b'x'; 1_000];
        (0..10_000).for_each(|_| writer.write_all(&line).unwrap());
        drop(log);
    }

    #[test]
    fn a_mistyped_level_is_reported() {
        for text in ["inof", "info,verbos", "talkspurt_client=loud", "a=b=c"] {
            let error = filter(text).unwrap_err();
            assert!(error.contains("log level"), "{text}: {error}");
        }
        for text in [
            "",
            "warn",
            "INFO",
            "off",
            "talkspurt_core",
            "hyper=debug,warn",
        ] {
            assert!(filter(text).is_ok(), "{text}");
        }
    }
}
