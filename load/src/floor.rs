//! The floor: what it costs merely to receive and send the bytes of a room, with nothing done to
//! them.
//!
//! One thread, one `epoll`, no runtime, no protocol. A connection begins with a [`Seat`]. What
//! comes afterwards is read and forgotten; once somebody in the room has sent something, everyone
//! in it who hears is sent one packet a frame period, as long as voice comes. So the same bytes go
//! over the same connections at the same times as at a real server, and at the other end the same
//! generator takes them. A read takes all that is there, a write a whole packet; there is no call
//! that could be saved.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::convert::Infallible;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Signal, set_parent_process_death_signal};
use talkspurt_core::audio::format::FrameDuration;

use crate::poller::{Poller, Ready};

/// The longest packet that it sends: more than the protocol's longest, so that a length from the
/// network stays bounded.
const PACKET_BYTES_MAX: usize = 1_024;
/// What one read takes, as in the real server.
const READ_BYTES: usize = 16 * 1024;
/// A room ticks on for so many frame periods after its last voice: what a real server would
/// conceal.
const TICKS_WITHOUT_VOICE_MAX: u32 = 10;
/// The listening socket among the events; connections are numbered from 0.
const LISTENER: u64 = u64::MAX;

/// What a connection tells the floor about itself: its room, and the length of the packets that it
/// is to be sent (0: none).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Which room.
    pub room: u16,
    /// Bytes a frame period.
    pub packet_bytes: u16,
}

impl Seat {
    /// As it stands at the start of the connection.
    pub fn to_bytes(self) -> [u8; 4] {
        let [a, b] = self.room.to_le_bytes();
        let [c, d] = self.packet_bytes.to_le_bytes();
        [a, b, c, d]
    }

    fn from_bytes(&[a, b, c, d]: &[u8; 4]) -> Self {
        Self {
            room: u16::from_le_bytes([a, b]),
            packet_bytes: u16::from_le_bytes([c, d]),
        }
    }
}

/// Runs until it is killed, or until the process that started it has ended.
///
/// # Errors
/// The address cannot be listened on.
pub fn serve(address: SocketAddr, frame: FrameDuration) -> Result<Infallible> {
    set_parent_process_death_signal(Some(Signal::TERM))?;
    let listener =
        TcpListener::bind(address).with_context(|| format!("cannot listen on {address}"))?;
    listener.set_nonblocking(true)?;
    println!("listening on {}", listener.local_addr()?);
    let mut floor = Floor::new(listener, frame.duration().into())?;
    loop {
        floor.step()?;
    }
}

struct Floor {
    listener: TcpListener,
    poller: Poller,
    period: Duration,
    connections: BTreeMap<u64, Connection>,
    connected: u64,
    rooms: BTreeMap<u16, Room>,
    ticks: BinaryHeap<Reverse<(Instant, u16)>>,
    buffer: Box<[u8]>,
}

struct Connection {
    stream: TcpStream,
    /// Known once its four bytes have come.
    seat: Option<Seat>,
}

#[derive(Default)]
struct Room {
    listeners: Vec<u64>,
    /// How often it is still sent to; 0 while nobody talks.
    ticks_left: u32,
}

impl Floor {
    fn new(listener: TcpListener, period: Duration) -> Result<Self> {
        let poller = Poller::new()?;
        poller.add(&listener, LISTENER)?;
        Ok(Self {
            listener,
            poller,
            period,
            connections: BTreeMap::new(),
            connected: 0,
            rooms: BTreeMap::new(),
            ticks: BinaryHeap::new(),
            buffer: vec![0; READ_BYTES].into(),
        })
    }

    /// Waits for input or the next tick, and does what is due.
    fn step(&mut self) -> Result<()> {
        let next = self.ticks.peek().map(|Reverse((due, _))| *due);
        self.poller
            .wait(next.map(|due| due.saturating_duration_since(Instant::now())))?;
        while let Some(Ready { id, .. }) = self.poller.next_ready() {
            match id {
                LISTENER => self.accept()?,
                id => self.read(id),
            }
        }
        self.tick_due_rooms();
        Ok(())
    }

    fn tick_due_rooms(&mut self) {
        let now = Instant::now();
        while let Some(Reverse((due, room))) = self.ticks.peek().copied().filter(|t| t.0.0 <= now) {
            self.ticks.pop();
            self.tick(room, due);
        }
    }

    fn accept(&mut self) -> Result<()> {
        match self.listener.accept() {
            Ok((stream, _)) => {
                stream.set_nonblocking(true)?;
                stream.set_nodelay(true)?;
                let id = self.connected;
                self.connected += 1;
                self.poller.add(&stream, id)?;
                self.connections
                    .insert(id, Connection { stream, seat: None });
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) => Err(error).context("cannot accept a connection"),
        }
    }

    fn read(&mut self, id: u64) {
        let Some(connection) = self.connections.get_mut(&id) else {
            return;
        };
        let count = match connection.stream.read(&mut self.buffer) {
            Ok(count @ 1..) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return,
            Ok(0) | Err(_) => return self.forget(id),
        };
        match connection.seat {
            Some(seat) => self.voice_came(seat.room),
            None => self.take_seat(id, count),
        }
    }

    fn take_seat(&mut self, id: u64, count: usize) {
        let seat = self.buffer[..count].first_chunk().map(Seat::from_bytes);
        let is_valid = |seat: &Seat| usize::from(seat.packet_bytes) <= PACKET_BYTES_MAX;
        let Some(seat) = seat.filter(is_valid) else {
            return self.forget(id);
        };
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.seat = Some(seat);
        }
        if seat.packet_bytes > 0 {
            self.rooms.entry(seat.room).or_default().listeners.push(id);
        }
    }

    fn voice_came(&mut self, room_id: u16) {
        let room = self.rooms.entry(room_id).or_default();
        if std::mem::replace(&mut room.ticks_left, 1 + TICKS_WITHOUT_VOICE_MAX) == 0 {
            self.ticks
                .push(Reverse((Instant::now() + self.period, room_id)));
        }
    }

    fn tick(&mut self, room_id: u16, due: Instant) {
        let Some(room) = self.rooms.get_mut(&room_id) else {
            return;
        };
        let packet = [0x55; PACKET_BYTES_MAX];
        for id in &room.listeners {
            let listener = self.connections.get_mut(id);
            if let Some((stream, Some(seat))) = listener.map(|one| (&mut one.stream, one.seat)) {
                // Whoever does not read gets less; whoever has gone is noticed when its connection
                // is read from.
                let _ = stream.write(&packet[..usize::from(seat.packet_bytes)]);
            }
        }
        room.ticks_left -= 1;
        if room.ticks_left > 0 {
            self.ticks.push(Reverse((due + self.period, room_id)));
        }
    }

    fn forget(&mut self, id: u64) {
        // Closing the socket takes it out of the epoll set.
        self.connections.remove(&id);
        let rooms = self.rooms.values_mut();
        rooms.for_each(|room| room.listeners.retain(|listener| *listener != id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_survives_the_wire() {
        let seat = Seat {
            room: 0x1234,
            packet_bytes: 660,
        };
        assert_eq!(Seat::from_bytes(&seat.to_bytes()), seat);
        assert_eq!(seat.to_bytes(), [0x34, 0x12, 0x94, 0x02]);
    }

    #[test]
    fn a_room_is_sent_packets_while_voice_comes_and_not_another() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let mut floor = Floor::new(listener, Duration::from_millis(5)).unwrap();
        let mut join = |room, packet_bytes| {
            let mut stream = TcpStream::connect(address).unwrap();
            stream
                .write_all(&Seat { room, packet_bytes }.to_bytes())
                .unwrap();
            stream.set_nonblocking(true).unwrap();
            while floor
                .connections
                .values()
                .filter(|c| c.seat.is_some())
                .count()
                <= usize::from(room)
            {
                floor.step().unwrap();
            }
            stream
        };
        let mut talking = join(0, 7);
        let mut other = join(1, 7);
        let began = Instant::now();
        talking.write_all(&[1]).unwrap();
        let mut got = [0; 7 * 16];
        let heard = loop {
            floor.step().unwrap();
            if let Ok(count) = talking.read(&mut got) {
                break count;
            }
        };
        // A busy machine makes up for ticks that it missed.
        let ticks = began.elapsed().as_millis() as usize / 5 + 1;
        assert!(
            heard % 7 == 0 && (1..=ticks).contains(&(heard / 7)),
            "{heard}"
        );
        while floor.rooms[&0].ticks_left > 0 {
            floor.step().unwrap();
        }
        assert_eq!(
            other.read(&mut got).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
    }
}
