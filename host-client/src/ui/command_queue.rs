//! Commands of the user on their way to a session that may be busy.

use crate::net::Command;
use std::mem::discriminant;
use tokio::sync::mpsc::{Sender, error::TrySendError};

/// Passes commands on without blocking. When the queue is full, the last command of each kind is
/// kept: a push-to-talk key that was released must not stay pressed.
pub(super) struct CommandQueue {
    commands: Sender<Command>,
    waiting: Vec<Command>,
}

impl CommandQueue {
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

    /// Sends the waiting commands, as far as there is room.
    pub(super) fn send(&mut self) {
        let commands = &self.commands;
        self.waiting
            .retain(|&command| matches!(commands.try_send(command), Err(TrySendError::Full(_))));
    }
}

/// Makes the session leave when it is dropped. Blocks until the session has taken the command or
/// ended.
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
    fn a_full_queue_does_not_lose_a_key_release() {
        let (sender, mut commands) = channel(1);
        let mut queue = CommandQueue::new(sender);
        let (talk, release) = (Command::Talk(true), Command::Talk(false));
        for command in [
            Command::ShiftGate(-1.0),
            talk,
            release,
            Command::SetMuted(true),
        ] {
            queue.add(command);
        }
        let mut taken = Vec::new();
        while let Ok(command) = commands.try_recv() {
            taken.push(command);
            queue.send();
        }
        let expected = [Command::ShiftGate(-1.0), release, Command::SetMuted(true)];
        assert_eq!(taken, expected);
    }

    #[test]
    fn a_full_queue_does_not_lose_leave() {
        let (sender, mut commands) = channel(1);
        sender.try_send(Command::ShiftGate(-1.0)).unwrap();
        let leave = Leave(sender);
        let leaving = thread::spawn(move || drop(leave));
        // So that the queue is full when the command comes.
        thread::sleep(Duration::from_millis(300));
        assert_eq!(commands.blocking_recv(), Some(Command::ShiftGate(-1.0)));
        assert_eq!(commands.blocking_recv(), Some(Command::Leave));
        leaving.join().unwrap();
    }
}
