//! Turns keys of the live view into commands.

use crate::{net::Command, participant::Snapshot};
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use std::time::{Duration, Instant};

/// One step of the gate's threshold, in decibels: about the smallest audible difference.
const GATE_STEP_DB: f64 = 1.0;
/// A second press this soon is a held key, in a terminal that reports repetitions as presses (they
/// come every 20 to 50 ms). Fingers are slower.
const REPEATED_WITHIN: Duration = Duration::from_millis(100);

/// Meaning of the keys, and the state of the push-to-talk key.
#[derive(Debug, Default)]
pub(super) struct Keys {
    talk: Option<TalkKey>,
}

/// The push-to-talk key. It talks while it is held if the terminal reports releases; otherwise each
/// press toggles.
///
/// Whether it reports them is known once one was reported: asking takes two seconds in terminals
/// that do not answer.
#[derive(Debug, Default)]
struct TalkKey {
    is_down: bool,
    releases_are_told: bool,
    pressed_at: Option<Instant>,
}

impl Keys {
    pub(super) fn new(push_to_talk: bool) -> Self {
        Self {
            talk: push_to_talk.then(TalkKey::default),
        }
    }

    /// Returns the command for a key, if it has one.
    pub(super) fn command(
        &mut self,
        key: KeyEvent,
        now: &Snapshot,
        at: Instant,
    ) -> Option<Command> {
        let pressed = key.kind == KeyEventKind::Press;
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        if let Some(talk) = &mut self.talk {
            talk.releases_are_told |= !pressed;
            if key.code == KeyCode::Char(' ') {
                return talk.key(key.kind, at);
            }
        }
        let shift = |db| (key.kind != KeyEventKind::Release).then_some(Command::ShiftGate(db));
        match key.code {
            KeyCode::Up => shift(GATE_STEP_DB),
            KeyCode::Down => shift(-GATE_STEP_DB),
            _ if !pressed => None,
            KeyCode::Char('m' | 'M') if !control => Some(Command::SetMuted(!now.muted)),
            KeyCode::Char('d' | 'D') if !control => Some(Command::SetDeafened(!now.deafened)),
            KeyCode::Char('q' | 'Q') | KeyCode::Esc => Some(Command::Leave),
            KeyCode::Char('c' | 'd') if control => Some(Command::Leave),
            _ => None,
        }
    }

    /// Handles the loss of focus as a release: a real one would not be reported any more, and the
    /// user looks at something else.
    pub(super) fn focus_lost(&mut self) -> Option<Command> {
        self.talk.as_mut().and_then(TalkKey::let_go)
    }

    /// Returns the line that explains the keys.
    pub(super) fn help(&self) -> &'static str {
        match &self.talk {
            None => " m mute  d deafen  ↑↓ gate  q leave ",
            Some(talk) if talk.releases_are_told => {
                " space hold to talk  m mute  d deafen  q leave "
            }
            Some(_) => " space talk on/off  m mute  d deafen  q leave ",
        }
    }
}

impl TalkKey {
    fn key(&mut self, kind: KeyEventKind, at: Instant) -> Option<Command> {
        match kind {
            KeyEventKind::Press => {
                let before = self.pressed_at.replace(at);
                let is_repeated = !self.releases_are_told
                    && before.is_some_and(|before| at - before < REPEATED_WITHIN);
                if !self.is_down && !is_repeated {
                    self.is_down = true;
                    Some(Command::Talk(true))
                } else if self.releases_are_told || is_repeated {
                    None
                } else {
                    self.let_go()
                }
            }
            KeyEventKind::Repeat => None,
            KeyEventKind::Release => self.let_go(),
        }
    }

    fn let_go(&mut self) -> Option<Command> {
        std::mem::take(&mut self.is_down).then_some(Command::Talk(false))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ui::view::tests::snapshot;

    fn key(code: KeyCode, kind: KeyEventKind) -> KeyEvent {
        KeyEvent::new_with_kind(code, KeyModifiers::NONE, kind)
    }

    /// Returns what space, at these times in milliseconds, leads to.
    fn space(keys: &mut Keys, events: &[(u64, KeyEventKind)]) -> Vec<Option<Command>> {
        let (now, epoch) = (snapshot(), Instant::now());
        let press = |&(ms, kind): &(u64, KeyEventKind)| {
            let at = epoch + Duration::from_millis(ms);
            keys.command(key(KeyCode::Char(' '), kind), &now, at)
        };
        events.iter().map(press).collect()
    }

    const ON: Option<Command> = Some(Command::Talk(true));
    const OFF: Option<Command> = Some(Command::Talk(false));

    #[test]
    fn space_talks_while_held_if_releases_are_reported() {
        use KeyEventKind::{Press, Release, Repeat};
        let mut keys = Keys::new(true);
        let held = [(0, Press), (500, Repeat), (530, Repeat), (600, Release)];
        assert_eq!(space(&mut keys, &held), [ON, None, None, OFF]);
        assert!(keys.help().contains("hold to talk"));
        // A repetition that is reported as a press does not end it.
        let held = [(0, Press), (500, Press), (530, Press), (600, Release)];
        assert_eq!(space(&mut keys, &held), [ON, None, None, OFF]);
    }

    #[test]
    fn space_toggles_elsewhere_and_the_help_says_so() {
        use KeyEventKind::Press;
        let mut keys = Keys::new(true);
        let pressed = [(0, Press), (900, Press), (2_000, Press), (3_000, Press)];
        assert_eq!(space(&mut keys, &pressed), [ON, OFF, ON, OFF]);
        assert!(keys.help().contains("on/off"));
        // A held key does not flutter, and the microphone is closed in the end.
        let mut held = vec![(10_000, Press), (10_500, Press)];
        held.extend((0..30).map(|n| (10_530 + 30 * n, Press)));
        let commands: Vec<_> = space(&mut keys, &held).into_iter().flatten().collect();
        assert_eq!(commands, [Command::Talk(true), Command::Talk(false)]);
    }

    #[test]
    fn losing_the_focus_releases_the_key() {
        let mut keys = Keys::new(true);
        assert_eq!(keys.focus_lost(), None);
        assert_eq!(space(&mut keys, &[(0, KeyEventKind::Press)]), [ON]);
        assert_eq!(keys.focus_lost(), OFF);
        assert_eq!(keys.focus_lost(), None);
        assert_eq!(space(&mut keys, &[(500, KeyEventKind::Release)]), [None]);
    }

    #[test]
    fn an_arrow_that_is_held_goes_on_until_its_release() {
        use KeyEventKind::{Press, Release, Repeat};
        let (mut keys, now) = (Keys::new(false), snapshot());
        for (code, db) in [(KeyCode::Up, GATE_STEP_DB), (KeyCode::Down, -GATE_STEP_DB)] {
            let mut command = |kind| keys.command(key(code, kind), &now, Instant::now());
            assert_eq!(command(Press), Some(Command::ShiftGate(db)));
            assert_eq!(command(Repeat), Some(Command::ShiftGate(db)));
            assert_eq!(command(Release), None);
        }
    }

    #[test]
    fn without_push_to_talk_space_does_nothing() {
        let mut keys = Keys::new(false);
        assert_eq!(space(&mut keys, &[(0, KeyEventKind::Press)]), [None]);
        assert!(!keys.help().contains("space"));
    }

    #[test]
    fn other_keys_do_what_the_help_says_once() {
        let now = snapshot();
        let mut keys = Keys::default();
        let mut press = |code| keys.command(key(code, KeyEventKind::Press), &now, Instant::now());
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
        let mut command = |key| keys.command(key, &now, Instant::now());
        let released = key(KeyCode::Char('m'), KeyEventKind::Release);
        assert_eq!(command(released), None);
        let control_c = KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL);
        assert_eq!(command(control_c), Some(Command::Leave));
    }
}
