//! The firmware's main loop. `no_std`, no allocation, nothing that waits: it runs unchanged in the simulator on a host and
//! in an image on a microcontroller.
//!
//! ```text
//! microphone -> uplink (gate, encode) -> outbox -> serial port -> deframer -> session -> downlink (decode) -> speaker
//! ```
//!
//! A board gives it a [`Board`]: a serial port (`embedded-io`, asked before it is read or written, so that no call waits), a
//! [`SampleSource`] and a [`SampleSink`]. Call [`Node::poll`] at the time that it answered, or earlier when an interrupt has
//! brought bytes, room or samples; time is an argument, in microseconds since power-up.
//!
//! The node speaks first: it sends a Hello, and again after 0.5, 0.5, 1 and then every 2 s until the server answers. A session
//! that ends for whatever reason (a Bye, a Reject because the server was restarted, silence for the idle timeout because
//! the line is cut) leads back there. Between sessions the speaker plays silence and what the microphone hears is thrown
//! away, so that both keep their time.

mod config;
mod event;
mod membership;
mod outbox;

use talkspurt_core::codec::{ADPCM_PAYLOAD_MAX, PAYLOAD_MAX};
use talkspurt_core::deframer::{BadReason, Deframer, Feed};
use talkspurt_core::downlink::{Downlink, Playout};
use talkspurt_core::frame::{AudioFormat, Frame, FrameDuration};
use talkspurt_core::jitter::JitterConfig;
use talkspurt_core::session::{ClientConfig, ClientSession, SESSION_RATE};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::uplink::Uplink;
use talkspurt_core::wire::{ENCODED_MAX, encoded_len_max};

use membership::RETRY_FIRST;
use outbox::Outbox;

pub use config::{ConfigError, GateSettings, NodeConfig};
pub use event::{NodeEvent, NodeStats};
pub use talkspurt_node_driver::{Board, SampleSink, SampleSource, SerialPort};

/// A node for ADPCM, as it fits a microcontroller: 16 packets of jitter buffer, 8 voice packets waiting for the port.
pub type AdpcmNode = Node<ADPCM_PAYLOAD_MAX, { encoded_len_max(352) }, 16, 1448>;

/// A node that can also do PCM16, for boards with the memory and for lines of 460,800 baud or more.
pub type Pcm16Node = Node<PAYLOAD_MAX, ENCODED_MAX, 16, 4096>;

/// Static RAM of an [`AdpcmNode`] at most, in bytes: all the memory of the loop but its stack. On a 32-bit microcontroller
/// it is 9,984 bytes: 3,648 downlink (16 packets), 2,812 uplink (80 ms of samples), 1,448 voice waiting for the port, 960
/// session, 2 * 360 packets being read and written, the rest configuration and counts.
pub const ADPCM_NODE_RAM_BYTES: usize = if size_of::<usize>() == 4 {
    10_048
} else {
    10_368
};

const _: () = assert!(size_of::<AdpcmNode>() <= ADPCM_NODE_RAM_BYTES);
const _: () = assert!(size_of::<Pcm16Node>() <= 21 * 1024);

/// How long leaving may take: what was said last goes first, unless the line does not take it.
const LEAVE_LONGEST: Duration = Duration::from_ms(500);
/// Bytes read at a time: small, since they lie on the stack.
const CHUNK_BYTES: usize = 64;
/// Chunks read in one call, so that a port that never runs dry cannot hold the loop.
const CHUNKS_PER_POLL: usize = 32;
/// Frames moved in one call each way, for the same reason.
const FRAMES_PER_POLL: usize = 4;

/// The main loop's state. `PAYLOAD` is the longest voice payload in bytes and `ENCODED` the longest packet on the line;
/// `SLOTS` packets (a power of two) fit the jitter buffer, and `QUEUE` bytes of voice wait for the port.
/// Use [`AdpcmNode`] or [`Pcm16Node`].
#[derive(Clone, Debug)]
pub struct Node<const PAYLOAD: usize, const ENCODED: usize, const SLOTS: usize, const QUEUE: usize>
{
    config: NodeConfig,
    session: ClientSession,
    link: Link,
    /// The next wait before calling again.
    retry: Duration,
    attempt: u16,
    format: Option<AudioFormat>,
    deframer: Deframer<ENCODED>,
    uplink: Uplink,
    downlink: Downlink<SLOTS, PAYLOAD>,
    outbox: Outbox<ENCODED, QUEUE>,
    drained: bool,
    stats: NodeStats,
}

/// Where the node stands with its server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Between sessions; the next Hello is due then.
    Waiting { until: Instant },
    /// The Hello is out.
    Calling,
    /// In the room.
    Joined,
    /// In the room still, until what was said last is out.
    Leaving { until: Instant },
    /// Out of the room for good.
    Stopped,
}

impl<const PAYLOAD: usize, const ENCODED: usize, const SLOTS: usize, const QUEUE: usize>
    Node<PAYLOAD, ENCODED, SLOTS, QUEUE>
{
    /// A node that calls its server at the first [`Self::poll`].
    ///
    /// # Errors
    /// A configuration that cannot work.
    pub fn new(config: NodeConfig, now: Instant) -> Result<Self, ConfigError> {
        let config = config.checked(PAYLOAD)?;
        let (codec, frame) = (config.request.codecs[0], FrameDuration::Ms20);
        let jitter = JitterConfig::default_for(frame, config.jitter_target_frames);
        Ok(Self {
            session: ClientSession::new(config.request.clone(), ClientConfig::default(), now),
            link: Link::Waiting { until: now },
            retry: RETRY_FIRST,
            attempt: 0,
            format: None,
            deframer: Deframer::new(),
            // Both begin anew with each session.
            uplink: Uplink::default_for(codec, frame),
            downlink: Downlink::new(codec, frame, jitter),
            outbox: Outbox::new(),
            drained: true,
            stats: NodeStats::default(),
            config,
        })
    }

    /// Does all that can be done at `now` without waiting, and says when to call again at the latest; `None` means that
    /// only bytes from the port can change anything. Events go to `on_event` as they happen.
    pub fn poll<P: SerialPort, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) -> Option<Instant> {
        self.receive(now, board, on_event);
        self.keep_session(now, board, on_event);
        self.capture(now, &mut board.microphone);
        self.play(now, &mut board.speaker);
        self.transmit(now, &mut board.port);
        self.next_call(board)
    }

    /// Leaves the room: what was said last goes out, then a Bye. [`Self::is_stopped`] tells when that is done.
    pub fn leave(&mut self, now: Instant) {
        self.drained = false;
        if self.link == Link::Joined {
            self.uplink.finish();
            self.queue_voice();
            self.link = Link::Leaving {
                until: now + LEAVE_LONGEST,
            };
        } else if !matches!(self.link, Link::Leaving { .. }) {
            self.session.leave();
            self.link = Link::Stopped;
        }
    }

    /// Whether the node has left and all of it is on the line.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.link, Link::Stopped) && self.drained
    }

    /// Whether the node is in its room.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        matches!(self.link, Link::Joined)
    }

    /// Mutes or unmutes the microphone, now and in later sessions.
    pub fn set_muted(&mut self, muted: bool) {
        self.config.request.muted = muted;
        self.session.set_muted(muted);
        self.uplink.set_muted(muted);
    }

    /// Counts since the start.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            dropped_bytes: self.deframer.dropped_bytes(),
            voice_drops: self.outbox.dropped(),
            ..self.stats
        }
    }

    /// Whether a talkspurt of the node's own is running.
    #[must_use]
    pub const fn is_talking(&self) -> bool {
        self.uplink.is_talking()
    }

    /// Round trip to the server and back, as last measured.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.session.round_trip()
    }

    fn receive<P: SerialPort, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        let mut chunk = [0; CHUNK_BYTES];
        for _ in 0..CHUNKS_PER_POLL {
            match read_ready(&mut board.port, &mut chunk) {
                Ok(0) => return,
                Ok(count) => {
                    self.stats.received_bytes += count as u64;
                    self.take_bytes(now, &chunk[..count], board, on_event);
                }
                // A driver that reports an overrun or a framing error has cleared it by doing so.
                Err(()) => self.stats.serial_errors = self.stats.serial_errors.wrapping_add(1),
            }
        }
    }

    fn take_bytes<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        loop {
            let (feed, rest) = self.deframer.feed(bytes);
            bytes = rest;
            match feed {
                Feed::NeedMore => return,
                Feed::Bad {
                    reason: BadReason::Crc,
                    ..
                } => self.stats.crc_errors = self.stats.crc_errors.wrapping_add(1),
                Feed::Bad { .. } => self.stats.malformed = self.stats.malformed.wrapping_add(1),
                Feed::Packet(packet) => {
                    self.stats.packets_received = self.stats.packets_received.wrapping_add(1);
                    if let Some(voice) = self.session.handle_input(now, packet) {
                        self.stats.frames_received = self.stats.frames_received.wrapping_add(1);
                        // A payload that is no frame of this session is dropped; the next one is as good as ever.
                        let _ = self.downlink.push(&voice);
                    }
                    self.take_events(now, board, on_event);
                }
            }
        }
    }

    fn capture(&mut self, now: Instant, microphone: &mut impl SampleSource) {
        let Some(format) = self.format else { return };
        let mut frame: Frame = Frame::silence(format.frame_samples());
        for _ in 0..FRAMES_PER_POLL {
            if !microphone.capture(now, &mut frame) {
                return;
            }
            if self.link == Link::Joined {
                self.stats.frames_captured = self.stats.frames_captured.wrapping_add(1);
                self.uplink.push(&frame);
                self.queue_voice();
            }
        }
    }

    fn queue_voice(&mut self) {
        let mut packet = [0; ENCODED];
        while let Some(length) = self.uplink.poll_packet(&mut packet) {
            self.stats.frames_sent = self.stats.frames_sent.wrapping_add(1);
            self.outbox.push_voice(&packet[..length]);
        }
    }

    fn play(&mut self, now: Instant, speaker: &mut impl SampleSink) {
        let Some(format) = self.format else { return };
        let mut frame: Frame = Frame::silence(format.frame_samples());
        for _ in 0..FRAMES_PER_POLL {
            if !speaker.is_ready(now) {
                return;
            }
            let count = match self.downlink.pop(&mut frame) {
                Playout::Frame { .. } => &mut self.stats.frames_played,
                Playout::Concealed | Playout::Faded => &mut self.stats.frames_concealed,
                Playout::Silence => &mut self.stats.frames_silent,
            };
            *count = count.wrapping_add(1);
            speaker.play(&frame);
        }
    }

    fn transmit<P: SerialPort>(&mut self, now: Instant, port: &mut P) {
        let session = &mut self.session;
        // Between sessions only a Bye of the last one is left; before the first, its Hello is not due yet.
        let speaks = self.attempt > 0 || self.stats.joins > 0;
        let done = self.outbox.transmit(now, port, |out| {
            if speaks {
                session.poll_transmit(out)
            } else {
                None
            }
        });
        self.drained = done.drained;
        self.stats.transmitted_bytes += done.bytes as u64;
        self.stats.packets_transmitted = self.stats.packets_transmitted.wrapping_add(done.packets);
        self.stats.serial_errors = self
            .stats
            .serial_errors
            .wrapping_add(u32::from(done.failed));
    }

    fn next_call<P, M: SampleSource, S: SampleSink>(
        &self,
        board: &Board<P, M, S>,
    ) -> Option<Instant> {
        let link = match self.link {
            Link::Waiting { until } => Some(until),
            Link::Leaving { until } => earlier(Some(until), self.session.poll_timeout()),
            Link::Calling | Link::Joined => self.session.poll_timeout(),
            Link::Stopped => return None,
        };
        let started = self.format.is_some();
        let microphone = board.microphone.next_frame_at().filter(|_| started);
        let speaker = board.speaker.next_frame_at().filter(|_| started);
        earlier(link, earlier(microphone, speaker))
    }

    const fn has_session(&self) -> bool {
        matches!(
            self.link,
            Link::Calling | Link::Joined | Link::Leaving { .. }
        )
    }
}

fn earlier(a: Option<Instant>, b: Option<Instant>) -> Option<Instant> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// Reads what is there, 0 when that is nothing.
fn read_ready<P: SerialPort>(port: &mut P, chunk: &mut [u8]) -> Result<usize, ()> {
    if !port.read_ready().map_err(|_| ())? {
        return Ok(0);
    }
    port.read(chunk).map_err(|_| ())
}

const _: () = assert!(
    SESSION_RATE.hz() == 16_000,
    "the sizes above are for 16 kHz"
);

#[cfg(all(test, feature = "host"))]
mod tests;
