//! Rate conversion between a device and the room, by rubato, with a ratio that follows the device's
//! clock.
//!
//! Two crystals never agree: a device that claims 48,000 samples a second gives 47,995 or 48,006 in
//! a second of the room's clock. The difference shows in the fill of the ring between them.
//! [`DriftControl`] turns that into a small correction of the ratio, which spreads the difference
//! over the sound, so that it never becomes a click.

use crate::audio::ROOM_RATE_HZ;
use rubato::{
    Adjustable as _, Async, FixedAsync, Resampler as _, ResamplerConstructionError,
    SincInterpolationParameters, WindowFunction,
};
use talkspurt_host_kit::wav::resample_block;

/// Largest relative correction: 0.5 % is 9 cents of pitch (hardly audible in speech) and 10 times
/// what cheap crystals need (about 500 ppm between the worst two).
pub const CORRECTION_MAX: f64 = 0.005;

/// Length of the interpolation filter in samples of the slower rate. At 16 kHz it delays by 1 ms.
/// With the window and cutoff below it is flat to 7 kHz, and lets less than -65 dB of what lies
/// above 9 kHz fold into that band (computed; the tests sweep it). Steeper windows need four times
/// the length, and so the delay, for a band that is no wider.
const SINC_LEN: usize = 32;
const WINDOW: WindowFunction = WindowFunction::Blackman;
/// Where the filter is at -6 dB, as a part of the lower one of both bands. What lies in the last 4
/// % folds into what is above 7 kHz at most.
const CUTOFF: f32 = 0.96;

/// Converts between the rates of a device and the room.
pub struct Converter {
    resampler: Async<f32>,
    output: Vec<f32>,
    output_hz: f64,
}

impl Converter {
    /// Creates a converter from samples at `device_hz` to the room's frames of `frame_samples`.
    /// It takes [`needs`](Self::needs) samples, and gives one frame.
    pub fn to_room(
        device_hz: u32,
        frame_samples: usize,
    ) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(ROOM_RATE_HZ) / f64::from(device_hz);
        let output_hz = f64::from(ROOM_RATE_HZ);
        Self::new(ratio, output_hz, frame_samples, FixedAsync::Output)
    }

    /// Creates a converter from the room's frames of `frame_samples` to samples at `device_hz`.
    /// It takes one frame, and gives a varying number of samples.
    pub fn to_device(
        device_hz: u32,
        frame_samples: usize,
    ) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(device_hz) / f64::from(ROOM_RATE_HZ);
        let output_hz = f64::from(device_hz);
        Self::new(ratio, output_hz, frame_samples, FixedAsync::Input)
    }

    fn new(
        ratio: f64,
        output_hz: f64,
        chunk: usize,
        fixed: FixedAsync,
    ) -> Result<Self, ResamplerConstructionError> {
        // The filter's length is in input samples. When the rate falls it has to be longer to be as
        // sharp.
        let sinc_len = (SINC_LEN as f64 * (1.0 / ratio).clamp(1.0, 16.0)) as usize;
        let parameters = SincInterpolationParameters {
            f_cutoff: Some(CUTOFF),
            ..SincInterpolationParameters::new(sinc_len, WINDOW)
        };
        let resampler = Async::new_sinc(
            ratio,
            1.0 + 2.0 * CORRECTION_MAX,
            &parameters,
            chunk,
            1,
            fixed,
        )?;
        let output = vec![0.0; resampler.output_frames_max()];
        Ok(Self {
            resampler,
            output,
            output_hz,
        })
    }

    /// Bends the ratio from the next frame on. Above 0, device samples are used up faster, or fewer
    /// of them are made. Changes [`needs`](Self::needs).
    pub fn set_correction(&mut self, correction: f64) {
        let relative = 1.0 / (1.0 + correction.clamp(-CORRECTION_MAX, CORRECTION_MAX));
        self.resampler
            .set_resample_ratio_relative(relative, true)
            .expect("corrections are bounded");
    }

    /// Returns how many samples the next conversion takes.
    #[must_use]
    pub fn needs(&self) -> usize {
        self.resampler.input_frames_next()
    }

    /// Returns by how much what comes out lies behind what goes in, in seconds.
    #[must_use]
    pub fn delay_s(&self) -> f64 {
        self.resampler.output_delay() as f64 / self.output_hz
    }

    /// Converts exactly [`needs`](Self::needs) samples.
    pub fn convert(&mut self, input: &[f32]) -> &[f32] {
        let made = resample_block(&mut self.resampler, input, &mut self.output);
        &self.output[..made]
    }
}

/// Turns the distance of a ring's fill from its target into a correction of the ratio: a slow PI
/// controller.
///
/// With `kp` = 0.2/s and `ki` = `kp`^2/4 the loop is critically damped with a time constant of 10
/// s: it follows temperature, and ignores the jitter of callbacks. The saw-tooth that callbacks cut
/// into the fill is removed first ([`crate::device`] knows when the last one ran); otherwise a slow
/// beat between callbacks and frames would look like drift.
#[derive(Debug, Clone, Default)]
pub struct DriftControl {
    smooth_s: f64,
    drift: f64,
}

impl DriftControl {
    const KP_PER_S: f64 = 0.2;
    const KI_PER_S2: f64 = Self::KP_PER_S * Self::KP_PER_S / 4.0;
    /// The fill is averaged over this before it is used.
    const SMOOTHING_S: f64 = 1.0;

    /// Updates the controller. `excess_s` is the sound in the ring above the target, in seconds
    /// (negative: below); `step_s` is the time since the last call. Returns how much faster than
    /// nominal to empty the ring, or how much slower to fill it.
    pub fn update(&mut self, excess_s: f64, step_s: f64) -> f64 {
        self.smooth_s += (excess_s - self.smooth_s) * (step_s / Self::SMOOTHING_S).min(1.0);
        let proportional = self.smooth_s * Self::KP_PER_S;
        // The integral is frozen while the output is at its limit; otherwise it would overshoot
        // afterwards.
        if (proportional + self.drift).abs() < CORRECTION_MAX {
            self.drift = (self.drift + self.smooth_s * Self::KI_PER_S2 * step_s)
                .clamp(-CORRECTION_MAX, CORRECTION_MAX);
        }
        (proportional + self.drift).clamp(-CORRECTION_MAX, CORRECTION_MAX)
    }

    /// Returns the excess of late, in seconds.
    pub fn usual_excess_s(&self) -> f64 {
        self.smooth_s
    }

    /// Says that the target is higher by so much now: the same fill is less of an excess.
    pub fn target_rose(&mut self, by_s: f64) {
        self.smooth_s -= by_s;
    }

    /// Forgets the measured fill, because the ring was refilled or cut. Keeps the learned drift.
    pub fn forget_fill(&mut self) {
        self.smooth_s = 0.0;
    }

    /// Returns how much faster than claimed the device runs, in parts per million, as learned so
    /// far.
    #[cfg(test)]
    pub fn drift_ppm(&self) -> f64 {
        self.drift * 1e6
    }
}

#[cfg(test)]
mod tests;
