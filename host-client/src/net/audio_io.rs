//! Opens the configured microphone and speaker: devices, files, or nothing.

use super::{Failure, event_channel::Teller};
use crate::{
    audio::{NoSink, NoSource, Sink, Source},
    config::{Input, JoinConfig, Output},
    device::{self, DeviceChoice, DeviceGuards, DeviceNotice, Direction},
    events::EventKind,
};
use talkspurt_host_kit::{
    channels::InputChannel,
    wav::{BackgroundReader, Recorder},
};

/// What can be opened before joining: if a file cannot be played or written, the user learns it
/// before the client joins.
pub(super) struct Prepared {
    input: PreparedInput,
    output: PreparedOutput,
}

enum PreparedInput {
    /// A microphone, opened after joining.
    Device(DeviceChoice, InputChannel),
    /// The input, ready.
    Source(Box<dyn Source>),
}

enum PreparedOutput {
    /// A speaker, opened after joining.
    Device(DeviceChoice),
    /// The output, ready. A file's content is replaced after joining.
    Sink(Box<dyn Sink>),
}

/// Opens files, and checks that named devices exist.
pub(super) fn prepare(config: &JoinConfig) -> Result<Prepared, Failure> {
    if let Output::Device(choice) = &config.output {
        device::check(Direction::Output, choice).map_err(Failure::Sound)?;
    }
    let input = match &config.input {
        Input::Device(choice) => {
            device::check(Direction::Input, choice).map_err(Failure::Sound)?;
            PreparedInput::Device(choice.clone(), config.input_channel)
        }
        Input::File(path) => {
            let source =
                BackgroundReader::open(path, config.input_channel).map_err(Failure::Sound)?;
            PreparedInput::Source(Box::new(source))
        }
        Input::None => PreparedInput::Source(Box::new(NoSource)),
    };
    let output = match &config.output {
        Output::Device(choice) => PreparedOutput::Device(choice.clone()),
        Output::File(path) => {
            let recorder = Recorder::open(path).map_err(Failure::Sound)?;
            PreparedOutput::Sink(Box::new(recorder))
        }
        Output::None => PreparedOutput::Sink(Box::new(NoSink)),
    };
    Ok(Prepared { input, output })
}

/// The opened source and sink. Dropping them closes the devices.
pub(super) struct AudioIo {
    pub(super) source: Box<dyn Source>,
    pub(super) sink: Box<dyn Sink>,
    pub(super) devices: DeviceGuards,
}

impl AudioIo {
    /// Opens the rest. From here on sound flows.
    pub(super) fn open(prepared: Prepared, teller: &Teller) -> Self {
        let mut devices = DeviceGuards::default();
        let source = match prepared.input {
            PreparedInput::Source(source) => source,
            PreparedInput::Device(choice, channel) => {
                let (microphone, guard) = device::open_microphone(choice, channel, notices(teller));
                devices.0.push(guard);
                Box::new(microphone)
            }
        };
        let mut sink = match prepared.output {
            PreparedOutput::Sink(sink) => sink,
            PreparedOutput::Device(choice) => {
                let (speaker, guard) = device::open_speaker(choice, notices(teller));
                devices.0.push(guard);
                Box::new(speaker)
            }
        };
        sink.begin();
        Self {
            source,
            sink,
            devices,
        }
    }
}

fn notices(teller: &Teller) -> impl Fn(DeviceNotice) + Send + 'static {
    let teller = teller.clone();
    move |notice| teller.tell(EventKind::Device(notice))
}
