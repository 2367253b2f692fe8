//! The firmware's main loop. It is `no_std`, allocates nothing and never blocks, and it runs
//! unchanged in the simulator on a host and in an image on a microcontroller.
//!
//! ```text
//! microphone -> client endpoint -> serial port
//! speaker    <-                 <-
//! ```
//!
//! The core's [`Client`] is the participant; the loop moves its bytes and samples. A board provides
//! a [`Board`]: a serial port (`embedded-io`, asked before it is read or written, so that no call
//! blocks), a [`SampleSource`] and a [`SampleSink`]. Call [`Node::poll`] at the time that it
//! returned, or earlier when an interrupt has brought bytes, room or samples. Time is an argument,
//! in microseconds since power-up.
//!
//! The node speaks first: it sends a Hello, and again each second until the server answers. A
//! session that ends for whatever reason (a Bye, a Reject because the server was restarted, silence
//! for the idle timeout because the line is cut) leads back there, after a pause that the server
//! may ask for. Between sessions the speaker plays silence and the microphone's sound is
//! discarded, so that both keep their time.

mod event;
mod port;

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, ImaAdpcm, PAYLOAD_MAX};
use talkspurt_core::audio::format::AudioFormat;
use talkspurt_core::audio::frame::{FRAME_SAMPLES_MAX, Frame};
use talkspurt_core::backoff::{Backoff, spread};
use talkspurt_core::carrier::stream::encoded_len_max;
use talkspurt_core::endpoint::Client;
use talkspurt_core::session::HANDSHAKE_TIMEOUT_DEFAULT;
use talkspurt_core::time::{Duration, Instant, earlier};
use talkspurt_core::voice::uplink::HISTORY_SAMPLES_DEFAULT;
use talkspurt_core::wire::{AROUND_PAYLOAD_BYTES, Nonce, Reason};

use port::Writer;

pub use event::{NodeEvent, NodeStats};
pub use talkspurt_core::endpoint::{ClientConfig, ClientConfigError};
pub use talkspurt_core::session::ClientEvent;
pub use talkspurt_node_driver::{Board, SampleSink, SampleSource, SerialPort};

/// A node for ADPCM that fits a microcontroller: a jitter buffer of 16 packets, and a queue of 8
/// voice packets for the port.
pub type AdpcmNode = Node<ADPCM_PAYLOAD_MAX, { encoded_len_max(352) + 1 }, 16, 1448, ImaAdpcm>;

/// A node that also supports PCM16, for boards with enough memory and lines of 460,800 baud or
/// more.
pub type Pcm16Node =
    Node<PAYLOAD_MAX, { encoded_len_max(PAYLOAD_MAX + AROUND_PAYLOAD_BYTES) + 1 }, 16, 4096>;

/// Upper bound of an [`AdpcmNode`]'s static RAM in bytes: all the memory of the loop except its
/// stack. On a 32-bit microcontroller it is 10,752 bytes: 4,288 downlink (16 packets, and 40 ms of
/// sound to conceal a loss with), 2,892 uplink (80 ms of samples), 1,460 voice waiting for the
/// port, 1,016 session, 392 and 372 packets being read and written, the rest configuration and
/// counts.
pub const ADPCM_NODE_RAM_BYTES: usize = if size_of::<usize>() == 4 {
    10_752
} else {
    11_008
};

const _: () = assert!(size_of::<AdpcmNode>() <= ADPCM_NODE_RAM_BYTES);
const _: () = assert!(size_of::<Pcm16Node>() <= 22 * 1024);

/// The first wait before the node calls again after a session has ended, ...
const RETRY_FIRST: Duration = Duration::from_millis(250);
/// ... which doubles up to this.
const RETRY_LONGEST: Duration = Duration::from_millis(2_000);
/// A session that lasted for so long was good: after it the waits start over.
const GOOD_LIFE: Duration = Duration::from_secs(5);
/// The wait after a refusal that the same Hello would meet again. Nobody may be there to change
/// it, and the server may be.
const RETRY_PERMANENT: Duration = Duration::from_secs(60);
/// Bytes read at a time: few, since they are on the stack.
const CHUNK_BYTES: usize = 64;
/// Chunks read per call, so that a port that never runs dry cannot block the loop.
const CHUNKS_PER_POLL: usize = 32;
/// Frames moved per call each way, for the same reason.
const FRAMES_PER_POLL: usize = 4;

/// The main loop's state. `PAYLOAD` is the longest voice payload in bytes and `ENCODED` the longest
/// packet on the line, with a zero before it; `SLOTS` packets (a power of two) fit the jitter
/// buffer, and `QUEUE` bytes of voice wait for the port; `C` is every codec that it has. Use
/// [`AdpcmNode`] or [`Pcm16Node`].
#[derive(Clone, Debug)]
pub struct Node<
    const PAYLOAD: usize,
    const ENCODED: usize,
    const SLOTS: usize,
    const QUEUE: usize,
    C = AnyCodec,
> {
    client: Client<PAYLOAD, ENCODED, SLOTS, QUEUE, HISTORY_SAMPLES_DEFAULT, FRAME_SAMPLES_MAX, C>,
    link: Link,
    backoff: Backoff,
    attempt: u16,
    /// Tell this start from earlier ones, and its calls from one another.
    start: u32,
    calls: u32,
    format: Option<AudioFormat>,
    writer: Writer<ENCODED>,
    stats: NodeStats,
}

/// State of the connection to the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// Between sessions; the next Hello is due at `until`.
    Waiting { until: Instant },
    /// A Hello was sent.
    Calling,
    /// In the room.
    Joined { since: Instant },
    /// Still in the room, until the last words are sent.
    Leaving,
    /// Out of the room for good.
    Stopped,
}

impl<const PAYLOAD: usize, const ENCODED: usize, const SLOTS: usize, const QUEUE: usize, C: Codec>
    Node<PAYLOAD, ENCODED, SLOTS, QUEUE, C>
{
    /// Creates a node that calls its server at the first [`Self::poll`]. `start` tells this start
    /// of the node from all earlier ones: random, or a count that is kept. If it comes again, the
    /// server takes the node for the one before, and what it says for old voice.
    ///
    /// # Errors
    /// A configuration that cannot work.
    pub fn new(config: ClientConfig, start: u32, now: Instant) -> Result<Self, ClientConfigError> {
        Ok(Self {
            client: Client::new(config)?,
            link: Link::Waiting { until: now },
            backoff: Backoff::new(RETRY_FIRST, RETRY_LONGEST),
            attempt: 0,
            start,
            calls: 0,
            format: None,
            writer: Writer::new(),
            stats: NodeStats::default(),
        })
    }

    /// Does all that can be done at `now` without blocking. Returns when to call again at the
    /// latest; `None` means that only bytes from the port can change anything. Events go to
    /// `on_event` as they happen.
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
        self.take_events(now, board, on_event);
        self.next_call(board)
    }

    /// Leaves the room: sends the last words, then a Bye. [`Self::is_stopped`] tells when that is
    /// done.
    pub fn leave(&mut self, now: Instant) {
        self.writer.drained = false;
        self.client.leave(now);
        self.link = match self.link {
            Link::Joined { .. } | Link::Leaving => Link::Leaving,
            _ => Link::Stopped,
        };
    }

    /// Returns whether the node has left and its last byte was written.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.link, Link::Stopped) && self.writer.drained
    }

    /// Returns whether the node is in its room.
    #[must_use]
    pub const fn is_joined(&self) -> bool {
        matches!(self.link, Link::Joined { .. })
    }

    /// Mutes or unmutes the microphone, now and in later sessions.
    pub fn set_muted(&mut self, now: Instant, muted: bool) {
        self.client.set_muted(now, muted);
    }

    /// Returns what was counted since the start.
    #[must_use]
    pub fn stats(&self) -> NodeStats {
        NodeStats {
            client: self.client.stats(),
            ..self.stats
        }
    }

    /// Returns whether the node is in a talkspurt.
    #[must_use]
    pub const fn is_talking(&self) -> bool {
        self.client.is_talking()
    }

    /// Returns the round trip to the server, as last measured.
    #[must_use]
    pub const fn round_trip(&self) -> Option<Duration> {
        self.client.round_trip()
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
                    let mut bytes = &chunk[..count];
                    while !bytes.is_empty() {
                        bytes = self.client.handle_stream(now, bytes);
                        self.take_events(now, board, on_event);
                    }
                }
                // A driver has cleared an overrun or a framing error by reporting it.
                Err(()) => self.stats.serial_errors = self.stats.serial_errors.wrapping_add(1),
            }
        }
    }

    /// Handles the session's timeout, and sends the next Hello when it is due.
    fn keep_session<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        if self.client.poll_timeout().is_some_and(|due| now >= due) {
            self.client.handle_timeout(now);
            self.take_events(now, board, on_event);
        }
        if matches!(self.link, Link::Waiting { until } if now >= until) {
            self.attempt = self.attempt.saturating_add(1);
            let nonce = self.next_nonce();
            self.client.join(now, HANDSHAKE_TIMEOUT_DEFAULT, nonce);
            self.link = Link::Calling;
            on_event(NodeEvent::Calling {
                attempt: self.attempt,
            });
        }
    }

    /// Acts on the session's events, and passes them on.
    fn take_events<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        while let Some(event) = self.client.poll_event() {
            match event {
                ClientEvent::Joined(params, participants) => {
                    self.enter(now, params.format, board);
                    on_event(NodeEvent::Joined {
                        params,
                        participants,
                    });
                }
                ClientEvent::Rejected(reason, pause) => {
                    on_event(NodeEvent::Rejected {
                        reason,
                        text: self.client.closing_text(),
                    });
                    self.wait(now, reason, pause);
                }
                ClientEvent::Closed(reason, pause) => {
                    match self.link {
                        Link::Leaving => on_event(NodeEvent::Left),
                        Link::Joined { .. } => on_event(NodeEvent::Lost {
                            reason,
                            text: self.client.closing_text(),
                        }),
                        _ => {}
                    }
                    self.wait(now, reason, pause);
                }
                event => on_event(NodeEvent::Room(&event)),
            }
        }
    }

    /// Enters the room.
    fn enter<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        format: AudioFormat,
        board: &mut Board<P, M, S>,
    ) {
        self.format = Some(format);
        board.microphone.start(now, format);
        board.speaker.start(now, format);
        if self.link == Link::Calling {
            self.link = Link::Joined { since: now };
        }
        self.attempt = 0;
        self.stats.joins = self.stats.joins.wrapping_add(1);
    }

    /// The session is over: for good when the node was leaving, otherwise it calls again after a
    /// pause, which is never shorter than the server asks for, but for a minute at most.
    fn wait(&mut self, now: Instant, reason: Reason, pause: Duration) {
        if matches!(self.link, Link::Leaving | Link::Stopped) {
            self.link = Link::Stopped;
            return;
        }
        if matches!(self.link, Link::Joined { since } if now >= since + GOOD_LIFE) {
            self.backoff.reset();
        }
        let pause = match reason.is_permanent() {
            true => RETRY_PERMANENT,
            false => pause.max(self.backoff.take()),
        };
        let until = now + spread(pause, self.random(now));
        self.link = Link::Waiting { until };
    }

    /// Returns a number that differs between nodes, even if all of them count their starts from 0.
    fn random(&self, now: Instant) -> u16 {
        // Knuth's multiplicative hash of what a crystal and a server's answers made it.
        let seed = self.start.wrapping_add(now.as_micros() as u32);
        (seed.wrapping_mul(2_654_435_761) >> 16) as u16
    }

    fn next_nonce(&mut self) -> Nonce {
        self.calls = self.calls.wrapping_add(1);
        let nonce = u64::from(self.start) << 32 | u64::from(self.calls);
        nonce.to_le_bytes()
    }

    fn capture(&mut self, now: Instant, microphone: &mut impl SampleSource) {
        let Some(format) = self.format else { return };
        let mut frame: Frame = Frame::silence(format.frame_samples());
        for _ in 0..FRAMES_PER_POLL {
            if !microphone.capture(now, &mut frame) {
                return;
            }
            self.client.push_frame(now, &frame);
        }
    }

    fn play(&mut self, now: Instant, speaker: &mut impl SampleSink) {
        let Some(format) = self.format else { return };
        let mut frame: Frame = Frame::silence(format.frame_samples());
        for _ in 0..FRAMES_PER_POLL {
            if !speaker.is_ready(now) {
                return;
            }
            self.client.pop_frame(&mut frame);
            speaker.play(&frame);
        }
    }

    fn transmit<P: SerialPort>(&mut self, now: Instant, port: &mut P) {
        let client = &mut self.client;
        let next = |out: &mut [u8]| Some(client.poll_transmit(now, out)?.len);
        let errors = &mut self.stats.serial_errors;
        self.stats.transmitted_bytes += self.writer.write(port, next, errors) as u64;
    }

    fn next_call<P, M: SampleSource, S: SampleSink>(
        &self,
        board: &Board<P, M, S>,
    ) -> Option<Instant> {
        let link = match self.link {
            Link::Waiting { until } => Some(until),
            Link::Stopped => return None,
            _ => self.client.poll_timeout(),
        };
        let started = self.format.is_some();
        let microphone = board.microphone.next_frame_at().filter(|_| started);
        let speaker = board.speaker.next_frame_at().filter(|_| started);
        earlier(link, earlier(microphone, speaker))
    }
}

/// Reads what is there. Returns 0 if that is nothing.
fn read_ready<P: SerialPort>(port: &mut P, chunk: &mut [u8]) -> Result<usize, ()> {
    if !port.read_ready().map_err(|_| ())? {
        return Ok(0);
    }
    port.read(chunk).map_err(|_| ())
}

#[cfg(all(test, feature = "host"))]
mod tests;
