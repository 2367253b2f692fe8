//! Keys of the live view, as commands.

use crate::net::{Command, Snapshot};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};

/// Push-to-talk and what a key means in it.
#[derive(Debug, Default)]
pub(super) struct Keys {
    /// The terminal tells when a key is released: space talks while it is held. Else each press toggles.
    pub(super) releases_are_told: bool,
}

/// One step of the gate's threshold, in decibels: about what is just heard as a difference.
const GATE_STEP_DB: f64 = 1.0;

impl Keys {
    /// What a key asks for; `None` if nothing.
    pub(super) fn command(&self, key: KeyEvent, now: &Snapshot) -> Option<Command> {
        let pressed = key.kind == KeyEventKind::Press;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            KeyCode::Char(' ') if self.releases_are_told => match key.kind {
                KeyEventKind::Press => Some(Command::SetMuted(false)),
                KeyEventKind::Release => Some(Command::SetMuted(true)),
                KeyEventKind::Repeat => None,
            },
            KeyCode::Up if key.kind != KeyEventKind::Release => {
                Some(Command::ShiftGate(GATE_STEP_DB))
            }
            KeyCode::Down if key.kind != KeyEventKind::Release => {
                Some(Command::ShiftGate(-GATE_STEP_DB))
            }
            _ if !pressed => None,
            KeyCode::Char(' ' | 'm' | 'M') => Some(Command::SetMuted(!now.muted)),
            KeyCode::Char('d' | 'D') if !control => Some(Command::SetDeafened(!now.deafened)),
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Command::Leave),
            KeyCode::Char('c' | 'd') if control => Some(Command::Leave),
            _ => None,
        }
    }

    /// The line that explains the keys.
    pub(super) fn help(&self) -> &'static str {
        if self.releases_are_told {
            " m mute  d deafen  space hold to talk  ↑↓ gate  q leave "
        } else {
            " m mute  d deafen  space talk on/off  ↑↓ gate  q leave "
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::view::tests::snapshot;

    fn key(code: KeyCode, kind: KeyEventKind) -> KeyEvent {
        KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind)
    }

    #[test]
    fn space_is_held_where_the_terminal_tells_and_toggles_elsewhere() {
        let now = snapshot();
        let space = |kind| key(KeyCode::Char(' '), kind);
        let held = Keys {
            releases_are_told: true,
        };
        assert_eq!(
            held.command(space(KeyEventKind::Press), &now),
            Some(Command::SetMuted(false))
        );
        assert_eq!(held.command(space(KeyEventKind::Repeat), &now), None);
        assert_eq!(
            held.command(space(KeyEventKind::Release), &now),
            Some(Command::SetMuted(true))
        );
        let toggling = Keys {
            releases_are_told: false,
        };
        assert_eq!(
            toggling.command(space(KeyEventKind::Press), &now),
            Some(Command::SetMuted(!now.muted))
        );
        assert_eq!(toggling.command(space(KeyEventKind::Release), &now), None);
    }

    #[test]
    fn other_keys_do_what_the_help_says_once() {
        let now = snapshot();
        let keys = Keys::default();
        let press = |code| keys.command(key(code, KeyEventKind::Press), &now);
        assert_eq!(
            press(KeyCode::Char('m')),
            Some(Command::SetMuted(!now.muted))
        );
        assert_eq!(
            press(KeyCode::Char('d')),
            Some(Command::SetDeafened(!now.deafened))
        );
        assert_eq!(press(KeyCode::Up), Some(Command::ShiftGate(1.0)));
        assert_eq!(press(KeyCode::Down), Some(Command::ShiftGate(-1.0)));
        assert_eq!(press(KeyCode::Char('q')), Some(Command::Leave));
        assert_eq!(press(KeyCode::Char('x')), None);
        assert_eq!(
            keys.command(key(KeyCode::Char('m'), KeyEventKind::Release), &now),
            None
        );
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(keys.command(control_c, &now), Some(Command::Leave));
    }
}
