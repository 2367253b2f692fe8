//! One connection to the server, from its Hello to its loss.

use super::{
    link::{Inbound, Link},
    voice::{VoicePath, VoiceSettings},
};
use crate::{config::JoinConfig, events::Counts};
use std::{
    io,
    time::{Duration, Instant},
};
use talkspurt_core::{
    codec::Codec,
    session::{Budget, ClientConfig, ClientEvent, ClientSession, JoinRequest},
    time::{Duration as CoreDuration, Instant as CoreInstant},
    wire::ENCODED_MAX,
};
use tokio::net::TcpStream;

/// How long the last packets may take to leave.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Damaged bytes that a server may send at once, and in a second. TCP damages nothing; but the first packet after a hiccup of a
/// server may be broken off.
const BAD_BYTES_BURST: u32 = 16_384;
const BAD_BYTES_PER_SECOND: u32 = 4_096;
/// How often dropped bytes are logged.
const TELL_EVERY: CoreDuration = CoreDuration::from_secs(1);

/// Bytes that were no packets: told now and then, borne up to a point.
struct BadBytes {
    budget: Budget,
    borne: bool,
    untold: u32,
    told_at: Option<CoreInstant>,
}

impl BadBytes {
    fn new(now: CoreInstant) -> Self {
        Self {
            budget: Budget::new(BAD_BYTES_BURST, BAD_BYTES_PER_SECOND, now),
            borne: true,
            untold: 0,
            told_at: None,
        }
    }

    fn add(&mut self, bytes: u32, now: CoreInstant) {
        self.untold = self.untold.saturating_add(bytes);
        self.borne &= self.budget.take(bytes, now);
    }

    /// Logs what was dropped, not too often; an error when it was too much.
    fn tell(&mut self, now: CoreInstant) -> io::Result<()> {
        let due = self.told_at.is_none_or(|at| now.since(at) >= TELL_EVERY);
        if self.untold > 0 && due {
            tracing::warn!(bytes = self.untold, "dropped bytes that are no packet");
            (self.untold, self.told_at) = (0, Some(now));
        }
        if self.borne {
            return Ok(());
        }
        let text = "the server sends what is not Talkspurt's protocol";
        Err(io::Error::new(io::ErrorKind::InvalidData, text))
    }
}

/// Socket, session and voice of one connection.
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) session: ClientSession,
    /// From the Welcome on.
    pub(super) voice: Option<VoicePath>,
    /// When it began.
    pub(super) since: Instant,
    bad_bytes: BadBytes,
    settings: VoiceSettings,
}

impl Connection {
    /// Asks to join over a stream that was just connected.
    pub(super) fn new(
        stream: TcpStream,
        config: &JoinConfig,
        settings: VoiceSettings,
        now: CoreInstant,
    ) -> Self {
        let codecs: &[Codec] = match &config.codec {
            Some(codec) => std::slice::from_ref(codec),
            None => &[Codec::Pcm16, Codec::ImaAdpcm],
        };
        let mut request = JoinRequest::new(config.room.clone(), config.name.clone(), codecs);
        request.muted = settings.muted;
        let session = ClientSession::new(request, ClientConfig::default(), now);
        Self {
            link: Link::new(stream),
            session,
            voice: None,
            since: Instant::now(),
            bad_bytes: BadBytes::new(now),
            settings,
        }
    }

    /// Takes what the socket has. `Ok(false)` when the server has closed the connection.
    pub(super) fn read(
        &mut self,
        now: CoreInstant,
        events: &mut Vec<ClientEvent>,
    ) -> io::Result<bool> {
        let Self {
            link,
            session,
            voice,
            settings,
            bad_bytes,
            ..
        } = self;
        if link.outbox.is_piled_up() {
            return Err(io::Error::other(
                "the server asks and does not read the answers",
            ));
        }
        let open = link.read(|inbound| match inbound {
            Inbound::Packet(packet) => {
                let heard = session.handle_input(now, packet);
                if let (Some(packet), Some(voice)) = (heard, voice.as_mut()) {
                    voice.receive(&packet);
                }
                while let Some(event) = session.poll_event() {
                    if let ClientEvent::Joined(params, _) = event {
                        // At once: the first voice may come with the same read.
                        *voice = Some(VoicePath::new(params, settings));
                    }
                    events.push(event);
                }
            }
            Inbound::Bad(bytes) => bad_bytes.add(bytes, now),
        })?;
        bad_bytes.tell(now)?;
        Ok(open)
    }

    /// Lets time pass.
    pub(super) fn handle_timeout(&mut self, now: CoreInstant, events: &mut Vec<ClientEvent>) {
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            events.push(event);
        }
    }

    /// Moves the session's packets to the outbox, and as much of that to the socket as it takes.
    pub(super) fn transmit(&mut self) {
        let mut packet = [0; ENCODED_MAX];
        while let Some(len) = self.session.poll_transmit(&mut packet) {
            self.link.outbox.push_control(&packet[..len]);
        }
        if let Err(error) = self.link.flush() {
            // The next read finds the connection broken; that is where it is dealt with.
            tracing::debug!(%error, "writing failed");
        }
    }

    pub(super) fn set_muted(&mut self, muted: bool) {
        self.settings.muted = muted;
        self.session.set_muted(muted);
        if let Some(voice) = &mut self.voice {
            voice.set_muted(muted);
        }
    }

    pub(super) fn set_gate(&mut self, settings: VoiceSettings) {
        self.settings = settings;
        if let Some(voice) = &mut self.voice {
            voice.set_gate(&settings.gate);
        }
    }

    /// Ends the talkspurt, says Bye, and waits a little until that is sent.
    pub(super) async fn leave(mut self, counts: &mut Counts) {
        if let Some(voice) = &mut self.voice {
            voice.finish(|packet| self.link.outbox.push_voice(packet));
        }
        self.session.leave();
        self.transmit();
        self.link.close(CLOSE_PATIENCE).await;
        self.add_counts(counts);
    }

    /// Adds what this connection did to the counts of the stay.
    pub(super) fn add_counts(&self, counts: &mut Counts) {
        if let Some(voice) = &self.voice {
            voice.add_counts(counts);
        }
        counts.frames_dropped += self.link.outbox.dropped_voice();
        counts.bytes_sent += self.link.outbox.bytes_sent();
        counts.bytes_received += self.link.bytes_received();
        counts.bytes_bad += self.link.bytes_bad();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_of_garbage_ends_the_connection_and_a_little_does_not() {
        let at = |ms: u64| CoreInstant::ZERO + CoreDuration::from_ms(ms);
        let mut bad = BadBytes::new(at(0));
        for second in 0..60 {
            bad.add(4_000, at(second * 1_000));
            assert!(bad.tell(at(second * 1_000)).is_ok());
        }
        (0..10_000).for_each(|_| bad.add(2, at(60_000)));
        assert!(bad.tell(at(60_000)).is_err());
    }
}
