//! The program as a process that a test starts, asks, signals and reads the log of.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub const PROGRAM: &str = env!("CARGO_BIN_EXE_talkspurt-server");

/// A running server, killed when the test is over.
pub struct Server {
    process: Child,
    pub voice: SocketAddr,
    pub http: SocketAddr,
    /// Where it says that participants connect, word for word.
    pub said: String,
}

impl Server {
    pub fn start(flags: &[&str]) -> Self {
        Self::start_as(&mut Command::new(PROGRAM), flags)
    }

    /// Starts it by a command of the caller's, to which flags are added.
    pub fn start_as(command: &mut Command, flags: &[&str]) -> Self {
        let mut addresses = vec!["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
        // A flag may be given once.
        for pair in flags.chunks(2) {
            if let Some(place) = addresses.iter().position(|flag| *flag == pair[0]) {
                addresses.drain(place..place + 2);
            }
        }
        let mut process = command
            .args(addresses)
            .args(flags)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut said = |what: &str| {
            let line = lines
                .next()
                .expect("the server says where it listens")
                .unwrap();
            let said = line.strip_prefix(what);
            said.unwrap_or_else(|| panic!("{line:?}")).to_owned()
        };
        let (voice, http) = (said("listening on "), said("http on "));
        let address = |said: &str| said.split(' ').next().unwrap().parse().unwrap();
        Self {
            process,
            voice: address(&voice),
            http: address(&http),
            said: voice,
        }
    }

    pub fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n").as_bytes())
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    }

    /// Sends a signal; gives the exit code and how long it took to exit.
    pub fn stop(&mut self, signal: i32) -> (Option<i32>, Duration) {
        let asked = Instant::now();
        self.signal(signal);
        let status = self.process.wait().unwrap();
        (status.code(), asked.elapsed())
    }

    pub fn signal(&self, signal: i32) {
        // SAFETY: a signal to a process that this test has started and not yet waited for.
        #[allow(unsafe_code)]
        let sent = unsafe { libc::kill(self.process.id().cast_signed(), signal) };
        assert_eq!(sent, 0);
    }

    /// Descriptors below `limit` that it has open. (It may have inherited others above.)
    #[cfg(target_os = "linux")]
    pub fn descriptors_below(&self, limit: u32) -> usize {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.process.id())).unwrap();
        let numbers = open.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        numbers
            .filter(|number| number.parse::<u32>().unwrap() < limit)
            .count()
    }

    pub fn log(&mut self) -> String {
        let mut log = String::new();
        self.process
            .stderr
            .take()
            .unwrap()
            .read_to_string(&mut log)
            .unwrap();
        log
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Sends the test's own process a signal, which it must handle; its handler has run when this
/// returns.
pub fn raise(signal: i32) {
    // SAFETY: a signal to this thread, for which the caller has a handler.
    #[allow(unsafe_code)]
    let raised = unsafe { libc::raise(signal) };
    assert_eq!(raised, 0);
}
