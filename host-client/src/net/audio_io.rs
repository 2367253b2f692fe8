//! Opens the configured microphone and speaker: devices, files, or nothing.

use super::{Failure, event_channel::Teller};
use crate::{
    audio::{NoSink, NoSource, Sink, Source},
    config::{JoinConfig, SoundChoice},
    device::{self, DeviceChoice, DeviceGuards, DeviceNotice, Direction, Wake},
    events::EventKind,
};
use talkspurt_host_kit::{
    channels::InputChannel,
    wav::{BackgroundReader, Recorder},
};

/// What can be opened before joining: if a file cannot be played or written, the user learns it
/// before the client joins.
pub(super) struct Prepared {
    input: PreparedEnd<dyn Source>,
    channel: InputChannel,
    output: PreparedEnd<dyn Sink>,
}

enum PreparedEnd<T: ?Sized> {
    /// A device, opened after joining.
    Device(DeviceChoice),
    /// Ready. The content of a file to record is replaced after joining.
    Ready(Box<T>),
}

/// Opens files, and checks that named devices exist.
pub(super) fn prepare(config: &JoinConfig) -> Result<Prepared, Failure> {
    if let SoundChoice::Device(choice) = &config.output {
        device::check(Direction::Output, choice).map_err(Failure::Sound)?;
    }
    let channel = config.input_channel;
    let input: PreparedEnd<dyn Source> = match &config.input {
        SoundChoice::Device(choice) => {
            device::check(Direction::Input, choice).map_err(Failure::Sound)?;
            PreparedEnd::Device(choice.clone())
        }
        SoundChoice::File(path) => {
            let reader = BackgroundReader::open(path, channel).map_err(Failure::Sound)?;
            PreparedEnd::Ready(Box::new(reader))
        }
        SoundChoice::None => PreparedEnd::Ready(Box::new(NoSource)),
    };
    let output: PreparedEnd<dyn Sink> = match &config.output {
        SoundChoice::Device(choice) => PreparedEnd::Device(choice.clone()),
        SoundChoice::File(path) => {
            PreparedEnd::Ready(Box::new(Recorder::open(path).map_err(Failure::Sound)?))
        }
        SoundChoice::None => PreparedEnd::Ready(Box::new(NoSink)),
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
    /// Wakes the session when a frame is whole that it waits for.
    wake: Option<Wake>,
}

impl AudioIo {
    /// Opens the rest. From here on sound flows.
    pub(super) fn open(prepared: Prepared, teller: &Teller) -> Self {
        let mut devices = DeviceGuards::default();
        let mut wake = None;
        let source = match prepared.input {
            PreparedEnd::Ready(source) => source,
            PreparedEnd::Device(choice) => {
                let waker = device::wake_pipe()
                    .inspect_err(|error| tracing::debug!(%error, "no pipe to be woken by"))
                    .ok()
                    .map(|(waker, woken)| {
                        wake = Some(woken);
                        waker
                    });
                let (microphone, guard) =
                    device::open_microphone(choice, prepared.channel, waker, notices(teller));
                devices.0.push(guard);
                Box::new(microphone)
            }
        };
        let mut sink = match prepared.output {
            PreparedEnd::Ready(sink) => sink,
            PreparedEnd::Device(choice) => {
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
            wake,
        }
    }

    /// Returns whether a microphone wakes the session.
    pub(super) fn has_wake(&self) -> bool {
        self.wake.is_some()
    }

    /// Waits until the microphone wakes the session.
    pub(super) async fn woken(&self) {
        match &self.wake {
            Some(wake) => wake.woken().await,
            None => std::future::pending().await,
        }
    }
}

fn notices(teller: &Teller) -> impl Fn(DeviceNotice) + Send + 'static {
    let teller = teller.clone();
    move |notice| teller.tell(EventKind::Device(notice))
}
