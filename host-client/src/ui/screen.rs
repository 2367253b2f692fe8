//! The terminal of the live view: taken over, drawn 20 times a second, and always given back.

use super::{
    keys::Keys,
    lines,
    view::{self, Scene},
};
use crate::{
    net::{Command, Events, Failure, Handle},
    stderr::StderrLines,
};
use ratatui::{
    DefaultTerminal,
    crossterm::{
        event::{
            self, Event as TerminalEvent, KeyboardEnhancementFlags, PopKeyboardEnhancementFlags,
            PushKeyboardEnhancementFlags,
        },
        execute,
        terminal::supports_keyboard_enhancement,
    },
};
use std::{collections::VecDeque, io, sync::mpsc::TryRecvError, time::Duration};

/// Between two pictures, unless a key is pressed.
const REDRAW_EVERY: Duration = Duration::from_millis(50);
/// Between two when more has happened than one picture takes: 20,000 events a second catch up with any room.
const CATCH_UP_EVERY: Duration = Duration::from_millis(10);
/// Lines of what happened that are kept for the view, and events taken for one picture.
const LINES_MAX: usize = 200;

/// Shows the session until it is over; afterwards the last line stands in the ordinary terminal.
pub(super) fn run(handle: Handle, room: &str, server: &str) -> Result<(), Failure> {
    let stderr = StderrLines::capture();
    // Also restores the terminal when a panic comes.
    let mut terminal = ratatui::init();
    let releases_are_told = supports_keyboard_enhancement().unwrap_or(false)
        && execute!(
            io::stdout(),
            PushKeyboardEnhancementFlags(KeyboardEnhancementFlags::REPORT_EVENT_TYPES)
        )
        .is_ok();
    let mut lines = VecDeque::new();
    let shown = show(
        &mut terminal,
        &handle,
        room,
        server,
        &Keys { releases_are_told },
        &stderr,
        &mut lines,
    );
    if releases_are_told {
        // A terminal that has gone has nothing to give back.
        let _ = execute!(io::stdout(), PopKeyboardEnhancementFlags);
    }
    ratatui::restore();
    drop(stderr);
    if let Err(error) = shown {
        tracing::error!(%error, "the terminal cannot be drawn to; leaving");
        let _ = handle.commands.try_send(Command::Leave);
    }
    let mut own_id = None;
    let rest = handle
        .events
        .iter()
        .filter_map(|event| lines::plain(&event, &mut own_id))
        .last();
    if let Some(last) = rest.or_else(|| lines.pop_back()) {
        println!("{last}");
    }
    handle.join()
}

fn show(
    terminal: &mut DefaultTerminal,
    handle: &Handle,
    room: &str,
    server: &str,
    keys: &Keys,
    stderr: &StderrLines,
    lines: &mut VecDeque<String>,
) -> io::Result<()> {
    let mut own_id = None;
    loop {
        let Some(pause) = take_events(&handle.events, &mut own_id, lines) else {
            return Ok(());
        };
        keep(lines, stderr.take());
        let snapshot = handle.snapshot.borrow().clone();
        let scene = Scene {
            room,
            server,
            snapshot: &snapshot,
            lines,
            help: keys.help(),
        };
        terminal.draw(|frame| view::draw(frame, &scene))?;
        if !event::poll(pause)? {
            continue;
        }
        if let TerminalEvent::Key(key) = event::read()?
            && let Some(command) = keys.command(key, &snapshot)
        {
            // A full queue has more keys in it than anyone pressed: losing one is right.
            let _ = handle.commands.try_send(command);
        }
    }
}

/// Takes what has happened, as much of it as a picture has lines for. Gives the pause until the next picture; `None` when the
/// session is over and all was taken.
fn take_events(
    events: &Events,
    own_id: &mut Option<u16>,
    lines: &mut VecDeque<String>,
) -> Option<Duration> {
    for _ in 0..LINES_MAX {
        match events.try_recv() {
            Ok(event) => keep(lines, lines::plain(&event, own_id)),
            Err(TryRecvError::Empty) => return Some(REDRAW_EVERY),
            Err(TryRecvError::Disconnected) => return None,
        }
    }
    Some(CATCH_UP_EVERY)
}

/// Adds lines; the oldest ones go.
fn keep(lines: &mut VecDeque<String>, new: impl IntoIterator<Item = String>) {
    lines.extend(new);
    lines.drain(..lines.len().saturating_sub(LINES_MAX));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{events::EventKind, net::channel};
    use std::time::Instant;

    #[test]
    fn a_flood_of_events_is_taken_picture_by_picture() {
        let (teller, events) = channel(Instant::now());
        let (mut own_id, mut lines) = (None, VecDeque::new());
        for id in 0..500u16 {
            let name = id.to_string();
            teller.tell(EventKind::ParticipantLeft { id, name });
        }
        for (pause, last) in [
            (CATCH_UP_EVERY, "199 left"),
            (CATCH_UP_EVERY, "399 left"),
            (REDRAW_EVERY, "499 left"),
        ] {
            let taken = take_events(&events, &mut own_id, &mut lines);
            assert_eq!(taken, Some(pause));
            assert_eq!((lines.len(), &*lines[LINES_MAX - 1]), (LINES_MAX, last));
        }
        drop(teller);
        assert_eq!(take_events(&events, &mut own_id, &mut lines), None);
    }
}
