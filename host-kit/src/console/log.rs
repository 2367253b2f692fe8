//! The log on stderr. When stderr is full, closed or unread, lines are lost and nothing else
//! happens.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::{Duration, Instant},
};
use tracing_subscriber::EnvFilter;

/// Most lines that may wait for stderr. More are lost.
const LINES_MAX: usize = 4_096;
/// How long the end of a program waits for the last lines.
const END_PATIENCE: Duration = Duration::from_millis(200);

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people, in colour where stderr is a terminal. `module` says whether the line names the
    /// module it comes from.
    Text {
        /// Name the module.
        module: bool,
    },
    /// A JSON object.
    Json,
}

/// Starts logging to stderr. Call it once in a program, and keep the returned value until the end.
///
/// # Panics
/// When it is called twice.
#[must_use]
pub fn start_log(filter: EnvFilter, format: LogFormat) -> Log {
    let (log, writer) = Log::to(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        // These would be reported with a macro that panics.
        .log_internal_errors(false)
        .with_writer(move || writer.clone());
    match format {
        LogFormat::Text { module } => builder
            .with_target(module)
            .with_ansi(io::stderr().is_terminal())
            .init(),
        LogFormat::Json => builder.json().init(),
    }
    log
}

/// Keeps the log running. When it is dropped, waiting lines are written if stderr takes them soon.
#[derive(Debug)]
pub struct Log {
    sender: SyncSender<Message>,
}

enum Message {
    Line(Vec<u8>),
    /// Answered once all lines before it are written.
    Flush(SyncSender<()>),
}

impl Log {
    /// Starts the thread. If that fails, there is no log.
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

/// Hands lines to the log's thread. Never blocks, never fails.
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
    fn an_unread_log_blocks_nothing() {
        let (_reader, output) = io::pipe().unwrap();
        let (log, mut writer) = Log::to(output);
        let line = [b'x'; 1_000];
        (0..10_000).for_each(|_| writer.write_all(&line).unwrap());
        drop(log);
    }
}
