//! What the user sees and presses: JSON lines, plain lines, or the live view.
//!
//! Everything here runs on the main thread and only reads what the session tells; a slow terminal never delays a frame.

mod keys;
mod lines;
mod meter;
mod screen;
mod view;

use crate::{
    config::{EventsFormat, JoinConfig},
    net::{self, Command, Failure, Handle},
};
use std::{
    io::{self, IsTerminal as _, Write as _},
    time::Instant,
};

/// Joins, shows what happens until the end, and returns how it ended.
pub fn join(config: JoinConfig, epoch: Instant) -> Result<(), Failure> {
    let in_terminal = io::stdout().is_terminal() && io::stdin().is_terminal();
    let live = config.events == EventsFormat::Auto && in_terminal;
    let json = matches!(config.events, EventsFormat::Json { .. });
    let (room, server) = (config.room.to_string(), config.server.to_string());
    let handle = net::start(config, epoch)?;
    if live {
        return screen::run(handle, &room, &server);
    }
    print_events(&handle, json);
    handle.join()
}

/// One line an event, until the session is over.
fn print_events(handle: &Handle, json: bool) {
    let mut own_id = None;
    for event in handle.events.iter() {
        let line = if json {
            Some(event.to_json())
        } else {
            lines::plain(&event, &mut own_id)
        };
        let Some(line) = line else { continue };
        let mut stdout = io::stdout().lock();
        if writeln!(stdout, "{line}")
            .and_then(|()| stdout.flush())
            .is_err()
        {
            // Whoever read our output has gone: so do we. A full queue of commands has a Leave or leads to one.
            let _ = handle.commands.try_send(Command::Leave);
        }
    }
}
