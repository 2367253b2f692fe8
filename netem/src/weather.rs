//! What a stream does to its bytes: it delays, stalls, slows or damages them.

use talkspurt_core::time::Duration;

/// What a stream does to its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long every byte takes.
    pub delay: Duration,
    /// By how much a write may take longer, evenly spread. Later writes never overtake it, as in
    /// TCP.
    pub jitter: Duration,
    /// How many in a thousand writes are stalled, as by a lost segment of TCP: all that follows
    /// waits behind and comes in a burst.
    pub stalls_per_mille: u32,
    /// How long the longest of those stalls lasts.
    pub stall_max: Duration,
    /// The line's rate, where it has one.
    pub bytes_per_second: Option<u64>,
    /// How many in a million bytes arrive as another one.
    pub damage_per_million: u32,
    /// Bytes that may be on their way; the writer of more is told to wait.
    pub buffer_bytes: usize,
}

impl Weather {
    /// A local network: 1 ms, and nothing else.
    pub const CALM: Self = Self {
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
        stalls_per_mille: 0,
        stall_max: Duration::ZERO,
        bytes_per_second: None,
        damage_per_million: 0,
        buffer_bytes: 64 * 1024,
    };

    /// A busy Wi-Fi far from its access point: up to 20 ms of jitter, and one write in a hundred is
    /// stalled for up to 120 ms.
    pub const STORMY: Self = Self {
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(20),
        stalls_per_mille: 10,
        stall_max: Duration::from_millis(120),
        ..Self::CALM
    };

    /// A serial line of that many bits per second (8N1: ten bits a byte) behind a bridge.
    pub const fn serial(baud: u64) -> Self {
        Self {
            bytes_per_second: Some(baud / 10),
            buffer_bytes: 4 * 1024,
            ..Self::CALM
        }
    }
}
