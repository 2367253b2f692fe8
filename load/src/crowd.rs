//! A hostile crowd beside the load: it flickers as fast as it likes, each change for a whole room
//! to be told. And newcomers, who join meanwhile.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use talkspurt_core::audio::codec::CodecId;
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::seq::Timestamp;
use talkspurt_core::voice::uplink::EncodedFrame;

use crate::generator::{Generator, Opposite};
use crate::plan::Plan;

/// Changes that each of the crowd makes in a second: a few more than a server tells.
const CHANGES_PER_SECOND: u32 = 12;
/// The largest room that a server grants by default, so that each change goes to as many as
/// possible.
const ROOM_SIZE: usize = 64;
/// From one newcomer's leaving to the next one's coming.
const NEWCOMER_PAUSE: Duration = Duration::from_millis(200);

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
                let room = silent("crowd", plan.size);
                let mut members = Generator::join(room, Opposite::Server, server)?;
                // Whoever waits for it has not gone.
                let _ = joined.send(());
                let step = Duration::from_secs(1) / CHANGES_PER_SECOND / plan.size as u32;
                flicker(&mut members, plan, step, &stop_flickering)
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

/// Each makes its changes at a phase of its own, one every `step`. Gives how late the latest was.
///
/// A crowd that is behind catches up, but only so much at a time: the server's Pings are to be
/// answered, and `stop` is to be seen, on a machine that never keeps up, too.
fn flicker(
    members: &mut Generator,
    plan: CrowdPlan,
    step: Duration,
    stop: &AtomicBool,
) -> Result<Duration> {
    let started = Instant::now();
    let mut lag_max = Duration::ZERO;
    let mut changes = 0;
    while !stop.load(Ordering::Relaxed) {
        let left = (started + step * changes).saturating_duration_since(Instant::now());
        members.wait(left)?;
        let now = Instant::now();
        for _ in 0..plan.size {
            let due = started + step * changes;
            if due > now || stop.load(Ordering::Relaxed) {
                break;
            }
            lag_max = lag_max.max(now - due);
            change(members, plan, changes).context("one of the crowd")?;
            changes += 1;
        }
    }
    Ok(lag_max)
}

fn change(members: &mut Generator, plan: CrowdPlan, changes: u32) -> Result<()> {
    let turn = changes / plan.size as u32;
    let (peer, now) = members.peer(changes as usize % plan.size);
    peer.flush(now)?;
    match plan.flicker {
        Flicker::Mute => peer.set_muted(now, turn.is_multiple_of(2)),
        // A talkspurt of one frame.
        Flicker::Word => {
            let word = EncodedFrame {
                // Four frames of 20 ms after the word before.
                timestamp: Timestamp(turn.wrapping_add(1).wrapping_mul(4 * 8)),
                level: 40,
                payload: &[7; 640],
                terminator: true,
            };
            peer.send_voice(now, word).map(drop)
        }
    }
}

fn join_again_and_again(server: SocketAddr, stop: &AtomicBool) -> Result<Vec<f64>> {
    let mut took_ms = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        let newcomer = Generator::join(silent("newcomers", 1), Opposite::Server, server)?;
        took_ms.push(started.elapsed().as_secs_f64() * 1_000.0);
        // How leaving ends on a crowded server is not what is measured.
        let _ = newcomer.leave();
        std::thread::sleep(NEWCOMER_PAUSE);
    }
    Ok(took_ms)
}

/// People who say nothing by themselves.
fn silent(rooms_named: &'static str, participants: usize) -> Plan {
    Plan {
        rooms_named,
        participants,
        room_size: ROOM_SIZE,
        talkers: 0,
        codec: CodecId::Pcm16,
        format: AudioFormat::DEFAULT,
        seed: 0,
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_crowd_that_never_keeps_up_says_so_and_stops_when_asked() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let (ended, outcome) = mpsc::channel();
        std::thread::spawn(move || {
            let plan = CrowdPlan {
                size: 1,
                flicker: Flicker::Mute,
            };
            let room = silent("crowd", plan.size);
            let mut members = Generator::join(room, Opposite::Floor, server).unwrap();
            // No machine makes a change in a nanosecond.
            let step = Duration::from_nanos(1);
            ended.send(flicker(&mut members, plan, step, &asked))
        });
        std::thread::sleep(Duration::from_millis(50));
        stop.store(true, Ordering::Relaxed);
        let outcome = outcome.recv_timeout(Duration::from_secs(30));
        let lag_max = outcome.expect("it stops").unwrap();
        assert!(lag_max > Duration::from_millis(1), "{lag_max:?}");
    }
}
