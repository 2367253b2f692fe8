//! A terminal without a window: a test types into a program, reads what it shows, and closes the
//! window.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

/// What happens to SIGHUP when the terminal is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hangup {
    /// The program gets it, as from every terminal that is closed.
    Sent,
    /// It is ignored, as under `nohup`.
    Ignored,
    /// The terminal does not control the program, so there is no SIGHUP.
    None,
}

/// A program on a terminal of its own.
pub struct Terminal {
    child: Child,
    master: Option<File>,
    shown: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
    /// Dropped to stop the reader, whose copy of the master would keep the terminal alive.
    stop: Option<OwnedFd>,
}

impl Terminal {
    /// Starts `command` with its standard streams on a new terminal.
    pub fn start(command: &Command, columns: u16, rows: u16, hangup: Hangup) -> Result<Self> {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
        grantpt(&master)?;
        unlockpt(&master)?;
        let path = ptsname(&master, Vec::new())?;
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let slave = rustix::fs::open(&path, flags, Mode::empty())?;
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&slave, size)?;
        // util-linux makes the terminal a controlling one. Each of these replaces itself, so that
        // the id stays the same.
        let script = match hangup {
            Hangup::Sent => r#"exec setsid --ctty "$@""#,
            Hangup::Ignored => r#"trap "" HUP; exec setsid --ctty "$@""#,
            Hangup::None => r#"exec setsid "$@""#,
        };
        let mut shell = Command::new("sh");
        shell
            .args(["-c", script, "sh"])
            .arg(command.get_program())
            .args(command.get_args())
            .env("TERM", "xterm-256color");
        // The command's own variables come later and take precedence.
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        let child = shell
            .stdin(Stdio::from(slave.try_clone()?))
            .stdout(Stdio::from(slave.try_clone()?))
            .stderr(Stdio::from(slave))
            .spawn()
            .context("`setsid` is a part of util-linux")?;
        drop(shell);
        let mut terminal = Self {
            child,
            master: Some(File::from(master)),
            shown: Arc::default(),
            reader: None,
            stop: None,
        };
        terminal.read()?;
        Ok(terminal)
    }

    /// Types `keys`.
    pub fn press(&mut self, keys: &str) -> Result<()> {
        let master = self.master.as_mut().context("the terminal is closed")?;
        master.write_all(keys.as_bytes())?;
        Ok(())
    }

    /// Returns everything that was shown.
    pub fn shown(&self) -> String {
        let bytes = self.shown.lock().expect("no holder panics");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Returns the end of what was shown, for error messages.
    fn last_shown(&self) -> String {
        const BYTES: usize = 2_000;
        let bytes = self.shown.lock().expect("no holder panics");
        let last = &bytes[bytes.len().saturating_sub(BYTES)..];
        format!("{:?}", String::from_utf8_lossy(last))
    }

    /// Waits until `text` was shown.
    pub fn wait_for(&self, text: &str, within: Duration) -> Result<()> {
        let deadline = Instant::now() + within;
        while !self.shown().contains(text) {
            ensure!(
                Instant::now() < deadline,
                "no {text:?} in {}",
                self.last_shown()
            );
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Returns the program's process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Closes the window.
    pub fn close(&mut self) {
        self.stop.take();
        if let Some(reader) = self.reader.take() {
            reader.join().expect("it only reads");
        }
        self.master.take();
    }

    /// Waits for the program's end.
    pub fn wait(&mut self, within: Duration) -> Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            ensure!(
                Instant::now() < deadline,
                "still running after {within:?}; it showed {}",
                self.last_shown()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Reads what is shown until [`Self::close`] or the program's end.
    fn read(&mut self) -> Result<()> {
        let mut master = self.master.as_ref().context("open")?.try_clone()?;
        let (stopped, stop) = std::io::pipe()?;
        self.stop = Some(stop.into());
        let shown = Arc::clone(&self.shown);
        self.reader = Some(thread::spawn(move || {
            let mut bytes = [0; 4_096];
            while can_read(&master, &stopped) {
                let Ok(count @ 1..) = master.read(&mut bytes) else {
                    return;
                };
                let mut shown = shown.lock().expect("no holder panics");
                shown.extend_from_slice(&bytes[..count]);
            }
        }));
        Ok(())
    }
}

/// Waits until the terminal can be read. Returns false when reading is to end.
fn can_read(master: &File, stopped: &std::io::PipeReader) -> bool {
    use rustix::event::{PollFd, PollFlags, poll};
    let mut fds = [
        PollFd::new(master, PollFlags::IN),
        PollFd::new(stopped, PollFlags::IN),
    ];
    poll(&mut fds, None).is_ok() && fds[1].revents().is_empty()
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.close();
        // An error here means that it has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
