//! The live view: drawn 20 times a second from what the session reports.

use super::{
    command_queue::{CommandQueue, Leave},
    keys::Keys,
    lines,
    terminal::{Input, LiveTerminal},
    view::{self, Scene},
};
use crate::{
    net::{Events, Failure, Handle},
    stderr::StderrLines,
};
use ratatui::crossterm::event::Event as TerminalEvent;
use std::{
    collections::VecDeque,
    io,
    sync::{
        atomic::{AtomicU64, Ordering},
        mpsc::TryRecvError,
    },
    time::{Duration, Instant},
};
use talkspurt_host_kit::{
    console::{self, OutputError},
    words,
};

/// Pause between two screens, unless a key is pressed.
const REDRAW_EVERY: Duration = Duration::from_millis(50);
/// The same when more events wait than one screen takes: 20,000 events a second keep up with any
/// room.
const CATCH_UP_EVERY: Duration = Duration::from_millis(10);
/// Lines kept for the view, and events taken for one screen.
const LINES_MAX: usize = 200;

/// What the view is of.
pub(super) struct Stay {
    pub(super) room: String,
    pub(super) server: String,
    pub(super) push_to_talk: bool,
}

/// State of the display.
struct Showing<'a> {
    stay: &'a Stay,
    keys: Keys,
    queue: CommandQueue,
    /// Events and screens shown so far: while it grows, a slow terminal makes progress.
    shown_count: &'a AtomicU64,
    own_id: Option<u32>,
    lines: VecDeque<String>,
}

/// Shows the session until it is over. Then leaves the last line in the ordinary terminal.
pub(super) fn run(handle: &Handle, shown_count: &AtomicU64, stay: &Stay) -> Result<(), Failure> {
    let stderr = StderrLines::capture();
    let mut showing = Showing {
        stay,
        keys: Keys::new(stay.push_to_talk),
        queue: CommandQueue::new(handle.commands.clone()),
        shown_count,
        own_id: None,
        lines: VecDeque::new(),
    };
    let shown = LiveTerminal::take(stay.push_to_talk).and_then(|mut terminal| {
        let shown = showing.run(&mut terminal, handle, &stderr);
        terminal.give_back();
        shown
    });
    drop(stderr);
    // The session may still have to leave.
    drop(Leave(handle.commands.clone()));
    let mut own_id = showing.own_id;
    let rest = handle
        .events
        .iter()
        .filter_map(|event| lines::plain(&event, &mut own_id))
        .last();
    shown.map_err(|error| OutputError::Failed(words::describe(&error)))?;
    match rest.or_else(|| showing.lines.pop_back()) {
        Some(last) => Ok(console::print(&(last + "\n"))?),
        None => Ok(()),
    }
}

impl Showing<'_> {
    /// Runs until the session is over or the terminal has gone.
    fn run(
        &mut self,
        terminal: &mut LiveTerminal,
        handle: &Handle,
        stderr: &StderrLines,
    ) -> io::Result<()> {
        while let Some(pause) = self.take_events(&handle.events) {
            keep(&mut self.lines, stderr.take());
            let snapshot = handle.snapshot.borrow().clone();
            let scene = Scene {
                stay: self.stay,
                snapshot: &snapshot,
                lines: &self.lines,
                help: self.keys.help(),
            };
            let drawn = terminal.draw(|frame| view::draw(frame, &scene));
            self.shown_count.fetch_add(1, Ordering::Relaxed);
            self.queue.send();
            let command = match terminal.next(pause)? {
                Input::Gone => {
                    handle.hurry.store(true, Ordering::Relaxed);
                    return Ok(());
                }
                Input::Event(TerminalEvent::Key(key)) => {
                    self.keys.command(key, &snapshot, Instant::now())
                }
                Input::Event(TerminalEvent::FocusLost) => self.keys.focus_lost(),
                Input::Event(_) | Input::None => None,
            };
            if let Some(command) = command {
                self.queue.add(command);
            }
            // Checked last: a terminal that has gone cannot be drawn to either, and that needs no
            // error.
            drawn?;
        }
        Ok(())
    }

    /// Takes new events, at most as many as a screen has lines for. Returns the pause until the
    /// next screen; `None` when the session is over and all events were taken.
    fn take_events(&mut self, events: &Events) -> Option<Duration> {
        for _ in 0..LINES_MAX {
            match events.try_recv() {
                Ok(event) => keep(&mut self.lines, lines::plain(&event, &mut self.own_id)),
                Err(TryRecvError::Empty) => return Some(REDRAW_EVERY),
                Err(TryRecvError::Disconnected) => return None,
            }
            self.shown_count.fetch_add(1, Ordering::Relaxed);
        }
        Some(CATCH_UP_EVERY)
    }
}

/// Adds lines, and drops the oldest ones.
fn keep(lines: &mut VecDeque<String>, new: impl IntoIterator<Item = String>) {
    lines.extend(new);
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{events::EventKind, net::channel};

    #[test]
    fn a_flood_of_events_is_taken_screen_by_screen() {
        let (teller, events) = channel(Instant::now());
        let shown_count = AtomicU64::new(0);
        let stay = Stay {
            room: "kitchen".to_owned(),
            server: "host".to_owned(),
            push_to_talk: false,
        };
        let mut showing = Showing {
            stay: &stay,
            keys: Keys::new(false),
            queue: CommandQueue::new(tokio::sync::mpsc::channel(1).0),
            shown_count: &shown_count,
            own_id: None,
            lines: VecDeque::new(),
        };
        for id in 0..500u32 {
            let name = id.to_string();
            teller.tell(EventKind::ParticipantLeft { id, name });
        }
        for (pause, last) in [
            (CATCH_UP_EVERY, "199 left"),
            (CATCH_UP_EVERY, "399 left"),
            (REDRAW_EVERY, "499 left"),
        ] {
            assert_eq!(showing.take_events(&events), Some(pause));
            let lines = &showing.lines;
            assert_eq!((lines.len(), &*lines[LINES_MAX - 1]), (LINES_MAX, last));
        }
        drop(teller);
        assert_eq!(showing.take_events(&events), None);
        assert_eq!(shown_count.into_inner(), 500, "it makes progress");
    }
}
