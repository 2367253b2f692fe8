//! Opens one stream with the rate, channel count and sample format that the device prefers.
//!
//! cpal carries the samples, except for ALSA's plugins: see `plugin`.

#[cfg(target_os = "linux")]
use super::plugin::{Plugin, PluginStream};
use super::{
    Direction,
    callback::{self, CaptureCallback, CaptureLink, Link, PlaybackCallback, PlaybackLink},
    choice::{self, DeviceChoice},
    shared::Shared,
    wake::Waker,
};
use cpal::{
    BufferSize, Error, ErrorKind, FrameCount, FromSample, SampleFormat, SizedSample, StreamConfig,
    SupportedBufferSize, SupportedStreamConfig,
    traits::{DeviceTrait as _, StreamTrait as _},
};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use talkspurt_host_kit::channels::InputChannel;

/// A running stream. Dropping it closes the device.
pub(super) struct Opened {
    /// cpal's stream or a plugin's, held only to be dropped.
    _stream: Box<dyn Send>,
    pub(super) shared: Arc<Shared>,
    /// The device and its format, for people.
    pub(super) description: String,
}

/// Opens a microphone.
pub(super) fn open_capture(
    choice: &DeviceChoice,
    channel: InputChannel,
    period: Duration,
    waker: Option<Waker>,
) -> Result<(Opened, CaptureLink), String> {
    let chosen = Chosen::find(Direction::Input, choice)?;
    let (rate_hz, channels) = (chosen.config.sample_rate(), chosen.config.channels());
    channel
        .check(channels)
        .map_err(|problem| format!("`{}` cannot be used: {problem}", chosen.name))?;
    chosen.open(period, || {
        callback::capture(rate_hz, channels, channel, waker.clone(), Instant::now())
    })
}

/// Opens a speaker.
pub(super) fn open_playback(
    choice: &DeviceChoice,
    period: Duration,
) -> Result<(Opened, PlaybackLink), String> {
    let chosen = Chosen::find(Direction::Output, choice)?;
    let (rate_hz, channels) = (chosen.config.sample_rate(), chosen.config.channels());
    chosen.open(period, || {
        callback::playback(rate_hz, channels, Instant::now())
    })
}

/// What a stream calls for its samples: it records or plays.
trait Callback: Sized {
    /// Carries the samples by `plugin`.
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream>;

    /// Has cpal carry the samples, of the type `T`.
    fn build<T>(self, device: &cpal::Device, config: StreamConfig) -> Result<cpal::Stream, Error>
    where
        T: SizedSample + FromSample<f32>,
        f32: FromSample<T>;

    /// Has cpal carry the samples in this format, if that is linear.
    fn build_for(
        self,
        device: &cpal::Device,
        config: StreamConfig,
        format: SampleFormat,
    ) -> Result<cpal::Stream, Error> {
        match format {
            SampleFormat::I8 => self.build::<i8>(device, config),
            SampleFormat::I16 => self.build::<i16>(device, config),
            SampleFormat::I24 => self.build::<cpal::I24>(device, config),
            SampleFormat::I32 => self.build::<i32>(device, config),
            SampleFormat::I64 => self.build::<i64>(device, config),
            SampleFormat::U8 => self.build::<u8>(device, config),
            SampleFormat::U16 => self.build::<u16>(device, config),
            SampleFormat::U24 => self.build::<cpal::U24>(device, config),
            SampleFormat::U32 => self.build::<u32>(device, config),
            SampleFormat::U64 => self.build::<u64>(device, config),
            SampleFormat::F32 => self.build::<f32>(device, config),
            SampleFormat::F64 => self.build::<f64>(device, config),
            _ => Err(Error::new(ErrorKind::UnsupportedConfig)),
        }
    }
}

impl Callback for CaptureCallback {
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream> {
        plugin.record(self)
    }

    fn build<T>(
        mut self,
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<cpal::Stream, Error>
    where
        T: SizedSample + FromSample<f32>,
        f32: FromSample<T>,
    {
        let shared = self.shared.clone();
        device.build_input_stream::<T, _, _>(
            config,
            move |data, info| {
                let time = info.timestamp();
                let since_first = time.callback.saturating_duration_since(time.capture);
                let channels = usize::from(config.channels.max(1));
                let taken_s = (data.len() / channels) as f64 / f64::from(config.sample_rate);
                let taken = Duration::from_secs_f64(taken_s);
                self.shared
                    .note_hardware_delay(since_first.saturating_sub(taken));
                self.take(data, Instant::now());
            },
            move |error| shared.note_error(is_fatal(error.kind())),
            None,
        )
    }
}

impl Callback for PlaybackCallback {
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream> {
        plugin.play(self)
    }

    fn build<T>(
        mut self,
        device: &cpal::Device,
        config: StreamConfig,
    ) -> Result<cpal::Stream, Error>
    where
        T: SizedSample + FromSample<f32>,
        f32: FromSample<T>,
    {
        let shared = self.shared.clone();
        device.build_output_stream::<T, _, _>(
            config,
            move |data, info| {
                let time = info.timestamp();
                let delay = time.playback.saturating_duration_since(time.callback);
                self.shared.note_hardware_delay(delay);
                self.fill(data, Instant::now());
            },
            move |error| shared.note_error(is_fatal(error.kind())),
            None,
        )
    }
}

/// Returns whether a stream never recovers by itself after this error.
fn is_fatal(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::DeviceNotAvailable | ErrorKind::StreamInvalidated | ErrorKind::HostUnavailable
    )
}

/// A device, and the format that it prefers.
struct Chosen {
    direction: Direction,
    device: cpal::Device,
    name: String,
    config: SupportedStreamConfig,
}

impl Chosen {
    fn find(direction: Direction, choice: &DeviceChoice) -> Result<Self, String> {
        let device = choice::find(&cpal::default_host(), direction, choice)?;
        let (name, _) = choice::names(&device);
        let config = preferred(&device, direction)
            .map_err(|error| format!("{direction} `{name}` cannot be opened: {error}"))?;
        if config.sample_rate() == 0 {
            return Err(format!("{direction} `{name}` states no sample rate"));
        }
        Ok(Self {
            direction,
            device,
            name,
            config,
        })
    }

    /// Opens it; `ends` creates the two ends of its ring, for each try.
    fn open<C: Callback, R>(
        &self,
        period: Duration,
        ends: impl Fn() -> (C, Link<R>),
    ) -> Result<(Opened, Link<R>), String> {
        #[cfg(target_os = "linux")]
        if let Some(plugin) = self.plugin(period) {
            let (callback, link) = ends();
            if let Some(stream) = callback.run_on(plugin) {
                return Ok(self.opened(stream, link));
            }
        }
        let with_buffer = |buffer_size| {
            let config = StreamConfig {
                buffer_size,
                ..self.config.config()
            };
            let (callback, link) = ends();
            let stream = callback.build_for(&self.device, config, self.config.sample_format())?;
            stream.play()?;
            Ok(self.opened(stream, link))
        };
        // A short one first, then whatever the device prefers.
        with_buffer(BufferSize::Fixed(wanted_frames(&self.config, period)))
            .or_else(|_: Error| with_buffer(BufferSize::Default))
            .map_err(|error| error.to_string())
    }

    #[cfg(target_os = "linux")]
    fn plugin(&self, period: Duration) -> Option<Plugin> {
        let direction = match self.direction {
            Direction::Input => alsa::Direction::Capture,
            Direction::Output => alsa::Direction::Playback,
        };
        let frames = wanted_frames(&self.config, period);
        Plugin::open(&self.device, direction, &self.config, frames)
    }

    fn opened<R>(&self, stream: impl Send + 'static, link: Link<R>) -> (Opened, Link<R>) {
        let opened = Opened {
            _stream: Box::new(stream),
            shared: link.shared.clone(),
            description: format!("{} ({})", self.name, describe(&self.config)),
        };
        (opened, link)
    }
}

/// Returns the format that a device prefers.
pub(super) fn preferred(
    device: &cpal::Device,
    direction: Direction,
) -> Result<SupportedStreamConfig, Error> {
    match direction {
        Direction::Input => device.default_input_config(),
        Direction::Output => device.default_output_config(),
    }
}

/// Describes a format for people.
pub(super) fn describe(config: &SupportedStreamConfig) -> String {
    format!(
        "{} Hz, {} channels, {}",
        config.sample_rate(),
        config.channels(),
        config.sample_format()
    )
}

/// Returns the callback size to ask for. A speaker's buffer is two of them.
fn wanted_frames(config: &SupportedStreamConfig, period: Duration) -> FrameCount {
    let wanted = (f64::from(config.sample_rate()) * period.as_secs_f64()) as FrameCount;
    match *config.buffer_size() {
        SupportedBufferSize::Range { min, max } => wanted.clamp(min, max.max(min)),
        SupportedBufferSize::Unknown => wanted,
    }
}

/// Runs `work` while the ALSA library's messages from this thread go to the log instead of stderr.
/// Plugins of devices that do not exist complain loudly there, though nothing is wrong.
#[cfg(target_os = "linux")]
pub(super) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    let messages = alsa::Output::local_error_handler().ok();
    let result = work();
    if let Some(messages) = messages {
        let messages = messages.borrow().to_string();
        messages
            .lines()
            .for_each(|line| tracing::debug!(target: "alsa", "{line}"));
    }
    result
}

#[cfg(not(target_os = "linux"))]
pub(super) fn quietly<R>(work: impl FnOnce() -> R) -> R {
    work()
}
