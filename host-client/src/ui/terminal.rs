//! The terminal of the live view: taken over, read in a thread of its own, given back, and watched
//! for its end.
//!
//! A terminal that has gone makes crossterm's `poll` and `read` spin for ever, and half an escape
//! sequence makes them wait. So keys are read in a thread that nobody waits for, and whether the
//! terminal is still there is asked of the system.

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::{
        cursor::Show,
        event::{
            self, DisableFocusChange, EnableFocusChange, Event, KeyboardEnhancementFlags,
            PopKeyboardEnhancementFlags, PushKeyboardEnhancementFlags,
        },
        execute, terminal,
    },
};
use std::{
    io, mem,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    },
    thread,
    time::Duration,
};
use talkspurt_host_kit::console;

/// Keys that may wait: far more than anyone presses between two pictures.
const KEYS_MAX: usize = 64;
/// How soon the thread that reads keys notices that it is to end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a terminal that is slow may take to get its screen back when the program ends.
const RESTORE_PATIENCE: Duration = Duration::from_millis(200);

/// What the terminal has to say.
#[derive(Debug)]
pub(super) enum Input {
    /// A key, or another size.
    Event(Event),
    /// Nothing.
    None,
    /// It has gone: its window was closed, or the connection to it was cut.
    Gone,
}

/// A terminal in our hands, until [`Self::give_back`].
pub(super) struct LiveTerminal {
    terminal: DefaultTerminal,
    keys: Receiver<Event>,
    ending: Arc<AtomicBool>,
    all_of_keys: bool,
}

impl LiveTerminal {
    /// Takes it over: another screen, and keys as they are pressed. A panic gives it back, too. If
    /// `all_of_keys`, it is asked to report when keys are released and when it loses the focus;
    /// terminals that cannot do that ignore it.
    pub(super) fn take(all_of_keys: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Self::with(terminal, all_of_keys).inspect_err(|_| {
            let _ = ratatui::try_restore();
        })
    }

    fn with(terminal: DefaultTerminal, all_of_keys: bool) -> io::Result<Self> {
        if all_of_keys {
            // Only as escape codes do keys that type something report their release.
            let flags = KeyboardEnhancementFlags::REPORT_EVENT_TYPES
                | KeyboardEnhancementFlags::DISAMBIGUATE_ESCAPE_CODES
                | KeyboardEnhancementFlags::REPORT_ALL_KEYS_AS_ESCAPE_CODES;
            let ask = PushKeyboardEnhancementFlags(flags);
            execute!(io::stdout(), EnableFocusChange, ask)?;
        }
        let ending = Arc::new(AtomicBool::new(false));
        let (sender, keys) = mpsc::sync_channel(KEYS_MAX);
        let read = {
            let ending = Arc::clone(&ending);
            move || read_keys(&sender, &ending)
        };
        thread::Builder::new().name("keys".into()).spawn(read)?;
        Ok(Self {
            terminal,
            keys,
            ending,
            all_of_keys,
        })
    }

    pub(super) fn draw(&mut self, picture: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.terminal.draw(picture).map(drop)
    }

    /// Waits for a key, for `pause` at most.
    pub(super) fn next(&self, pause: Duration) -> io::Result<Input> {
        let input = self.keys.recv_timeout(pause);
        if console::terminal_is_gone() {
            return Ok(Input::Gone);
        }
        match input {
            Ok(event) => Ok(Input::Event(event)),
            Err(RecvTimeoutError::Timeout) => Ok(Input::None),
            Err(RecvTimeoutError::Disconnected) => Err(io::Error::other("keys cannot be read")),
        }
    }

    /// Gives it back as it was. A terminal that has gone takes nothing back.
    pub(super) fn give_back(mut self) {
        self.ending.store(true, Ordering::Relaxed);
        if self.all_of_keys {
            let _ = execute!(
                io::stdout(),
                PopKeyboardEnhancementFlags,
                DisableFocusChange
            );
        }
        let shown = self.terminal.show_cursor();
        let _ = ratatui::try_restore();
        if shown.is_err() {
            // It would complain on a stderr that may be the terminal that has gone, and panic.
            mem::forget(self.terminal);
        }
    }
}

/// For a terminal that takes nothing, or too little: its keys are what they were, and its screen
/// is, if it takes so much. Nothing is drawn any more.
pub(super) fn give_up() {
    if !terminal::is_raw_mode_enabled().unwrap_or(false) {
        return;
    }
    let _ = terminal::disable_raw_mode();
    let (done, restored) = mpsc::sync_channel(1);
    let restore = move || {
        // Never let go of: a picture behind this would undo it.
        let mut stdout = io::stdout().lock();
        let _ = done.send(restore(&mut stdout));
        loop {
            thread::park();
        }
    };
    if thread::Builder::new().spawn(restore).is_ok() {
        let _ = restored.recv_timeout(RESTORE_PATIENCE);
    }
}

/// What [`LiveTerminal::give_back`] does to the screen. A terminal that was not asked for all keys
/// ignores that it is asked no longer.
fn restore(terminal: &mut impl io::Write) -> io::Result<()> {
    execute!(
        terminal,
        PopKeyboardEnhancementFlags,
        DisableFocusChange,
        terminal::LeaveAlternateScreen,
        Show
    )
}

fn read_keys(keys: &SyncSender<Event>, ending: &AtomicBool) {
    while !ending.load(Ordering::Relaxed) && !console::terminal_is_gone() {
        let read = event::poll(LOOK_EVERY).and_then(|is_there| match is_there {
            true => event::read().map(Some),
            false => Ok(None),
        });
        match read {
            Ok(None) => {}
            Ok(Some(event)) => {
                if keys.send(event).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_is_given_up_gets_its_screen_and_its_cursor_back() {
        let mut written = Vec::new();
        restore(&mut written).unwrap();
        let written = String::from_utf8(written).unwrap();
        assert!(written.contains("\u{1b}[?1049l") && written.contains("\u{1b}[?25h"));
    }
}
