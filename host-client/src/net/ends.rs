//! Opens what the configuration names as microphone and speaker: devices, files, or nothing.

use super::{Failure, tell::Teller};
use crate::{
    audio::{NoSink, NoSource, Sink, Source},
    config::{Input, Output},
    device::{self, DeviceChoice, DeviceGuard, DeviceNotice, DeviceState, Direction},
    events::EventKind,
    wav::{WavSink, WavSource},
};

/// What can be opened before joining: an input file that cannot be played should say so before anyone is disturbed.
pub(super) enum Prepared {
    /// A microphone is opened once we are in.
    Device(DeviceChoice),
    /// The input, ready.
    Source(Box<dyn Source>),
}

/// Checks the input, and that named devices exist.
pub(super) fn prepare(input: &Input, output: &Output) -> Result<Prepared, Failure> {
    if let Output::Device(choice) = output {
        device::check(Direction::Output, choice).map_err(Failure::Sound)?;
    }
    match input {
        Input::Device(choice) => {
            device::check(Direction::Input, choice).map_err(Failure::Sound)?;
            Ok(Prepared::Device(choice.clone()))
        }
        Input::File(path) => {
            let source =
                WavSource::open(path).map_err(|error| Failure::Sound(error.to_string()))?;
            Ok(Prepared::Source(Box::new(source)))
        }
        Input::None => Ok(Prepared::Source(Box::new(NoSource))),
    }
}

/// The opened ends. Dropping them closes the devices.
pub(super) struct Ends {
    pub(super) source: Box<dyn Source>,
    pub(super) sink: Box<dyn Sink>,
    _guards: Vec<DeviceGuard>,
}

impl Ends {
    /// Opens the rest: from here on sound flows.
    pub(super) fn open(
        prepared: Prepared,
        output: &Output,
        teller: &Teller,
    ) -> Result<Self, Failure> {
        let mut guards = Vec::new();
        let source = match prepared {
            Prepared::Source(source) => source,
            Prepared::Device(choice) => {
                let (microphone, guard) = device::open_microphone(choice, notices(teller));
                guards.push(guard);
                Box::new(microphone)
            }
        };
        let sink: Box<dyn Sink> = match output {
            Output::File(path) => Box::new(WavSink::create(path).map_err(Failure::Sound)?),
            Output::None => Box::new(NoSink),
            Output::Device(choice) => {
                let (speaker, guard) = device::open_speaker(choice.clone(), notices(teller));
                guards.push(guard);
                Box::new(speaker)
            }
        };
        Ok(Self {
            source,
            sink,
            _guards: guards,
        })
    }
}

fn notices(teller: &Teller) -> impl Fn(DeviceNotice) + Send + 'static {
    let teller = teller.clone();
    move |notice| {
        let state = match notice.state {
            DeviceState::Opened => "opened",
            DeviceState::Lost => "lost",
            DeviceState::Absent => "absent",
        };
        let device = notice.direction.to_string();
        teller.tell(EventKind::Device {
            device,
            state,
            text: notice.text,
        });
    }
}
