//! The terminal of the live view: taken over, drawn 20 times a second, and always given back.

use super::{
    keys::Keys,
    lines,
    view::{self, Scene},
};
use crate::{
    net::{Command, Failure, Handle},
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
/// Lines of what happened that are kept for the view.
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
        // No more than can be seen: keys and the picture have their turn, however much a server tells.
        for _ in 0..LINES_MAX {
            match handle.events.try_recv() {
                Ok(event) => lines.extend(lines::plain(&event, &mut own_id)),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return Ok(()),
            }
        }
        lines.extend(stderr.take());
        lines.drain(..lines.len().saturating_sub(LINES_MAX));
        let snapshot = handle.snapshot.borrow().clone();
        let scene = Scene {
            room,
            server,
            snapshot: &snapshot,
            lines,
            help: keys.help(),
        };
        terminal.draw(|frame| view::draw(frame, &scene))?;
        if !event::poll(REDRAW_EVERY)? {
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
