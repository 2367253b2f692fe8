//! The process under load: started and ended by us, or running already.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};
use talkspurt_core::audio::format::FrameDuration;

use crate::cli::{Order, ServerChoice};
use crate::pinning::{Processors, pin};

/// How long a process may take to end after SIGTERM: what the server promises, and a second of
/// grace.
const END_LIMIT: Duration = Duration::from_secs(3);

/// A process that listens.
pub struct Service {
    /// Where.
    pub address: SocketAddr,
    /// Which.
    pub pid: u32,
    /// Where its counters can be read, as far as it said so.
    pub http: Option<SocketAddr>,
    /// Ours to end.
    child: Option<Child>,
}

impl Service {
    /// The server that the order names.
    ///
    /// # Errors
    /// It does not start.
    pub fn server(order: &Order) -> Result<Self> {
        match &order.server {
            ServerChoice::Running { address, pid } => Ok(Self {
                address: *address,
                pid: *pid,
                http: None,
                child: None,
            }),
            ServerChoice::Start(program) => {
                // The crowd, and a newcomer.
                let beside = order.crowd.map_or(0, |crowd| crowd.size + 1);
                let participants = (order.plan.participants + beside).max(1_000).to_string();
                let capacity = order.plan.room_size.max(64).to_string();
                let mut command = Command::new(program);
                command
                    .args(["--http", "127.0.0.1:0", "--max-participants", &participants])
                    .args(["--room-capacity", &capacity]);
                if std::env::var_os("RUST_LOG").is_none() {
                    command.env("RUST_LOG", "warn");
                }
                Self::start(command, order.plan.format.frame, order.processors, true)
            }
        }
    }

    /// A floor server.
    ///
    /// # Errors
    /// It does not start.
    pub fn floor(frame: FrameDuration, processors: Option<Processors>) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("floor-server");
        Self::start(command, frame, processors, false)
    }

    /// `with_http`: it tells a second address, right after that for voice.
    fn start(
        mut command: Command,
        frame: FrameDuration,
        processors: Option<Processors>,
        with_http: bool,
    ) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .args(["--listen", "127.0.0.1:0", "--frame-ms"])
            .arg(frame.ms().to_string())
            .stdin(Stdio::null())
            .stdout(Stdio::piped());
        let mut child = command
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        let stdout = child.stdout.take();
        // Made before anything can fail, so that the process is ended in any case.
        let mut service = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            pid: child.id(),
            http: None,
            child: Some(child),
        };
        let mut stdout = BufReader::new(stdout.context("no stdout")?);
        let mut announced =
            |what| announced(&mut stdout, what).with_context(|| format!("{name} does not listen"));
        service.address = announced("listening on ")?;
        if with_http {
            service.http = Some(announced("http on ")?);
        }
        // What follows is read and forgotten, so that nobody gets stuck writing it.
        std::thread::spawn(move || std::io::copy(&mut stdout, &mut std::io::sink()));
        if let Some(processors) = processors {
            pin(Pid::from_raw(service.pid as i32), processors.service)?;
        }
        Ok(service)
    }
}

/// The address in a line such as `listening on ADDR:PORT`.
fn announced(stdout: &mut impl BufRead, what: &str) -> Result<SocketAddr> {
    for line in stdout.lines() {
        if let Some(address) = line?.trim().strip_prefix(what) {
            return Ok(address.parse()?);
        }
    }
    bail!("it ended without saying where")
}

impl Drop for Service {
    fn drop(&mut self) {
        let Some(child) = &mut self.child else { return };
        if let Some(pid) = Pid::from_raw(self.pid as i32) {
            // An error means that it has ended already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let deadline = Instant::now() + END_LIMIT;
        while Instant::now() < deadline {
            if matches!(child.try_wait(), Ok(Some(_)) | Err(_)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        tracing::warn!(pid = self.pid, "did not end after SIGTERM: killed");
        let _ = child.kill();
        let _ = child.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_is_found_among_other_lines() {
        let mut output: &[u8] = b"hello\nlistening on 127.0.0.1:4711\nhttp on 127.0.0.1:2\nbye\n";
        let mut announced = |what| announced(&mut output, what);
        assert_eq!(
            announced("listening on ").unwrap(),
            "127.0.0.1:4711".parse().unwrap()
        );
        assert_eq!(
            announced("http on ").unwrap(),
            "127.0.0.1:2".parse().unwrap()
        );
        let error = announced("http on ").unwrap_err();
        assert!(error.to_string().contains("without saying where"));
    }
}
