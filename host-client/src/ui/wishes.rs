//! What the user wants, on its way to a session that may be held up.

use crate::net::Command;
use std::mem::discriminant;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// Passes commands on without waiting. Of those that find the queue full the last of each kind is
/// kept: the key of push-to-talk that was released must not stay pressed.
pub(super) struct Wishes {
    commands: Sender<Command>,
    waiting: Vec<Command>,
}

impl Wishes {
    pub(super) fn new(commands: Sender<Command>) -> Self {
        Self {
            commands,
            waiting: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, command: Command) {
        let kind = discriminant(&command);
        self.waiting.retain(|waiting| discriminant(waiting) != kind);
        self.waiting.push(command);
        self.send();
    }

    /// Sends what waits, as far as there is room.
    pub(super) fn send(&mut self) {
        let commands = &self.commands;
        self.waiting
            .retain(|&command| matches!(commands.try_send(command), Err(TrySendError::Full(_))));
    }
}

/// Makes the session leave when it is dropped. Waits until the session knows, or has ended.
pub(super) struct Leave(pub(super) Sender<Command>);

impl Drop for Leave {
    fn drop(&mut self) {
        // A session that is over takes no commands.
        let _ = self.0.blocking_send(Command::Leave);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{thread, time::Duration};
    use tokio::sync::mpsc::channel;

    #[test]
    fn a_full_queue_loses_no_release_of_the_key() {
        let (sender, mut commands) = channel(1);
        let mut wishes = Wishes::new(sender);
        let (talk, release) = (Command::Talk(true), Command::Talk(false));
        for command in [
            Command::ShiftGate(-1.0),
            talk,
            release,
            Command::SetMuted(true),
        ] {
            wishes.add(command);
        }
        let mut taken = Vec::new();
        while let Ok(command) = commands.try_recv() {
            taken.push(command);
            wishes.send();
        }
        let expected = [Command::ShiftGate(-1.0), release, Command::SetMuted(true)];
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_full_queue_does_not_lose_that_the_user_leaves() {
        let (sender, mut commands) = channel(1);
        sender.try_send(Command::ShiftGate(-1.0)).unwrap();
        let leave = Leave(sender);
        let leaving = thread::spawn(move || drop(leave));
        // So that the queue is full when it tries.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(commands.blocking_recv(), Some(Command::ShiftGate(-1.0)));
        assert_eq!(commands.blocking_recv(), Some(Command::Leave));
        leaving.join().unwrap();
    }
}
