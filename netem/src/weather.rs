//! What a network does to what is sent over it: it delays, stalls, slows, damages or loses it.

use talkspurt_core::time::Duration;

use crate::datagrams::Datagrams;

/// The delay, stalls, rate and damage of a stream, and of voice beside it.
#[derive(Clone, Copy, Debug)]
pub struct Weather {
    /// How long every byte takes.
    pub delay: Duration,
    /// The maximum by which a write may take longer, evenly distributed. Later writes to the stream
    /// never overtake it, as in TCP; datagrams do.
    pub jitter: Duration,
    /// What happens to voice, if it goes in datagrams beside the stream. Stalls and damage are the
    /// stream's alone. A datagram for which the buffer has no room is lost.
    pub datagrams: Option<Datagrams>,
    /// How many in a thousand writes are stalled, as by a lost segment of TCP. Everything after a
    /// stalled write waits behind it and arrives in a burst.
    pub stalls_per_mille: u32,
    /// The longest such stall.
    pub stall_max: Duration,
    /// The line's rate, if it is limited.
    pub bytes_per_second: Option<u64>,
    /// How many in a million bytes arrive changed.
    pub damage_per_million: u32,
    /// How many bytes may be on their way. A writer of more is told to wait.
    pub buffer_bytes: usize,
}

impl Weather {
    /// A local network: 1 ms, and nothing else.
    pub const CALM: Self = Self {
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
        datagrams: None,
        stalls_per_mille: 0,
        stall_max: Duration::ZERO,
        bytes_per_second: None,
        damage_per_million: 0,
        buffer_bytes: 64 * 1024,
    };

    /// A busy Wi-Fi far from its access point: up to 20 ms of jitter, and one in a hundred writes
    /// stalls for up to 120 ms.
    pub const STORMY: Self = Self {
        delay: Duration::from_millis(15),
        jitter: Duration::from_millis(20),
        stalls_per_mille: 10,
        stall_max: Duration::from_millis(120),
        ..Self::CALM
    };

    /// The same with voice in datagrams.
    pub const fn with_datagrams(self, datagrams: Datagrams) -> Self {
        Self {
            datagrams: Some(datagrams),
            ..self
        }
    }

    /// A serial line of `baud` bits per second (8N1: ten bits a byte) behind a bridge.
    pub const fn serial(baud: u64) -> Self {
        Self {
            bytes_per_second: Some(baud / 10),
            buffer_bytes: 4 * 1024,
            ..Self::CALM
        }
    }
}
