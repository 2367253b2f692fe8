//! Output and keys for the user: JSON lines, plain lines, or the live view.
//!
//! All of it runs in its own thread and only reads what the session reports. A slow terminal, or
//! one that takes nothing at all, never delays a frame, and never keeps the program from ending.

mod command_queue;
mod keys;
mod lines;
mod meter;
mod screen;
mod terminal;
mod view;

use crate::{
    config::{EventsFormat, JoinConfig},
    events::{Event, EventKind},
    net::{self, Failure, Handle},
};
use command_queue::Leave;
use screen::Stay;
use std::{
    env,
    io::{self, IsTerminal as _},
    panic,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};
use talkspurt_host_kit::console::{self, OutputError};

/// How soon a closed stdout is noticed while there is nothing to write.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// After the session, how long the last events wait for a reader that takes none,
const UNREAD_PATIENCE: Duration = Duration::from_millis(500);
/// and how long for one that is slow.
const SLOW_PATIENCE: Duration = Duration::from_secs(5);

/// Joins, shows what happens until the end, and returns how it ended.
pub fn join(config: JoinConfig, epoch: Instant) -> Result<(), Failure> {
    let how = Showing::of(&config);
    if config.push_to_talk && !matches!(how, Showing::Live(_)) {
        return Err(Failure::NoKeys);
    }
    let (session, handle) = net::start(config, epoch).inspect_err(|failure| {
        if matches!(how, Showing::Json) {
            print_failure(failure, epoch);
        }
    })?;
    let commands = handle.commands.clone();
    // Events and screens shown so far.
    let shown_count = Arc::new(AtomicU64::new(0));
    let (told, outcome) = mpsc::sync_channel(1);
    let show = {
        let shown_count = Arc::clone(&shown_count);
        move || {
            // However the display ends, the session ends with it.
            let leave = Leave(commands);
            let shown = how.show(&handle, &shown_count);
            drop(leave);
            // Events still come until the session is over. They are discarded.
            handle.events.iter().for_each(drop);
            // If the receiver has stopped waiting, it has gone.
            let _ = told.send(shown);
        }
    };
    let showing = thread::Builder::new()
        .name("view".into())
        .spawn(show)
        .map_err(Failure::System)?;
    let stayed = session.join();
    let shown = match wait(&outcome, &shown_count) {
        Some(shown) => {
            showing
                .join()
                .unwrap_or_else(|panic| panic::resume_unwind(panic));
            shown
        }
        None => {
            terminal::give_up();
            crate::stderr::give_back();
            Ok(())
        }
    };
    stayed.and(shown)
}

/// Reports a failure as an event: a reader of events need not read standard error, too.
fn print_failure(failure: &Failure, epoch: Instant) {
    let text = failure.to_string();
    let event = Event {
        t_ms: epoch.elapsed().as_millis() as u64,
        missed: 0,
        kind: EventKind::Failed { text },
    };
    // The line on standard error says the same.
    let _ = console::print(&(event.to_json() + "\n"));
}

/// Waits for the display to end, as long as it makes progress. Returns `None` if it makes none.
fn wait(
    outcome: &Receiver<Result<(), Failure>>,
    shown_count: &AtomicU64,
) -> Option<Result<(), Failure>> {
    let until = Instant::now() + SLOW_PATIENCE;
    loop {
        let before = shown_count.load(Ordering::Relaxed);
        match outcome.recv_timeout(UNREAD_PATIENCE) {
            Ok(shown) => return Some(shown),
            // It panicked; joining its thread passes that on.
            Err(RecvTimeoutError::Disconnected) => return Some(Ok(())),
            Err(RecvTimeoutError::Timeout) => {
                let gets_on = shown_count.load(Ordering::Relaxed) != before;
                if !gets_on || Instant::now() >= until {
                    return None;
                }
            }
        }
    }
}

/// How to show events.
enum Showing {
    Json,
    Plain,
    Live(Stay),
}

impl Showing {
    fn of(config: &JoinConfig) -> Self {
        match config.events {
            EventsFormat::Json { .. } => Self::Json,
            EventsFormat::Auto if can_show_live_view() => Self::Live(Stay {
                room: config.room.to_string(),
                server: config.server.to_string(),
                push_to_talk: config.push_to_talk,
            }),
            EventsFormat::Auto | EventsFormat::Plain => Self::Plain,
        }
    }

    fn show(&self, handle: &Handle, shown_count: &AtomicU64) -> Result<(), Failure> {
        match self {
            Self::Live(stay) => screen::run(handle, shown_count, stay),
            Self::Json => print_events(handle, shown_count, |event| Some(event.to_json())),
            Self::Plain => {
                let mut own_id = None;
                print_events(handle, shown_count, |event| {
                    lines::plain(event, &mut own_id)
                })
            }
        }
    }
}

/// Returns whether stdin and stdout are a terminal that can move its cursor.
fn can_show_live_view() -> bool {
    let is_dumb = match env::var_os("TERM") {
        Some(term) => term.is_empty() || term == "dumb",
        None => cfg!(unix),
    };
    !is_dumb && io::stdout().is_terminal() && io::stdin().is_terminal()
}

/// Prints one line per event, until the session is over or stdout takes no more.
fn print_events(
    handle: &Handle,
    shown_count: &AtomicU64,
    mut line: impl FnMut(&Event) -> Option<String>,
) -> Result<(), Failure> {
    loop {
        match handle.events.recv_timeout(LOOK_EVERY) {
            Ok(event) => {
                if let Some(line) = line(&event) {
                    console::print(&(line + "\n"))?;
                }
                shown_count.fetch_add(1, Ordering::Relaxed);
            }
            Err(RecvTimeoutError::Timeout) if console::stdout_is_closed(Duration::ZERO) => {
                return Err(OutputError::Closed.into());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}
