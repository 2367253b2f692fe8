//! Opens the configured microphone and speaker: devices, files, or nothing.

use super::{Failure, event_channel::Teller};
use crate::{
    audio::{NoSink, NoSource, Sink, Source},
    config::{JoinConfig, SoundEnd},
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
    input: End<dyn Source>,
    channel: InputChannel,
    output: End<dyn Sink>,
}

enum End<T: ?Sized> {
    /// A device, opened after joining.
    Device(DeviceChoice),
    /// Ready. The content of a file to record is replaced after joining.
    Ready(Box<T>),
}

/// Opens files, and checks that named devices exist.
pub(super) fn prepare(config: &JoinConfig) -> Result<Prepared, Failure> {
    if let SoundEnd::Device(choice) = &config.output {
        device::check(Direction::Output, choice).map_err(Failure::Sound)?;
    }
    let channel = config.input_channel;
    let input: End<dyn Source> = match &config.input {
        SoundEnd::Device(choice) => {
            device::check(Direction::Input, choice).map_err(Failure::Sound)?;
            End::Device(choice.clone())
        }
        SoundEnd::File(path) => {
            let reader = BackgroundReader::open(path, channel).map_err(Failure::Sound)?;
            End::Ready(Box::new(reader))
        }
        SoundEnd::None => End::Ready(Box::new(NoSource)),
    };
    let output: End<dyn Sink> = match &config.output {
        SoundEnd::Device(choice) => End::Device(choice.clone()),
        SoundEnd::File(path) => End::Ready(Box::new(Recorder::open(path).map_err(Failure::Sound)?)),
        SoundEnd::None => End::Ready(Box::new(NoSink)),
    };
    Ok(Prepared {
        input,
        channel,
        output,
    })
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
            End::Ready(source) => source,
            End::Device(choice) => {
                let (microphone, guard) =
                    device::open_microphone(choice, prepared.channel, notices(teller));
                devices.0.push(guard);
                Box::new(microphone)
            }
        };
        let mut sink = match prepared.output {
            End::Ready(sink) => sink,
            End::Device(choice) => {
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
