//! A hostile crowd beside the load: it flickers as fast as it likes, each change for a whole room to be told. And newcomers, who
//! join meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::seq::Seq;
use talkspurt_core::session::JoinRequest;
use talkspurt_core::time;
use talkspurt_core::wire::{ClientPacket, ParticipantName, RoomName, Voice};

use crate::peer::Peer;
use crate::poller::Poller;

/// Changes that each of the crowd makes in a second: a few more than a server tells.
const CHANGES_PER_SECOND: u32 = 12;
/// The largest room that a server grants by default, so that each change goes to as many as possible.
const ROOM_SIZE: usize = 64;
/// From one newcomer's leaving to the next one's coming.
const NEWCOMER_PAUSE: Duration = Duration::from_millis(200);
/// How long the crowd may take to join.
const JOIN_LIMIT: Duration = Duration::from_secs(60);

/// Who flickers, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CrowdPlan {
    /// How many.
    pub size: usize,
    /// What they do.
    pub flicker: Flicker,
}

/// What makes a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flicker {
    /// Muting and unmuting.
    Mute,
    /// Talkspurts of one frame.
    Word,
}

/// What a crowd came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// How long each newcomer took to join, in milliseconds.
    pub joins_ms: Vec<f64>,
    /// How much later than due the latest change was made, in milliseconds.
    pub lag_max_ms: f64,
}

/// A crowd at work, in threads of its own.
pub struct Crowd {
    stop: Arc<AtomicBool>,
    flickering: JoinHandle<Result<Duration>>,
    joining: JoinHandle<Result<Vec<f64>>>,
}

impl Crowd {
    /// Has a crowd join, then flicker.
    ///
    /// # Errors
    /// Not all of it can join.
    pub fn start(plan: CrowdPlan, server: SocketAddr) -> Result<Self> {
        let (joined, all_joined) = mpsc::channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (stop_flickering, stop_joining) = (Arc::clone(&stop), Arc::clone(&stop));
        let crowd = Self {
            flickering: std::thread::spawn(move || {
                let mut members = Members::join(plan, server)?;
                // Whoever waits for it has not gone.
                let _ = joined.send(());
                let step =
                    Duration::from_secs(1) / CHANGES_PER_SECOND / members.peers.len().max(1) as u32;
                members.flicker(step, &stop_flickering)
            }),
            joining: std::thread::spawn(move || join_again_and_again(server, &stop_joining)),
            stop,
        };
        match all_joined.recv() {
            Ok(()) => Ok(crowd),
            Err(_) => Err(crowd.stop().err().context("the crowd ended")?),
        }
    }

    /// Ends it.
    ///
    /// # Errors
    /// One of the crowd or a newcomer was thrown out.
    pub fn stop(self) -> Result<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        let ended = self.flickering.join();
        let lag_max = ended.map_err(|_| anyhow!("the crowd panicked"))??;
        let joined = self.joining.join();
        Ok(Outcome {
            joins_ms: joined.map_err(|_| anyhow!("the newcomers panicked"))??,
            lag_max_ms: lag_max.as_secs_f64() * 1_000.0,
        })
    }
}

struct Members {
    flicker: Flicker,
    epoch: Instant,
    poller: Poller,
    buffer: Box<[u8]>,
    peers: Vec<Peer>,
    changes: u32,
}

impl Members {
    fn join(plan: CrowdPlan, server: SocketAddr) -> Result<Self> {
        let mut members = Self {
            flicker: plan.flicker,
            epoch: Instant::now(),
            poller: Poller::new()?,
            buffer: vec![0; 64 * 1024].into(),
            peers: Vec::with_capacity(plan.size),
            changes: 0,
        };
        for number in 0..plan.size {
            let request = request(&format!("crowd-{}", number / ROOM_SIZE), number)?;
            let peer = Peer::join(server, request, members.now())?;
            members.poller.add(&peer, number as u64)?;
            members.peers.push(peer);
            while !members.peers[number].is_joined() {
                ensure!(
                    members.epoch.elapsed() < JOIN_LIMIT,
                    "the crowd cannot join"
                );
                members.read(Duration::from_millis(100))?;
            }
        }
        Ok(members)
    }

    /// Each makes its changes at a phase of its own, one every `step`. Gives how late the latest
    /// was.
    ///
    /// A crowd that is behind catches up, but only so much at a time: the server's Pings are to be
    /// answered, and `stop` is to be seen, on a machine that never keeps up, too.
    fn flicker(&mut self, step: Duration, stop: &AtomicBool) -> Result<Duration> {
        let started = Instant::now();
        let mut lag_max = Duration::ZERO;
        while !stop.load(Ordering::Relaxed) {
            let left = (started + step * self.changes).saturating_duration_since(Instant::now());
            self.read(left)?;
            let now = Instant::now();
            for _ in 0..self.peers.len() {
                let due = started + step * self.changes;
                if due > now || stop.load(Ordering::Relaxed) {
                    break;
                }
                lag_max = lag_max.max(now - due);
                self.change().context("one of the crowd")?;
            }
        }
        Ok(lag_max)
    }

    fn change(&mut self) -> Result<()> {
        let number = self.changes as usize % self.peers.len();
        let turn = self.changes / self.peers.len() as u32;
        self.changes += 1;
        let mut packet = [0; ENCODED_MAX];
        let len = match self.flicker {
            Flicker::Mute => {
                write_to_stream(&ClientPacket::SetMuted(turn.is_multiple_of(2)), &mut packet)?
            }
            Flicker::Word => write_to_stream(&ClientPacket::Voice(word(turn)), &mut packet)?,
        };
        let now = self.now();
        let peer = &mut self.peers[number];
        if peer.poll_timeout().is_some_and(|due| due <= now) {
            peer.handle_timeout(now)?;
        }
        peer.flush()?;
        peer.send_voice(&packet[..len])?;
        Ok(())
    }

    fn read(&mut self, at_most: Duration) -> Result<()> {
        self.poller.wait(Some(at_most))?;
        while let Some(ready) = self.poller.next_ready() {
            let now = self.now();
            self.peers[ready.id as usize].read(now, &mut self.buffer, |_| {})?;
        }
        Ok(())
    }

    fn now(&self) -> time::Instant {
        time::Instant::ZERO + self.epoch.elapsed().into()
    }
}

/// A talkspurt of one frame.
fn word(number: u32) -> Voice<'static> {
    Voice {
        seq: Seq(number as u16),
        timestamp_frames: number.wrapping_mul(4),
        terminator: true,
        payload: &[7; 640],
    }
}

fn request(room: &str, number: usize) -> Result<JoinRequest> {
    let name = ParticipantName::new(&format!("crowd-{number}"))?;
    Ok(JoinRequest::new(
        RoomName::new(room)?,
        name,
        &[CodecId::Pcm16],
    ))
}

fn join_again_and_again(server: SocketAddr, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut took_ms = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let now = || time::Instant::ZERO + started.elapsed().into();
        let mut poller = Poller::new()?;
        let mut peer = Peer::join(server, request("newcomers", took_ms.len())?, now())?;
        poller.add(&peer, 0)?;
        while !peer.is_joined() {
            ensure!(started.elapsed() < JOIN_LIMIT, "a newcomer cannot join");
            poller.wait(Some(Duration::from_millis(100)))?;
            peer.read(now(), &mut buffer, |_| {})?;
        }
        took_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
        peer.leave();
        std::thread::sleep(NEWCOMER_PAUSE);
    }
    Ok(took_ms)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::floor::Seat;

    #[test]
    fn a_crowd_that_never_keeps_up_says_so_and_stops_when_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let (ended, outcome) = mpsc::channel();
        std::thread::spawn(move || {
            let seat = Seat {
                room: 0,
                packet_bytes: 0,
            };
            let mut members = Members {
                flicker: Flicker::Mute,
                epoch: Instant::now(),
                poller: Poller::new().unwrap(),
                buffer: vec![0; 1_024].into(),
                peers: vec![Peer::sit_down(server, seat).unwrap()],
                changes: 0,
            };
            // No machine makes a change in a nanosecond.
            ended.send(members.flicker(Duration::from_nanos(1), &asked))
        });
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        let outcome = outcome.recv_timeout(Duration::from_secs(30));
        let lag_max = outcome.expect("it stops").unwrap();
        assert!(lag_max > Duration::from_millis(1), "{lag_max:?}");
    }
}
