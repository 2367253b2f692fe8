//! The terminal of the live view: taken over, read in its own thread, restored, and watched for
//! hang-ups.
//!
//! A terminal that has gone makes crossterm's `poll` and `read` spin for ever, and half an escape
//! sequence makes them wait. So keys are read in a thread that is never joined, and the system is
//! asked whether the terminal is still there.

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

/// Keys that may wait: far more than anyone presses between two screens.
const KEYS_MAX: usize = 64;
/// How soon the thread that reads keys notices that it should end.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How long a slow terminal may take to get its screen back when the program ends.
const RESTORE_PATIENCE: Duration = Duration::from_millis(200);

/// What the terminal reports.
#[derive(Debug)]
pub(super) enum Input {
    /// A key, or a new size.
    Event(Event),
    /// Nothing.
    None,
    /// It has gone: its window was closed, or its connection was lost.
    Gone,
}

/// A terminal that is taken over until [`Self::give_back`].
pub(super) struct LiveTerminal {
    terminal: DefaultTerminal,
    keys: Receiver<Event>,
    ending: Arc<AtomicBool>,
    all_of_keys: bool,
}

impl LiveTerminal {
    /// Takes the terminal over: switches the screen, and reads keys as they are pressed. A panic
    /// restores it, too. With `all_of_keys` it is asked to report when keys are released and when
    /// it loses the focus; terminals that cannot do that ignore it.
    pub(super) fn take(all_of_keys: bool) -> io::Result<Self> {
        let terminal = ratatui::try_init()?;
        Self::with(terminal, all_of_keys).inspect_err(|_| {
            let _ = ratatui::try_restore();
        })
    }

    fn with(terminal: DefaultTerminal, all_of_keys: bool) -> io::Result<Self> {
        if all_of_keys {
            // Keys that type text report their release only as escape codes.
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

    /// Restores the terminal. One that has gone is left alone.
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
            // Its drop would complain on stderr, which may be the terminal that has gone, and
            // panic.
            mem::forget(self.terminal);
        }
    }
}

/// For a terminal that takes nothing, or too little: restores its keys, and its screen if it takes
/// that much. Nothing is drawn any more.
pub(super) fn give_up() {
    if !terminal::is_raw_mode_enabled().unwrap_or(false) {
        return;
    }
    let _ = terminal::disable_raw_mode();
    let (done, restored) = mpsc::sync_channel(1);
    let restore = move || {
        // Never released: later drawing would undo this.
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

/// Restores the screen for [`LiveTerminal::give_back`]. Revoking the request for all keys is
/// harmless if it was not made.
fn restore(terminal: &mut impl io::Write) -> io::Result<()> {
    execute!(
        terminal,
        PopKeyboardEnhancementFlags,
        DisableFocusChange,
        terminal::LeaveAlternateScreen,
        Show
    )
}

/// Reads keys until the view ends. An error ends it, too: its end of the channel closes, which
/// `next` reports.
fn read_keys(keys: &SyncSender<Event>, ending: &AtomicBool) -> io::Result<()> {
    while !ending.load(Ordering::Relaxed) && !console::terminal_is_gone() {
        if event::poll(LOOK_EVERY)? && keys.send(event::read()?).is_err() {
            break;
        }
    }
    Ok(())
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
