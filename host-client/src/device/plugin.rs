//! Streams on ALSA plugins (PulseAudio, PipeWire, JACK), carried here instead of by cpal.
//!
//! cpal reads whole periods and asks for the delay in the same call. ALSA's pulse plugin (1.2.7 to
//! 1.2.12) handles both badly:
//!
//! - Its descriptor is readable while a *period* is there, but that includes what has already been
//!   read of the current fragment. Once a fragment starts in the middle of a period, which any
//!   sound played into the source causes, a remainder is always left: `poll` returns at once, less
//!   than a period is left, nothing is read, and the thread spins for ever.
//! - Until the server has reported its latency, asking for the delay is an I/O error. After every
//!   xrun cpal gets thousands of them.
//!
//! So this module reads all that is there, which leaves no remainder, and does without an unknown
//! delay. A thread that was woken for nothing, or whose device has no clock (ALSA's `null`), naps
//! before it asks again, so that no plugin can make it spin. The remaining errors are clear: an
//! xrun is recovered from, anything else ends the stream.

use super::{
    callback::{CaptureCallback, PlaybackCallback},
    shared::Shared,
    stream::quietly,
};
use alsa::{
    Direction, PCM, ValueOr,
    pcm::{Access, Format, Frames, HwParams, IoFormat, State},
    poll::{Descriptors as _, poll},
};
use cpal::{FromSample, Sample, SampleFormat, SupportedStreamConfig, traits::DeviceTrait as _};
use std::{
    io::{self, ErrorKind},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Periods in a speaker's buffer, as in cpal: it is kept full, so its length is delay.
const PLAYBACK_PERIODS: Frames = 2;
/// Periods in a microphone's buffer: it is kept empty, and loses nothing while the thread is late.
const CAPTURE_PERIODS: Frames = 20;
/// So many periods come at a time at most: sound servers may give more than one.
const PART_PERIODS: usize = 4;
/// How long a thread waits for its device before it checks whether it should stop. Milliseconds.
const POLL_MS: i32 = 100;
/// Pause after a needless wake-up or an error. A fraction of a period.
const NAP: Duration = Duration::from_millis(1);

/// A device that moves this much more than its rate allows within [`CLOCK_WINDOW`] has no clock. A
/// buffer is 200 ms at most.
const LEAD_MAX: Duration = Duration::from_millis(500);
/// A device's pace is measured over this window, so that a crystal's drift does not add up.
const CLOCK_WINDOW: Duration = Duration::from_secs(10);

/// Some plugins cannot be opened twice at the same time (cpal has its own lock for that).
static OPENING: Mutex<()> = Mutex::new(());

/// A running stream. Dropping it closes the device.
pub(super) struct PluginStream {
    running: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for PluginStream {
    fn drop(&mut self) {
        self.running.store(false, Relaxed);
        super::join(&mut self.thread, "a sound card's");
    }
}

/// An opened device that is not one of the kernel's sound cards.
pub(super) struct Plugin {
    pcm: PCM,
    /// Keeps ALSA's configuration loaded.
    _device: cpal::Device,
    config: SupportedStreamConfig,
    period_frames: usize,
    buffer_frames: usize,
    /// Becomes false when the owner stops the stream.
    running: Arc<AtomicBool>,
}

impl Plugin {
    /// Returns `None` to leave the device to cpal: it is hardware, or has a format that only cpal
    /// converts, or cannot be opened (which cpal then reports in its own words).
    pub(super) fn open(
        device: &cpal::Device,
        direction: Direction,
        config: &SupportedStreamConfig,
        period_frames: u32,
    ) -> Option<Self> {
        let id = device.id().ok()?;
        let opened = Self::try_open(device, id.id(), direction, config, period_frames);
        opened
            .inspect_err(|error| tracing::debug!(%error, "left to cpal"))
            .ok()
            .flatten()
    }

    fn try_open(
        device: &cpal::Device,
        id: &str,
        direction: Direction,
        config: &SupportedStreamConfig,
        period_frames: u32,
    ) -> alsa::Result<Option<Self>> {
        let Some(format) = linear(config.sample_format()) else {
            return Ok(None);
        };
        let pcm = {
            let _one_at_a_time = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
            PCM::new(id, direction, true)?
        };
        // Hardware has a card number, even behind plugins that only convert.
        if pcm.info()?.get_card() >= 0 {
            return Ok(None);
        }
        let period = Frames::from(period_frames);
        {
            let hardware = HwParams::any(&pcm)?;
            hardware.set_access(Access::RWInterleaved)?;
            hardware.set_format(format)?;
            hardware.set_channels(config.channels().into())?;
            hardware.set_rate(config.sample_rate(), ValueOr::Nearest)?;
            let periods = match direction {
                Direction::Playback => PLAYBACK_PERIODS,
                Direction::Capture => CAPTURE_PERIODS,
            };
            hardware.set_buffer_size_near(periods * period)?;
            hardware.set_period_size_near(period, ValueOr::Nearest)?;
            pcm.hw_params(&hardware)?;
        }
        let (buffer, period) = pcm.get_params()?;
        {
            let software = pcm.sw_params_current()?;
            let start = match direction {
                Direction::Playback => PLAYBACK_PERIODS * period as Frames,
                Direction::Capture => 1,
            };
            software.set_start_threshold(start.min(buffer as Frames))?;
            software.set_avail_min(period as Frames)?;
            pcm.sw_params(&software)?;
        }
        pcm.prepare()?;
        Ok(
            (period > 0 && buffer >= period && pcm.count() > 0).then(|| Self {
                pcm,
                _device: device.clone(),
                config: *config,
                period_frames: period as usize,
                buffer_frames: buffer as usize,
                running: Arc::new(AtomicBool::new(true)),
            }),
        )
    }

    /// Starts recording.
    pub(super) fn record(self, callback: CaptureCallback) -> Option<PluginStream> {
        match self.config.sample_format() {
            SampleFormat::I16 => self.run("alsa_in", |plugin| plugin.record_as::<i16>(callback)),
            SampleFormat::I32 => self.run("alsa_in", |plugin| plugin.record_as::<i32>(callback)),
            _ => self.run("alsa_in", |plugin| plugin.record_as::<f32>(callback)),
        }
    }

    /// Starts playing.
    pub(super) fn play(self, callback: PlaybackCallback) -> Option<PluginStream> {
        match self.config.sample_format() {
            SampleFormat::I16 => self.run("alsa_out", |plugin| plugin.play_as::<i16>(callback)),
            SampleFormat::I32 => self.run("alsa_out", |plugin| plugin.play_as::<i32>(callback)),
            _ => self.run("alsa_out", |plugin| plugin.play_as::<f32>(callback)),
        }
    }

    fn run(
        self,
        name: &str,
        work: impl FnOnce(Self) -> alsa::Result<()> + Send + 'static,
    ) -> Option<PluginStream> {
        let running = self.running.clone();
        let thread = thread::Builder::new().name(name.to_owned());
        let thread = thread
            .spawn(move || {
                crate::priority::raise();
                if let Err(error) = quietly(|| work(self)) {
                    tracing::debug!(%error, "a sound card's stream has ended");
                }
            })
            .inspect_err(|error| {
                let error = talkspurt_host_kit::words::describe(error);
                tracing::error!(error, "no thread for a sound card");
            })
            .ok()?;
        Some(PluginStream {
            running,
            thread: Some(thread),
        })
    }

    fn record_as<T: Sample + IoFormat>(self, mut callback: CaptureCallback) -> alsa::Result<()>
    where
        f32: FromSample<T>,
    {
        let (pcm, channels) = (&self.pcm, usize::from(self.config.channels()));
        let shared = callback.shared.clone();
        let mut buffer = vec![T::EQUILIBRIUM; self.buffer_frames * channels];
        let io = pcm.io_checked::<T>()?;
        let rate_hz = f64::from(self.config.sample_rate());
        // If `start` fails, the first `avail` reports it.
        let _ = pcm.start();
        self.drive(&shared, || {
            let ready = usize::try_from(pcm.avail()?).unwrap_or(0);
            let room = ready.min(buffer.len() / channels) * channels;
            if room == 0 {
                return Ok(0);
            }
            let frames = io.readi(&mut buffer[..room])?;
            if let Ok(frames) = pcm.delay() {
                let delay_s = frames.max(0) as f64 / rate_hz;
                shared.note_hardware_delay(Duration::from_secs_f64(delay_s));
            }
            // What has piled up while the thread was late is not how much comes at a time.
            let now = Instant::now();
            for part in
                buffer[..frames * channels].chunks(PART_PERIODS * self.period_frames * channels)
            {
                callback.take(part, now);
            }
            Ok(frames)
        })
    }

    fn play_as<T: Sample + IoFormat + FromSample<f32>>(
        self,
        mut callback: PlaybackCallback,
    ) -> alsa::Result<()> {
        let (pcm, channels) = (&self.pcm, usize::from(self.config.channels()));
        let shared = callback.shared.clone();
        let mut buffer = vec![T::EQUILIBRIUM; self.period_frames * channels];
        let io = pcm.io_checked::<T>()?;
        let rate_hz = f64::from(self.config.sample_rate());
        // Samples of the buffer that the device has not taken yet.
        let mut rest = 0;
        self.drive(&shared, || {
            let room = usize::try_from(pcm.avail()?).unwrap_or(0) * channels;
            if rest == 0 && room >= buffer.len() {
                if let Ok(frames) = pcm.delay() {
                    let delay_s = frames.max(0) as f64 / rate_hz;
                    shared.note_hardware_delay(Duration::from_secs_f64(delay_s));
                }
                callback.fill(&mut buffer, Instant::now());
                rest = buffer.len();
            }
            if rest == 0 || room == 0 {
                return Ok(0);
            }
            let frames = io.writei(&buffer[buffer.len() - rest..])?;
            rest -= (frames * channels).min(rest);
            Ok(frames)
        })
    }

    /// Calls `transfer` whenever the device may have something to do. `transfer` returns how many
    /// frames it moved.
    ///
    /// Returns when the owner stops it, or with the error that ended the stream.
    fn drive(
        &self,
        shared: &Shared,
        mut transfer: impl FnMut() -> alsa::Result<usize>,
    ) -> alsa::Result<()> {
        let pcm = &self.pcm;
        let mut descriptors = pcm.get()?;
        let mut clock = Clock::new(self.config.sample_rate(), Instant::now());
        while self.running.load(Relaxed) {
            let woken = poll(&mut descriptors, POLL_MS).and_then(|count| {
                // Plugins acknowledge their wake-ups in this call.
                pcm.revents(&descriptors)?;
                Ok(count > 0)
            });
            let moved = woken.and_then(|woken| Ok((woken, transfer()?)));
            let rest = match moved {
                Ok((woken, frames)) => {
                    (woken && frames == 0) || clock.is_ahead(frames, Instant::now())
                }
                Err(error) if is_passing(&error) => true,
                Err(error) => {
                    let recovered = recover(pcm, error);
                    shared.note_error(recovered.is_err());
                    recovered?;
                    true
                }
            };
            if rest {
                thread::sleep(NAP);
            }
        }
        Ok(())
    }
}

/// Detects devices that take or give sound as fast as they are asked.
struct Clock {
    rate_hz: u32,
    start: Instant,
    moved_frames: usize,
}

impl Clock {
    fn new(rate_hz: u32, start: Instant) -> Self {
        Self {
            rate_hz,
            start,
            moved_frames: 0,
        }
    }

    /// Counts `frames` more as moved. Returns whether the total is ahead of real time.
    fn is_ahead(&mut self, frames: usize, now: Instant) -> bool {
        let passed = now - self.start;
        if passed >= CLOCK_WINDOW {
            *self = Self::new(self.rate_hz, now);
        }
        self.moved_frames += frames;
        let moved_s = self.moved_frames as f64 / f64::from(self.rate_hz);
        moved_s > (now - self.start + LEAD_MAX).as_secs_f64()
    }
}

/// Returns whether nothing is wrong and the call only has to be repeated.
fn is_passing(error: &alsa::Error) -> bool {
    // The crate passes some codes on as ALSA gives them: negative.
    let kind = io::Error::from_raw_os_error(error.errno().abs()).kind();
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::Interrupted)
}

/// Restarts a stream after an xrun or after the machine was suspended. Fails with a dead sound
/// server.
fn recover(pcm: &PCM, error: alsa::Error) -> alsa::Result<()> {
    pcm.try_recover(error, true)?;
    let is_capture = pcm.info()?.get_stream() == Direction::Capture;
    if is_capture && pcm.state() == State::Prepared {
        pcm.start()?;
    }
    Ok(())
}

/// The formats that plugins offer first.
fn linear(format: SampleFormat) -> Option<Format> {
    match format {
        SampleFormat::I16 => Some(Format::s16()),
        SampleFormat::I32 => Some(Format::s32()),
        SampleFormat::F32 => Some(Format::float()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns for how many milliseconds out of 60,000 a device is held back if it moves `frames`
    /// each time it is asked.
    fn held_ms(frames: impl Fn(u64) -> usize) -> usize {
        let start = Instant::now();
        let mut clock = Clock::new(48_000, start);
        let at = |ms| start + Duration::from_millis(ms);
        (0..60_000)
            .filter(|&ms| clock.is_ahead(frames(ms), at(ms)))
            .count()
    }

    #[test]
    fn only_a_device_without_a_clock_is_held_back() {
        let periods = |ms: u64, every_ms: u64| if ms.is_multiple_of(every_ms) { 720 } else { 0 };
        assert_eq!(held_ms(|ms| periods(ms, 15)), 0, "in time");
        // Nothing for 400 ms, then all of it.
        let late = |ms: u64| if ms.is_multiple_of(400) { 19_200 } else { 0 };
        assert_eq!(held_ms(late), 0, "a busy machine");
        // 0.1 % fast, more than any crystal.
        let fast = |ms: u64| (ms + 1) as usize * 48_048 / 1_000 - ms as usize * 48_048 / 1_000;
        assert_eq!(held_ms(fast), 0, "drift");
        let endless = held_ms(|_| 1_440);
        assert!(endless > 59_000, "{endless} ms");
    }
}
