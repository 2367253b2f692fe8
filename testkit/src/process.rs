//! A program that a test runs: its output lines as they arrive, its JSON events, and its end.
//!
//! A [`Process`] that is dropped is killed by its id and waited for, so that no test leaves one
//! behind.

mod output;

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use output::{Output, read_lines, read_log};

pub use output::{Event, Line};

/// A running program.
pub struct Process {
    name: String,
    child: Mutex<Child>,
    output: Arc<Output>,
    readers: Vec<JoinHandle<()>>,
}

impl Process {
    /// Starts `command` with its output captured and no standard input. Errors call it `name`.
    pub fn spawn(name: &str, command: &mut Command) -> Result<Self> {
        Self::start(name, command, Stdio::null(), Stdio::piped())
    }

    /// Starts two named programs, the second reading what the first prints. The first then has no
    /// lines.
    pub fn spawn_pair(
        (first_name, first): (&str, &mut Command),
        (second_name, second): (&str, &mut Command),
    ) -> Result<(Self, Self)> {
        let (reader, writer) = io::pipe().context("cannot make a pipe")?;
        Ok((
            Self::start(first_name, first, Stdio::null(), writer.into())?,
            Self::start(second_name, second, reader.into(), Stdio::piped())?,
        ))
    }

    fn start(name: &str, command: &mut Command, stdin: Stdio, stdout: Stdio) -> Result<Self> {
        let mut child = command
            .stdin(stdin)
            .stdout(stdout)
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("{name}: cannot start {:?}", command.get_program()))?;
        // The command keeps the descriptors it gave to the program, and the pipe would never end.
        command.stdin(Stdio::null()).stdout(Stdio::null());
        let output = Arc::new(Output::default());
        let stderr = child.stderr.take().expect("piped");
        let mut readers = vec![read_log(stderr, output.clone())];
        match child.stdout.take() {
            Some(stdout) => readers.push(read_lines(stdout, output.clone())),
            None => output.lock().ended = true,
        }
        Ok(Self {
            name: name.to_owned(),
            child: Mutex::new(child),
            output,
            readers,
        })
    }

    /// Returns the name that errors call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns its process id.
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Returns how many lines it has printed: a mark for [`Process::wait_for_after`].
    pub fn mark(&self) -> usize {
        self.output.lock().lines.len()
    }

    /// Returns the lines printed so far.
    pub fn lines(&self) -> Vec<Line> {
        self.output.lock().lines.clone()
    }

    /// Returns the events printed so far.
    pub fn events(&self) -> Vec<Event> {
        self.lines().iter().filter_map(Event::parse).collect()
    }

    /// Returns its standard error so far.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&self.output.lock().log).into_owned()
    }

    /// Waits for a line, printed since the start, for which `pick` returns something.
    pub fn wait_for<T>(
        &self,
        what: &str,
        within: Duration,
        pick: impl FnMut(&Line) -> Option<T>,
    ) -> Result<T> {
        self.wait_for_after(0, what, within, pick)
    }

    /// Like [`Process::wait_for`], for lines after `mark`.
    pub fn wait_for_after<T>(
        &self,
        mark: usize,
        what: &str,
        within: Duration,
        mut pick: impl FnMut(&Line) -> Option<T>,
    ) -> Result<T> {
        let deadline = Instant::now() + within;
        let mut seen = mark;
        let mut output = self.output.lock();
        loop {
            while let Some(line) = output.lines.get(seen) {
                seen += 1;
                if let Some(picked) = pick(line) {
                    return Ok(picked);
                }
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if output.ended || left.is_zero() {
                let ended = if output.ended {
                    "it ended"
                } else {
                    "it still runs"
                };
                drop(output);
                bail!(
                    "{}: no {what} within {within:?} ({ended}); it said:\n{}",
                    self.name,
                    self.transcript()
                );
            }
            output = self
                .output
                .changed
                .wait_timeout(output, left)
                .expect("readers do not panic")
                .0;
        }
    }

    /// Waits for a line that begins with `prefix` and returns the rest of it.
    pub fn wait_for_prefix(&self, prefix: &str, within: Duration) -> Result<String> {
        self.wait_for(&format!("line \"{prefix}...\""), within, |line| {
            line.text
                .strip_prefix(prefix)
                .map(|rest| rest.trim().to_owned())
        })
    }

    /// Waits for the first event of a kind.
    pub fn wait_for_event(&self, kind: &str, within: Duration) -> Result<Event> {
        self.wait_for_event_after(0, kind, within, |_| true)
    }

    /// Waits for an event of a kind, after `mark`, that `wanted` accepts.
    pub fn wait_for_event_after(
        &self,
        mark: usize,
        kind: &str,
        within: Duration,
        mut wanted: impl FnMut(&Value) -> bool,
    ) -> Result<Event> {
        self.wait_for_after(mark, &format!("event \"{kind}\""), within, |line| {
            Event::parse(line).filter(|event| event.kind == kind && wanted(&event.json))
        })
    }

    /// Sends SIGTERM, which asks it to end.
    pub fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)
    }

    /// Sends SIGKILL, so that it ends as if it crashed.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::KILL)
    }

    /// Sends a signal. It is no error if the program has already ended.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let mut child = self.child();
        if child.try_wait()?.is_none() {
            let pid = Pid::from_child(&child);
            kill_process(pid, signal)
                .with_context(|| format!("{}: cannot signal it", self.name))?;
        }
        Ok(())
    }

    /// Returns whether it still runs.
    pub fn is_running(&self) -> Result<bool> {
        Ok(self.child().try_wait()?.is_none())
    }

    /// Waits for its end and for the last of its output.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        const POLL: Duration = Duration::from_millis(5);
        let deadline = Instant::now() + within;
        loop {
            let ended = self.child().try_wait()?;
            if let Some(status) = ended {
                for reader in self.readers.drain(..) {
                    reader.join().expect("readers do not panic");
                }
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!(
                    "{}: still running after {within:?}; it said:\n{}",
                    self.name,
                    self.transcript()
                );
            }
            thread::sleep(POLL);
        }
    }

    /// Waits for its end. An exit code other than 0 is an error that quotes its output.
    pub fn wait_for_success(&mut self, within: Duration) -> Result<()> {
        let status = self.wait(within)?;
        if status.success() {
            return Ok(());
        }
        let how = match (status.code(), status.signal()) {
            (Some(code), _) => format!("exit code {code}"),
            (None, signal) => format!("signal {}", signal.unwrap_or(0)),
        };
        bail!(
            "{}: ended with {how}; it said:\n{}",
            self.name,
            self.transcript()
        )
    }

    /// Returns the end of its output and log, for error messages.
    fn transcript(&self) -> String {
        const SHOWN: usize = 30;
        let stdout = self
            .lines()
            .into_iter()
            .map(|line| format!("  out: {}", line.text));
        let log = self.log();
        let all: Vec<String> = stdout
            .chain(log.lines().map(|line| format!("  err: {line}")))
            .collect();
        if all.is_empty() {
            return "  (nothing)".to_owned();
        }
        all[all.len().saturating_sub(SHOWN)..].join("\n")
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().expect("no holder panics")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let child = self.child.get_mut().expect("no holder panics");
        // An error here means that it has already ended.
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(10);

    fn shell(script: &str) -> Process {
        Process::spawn("shell", Command::new("sh").args(["-c", script])).unwrap()
    }

    #[test]
    fn lines_and_events_are_read_as_they_come() {
        let mut process = shell(
            r#"echo listening on 1.2.3.4:5; echo '{"event":"left","frames":{"sent":7}}'; sleep 0.1"#,
        );
        assert_eq!(
            process.wait_for_prefix("listening on ", SOON).unwrap(),
            "1.2.3.4:5"
        );
        let left = process.wait_for_event("left", SOON).unwrap();
        assert_eq!(left.number("/frames/sent").unwrap(), 7);
        assert_eq!(left.frames("sent").unwrap(), 7);
        assert!(
            left.number("/frames/lost")
                .unwrap_err()
                .to_string()
                .contains("/frames/lost")
        );
        process.wait_for_success(SOON).unwrap();
        assert_eq!(process.events().len(), 1);
    }

    #[test]
    fn the_second_of_a_pair_reads_what_the_first_prints() {
        let mut first = Command::new("sh");
        let mut second = Command::new("sed");
        let (mut printer, mut reader) = Process::spawn_pair(
            ("printer", first.args(["-c", "echo one; echo aside >&2"])),
            ("reader", second.args(["-u", "s/one/two/"])),
        )
        .unwrap();
        assert_eq!(reader.wait_for_prefix("two", SOON).unwrap(), "");
        printer.wait_for_success(SOON).unwrap();
        reader.wait_for_success(SOON).unwrap();
        assert_eq!(printer.log(), "aside\n");
        assert!(printer.lines().is_empty());
    }

    #[test]
    fn only_lines_after_the_mark_count() {
        let process = shell("echo a; read_nothing=1; sleep 0.2; echo a; sleep 10");
        process.wait_for_prefix("a", SOON).unwrap();
        let mark = process.mark();
        assert_eq!(mark, 1);
        process
            .wait_for_after(mark, "second a", SOON, |line| {
                (line.text == "a").then_some(())
            })
            .unwrap();
    }

    #[test]
    fn a_missing_line_is_reported_with_the_output() {
        let process = shell("echo hello; echo trouble >&2; exec sleep 10");
        let error = process
            .wait_for_prefix("bye", Duration::from_millis(300))
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("out: hello") && error.contains("err: trouble"),
            "{error}"
        );
    }

    #[test]
    fn waiting_stops_when_the_program_ends() {
        let asked = Instant::now();
        let error = shell("exit 3")
            .wait_for_prefix("never", SOON)
            .unwrap_err()
            .to_string();
        assert!(error.contains("it ended"), "{error}");
        assert!(asked.elapsed() < SOON);
    }

    #[test]
    fn a_bad_end_is_an_error_and_a_signal_is_named() {
        assert!(
            shell("exit 3")
                .wait_for_success(SOON)
                .unwrap_err()
                .to_string()
                .contains("exit code 3")
        );
        let mut killed = shell("exec sleep 10");
        killed.kill().unwrap();
        assert!(
            killed
                .wait_for_success(SOON)
                .unwrap_err()
                .to_string()
                .contains("signal 9")
        );
        killed.terminate().unwrap();
    }

    #[test]
    fn a_dropped_process_is_killed() {
        let process = shell("exec sleep 100");
        let id = process.id();
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }
}
