//! Waiting for many connections at once. The generator and the floor both sleep in this `epoll`.

use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use anyhow::Result;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;

/// How many connections one wait tells of. More that are ready are told of by the next.
const EVENTS_MAX: usize = 1_024;

/// What to wait for, and what came of the last wait.
pub struct Poller {
    epoll: OwnedFd,
    events: Vec<Event>,
    /// How many of them have been handed out.
    taken: usize,
}

/// A connection that can be read from, or written to again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The number under which it was added.
    pub id: u64,
    /// It takes output again; only told where that was asked for.
    pub writable: bool,
}

impl Poller {
    /// One that waits for nothing yet.
    ///
    /// # Errors
    /// The system refuses.
    pub fn new() -> Result<Self> {
        Ok(Self {
            epoll: epoll::create(CreateFlags::CLOEXEC)?,
            events: Vec::with_capacity(EVENTS_MAX),
            taken: 0,
        })
    }

    /// Waits for input of `source`, too. Closing it takes it out again.
    ///
    /// # Errors
    /// It is there already, or cannot be waited for.
    pub fn add(&self, source: impl AsFd, id: u64) -> Result<()> {
        let data = EventData::new_u64(id);
        Ok(epoll::add(&self.epoll, source, data, EventFlags::IN)?)
    }

    /// Has waits tell when `source` takes output, too, or no longer.
    ///
    /// # Errors
    /// It was not added.
    pub fn watch_output(&self, source: impl AsFd, id: u64, on: bool) -> Result<()> {
        let mut flags = EventFlags::IN;
        flags.set(EventFlags::OUT, on);
        let data = EventData::new_u64(id);
        Ok(epoll::modify(&self.epoll, source, data, flags)?)
    }

    /// Waits for `source` no longer.
    ///
    /// # Errors
    /// It was not added.
    pub fn remove(&self, source: impl AsFd) -> Result<()> {
        Ok(epoll::delete(&self.epoll, source)?)
    }

    /// Sleeps until something is ready, or for `timeout` (`None`: for ever); then ask
    /// [`Poller::next_ready`].
    ///
    /// # Errors
    /// The system refuses.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<()> {
        self.events.clear();
        self.taken = 0;
        let timeout = timeout.map(Timespec::try_from).transpose()?;
        let events = spare_capacity(&mut self.events);
        match epoll::wait(&self.epoll, events, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// The next of those that the last wait found ready.
    pub fn next_ready(&mut self) -> Option<Ready> {
        // A copy: the kernel's structure is packed, its fields cannot be referred to.
        let Event { flags, data } = *self.events.get(self.taken)?;
        self.taken += 1;
        Some(Ready {
            id: data.u64(),
            writable: flags.contains(EventFlags::OUT),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ready(poller: &mut Poller) -> Vec<Ready> {
        poller.wait(Some(Duration::ZERO)).unwrap();
        std::iter::from_fn(|| poller.next_ready()).collect()
    }

    #[test]
    fn tells_of_input_and_of_output_where_it_was_asked_for() {
        let mut poller = Poller::new().unwrap();
        let (mut ours, theirs) = UnixStream::pair().unwrap();
        poller.add(&theirs, 7).unwrap();
        assert_eq!(ready(&mut poller), []);
        poller.watch_output(&theirs, 7, true).unwrap();
        let writable = |writable| Ready { id: 7, writable };
        assert_eq!(ready(&mut poller), [writable(true)]);
        poller.watch_output(&theirs, 7, false).unwrap();
        ours.write_all(b"x").unwrap();
        assert_eq!(ready(&mut poller), [writable(false)]);
        poller.remove(&theirs).unwrap();
        assert_eq!(ready(&mut poller), []);
    }
}
