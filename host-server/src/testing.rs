//! Helpers for the unit tests.

use std::sync::{Arc, Mutex};

use std::sync::atomic::{AtomicU64, Ordering};

use clap::Parser;
use talkspurt_core::carrier::stream::ENCODED_MAX;
use talkspurt_core::endpoint::write_to_stream;
use talkspurt_core::wire::{ClientPacket, Hello, PROTOCOL_VERSION, ParticipantFlags};

use crate::config::{Args, Config};

/// Returns the configuration of a server that is started without flags. (Variables of the
/// environment that set flags, `TALKSPURT_...`, reach it as they reach any server.)
pub fn config() -> Config {
    Config::from(Args::try_parse_from(["talkspurt-server"]).unwrap().serve)
}

/// Collects what is written to it.
#[derive(Clone, Default)]
struct Page(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Page {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Returns the lines that `act` logs on this thread: level, text and fields.
pub fn lines_logged(act: impl FnOnce()) -> Vec<String> {
    let page = Page::default();
    let writer = page.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::DEBUG)
        .with_ansi(false)
        .without_time()
        .with_target(false)
        .with_writer(move || writer.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, act);
    let text = String::from_utf8(page.0.lock().unwrap().clone()).unwrap();
    text.lines().map(|line| line.trim().to_owned()).collect()
}

/// A packet as a client sends it.
pub fn packet(packet: &ClientPacket<'_>) -> Vec<u8> {
    let mut bytes = [0; ENCODED_MAX];
    let len = write_to_stream(packet, &mut bytes).unwrap();
    bytes[..len].to_vec()
}

/// The first packet of a client that wants PCM16.
pub fn hello_of(room: &str, name: &str) -> Vec<u8> {
    // Whoever joins twice over one connection needs another nonce for that.
    static HELLOS: AtomicU64 = AtomicU64::new(1);
    packet(&ClientPacket::Hello(Hello {
        version: PROTOCOL_VERSION,
        nonce: HELLOS.fetch_add(1, Ordering::Relaxed).to_le_bytes(),
        max_packet: 1_280,
        features: 0,
        resume: None,
        room,
        name,
        codecs_up: &[0],
        codecs_down: &[0],
        rates_hz: [16_000].into_iter().collect(),
        flags: ParticipantFlags::default(),
        roster: 1,
        credentials: &[],
    }))
}
