//! Opens one stream with the rate, channel count and sample format that the device prefers.
//!
//! cpal carries the samples, except for ALSA's plugins: see `plugin`.

#[cfg(target_os = "linux")]
use super::plugin::{Plugin, PluginStream};
use super::{
    Direction,
    callback::{self, CaptureLink, PlaybackLink},
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
    let (device, config, name) = prepare(Direction::Input, choice)?;
    channel
        .check(config.channels())
        .map_err(|problem| format!("`{name}` cannot be used: {problem}"))?;
    #[cfg(target_os = "linux")]
    if let Some(plugin) = Plugin::open(
        &device,
        alsa::Direction::Capture,
        &config,
        wanted_frames(&config),
    ) {
        let (callback, link) = callback::capture(
            config.sample_rate(),
            config.channels(),
            channel,
            Instant::now(),
        );
        if let Some(stream) = plugin.record(callback) {
            return Ok(opened(
                Running::Plugin(stream),
                link,
                describe(&name, &config),
            ));
        }
    }
    for_each_buffer_size(&config, |stream_config| {
        let (callback, link) = callback::capture(
            config.sample_rate(),
            config.channels(),
            channel,
            Instant::now(),
        );
        macro_rules! build {
            ($sample:ty) => {
                build_capture::<$sample>(&device, stream_config, callback)?
            };
        }
        let stream = match_format!(config.sample_format(), build);
        stream.play()?;
        Ok(opened(
            Running::Cpal(stream),
            link,
            describe(&name, &config),
        ))
    })
}

/// Opens a speaker.
pub(super) fn open_playback(choice: &DeviceChoice) -> Result<Opened<PlaybackLink>, String> {
    let (device, config, name) = prepare(Direction::Output, choice)?;
    #[cfg(target_os = "linux")]
    if let Some(plugin) = Plugin::open(
        &device,
        alsa::Direction::Playback,
        &config,
        wanted_frames(&config),
    ) {
        let (callback, link) =
            callback::playback(config.sample_rate(), config.channels(), Instant::now());
        if let Some(stream) = plugin.play(callback) {
            return Ok(opened(
                Running::Plugin(stream),
                link,
                describe(&name, &config),
            ));
        }
    }
    for_each_buffer_size(&config, |stream_config| {
        let (callback, link) =
            callback::playback(config.sample_rate(), config.channels(), Instant::now());
        macro_rules! build {
            ($sample:ty) => {
                build_playback::<$sample>(&device, stream_config, callback)?
            };
        }
        let stream = match_format!(config.sample_format(), build);
        stream.play()?;
        Ok(opened(
            Running::Cpal(stream),
            link,
            describe(&name, &config),
        ))
    })
}

/// The session's end of a stream, with the state that it shares with the callback.
trait Link {
    fn shared(&self) -> Arc<Shared>;
}

impl Link for CaptureLink {
    fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

impl Link for PlaybackLink {
    fn shared(&self) -> Arc<Shared> {
        self.shared.clone()
    }
}

fn opened<L: Link>(stream: Running, link: L, description: String) -> Opened<L> {
    Opened {
        _stream: stream,
        shared: link.shared(),
        link: Some(link),
        description,
    }
}

/// Calls `$build!(sample type)` for the format, if it has linear samples.
macro_rules! match_format {
    ($format:expr, $build:ident) => {
        match $format {
            SampleFormat::I8 => $build!(i8),
            SampleFormat::I16 => $build!(i16),
            SampleFormat::I24 => $build!(cpal::I24),
            SampleFormat::I32 => $build!(i32),
            SampleFormat::I64 => $build!(i64),
            SampleFormat::U8 => $build!(u8),
            SampleFormat::U16 => $build!(u16),
            SampleFormat::U24 => $build!(cpal::U24),
            SampleFormat::U32 => $build!(u32),
            SampleFormat::U64 => $build!(u64),
            SampleFormat::F32 => $build!(f32),
            SampleFormat::F64 => $build!(f64),
            _ => return Err(Error::new(ErrorKind::UnsupportedConfig)),
        }
    };
}
use match_format;

fn build_capture<T: SizedSample>(
    device: &cpal::Device,
    config: StreamConfig,
    mut callback: callback::CaptureCallback,
) -> Result<cpal::Stream, Error>
where
    f32: cpal::FromSample<T>,
{
    let shared = callback.shared().clone();
    device.build_input_stream::<T, _, _>(
        config,
        move |data, info| {
            let time = info.timestamp();
            callback
                .shared()
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
    mut callback: callback::PlaybackCallback,
) -> Result<cpal::Stream, Error> {
    let shared = callback.shared().clone();
    device.build_output_stream::<T, _, _>(
        config,
        move |data, info| {
            let time = info.timestamp();
            callback
                .shared()
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

type Prepared = (cpal::Device, SupportedStreamConfig, String);

fn prepare(direction: Direction, choice: &DeviceChoice) -> Result<Prepared, String> {
    let device = choice::find(&cpal::default_host(), direction, choice)?;
    let (name, _) = choice::names(&device);
    let config = match direction {
        Direction::Input => device.default_input_config(),
        Direction::Output => device.default_output_config(),
    };
    let config =
        config.map_err(|error| format!("{direction} `{name}` cannot be opened: {error}"))?;
    if config.sample_rate() == 0 {
        return Err(format!("{direction} `{name}` states no sample rate"));
    }
    Ok((device, config, name))
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

fn describe(name: &str, config: &SupportedStreamConfig) -> String {
    format!(
        "{name} ({} Hz, {} channels, {})",
        config.sample_rate(),
        config.channels(),
        config.sample_format()
    )
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
