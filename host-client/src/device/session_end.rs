//! The session's end of a device: its current stream, and what adapts frames to that.

use super::{Direction, callback::Link, pace::Pace, settling::Settling};
use crate::resample::{Converter, DriftControl};
use std::sync::mpsc::Receiver;

/// The session's end of a device. It outlives the device's streams: after a loss it has none until
/// the supervisor has opened the next one.
pub(super) struct SessionEnd<R> {
    direction: Direction,
    links: Receiver<Link<R>>,
    pub(super) open: Option<OpenStream<R>>,
    frame_samples: usize,
}

/// One opened stream.
pub(super) struct OpenStream<R> {
    pub(super) link: Link<R>,
    pub(super) converter: Converter,
    /// Samples to convert.
    pub(super) input: Vec<f32>,
    pub(super) control: DriftControl,
    pub(super) pace: Pace,
    pub(super) settling: Settling,
    /// Only for a microphone: false until its ring has filled up to its target, at the start and
    /// after it ran dry.
    pub(super) primed: bool,
    /// Only for a microphone: the next frame is not heard, so that sound may be dropped before it.
    pub(super) is_unheard: bool,
    /// Only for a microphone: so many seconds are to be passed over before the next frame.
    pub(super) skipped_s: f64,
    /// Only for a microphone: the beginning of what was dropped, to be blended with what follows.
    pub(super) dropped: Vec<f32>,
    /// Only for a speaker: what was converted, made shorter or longer.
    pub(super) spliced: Vec<f32>,
    /// Only for a speaker: so much too much sound waits, in seconds; below 0, too little.
    pub(super) owed_s: f64,
    /// Only for a speaker: that is corrected at once, and not in a pause.
    pub(super) owes_at_once: bool,
    /// Only for a speaker: silence that was written since the last sound, in frames of the device.
    pub(super) silent_samples: usize,
}

impl<R> SessionEnd<R> {
    pub(super) fn new(direction: Direction, links: Receiver<Link<R>>) -> Self {
        Self {
            direction,
            links,
            open: None,
            frame_samples: 0,
        }
    }

    /// Returns the current stream, if there is one, for frames of this length. `is_over` tells from
    /// a stream's ring that its callback has gone.
    pub(super) fn current(
        &mut self,
        frame_samples: usize,
        is_over: fn(&R) -> bool,
    ) -> Option<&mut OpenStream<R>> {
        if frame_samples != self.frame_samples {
            // The first frame, or a new session with another frame duration.
            self.frame_samples = frame_samples;
            let link = self.open.take().map(|open| open.link);
            self.open = link.and_then(|link| self.opened(link));
        }
        while let Ok(link) = self.links.try_recv() {
            self.open = self.opened(link);
        }
        self.open.take_if(|open| is_over(&open.link.ring));
        self.open.as_mut()
    }

    fn opened(&self, link: Link<R>) -> Option<OpenStream<R>> {
        let direction = self.direction;
        let convert = match direction {
            Direction::Input => Converter::to_room,
            Direction::Output => Converter::to_device,
        };
        let converter = convert(link.shared.rate_hz, self.frame_samples)
            .inspect_err(
                |error| tracing::error!(%error, "the {direction}'s rate cannot be converted"),
            )
            .ok()?;
        Some(OpenStream {
            pace: Pace::new(link.shared.shortfalls()),
            link,
            converter,
            input: Vec::new(),
            control: DriftControl::default(),
            settling: Settling::default(),
            primed: false,
            is_unheard: false,
            skipped_s: 0.0,
            dropped: Vec::new(),
            spliced: Vec::new(),
            owed_s: 0.0,
            owes_at_once: false,
            silent_samples: 0,
        })
    }
}
