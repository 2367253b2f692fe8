//! The part of the load that stops for a while.

use std::cmp::Reverse;

use anyhow::Result;
use talkspurt_core::time::{Duration, Instant};

use super::{Generator, Timer};
use crate::stall::{Stall, Who};

/// A stall, and who is held by it.
pub(super) struct Stalled {
    stall: Stall,
    participants: Vec<usize>,
    /// While one lasts.
    until: Option<Instant>,
    /// When the last one ended.
    ended_at: Instant,
}

impl Generator {
    /// From now on that part of the load stops when its time comes.
    pub fn stall(&mut self, stall: Stall) {
        self.stalled = Some(Stalled {
            stall,
            participants: stall.participants(&self.plan),
            until: None,
            ended_at: Instant::ZERO,
        });
        let first = self.now() + stall.after.into();
        self.schedule(first, 0, Timer::Stall);
    }

    /// Whether a stall of `who` holds this participant now: a talker sends nothing, a listener is
    /// out of the poll.
    pub(super) fn holds(&self, who: Who, participant: usize) -> bool {
        self.stalled.as_ref().is_some_and(|stalled| {
            stalled.until.is_some()
                && stalled.stall.who == who
                && stalled.participants.contains(&participant)
        })
    }

    /// Whether a frame that was due then is late on purpose.
    pub(super) fn was_held(&self, due: Instant) -> bool {
        self.stalled
            .as_ref()
            .is_some_and(|stalled| stalled.stall.who != Who::Listener && due < stalled.ended_at)
    }

    pub(super) fn begin_or_end_stall(&mut self, due: Instant) -> Result<()> {
        let Some(stalled) = &mut self.stalled else {
            return Ok(());
        };
        let stall = stalled.stall;
        let listeners = match stall.who {
            Who::Listener => &stalled.participants[..],
            Who::Talker | Who::Everyone => &[],
        };
        if stalled.until.take().is_none() {
            let until = due + stall.span.into();
            stalled.until = Some(until);
            self.timers.push(Reverse((until, 0, Timer::Stall)));
            for participant in listeners {
                self.poller.remove(&self.peers[*participant])?;
            }
            if stall.who == Who::Everyone {
                std::thread::sleep(stall.span);
            }
            return Ok(());
        }
        for participant in listeners {
            self.poller
                .add(&self.peers[*participant], *participant as u64)?;
            self.watched[*participant] = false;
        }
        stalled.ended_at = due;
        // All that is due goes at once: each frame's time is followed by the next one's.
        let held = self.held.drain(..);
        self.timers
            .extend(held.map(|(due, participant)| Reverse((due, participant, Timer::Frame))));
        if let Some(every) = stall.every {
            let begun = due - Duration::from(stall.span);
            self.timers
                .push(Reverse((begun + Duration::from(every), 0, Timer::Stall)));
        }
        Ok(())
    }
}
