//! Microphones and speakers: the only module that knows cpal and ALSA.
//!
//! ```text
//! audio thread         ring (lock-free)       session thread
//! CaptureCallback  ──mono f32, device rate──▶ Microphone: resample, follow drift ─▶ 16 kHz frames
//! PlaybackCallback ◀─mono f32, device rate─── Speaker:    resample, follow drift ◀─ 16 kHz frames
//!                  atomics (`shared`) ──────▶ supervisor: storms, stalls, reopening
//! ```
//!
//! The session is clocked by the room, the device by its own crystal. [`Microphone`] and
//! [`Speaker`] watch how full their rings are and bend the conversion ratio by up to 0.5 %, so that
//! the rings neither run dry nor build up delay. How full they should be follows what was late of
//! late (`pace`), and how often a device calls follows its gaps (`period`). An excess or lack from
//! a stream's start is cut or added once (`settling`), and a later one in the next pause
//! (`splice`): only drift is bent away.

mod callback;
mod choice;
mod health;
mod microphone;
mod pace;
mod period;
#[cfg(target_os = "linux")]
mod plugin;
mod session_end;
mod settling;
mod shared;
mod speaker;
mod splice;
mod stream;
mod supervisor;
mod wake;

pub use choice::{DeviceChoice, DeviceInfo, list};
pub use microphone::Microphone;
pub use speaker::Speaker;
pub use wake::{Wake, Waker, pipe as wake_pipe};

use serde::Serialize;
use std::{
    convert::Infallible,
    fmt,
    sync::{
        Arc,
        mpsc::{self, Receiver, Sender},
    },
    thread::{self, JoinHandle},
};
use supervisor::Supervisor;
use talkspurt_host_kit::{channels::InputChannel, words};

/// Direction of the sound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
pub enum Direction {
    /// A microphone.
    #[serde(rename = "microphone")]
    Input,
    /// A speaker.
    #[serde(rename = "speaker")]
    Output,
}

impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Input => "microphone",
            Self::Output => "speaker",
        })
    }
}

/// What happened to a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DeviceNotice {
    /// The microphone or the speaker.
    #[serde(rename = "device")]
    pub direction: Direction,
    /// What happened.
    pub state: DeviceState,
    /// The device's name and format, or why it is not available.
    pub text: String,
}

/// States of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceState {
    /// It is running.
    Opened,
    /// It was running and has stopped; it is being reopened.
    Lost,
    /// It cannot be opened. From time to time it is tried again.
    Absent,
}

/// Keeps a device open, in its own thread. Dropping it closes the device.
pub struct DeviceGuard {
    stop: Option<Sender<Infallible>>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for DeviceGuard {
    fn drop(&mut self) {
        self.stop = None;
        join(&mut self.thread, "a device's");
    }
}

/// Waits for the end of a thread.
fn join(thread: &mut Option<JoinHandle<()>>, whose: &str) {
    if thread.take().is_some_and(|thread| thread.join().is_err()) {
        tracing::error!("{whose} thread panicked");
    }
}

/// Keeps several devices open. They are closed together: a sound system that hangs then costs its
/// delay once, not once per device.
#[derive(Default)]
pub struct DeviceGuards(pub Vec<DeviceGuard>);

impl DeviceGuards {
    /// Starts to close the devices. Dropping this waits for that.
    pub fn stop(&mut self) {
        for guard in &mut self.0 {
            guard.stop = None;
        }
    }
}

impl Drop for DeviceGuards {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Opens a microphone and keeps it open. Returns at once; `notices` is told what happens to it.
///
/// `channel` says which of several channels is heard. `waker` is called when a frame is whole that
/// was asked for too early.
pub fn open_microphone(
    choice: DeviceChoice,
    channel: InputChannel,
    waker: Option<Waker>,
    notices: impl Fn(DeviceNotice) + Send + 'static,
) -> (Microphone, DeviceGuard) {
    let open =
        move |choice: &_, period| stream::open_capture(choice, channel, period, waker.clone());
    let (links, guard) = spawn(Direction::Input, choice, Arc::new(open), Box::new(notices));
    (Microphone::new(links), guard)
}

/// Opens a speaker and keeps it open. Returns at once; `notices` is told what happens to it.
pub fn open_speaker(
    choice: DeviceChoice,
    notices: impl Fn(DeviceNotice) + Send + 'static,
) -> (Speaker, DeviceGuard) {
    let open = Arc::new(stream::open_playback);
    let (links, guard) = spawn(Direction::Output, choice, open, Box::new(notices));
    (Speaker::new(links), guard)
}

/// Checks that a device named by the user exists. The default device may be missing: it may appear
/// later.
pub fn check(direction: Direction, choice: &DeviceChoice) -> Result<(), String> {
    match choice {
        DeviceChoice::Default => Ok(()),
        named => {
            stream::quietly(|| choice::find(&cpal::default_host(), direction, named)).map(drop)
        }
    }
}

fn spawn<L: Send + 'static>(
    direction: Direction,
    choice: DeviceChoice,
    open: supervisor::Open<L>,
    notices: Box<dyn Fn(DeviceNotice) + Send>,
) -> (Receiver<L>, DeviceGuard) {
    let (links, received) = mpsc::channel();
    let (stop, stopped) = mpsc::channel();
    let supervisor = Supervisor {
        direction,
        choice,
        open,
        links,
        notices,
        stop: stopped,
    };
    let thread = thread::Builder::new()
        .name(direction.to_string())
        .spawn(move || {
            crate::priority::prefer();
            supervisor.run();
        });
    let thread = thread
        .inspect_err(|error| {
            let error = words::describe(error);
            tracing::error!(error, "no thread for the {direction}");
        })
        .ok();
    let stop = Some(stop);
    (received, DeviceGuard { stop, thread })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc::Receiver, time::Duration};

    /// A device that closes only once `other` has been told to close, too.
    fn guard(other: Receiver<()>, told: Sender<()>) -> DeviceGuard {
        let (stop, stopped) = mpsc::channel::<Infallible>();
        let thread = thread::spawn(move || {
            let _ = stopped.recv();
            let _ = told.send(());
            let _ = other.recv();
        });
        DeviceGuard {
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    #[test]
    fn devices_are_closed_together() {
        let ((tell_first, first), (tell_second, second)) = (mpsc::channel(), mpsc::channel());
        let mut guards = DeviceGuards::default();
        guards.0.push(guard(second, tell_first));
        guards.0.push(guard(first, tell_second));
        let (done, closed) = mpsc::channel();
        thread::spawn(move || {
            drop(guards);
            done.send(())
        });
        let closed = closed.recv_timeout(Duration::from_secs(20));
        closed.expect("both devices close at the same time");
    }
}
