//! What follows a refused or lost connection: the end, or a pause and another try.

use super::super::{Failure, greeting};
use super::{Driver, Phase};
use crate::events::EventKind;
use std::{
    mem,
    time::{Duration, Instant},
};
use talkspurt_core::{
    backoff::{Backoff, spread},
    time::Duration as CoreDuration,
    wire::{Nonce, Reason},
};

/// The first pause.
const PAUSE_FIRST: CoreDuration = CoreDuration::from_millis(250);
/// The longest pause: a server that comes back is found within this time.
const PAUSE_LONGEST: CoreDuration = CoreDuration::from_secs(5);

/// A session that lived this long was good: after it the pauses start over.
const GOOD_LIFE: Duration = Duration::from_secs(5);

/// Counts tries to reconnect, and chooses the pauses before them.
#[derive(Debug)]
pub(super) struct Reconnect {
    backoff: Backoff,
    attempt: u32,
    random: u32,
    nonce: u64,
}

impl Reconnect {
    /// `seed` spreads clients over time, and names their sessions: a random number.
    pub(super) fn new(seed: u64) -> Self {
        Self {
            backoff: Backoff::new(PAUSE_FIRST, PAUSE_LONGEST),
            attempt: 0,
            random: seed as u32,
            nonce: seed,
        }
    }

    /// Returns the number of the next try, from 1, and the pause before it, at least `least`.
    fn next(&mut self, least: CoreDuration) -> (u32, Duration) {
        self.attempt = self.attempt.saturating_add(1);
        // Knuth's multiplicative hash: spread, not secrecy.
        let product = self.random.wrapping_mul(2_654_435_761);
        self.random = product.wrapping_add(self.attempt);
        let pause = spread(self.backoff.take().max(least), (self.random >> 16) as u16);
        (self.attempt, pause.into())
    }

    /// Returns the nonce of the next session.
    pub(super) fn nonce(&mut self) -> Nonce {
        self.nonce = self.nonce.wrapping_add(1);
        self.nonce.to_le_bytes()
    }

    /// Starts over, after a success.
    fn reset(&mut self) {
        self.backoff.reset();
        self.attempt = 0;
    }
}

impl Driver {
    /// Handles a refusal, by its class. A name that is taken is for the user to change, unless the
    /// session follows another: then it may still be the client's own.
    pub(super) fn rejected(&mut self, reason: Reason, least: CoreDuration) -> Result<(), Failure> {
        let text = self.words_of_server(reason);
        let is_first = self.audio.is_none();
        self.has_answered = true;
        if reason.is_permanent() || (is_first && reason == Reason::NAME_TAKEN) {
            return Err(Failure::Refused { reason, text });
        }
        self.pause(least, text);
        Ok(())
    }

    /// Handles the end of a session: another try would end in the same way, or follows.
    pub(super) fn closed(
        &mut self,
        reason: Reason,
        least: CoreDuration,
        now: Instant,
    ) -> Result<(), Failure> {
        let text = self.words_of_server(reason);
        if reason.is_permanent() && self.audio.is_some() {
            return Err(Failure::Refused { reason, text });
        }
        self.lost_for(text, least, now)
    }

    fn words_of_server(&self, reason: Reason) -> String {
        match self.participant.closing_text() {
            "" => reason.to_string(),
            text => text.to_owned(),
        }
    }

    pub(super) fn lost(&mut self, reason: String, now: Instant) -> Result<(), Failure> {
        self.lost_for(reason, CoreDuration::ZERO, now)
    }

    fn lost_for(
        &mut self,
        reason: String,
        least: CoreDuration,
        now: Instant,
    ) -> Result<(), Failure> {
        let Phase::Open(link) = &self.phase else {
            return Ok(());
        };
        if !self.has_answered {
            let server = &self.config.server;
            let what = greeting::explain(server, link.greeting());
            return Err(Failure::NotTalkspurt {
                server: server.to_string(),
                problem: what.unwrap_or(reason),
            });
        }
        let welcomed_at = link.welcomed_at;
        if welcomed_at.is_some_and(|at| now - at >= GOOD_LIFE) {
            self.reconnect.reset();
        }
        self.counts.reconnects += u32::from(welcomed_at.is_some());
        // Sends what the session still has to say (a Bye after a protocol error), as far as the
        // socket takes it.
        self.transmit(now);
        self.pause(least, reason);
        Ok(())
    }

    pub(super) fn pause(&mut self, least: CoreDuration, reason: String) {
        let (attempt, pause) = self.reconnect.next(least);
        let retry_in_ms = pause.as_millis() as u64;
        self.teller.tell(EventKind::Reconnecting {
            reason,
            attempt,
            retry_in_ms,
        });
        self.participant.disconnected();
        let until = Instant::now() + pause;
        if let Phase::Open(link) = mem::replace(&mut self.phase, Phase::Pausing { until }) {
            link.add_counts(&mut self.counts);
            tokio::spawn(link.hang_up());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{super::event_channel, Wake, tests::driver};
    use super::*;
    use crate::testing::{listener_config, stream_of, welcome_packet};
    use std::io;
    use talkspurt_core::wire::ServerPacket;
    use tokio::net::{TcpListener, TcpStream};

    /// A driver that is connected, after so many tries in vain, to a server that says nothing.
    async fn connected_after(tries: usize) -> Driver {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (teller, _events) = event_channel::channel(Instant::now());
        let (_leave, commands) = tokio::sync::mpsc::channel(1);
        let mut driver = driver(listener_config(address.port()), teller, commands);
        for _ in 0..tries {
            driver.reconnect.next(CoreDuration::ZERO);
        }
        driver.has_answered = true;
        driver.connected(TcpStream::connect(address).await).unwrap();
        driver
    }

    /// Returns the number of the try after two in vain and a session that lasted so long.
    async fn try_after(lived: Duration) -> u32 {
        let mut driver = connected_after(2).await;
        let welcome = stream_of(&ServerPacket::Welcome(welcome_packet(1, 1)));
        // The time before the Welcome does not count.
        let now = Instant::now() + Duration::from_secs(4);
        let mut rest = &welcome[..];
        while !rest.is_empty() {
            rest = driver
                .participant
                .handle_stream(driver.core_time(now), rest);
            driver.take_events(now).unwrap();
        }
        let Phase::Open(link) = &driver.phase else {
            panic!("it is in the room")
        };
        let ended = link.welcomed_at.unwrap() + lived;
        driver.lost("cut".to_owned(), ended).unwrap();
        driver.reconnect.attempt
    }

    #[tokio::test]
    async fn a_connection_without_a_welcome_does_not_start_the_pauses_over() {
        let mut driver = connected_after(1).await;
        let later = Instant::now() + Duration::from_secs(60);
        driver.lost("cut".to_owned(), later).unwrap();
        assert_eq!(driver.reconnect.attempt, 2);
    }

    /// How long a driver pauses.
    fn pause_of(driver: &Driver, since: Instant) -> Duration {
        let Phase::Pausing { until } = driver.phase else {
            panic!("it tries again")
        };
        until - since
    }

    #[tokio::test]
    async fn a_pause_is_as_long_as_the_server_asks_and_short_where_it_says_nothing() {
        let (mut driver, now) = (connected_after(0).await, Instant::now());
        let refused = Err(io::ErrorKind::ConnectionRefused.into());
        driver.connected(refused).unwrap();
        assert!(pause_of(&driver, now) < Duration::from_secs(5));
        let (mut driver, now) = (connected_after(0).await, Instant::now());
        let least = CoreDuration::from_secs(20);
        driver.closed(Reason::STOPPING, least, now).unwrap();
        assert!(pause_of(&driver, now) >= Duration::from_secs(20));
    }

    #[tokio::test]
    async fn a_hello_without_an_answer_and_the_end_of_the_stay_are_due() {
        let mut driver = connected_after(0).await;
        assert!(driver.deadline().is_some(), "the Hello comes again");
        let soon = Instant::now();
        driver.leave_at = Some((soon, "time is up"));
        assert_eq!(driver.deadline(), Some(soon));
    }

    #[tokio::test]
    async fn the_end_of_a_pause_is_waited_for() {
        let (teller, _events) = event_channel::channel(Instant::now());
        let (_leave, commands) = tokio::sync::mpsc::channel(1);
        let mut driver = driver(listener_config(1), teller, commands);
        let until = Instant::now() + Duration::from_millis(50);
        driver.phase = Phase::Pausing { until };
        let waking = tokio::time::timeout(Duration::from_secs(10), driver.next_wake());
        assert!(matches!(waking.await, Ok(Wake::SocketOrTime)));
        assert!(Instant::now() >= until);
    }

    #[test]
    fn only_a_session_of_five_seconds_starts_the_pauses_over() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            assert_eq!(try_after(Duration::from_millis(4_900)).await, 3);
            assert_eq!(try_after(Duration::from_secs(5)).await, 1);
        });
    }

    #[test]
    fn pauses_grow_to_a_limit_start_over_and_differ_between_clients() {
        for seed in [0, 1, 77, u64::MAX] {
            let mut reconnect = Reconnect::new(seed);
            for attempt in 1..100u32 {
                let (number, pause) = reconnect.next(CoreDuration::ZERO);
                let nominal = Duration::from(PAUSE_FIRST)
                    .saturating_mul(1 << (attempt - 1).min(10))
                    .min(PAUSE_LONGEST.into());
                assert_eq!(number, attempt);
                assert!(
                    pause >= nominal && pause <= nominal.mul_f64(1.26),
                    "{attempt}: {pause:?}"
                );
            }
            reconnect.reset();
            let (number, pause) = reconnect.next(CoreDuration::ZERO);
            assert_eq!(number, 1);
            assert!(pause <= Duration::from(PAUSE_FIRST).mul_f64(1.26));
        }
        let first = |seed| Reconnect::new(seed).next(CoreDuration::ZERO).1;
        assert_ne!(first(1), first(2));
    }
}
