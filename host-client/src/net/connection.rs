//! One connection to the server, from its Hello to its loss.

use super::{
    garbage::Garbage,
    link::{Inbound, Link},
    outbox::VOICE_AGE_MAX,
    voice::{PRE_ROLL_MS_MAX, VoicePath, VoiceSettings},
};
use crate::{config::JoinConfig, events::Counts};
use std::{
    io,
    time::{Duration, Instant},
};
use talkspurt_core::{
    audio::codec::Codec,
    carrier::stream::ENCODED_MAX,
    session::{ClientConfig, ClientEvent, ClientSession, JoinRequest},
    time::Instant as CoreInstant,
    wire::ByeReason,
};
use tokio::net::TcpStream;

/// How long the last packets may take to leave.
const CLOSE_PATIENCE: Duration = Duration::from_millis(500);

/// Socket, session and voice of one connection.
pub(super) struct Connection {
    pub(super) link: Link,
    pub(super) session: ClientSession,
    /// From the Welcome on.
    pub(super) voice: Option<VoicePath>,
    /// When it began.
    pub(super) since: Instant,
    settings: VoiceSettings,
    garbage: Garbage,
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
        let session = ClientSession::new(request, HANDSHAKE_TIMEOUT_DEFAULT, now);
        Self {
            link: Link::new(stream),
            session,
            voice: None,
            since: Instant::now(),
            settings,
            garbage: Garbage::new(now),
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
            garbage,
            ..
        } = self;
        link.read(|inbound| {
            match inbound {
                Inbound::Packet(packet) => {
                    let heard = session.handle_input(now, packet);
                    if let (Some(packet), Some(voice)) = (heard, voice.as_mut()) {
                        voice.receive(&packet);
                    }
                }
                Inbound::Bad(bytes) => {
                    if !garbage.bear(bytes, now) {
                        session.end(ByeReason::ProtocolError);
                    }
                }
            }
            while let Some(event) = session.poll_event() {
                if let ClientEvent::Joined(params, _) = event {
                    // At once: the first voice may come with the same read.
                    *voice = Some(VoicePath::new(params, settings));
                }
                events.push(event);
            }
        })
    }

    /// Lets time pass.
    pub(super) fn handle_timeout(&mut self, now: CoreInstant, events: &mut Vec<ClientEvent>) {
        self.garbage.log(now);
        self.link.outbox.advance(now);
        if let Some(voice) = &self.voice {
            let waiting_ms = VOICE_AGE_MAX.as_millis() as u32 + u32::from(PRE_ROLL_MS_MAX);
            let frames = voice.params().frame.frames_in_ms(waiting_ms);
            self.link.outbox.set_voice_packets_max(frames as usize);
        }
        if self.link.outbox.is_stuck() {
            self.session.end(ByeReason::SlowConsumer);
        }
        self.session.handle_timeout(now);
        while let Some(event) = self.session.poll_event() {
            events.push(event);
        }
    }

    /// Moves the session's packets to the outbox, and as much of that to the socket as it takes.
    pub(super) fn transmit(&mut self) {
        if let Some(at) = self.link.outbox.voice_at() {
            self.session.voice_sent(at);
        }
        let mut packet = [0; ENCODED_MAX];
        while let Some(len) = self.session.poll_transmit(&mut packet) {
            self.link.outbox.push_control(&packet[..len]);
        }
        if let Err(error) = self.link.flush() {
            // The next read finds the connection broken; that is where it is dealt with.
            tracing::debug!(%error, "writing failed");
        }
    }

    /// Mute, key of push-to-talk and gate as they are now.
    pub(super) fn set(&mut self, settings: VoiceSettings) {
        if settings.muted != self.settings.muted {
            self.session.set_muted(settings.muted);
        }
        self.settings = settings;
        if let Some(voice) = &mut self.voice {
            voice.set(&settings);
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
mod tests;
