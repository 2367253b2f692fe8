//! Runs a node in real time: the only clock of the simulator.
//!
//! The simulated microcontroller has its own time, which follows the machine's in steps of at most
//! a millisecond. A machine that was busy steps through the missing time afterwards, so that
//! neither the UART nor the node notices.

use std::thread;
use std::time;

use talkspurt_core::audio::codec::Codec;
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::Reason;
use talkspurt_host_kit::console::{OutputError, Problem};
use tracing::{debug, info, warn};

use super::pace::{PacedSink, PacedSource};
use super::report::{Reporter, sentence};
use super::shutdown::Shutdown;
use crate::node::{Board, Node, NodeEvent};
use crate::uart::{BITS_PER_BYTE, Line, Uart};

/// The longest step of the simulated time.
const STEP: Duration = Duration::from_millis(1);
/// Most bytes received in one step: a few FIFOs, far less than the driver's ring.
const STEP_BYTES: u64 = 64;
/// How long the node may take to leave, including the bytes in its UART.
const LEAVE_LONGEST: Duration = Duration::from_millis(1_000);
/// How long the line stays open after that. A closed pseudo-terminal discards what the bridge has
/// not read yet, such as the Bye; a real line does not vanish.
const LINE_STAYS: time::Duration = time::Duration::from_millis(150);

/// How long to wait for a disk to take the end of a recording.
const FINISH_PATIENCE: time::Duration = time::Duration::from_secs(5);

/// At the first call this is for a person to change. Later the name may still be the node's own.
const TAKEN: Reason = Reason::NAME_TAKEN;
/// How often a person is told that nobody answers.
const TELL_UNANSWERED_EVERY: Duration = Duration::from_secs(3);
/// How often to check that stdout still has a reader.
const CHECK_OUTPUT_EVERY: Duration = Duration::from_millis(100);

/// When a run ends by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ending {
    /// This long after the end of the microphone's samples.
    pub linger: Option<Duration>,
    /// This long after the start, whether the server has answered or not.
    pub after: Option<Duration>,
}

/// Says why the server refuses: in its sentence, or in ours for the same reason.
fn refused(reason: Reason, text: &str) -> Problem {
    let sentence = sentence(reason, text);
    Problem::Failed(format!("refused ({}): {sentence}", reason.label()))
}

/// A node, the board that it runs on, and its reporter.
pub struct Simulator<N, L> {
    /// The node.
    pub node: N,
    /// Its simulated hardware.
    pub board: Board<Uart<L>, PacedSource, PacedSink>,
    /// Reports its events.
    pub reporter: Reporter,
    /// When it ends by itself.
    pub ending: Ending,
}

impl<const PAYLOAD: usize, const ENCODED: usize, const SLOTS: usize, const QUEUE: usize, C, L>
    Simulator<Node<PAYLOAD, ENCODED, SLOTS, QUEUE, C>, L>
where
    C: Codec,
    L: Line,
{
    /// Runs until the node has left: at its [`Ending`], or when `shutdown` asks. The node's time
    /// starts at zero.
    ///
    /// # Errors
    /// A refusal before the first joining that asking again will not change, a disk that does not
    /// take the end of the recording, or an output that has no reader or cannot be written.
    pub fn run(&mut self, baud: u32, shutdown: &Shutdown) -> Result<(), Problem> {
        let start = time::Instant::now();
        let step = STEP.min(Duration::from_micros(
            STEP_BYTES * BITS_PER_BYTE * 1_000_000 / u64::from(baud.max(1)),
        ));
        let mut now = Instant::ZERO;
        let mut progress = Progress::default();
        loop {
            let real = Instant::ZERO + Duration::from(start.elapsed());
            while now < real {
                now = (now + step).min(real);
                self.step(now, shutdown, &mut progress);
                if let Some(refusal) = progress.refusal.take() {
                    return Err(refusal);
                }
                if self.is_over(now, &progress) {
                    // Finished before the last event, so that a reader learns what happened to the
                    // recording.
                    let recorded = self.board.speaker.sink().finish(FINISH_PATIENCE);
                    self.tell_notices(now);
                    self.report_left(now, &progress);
                    thread::sleep(LINE_STAYS);
                    recorded.map_err(|error| Problem::Failed(error.to_string()))?;
                    return progress
                        .output_failure
                        .map_or(Ok(()), |error| Err(error.into()));
                }
            }
            thread::sleep(step.into());
        }
    }

    fn step(&mut self, now: Instant, shutdown: &Shutdown, progress: &mut Progress) {
        let reporter = &mut self.reporter;
        self.board.port.service(now);
        self.node.poll(now, &mut self.board, &mut |event| {
            progress.follow(now, &event, reporter);
            reporter.event(now, &event);
        });
        progress.tell_unanswered(now);
        self.tell_notices(now);
        if progress.stopping_since.is_none()
            && (shutdown.is_requested() || self.is_time(now) || self.is_unheard(now, progress))
        {
            progress.stopping_since = Some(now);
            self.node.leave(now);
        }
    }

    fn tell_notices(&mut self, now: Instant) {
        while let Some(notice) = self.board.speaker.sink().next_notice() {
            self.reporter.recording(now, &notice);
        }
    }

    fn report_left(&mut self, now: Instant, progress: &Progress) {
        let reason = if progress.joined_at.is_some() {
            "leaving"
        } else {
            "never_joined"
        };
        self.reporter
            .left(now, reason, &self.node.stats(), &self.board.port.counters());
    }

    fn is_time(&self, now: Instant) -> bool {
        let passed = |since: Option<Instant>, span: Option<Duration>| {
            since
                .zip(span)
                .is_some_and(|(since, span)| now >= since + span)
        };
        passed(self.board.microphone.ended_at(), self.ending.linger)
            || passed(Some(Instant::ZERO), self.ending.after)
    }

    /// Returns whether the output has failed. Checks it now and then.
    fn is_unheard(&self, now: Instant, progress: &mut Progress) -> bool {
        if now >= progress.check_output_at {
            progress.check_output_at = now + CHECK_OUTPUT_EVERY;
            progress.output_failure = self.reporter.check().err();
        }
        progress.output_failure.is_some()
    }

    fn is_over(&self, now: Instant, progress: &Progress) -> bool {
        let out = self.node.is_stopped() && self.board.port.is_drained();
        progress
            .stopping_since
            .is_some_and(|since| out || now.duration_since(since) >= LEAVE_LONGEST)
    }
}

/// State of a run.
#[derive(Debug, Default)]
struct Progress {
    joined_at: Option<Instant>,
    stopping_since: Option<Instant>,
    refusal: Option<Problem>,
    /// While the node calls: when the user was last told that nobody answers, or the calls started.
    told_unanswered_at: Option<Instant>,
    check_output_at: Instant,
    output_failure: Option<OutputError>,
}

impl Progress {
    fn follow(&mut self, now: Instant, event: &NodeEvent<'_>, reporter: &mut Reporter) {
        match event {
            NodeEvent::Calling { attempt } => {
                self.told_unanswered_at.get_or_insert(now);
                match attempt {
                    1 => info!("calling the server"),
                    _ => debug!("no answer yet; call number {attempt}"),
                }
            }
            NodeEvent::Joined { .. } => {
                self.told_unanswered_at = None;
                self.joined_at.get_or_insert(now);
            }
            NodeEvent::Rejected { reason, text }
                if self.joined_at.is_none() && (reason.is_permanent() || *reason == TAKEN) =>
            {
                self.refusal = Some(refused(*reason, text));
            }
            NodeEvent::Rejected { reason, text } => {
                self.told_unanswered_at = None;
                warn!("the server refuses for now: {}", sentence(*reason, text));
                if self.joined_at.is_some() {
                    reporter.reconnecting(now, *reason, text);
                }
            }
            NodeEvent::Lost { reason, text } => {
                warn!("lost the server: {}", sentence(*reason, text));
            }
            _ => {}
        }
    }

    fn tell_unanswered(&mut self, now: Instant) {
        if let Some(told_at) = &mut self.told_unanswered_at
            && now.duration_since(*told_at) >= TELL_UNANSWERED_EVERY
        {
            *told_at = now;
            warn!(
                "no answer from the server behind the bridge yet: are both running, and do the baud rates agree?"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use talkspurt_core::wire::{ParticipantName, RoomName};
    use talkspurt_host_kit::sound::{NoSource, RecordingNotice, Sink};

    use super::*;
    use crate::host::report::{Format, tests::reporter};
    use crate::node::{AdpcmNode, ClientConfig};
    use talkspurt_core::audio::codec::CodecId;
    use talkspurt_core::session::JoinRequest;

    /// A line with nobody at the other end.
    struct Dead;

    impl Line for Dead {
        fn receive(&mut self, _buf: &mut [u8]) -> usize {
            0
        }

        fn transmit(&mut self, bytes: &[u8]) -> usize {
            bytes.len()
        }
    }

    /// A disk that is full at the last bytes.
    #[derive(Default)]
    struct Full(Option<RecordingNotice>);

    impl Sink for Full {
        fn write(&mut self, _frame: &[i16]) {}

        fn finish(&mut self, _patience: time::Duration) -> io::Result<()> {
            self.0 = Some(RecordingNotice::Lost { ms: 40 });
            Err(io::ErrorKind::StorageFull.into())
        }

        fn next_notice(&mut self) -> Option<RecordingNotice> {
            self.0.take()
        }
    }

    #[test]
    fn the_end_of_a_recording_is_reported_before_the_last_event() {
        let name = ParticipantName::new("kettle").unwrap();
        let config = ClientConfig::new(JoinRequest::new(
            RoomName::new("kitchen").unwrap(),
            name,
            &[CodecId::ImaAdpcm],
        ));
        let (reporter, lines) = reporter(Format::Json);
        let mut simulator = Simulator {
            node: AdpcmNode::new(config, 1, Instant::ZERO).unwrap(),
            board: Board {
                port: Uart::new(Dead, 115_200, Instant::ZERO),
                microphone: PacedSource::new(Box::new(NoSource)),
                speaker: PacedSink::new(Box::new(Full::default())),
            },
            reporter,
            ending: Ending {
                linger: None,
                after: Some(Duration::from_millis(5)),
            },
        };
        let failure = simulator.run(115_200, &Shutdown::default()).unwrap_err();
        assert_eq!(failure.to_string(), "no storage space");
        let lines = lines(simulator.reporter);
        assert_eq!(lines.len(), 2, "{lines:?}");
        assert!(lines[0].contains("40 ms are silence"), "{lines:?}");
        assert!(lines[1].contains(r#""event":"left""#), "{lines:?}");
    }

    #[test]
    fn the_text_of_a_refusal_is_cleaned() {
        let (mut reporter, _) = reporter(Format::Text);
        let mut progress = Progress::default();
        let answer = NodeEvent::Rejected {
            reason: Reason::NAME_TAKEN,
            text: "b\u{202e}ob is \u{200b}there",
        };
        progress.follow(Instant::ZERO, &answer, &mut reporter);
        let refusal = progress
            .refusal
            .take()
            .expect("a taken name is no reason to call again");
        assert_eq!(refusal.to_string(), "refused (name_taken): bob is there");
        for (reason, says) in [(Reason::BAD_NAME, "choose another"), (Reason(99), "later")] {
            let refused = NodeEvent::Rejected { reason, text: "" };
            progress.follow(Instant::ZERO, &refused, &mut reporter);
            let said = progress.refusal.take().unwrap().to_string();
            assert!(said.contains(says), "{said}");
        }
        let reason = Reason(200);
        let refused = NodeEvent::Rejected { reason, text: "" };
        progress.follow(Instant::ZERO, &refused, &mut reporter);
        assert!(
            progress.refusal.is_none(),
            "a later version knows why, and it may pass"
        );
    }
}
