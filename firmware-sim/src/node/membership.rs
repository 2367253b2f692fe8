//! Membership: how the node gets into its room, notices that it is out, and gets in again.

use talkspurt_core::frame::AudioFormat;
use talkspurt_core::jitter::JitterConfig;
use talkspurt_core::session::{ClientConfig, ClientEvent, ClientSession, SessionParams};
use talkspurt_core::time::{Duration, Instant};
use talkspurt_core::wire::ByeReason;

use super::{Board, Link, Node, NodeEvent, SampleSink, SampleSource};

/// The first wait before the node calls again after a session has ended, ...
pub(super) const RETRY_FIRST: Duration = Duration::from_ms(250);
/// ... which doubles up to this.
const RETRY_LONGEST: Duration = Duration::from_ms(2_000);
/// How long an answer to a Hello may take at least: 350 bytes at 9,600 baud take 365 ms.
const ANSWER_SHORTEST: Duration = Duration::from_ms(500);

impl<const PAYLOAD: usize, const ENCODED: usize, const SLOTS: usize, const QUEUE: usize>
    Node<PAYLOAD, ENCODED, SLOTS, QUEUE>
{
    /// Lets time pass for the session, and calls or leaves when that is due.
    pub(super) fn keep_session<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        if self.session.poll_timeout().is_some_and(|due| now >= due) && self.has_session() {
            self.session.handle_timeout(now);
            self.take_events(now, board, on_event);
        }
        match self.link {
            Link::Waiting { until } if now >= until => self.call(now, on_event),
            Link::Leaving { until } if now >= until || !self.outbox.has_voice() => {
                self.outbox.clear_voice();
                self.session.leave();
                self.take_events(now, board, on_event);
            }
            _ => {}
        }
    }

    /// Sends a Hello with the next packets.
    fn call(&mut self, now: Instant, on_event: &mut impl FnMut(NodeEvent<'_>)) {
        self.attempt = self.attempt.saturating_add(1);
        let patience = ClientConfig {
            handshake_timeout: self.retry.max(ANSWER_SHORTEST),
        };
        self.session = ClientSession::new(self.config.request.clone(), patience, now);
        self.link = Link::Calling;
        on_event(NodeEvent::Calling {
            attempt: self.attempt,
        });
    }

    /// Acts on what the session reports, and passes it on.
    pub(super) fn take_events<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        board: &mut Board<P, M, S>,
        on_event: &mut impl FnMut(NodeEvent<'_>),
    ) {
        while let Some(event) = self.session.poll_event() {
            match event {
                ClientEvent::Joined(params, roster_len) => {
                    self.join(now, params, board);
                    on_event(NodeEvent::Joined { params, roster_len });
                }
                ClientEvent::Listed(participant) => on_event(NodeEvent::Listed(&participant)),
                ClientEvent::RosterComplete => on_event(NodeEvent::RosterComplete),
                ClientEvent::ParticipantJoined(participant) => {
                    on_event(NodeEvent::ParticipantJoined(&participant))
                }
                ClientEvent::ParticipantLeft(id) => on_event(NodeEvent::ParticipantLeft(id)),
                ClientEvent::State(id, flags) => on_event(NodeEvent::State(id, flags)),
                ClientEvent::Rejected(reason) => {
                    on_event(NodeEvent::Rejected {
                        reason,
                        text: self.session.reject_text(),
                    });
                    self.end(now, self.retry);
                }
                ClientEvent::Closed(reason) => {
                    let unanswered = self.link == Link::Calling && reason == ByeReason::IdleTimeout;
                    match self.link {
                        Link::Leaving { .. } => on_event(NodeEvent::Left),
                        Link::Joined => on_event(NodeEvent::Lost(reason)),
                        _ => {}
                    }
                    // Nobody answered: the wait is over already.
                    self.end(
                        now,
                        if unanswered {
                            Duration::ZERO
                        } else {
                            self.retry
                        },
                    );
                }
            }
        }
    }

    /// Enters the room.
    fn join<P, M: SampleSource, S: SampleSink>(
        &mut self,
        now: Instant,
        params: SessionParams,
        board: &mut Board<P, M, S>,
    ) {
        // The gate was checked for every frame duration at the start.
        let uplink = self.config.uplink(params.codec, params.frame);
        let _ = self.uplink.restart(uplink);
        self.uplink.set_muted(self.config.request.muted);
        let jitter = JitterConfig::default_for(params.frame, self.config.jitter_target_frames);
        self.downlink.restart(params.codec, params.frame, jitter);
        let format = AudioFormat {
            rate: params.rate,
            frame: params.frame,
        };
        self.format = Some(format);
        board.microphone.start(now, format);
        board.speaker.start(now, format);
        self.link = Link::Joined;
        self.retry = RETRY_FIRST;
        self.attempt = 0;
        self.stats.joins = self.stats.joins.wrapping_add(1);
    }

    /// The session is over: for good when the node was leaving, otherwise it calls again after `wait`.
    fn end(&mut self, now: Instant, wait: Duration) {
        self.outbox.clear_voice();
        self.uplink.finish();
        self.downlink.clear();
        if matches!(self.link, Link::Leaving { .. } | Link::Stopped) {
            self.link = Link::Stopped;
        } else {
            self.link = Link::Waiting { until: now + wait };
            self.retry = self.retry.times(2).min(RETRY_LONGEST);
        }
    }
}
