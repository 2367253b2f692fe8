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
};
use cpal::{
    BufferSize, Error, ErrorKind, FrameCount, SampleFormat, SizedSample, StreamConfig,
    SupportedBufferSize, SupportedStreamConfig,
    traits::{DeviceTrait as _, StreamTrait as _},
};
use std::{sync::Arc, time::Instant};
use talkspurt_host_kit::channels::InputChannel;

/// The buffer asked for: 15 ms. With ALSA's pulse plugin that gives callbacks of 10 ms and a round
/// trip of 26 to 30 ms from speaker to microphone (measured); other hosts divide it their own way.
const BUFFER_MS: u32 = 15;

/// A running stream. Dropping it closes the device.
pub(super) struct Opened<L> {
    _stream: Running,
    pub(super) link: Option<L>,
    pub(super) shared: Arc<Shared>,
    /// The device and its format, for people.
    pub(super) description: String,
}

/// Carries the samples. Held only to be dropped.
#[expect(dead_code, reason = "dropping it closes the device")]
enum Running {
    Cpal(cpal::Stream),
    #[cfg(target_os = "linux")]
    Plugin(PluginStream),
}

/// Opens a microphone.
pub(super) fn open_capture(
    choice: &DeviceChoice,
    channel: InputChannel,
) -> Result<Opened<CaptureLink>, String> {
    let chosen = Chosen::find(Direction::Input, choice)?;
    let (rate_hz, channels) = (chosen.config.sample_rate(), chosen.config.channels());
    channel
        .check(channels)
        .map_err(|problem| format!("`{}` cannot be used: {problem}", chosen.name))?;
    chosen.open(|| callback::capture(rate_hz, channels, channel, Instant::now()))
}

/// Opens a speaker.
pub(super) fn open_playback(choice: &DeviceChoice) -> Result<Opened<PlaybackLink>, String> {
    let chosen = Chosen::find(Direction::Output, choice)?;
    let (rate_hz, channels) = (chosen.config.sample_rate(), chosen.config.channels());
    chosen.open(|| callback::playback(rate_hz, channels, Instant::now()))
}

/// What a stream calls for its samples: it records or plays.
trait Callback: Sized {
    /// Carries the samples by `plugin`.
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream>;

    /// Has cpal carry the samples in this format.
    fn build(
        self,
        device: &cpal::Device,
        config: StreamConfig,
        format: SampleFormat,
    ) -> Result<cpal::Stream, Error>;
}

/// Calls `$build::<sample type>(arguments)` for the format, if it has linear samples.
macro_rules! build_for {
    ($format:expr, $build:ident, $arguments:tt) => {
        match $format {
            SampleFormat::I8 => $build::<i8>$arguments,
            SampleFormat::I16 => $build::<i16>$arguments,
            SampleFormat::I24 => $build::<cpal::I24>$arguments,
            SampleFormat::I32 => $build::<i32>$arguments,
            SampleFormat::I64 => $build::<i64>$arguments,
            SampleFormat::U8 => $build::<u8>$arguments,
            SampleFormat::U16 => $build::<u16>$arguments,
            SampleFormat::U24 => $build::<cpal::U24>$arguments,
            SampleFormat::U32 => $build::<u32>$arguments,
            SampleFormat::U64 => $build::<u64>$arguments,
            SampleFormat::F32 => $build::<f32>$arguments,
            SampleFormat::F64 => $build::<f64>$arguments,
            _ => Err(Error::new(ErrorKind::UnsupportedConfig)),
        }
    };
}

impl Callback for CaptureCallback {
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream> {
        plugin.record(self)
    }

    fn build(
        self,
        device: &cpal::Device,
        config: StreamConfig,
        format: SampleFormat,
    ) -> Result<cpal::Stream, Error> {
        build_for!(format, build_capture, (device, config, self))
    }
}

impl Callback for PlaybackCallback {
    #[cfg(target_os = "linux")]
    fn run_on(self, plugin: Plugin) -> Option<PluginStream> {
        plugin.play(self)
    }

    fn build(
        self,
        device: &cpal::Device,
        config: StreamConfig,
        format: SampleFormat,
    ) -> Result<cpal::Stream, Error> {
        build_for!(format, build_playback, (device, config, self))
    }
}

fn build_capture<T: SizedSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: CaptureCallback,
) -> Result<cpal::Stream, Error>
where
    f32: cpal::FromSample<T>,
{
    let shared = callback.shared.clone();
    device.build_input_stream::<T, _, _>(
        config,
        move |data, info| {
            let time = info.timestamp();
            callback
                .shared
                .note_hardware_delay(time.callback.saturating_duration_since(time.capture));
            callback.take(data, Instant::now());
        },
        move |error| shared.note_error(is_fatal(error.kind())),
        None,
    )
}

fn build_playback<T: SizedSample + cpal::FromSample<f32>>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: PlaybackCallback,
) -> Result<cpal::Stream, Error> {
    let shared = callback.shared.clone();
    device.build_output_stream::<T, _, _>(
        config,
        move |data, info| {
            let time = info.timestamp();
            callback
                .shared
                .note_hardware_delay(time.playback.saturating_duration_since(time.callback));
            callback.fill(data, Instant::now());
        },
        move |error| shared.note_error(is_fatal(error.kind())),
        None,
    )
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
        ends: impl Fn() -> (C, Link<R>),
    ) -> Result<Opened<Link<R>>, String> {
        #[cfg(target_os = "linux")]
        if let Some(plugin) = self.plugin() {
            let (callback, link) = ends();
            if let Some(stream) = callback.run_on(plugin) {
                return Ok(self.opened(Running::Plugin(stream), link));
            }
        }
        for_each_buffer_size(&self.config, |config| {
            let (callback, link) = ends();
            let stream = callback.build(&self.device, config, self.config.sample_format())?;
            stream.play()?;
            Ok(self.opened(Running::Cpal(stream), link))
        })
    }

    #[cfg(target_os = "linux")]
    fn plugin(&self) -> Option<Plugin> {
        let direction = match self.direction {
            Direction::Input => alsa::Direction::Capture,
            Direction::Output => alsa::Direction::Playback,
        };
        let frames = wanted_frames(&self.config);
        Plugin::open(&self.device, direction, &self.config, frames)
    }

    fn opened<R>(&self, stream: Running, link: Link<R>) -> Opened<Link<R>> {
        Opened {
            _stream: stream,
            shared: link.shared.clone(),
            link: Some(link),
            description: format!("{} ({})", self.name, describe(&self.config)),
        }
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

/// Returns the callback size to ask for.
fn wanted_frames(config: &SupportedStreamConfig) -> FrameCount {
    let wanted: FrameCount = config.sample_rate() * BUFFER_MS / 1_000;
    match *config.buffer_size() {
        SupportedBufferSize::Range { min, max } => wanted.clamp(min, max.max(min)),
        SupportedBufferSize::Unknown => wanted,
    }
}

/// Tries a short buffer first, then whatever the device prefers.
fn for_each_buffer_size<O>(
    config: &SupportedStreamConfig,
    mut open: impl FnMut(StreamConfig) -> Result<O, Error>,
) -> Result<O, String> {
    let fixed = BufferSize::Fixed(wanted_frames(config));
    let at = |buffer_size| StreamConfig {
        channels: config.channels(),
        sample_rate: config.sample_rate(),
        buffer_size,
    };
    open(at(fixed))
        .or_else(|_| open(at(BufferSize::Default)))
        .map_err(|error| error.to_string())
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
