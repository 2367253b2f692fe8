//! Many participants in one process and one thread: clients of the core on real sockets.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant as Clock};

use anyhow::{Result, bail};
use talkspurt_core::time::Instant;
use talkspurt_netem::{Client, Participant, Person};

/// Identifies a member of the crowd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemberId(usize);

/// Many participants on one thread.
pub struct Crowd {
    server: String,
    epoch: Clock,
    members: Vec<Member>,
}

struct Member {
    client: Client,
    /// `None` once it has crashed or the server has closed the connection.
    stream: Option<TcpStream>,
    /// Still connected, but no longer doing anything.
    silent: bool,
}

/// How often the sockets are polled: often enough for pings and events, seldom enough for a small
/// machine.
const LOOK_EVERY: Duration = Duration::from_millis(5);

impl Crowd {
    /// Creates an empty crowd.
    pub fn new(server: &str) -> Self {
        Self {
            server: server.to_owned(),
            epoch: Clock::now(),
            members: Vec::new(),
        }
    }

    /// Connects someone, who asks to join.
    pub fn join(&mut self, person: Person) -> Result<MemberId> {
        let stream = TcpStream::connect(&self.server)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        self.members.push(Member {
            client: Client::new(person, self.now()),
            stream: Some(stream),
            silent: false,
        });
        Ok(MemberId(self.members.len() - 1))
    }

    /// Returns a member's client.
    pub fn client(&self, id: MemberId) -> &Client {
        &self.members[id.0].client
    }

    /// Leaves with a Bye.
    pub fn leave(&mut self, id: MemberId) {
        let now = self.now();
        self.members[id.0].client.leave(now);
    }

    /// Ends the member as if its process crashed: the connection is closed without a Bye.
    pub fn crash(&mut self, id: MemberId) {
        self.members[id.0].stream = None;
    }

    /// Silences the member as if its cable were pulled: the connection stays, and nothing is sent
    /// any more.
    pub fn fall_silent(&mut self, id: MemberId) {
        self.members[id.0].silent = true;
    }

    /// Lets `span` pass.
    pub fn pump_for(&mut self, span: Duration) -> Result<()> {
        let end = Clock::now() + span;
        loop {
            self.pump()?;
            if Clock::now() >= end {
                return Ok(());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets time pass until `done`.
    pub fn pump_until(
        &mut self,
        what: &str,
        within: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<()> {
        let end = Clock::now() + within;
        while !done(self) {
            if Clock::now() >= end {
                bail!("not within {within:?}: {what}");
            }
            self.pump()?;
            thread::sleep(LOOK_EVERY);
        }
        Ok(())
    }

    fn now(&self) -> Instant {
        Instant::ZERO + self.epoch.elapsed().into()
    }

    fn pump(&mut self) -> Result<()> {
        let now = self.now();
        for member in self.members.iter_mut().filter(|member| !member.silent) {
            member.pump(now)?;
        }
        Ok(())
    }
}

impl Member {
    fn pump(&mut self, now: Instant) -> Result<()> {
        let Some(stream) = &mut self.stream else {
            return Ok(());
        };
        let mut buffer = [0; 4096];
        let mut closed = false;
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => closed = true,
                Ok(count) => {
                    self.client.handle_bytes(now, &buffer[..count]);
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => closed = true,
                Err(error) => return Err(error.into()),
            }
            break;
        }
        self.client.handle_time(now);
        // Session packets only, a few bytes each: a socket that does not take them gets closed.
        self.client.transmit(now, &mut |bytes| {
            closed |= stream.write_all(bytes).is_err();
            bytes.len()
        });
        if closed {
            self.stream = None;
            self.client.handle_closed(now);
        }
        Ok(())
    }
}
