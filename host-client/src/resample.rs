//! Rate conversion between a device and the room, by rubato, with a ratio that follows the device's clock.
//!
//! Two crystals never agree: a device that claims 48,000 samples a second gives 47,995 or 48,006 of the room's. What piles up
//! (or runs out) between the two shows in how full the ring between them is. [`DriftControl`] turns that into a small
//! correction of the ratio, so that the difference is stretched over the sound and never becomes a click.

use rubato::{
    Adjustable as _, Async, FixedAsync, Resampler as _, ResamplerConstructionError,
    SincInterpolationParameters, WindowFunction, audioadapter_buffers::direct::SequentialSlice,
};

/// The largest correction, relative: 0.5 % is 9 cents of pitch (hardly heard in speech) and 10 times what cheap crystals
/// need (about 500 ppm between the worst two).
pub const CORRECTION_MAX: f64 = 0.005;

/// Length of the interpolation filter in samples of the slower rate. 64 at 16 kHz delays by 2 ms and passes up to 7 kHz.
const SINC_LEN: usize = 64;

/// From the device to the room: takes what it needs, gives exactly one frame.
pub struct ToRoom(Converter);

/// From the room to the device: takes exactly one frame, gives what comes of it.
pub struct ToDevice(Converter);

struct Converter {
    resampler: Async<f32>,
    output: Vec<f32>,
}

impl ToRoom {
    /// `frame_samples` are made at `room_hz` from samples at `device_hz`.
    pub fn new(
        device_hz: u32,
        room_hz: u32,
        frame_samples: usize,
    ) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(room_hz) / f64::from(device_hz);
        Converter::new(ratio, frame_samples, FixedAsync::Output).map(Self)
    }

    /// Bends the ratio from the next frame on. Above 0, device samples are used up faster. Changes [`needs`](Self::needs).
    pub fn set_correction(&mut self, correction: f64) {
        self.0.set_correction(correction);
    }

    /// How many device samples the next frame takes.
    #[must_use]
    pub fn needs(&self) -> usize {
        self.0.resampler.input_frames_next()
    }

    /// One frame from exactly [`needs`](Self::needs) samples.
    pub fn convert(&mut self, device: &[f32]) -> &[f32] {
        self.0.convert(device)
    }
}

impl ToDevice {
    /// Frames of `frame_samples` at `room_hz` become samples at `device_hz`.
    pub fn new(
        room_hz: u32,
        device_hz: u32,
        frame_samples: usize,
    ) -> Result<Self, ResamplerConstructionError> {
        let ratio = f64::from(device_hz) / f64::from(room_hz);
        Converter::new(ratio, frame_samples, FixedAsync::Input).map(Self)
    }

    /// Bends the ratio from the next frame on. Above 0, fewer device samples are made.
    pub fn set_correction(&mut self, correction: f64) {
        self.0.set_correction(correction);
    }

    /// Device samples from one frame.
    pub fn convert(&mut self, frame: &[f32]) -> &[f32] {
        self.0.convert(frame)
    }
}

impl Converter {
    fn new(
        ratio: f64,
        chunk: usize,
        fixed: FixedAsync,
    ) -> Result<Self, ResamplerConstructionError> {
        // The filter is laid out in input samples: when the rate falls it has to be longer for the same sharpness.
        let sinc_len = (SINC_LEN as f64 * (1.0 / ratio).clamp(1.0, 16.0)) as usize;
        let parameters =
            SincInterpolationParameters::new(sinc_len, WindowFunction::BlackmanHarris2);
        let resampler = Async::new_sinc(
            ratio,
            1.0 + 2.0 * CORRECTION_MAX,
            &parameters,
            chunk,
            1,
            fixed,
        )?;
        let output = vec![0.0; resampler.output_frames_max()];
        Ok(Self { resampler, output })
    }

    fn set_correction(&mut self, correction: f64) {
        let relative = 1.0 / (1.0 + correction.clamp(-CORRECTION_MAX, CORRECTION_MAX));
        self.resampler
            .set_resample_ratio_relative(relative, true)
            .expect("corrections are bounded");
    }

    fn convert(&mut self, input: &[f32]) -> &[f32] {
        // Only buffers too short are refused: that would be our own bug.
        let capacity = self.output.len();
        let source =
            SequentialSlice::new(input, 1, input.len()).expect("one channel fits its own length");
        let mut target = SequentialSlice::new_mut(&mut self.output, 1, capacity)
            .expect("one channel fits its own length");
        let (_, made) = self
            .resampler
            .process_into_buffer(&source, &mut target, None)
            .expect("input is as long as asked for");
        &self.output[..made]
    }
}

/// Turns how far a ring's fill is from its target into a correction of the ratio: a slow PI controller.
///
/// With `kp` = 0.2/s and `ki` = `kp`^2/4 the loop is critically damped with a time constant of 10 s: it follows
/// temperature, and ignores the jitter of callbacks. The saw-tooth that they cut into the fill is taken out before
/// ([`crate::device`] knows when the last one ran): a slow beat between callbacks and frames would look like drift.
#[derive(Debug, Clone, Default)]
pub struct DriftControl {
    smooth_s: f64,
    drift: f64,
}

impl DriftControl {
    const KP_PER_S: f64 = 0.2;
    const KI_PER_S2: f64 = Self::KP_PER_S * Self::KP_PER_S / 4.0;
    /// The fill is averaged over this before it counts.
    const SMOOTHING_S: f64 = 1.0;

    /// `excess_s`: seconds of sound in the ring above the target (negative: below). `step_s`: time since the last call.
    /// Returns how much faster than nominal the ring has to be emptied, or slower it has to be filled.
    pub fn update(&mut self, excess_s: f64, step_s: f64) -> f64 {
        self.smooth_s += (excess_s - self.smooth_s) * (step_s / Self::SMOOTHING_S).min(1.0);
        let proportional = self.smooth_s * Self::KP_PER_S;
        // The integral stands still while the output is at its limit, or it would overshoot afterwards.
        if (proportional + self.drift).abs() < CORRECTION_MAX {
            self.drift = (self.drift + self.smooth_s * Self::KI_PER_S2 * step_s)
                .clamp(-CORRECTION_MAX, CORRECTION_MAX);
        }
        (proportional + self.drift).clamp(-CORRECTION_MAX, CORRECTION_MAX)
    }

    /// The ring was refilled or cut: what was measured of its fill is void, the drift learned stays.
    pub fn forget_fill(&mut self) {
        self.smooth_s = 0.0;
    }

    /// How much faster the device runs than it claims, in parts per million, as learned so far.
    #[must_use]
    pub fn drift_ppm(&self) -> f64 {
        self.drift * 1e6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tone(hz: f64, rate_hz: f64, n: usize) -> f32 {
        (0.5 * (std::f64::consts::TAU * hz * n as f64 / rate_hz).sin()) as f32
    }

    /// Power of `signal` at `hz` against its whole power, in dB.
    fn purity_db(signal: &[f32], hz: f64, rate_hz: f64) -> f64 {
        let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
        for (n, &s) in signal.iter().enumerate() {
            let phase = std::f64::consts::TAU * hz * n as f64 / rate_hz;
            re += f64::from(s) * phase.cos();
            im += f64::from(s) * phase.sin();
            all += f64::from(s) * f64::from(s);
        }
        let at = 2.0 * (re * re + im * im) / signal.len() as f64;
        10.0 * (at / (all - at).max(1e-12)).log10()
    }

    #[test]
    fn a_tone_stays_a_tone_at_every_common_rate() {
        for device_hz in [8_000u32, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000] {
            let mut to_room = ToRoom::new(device_hz, 16_000, 320).unwrap();
            let (mut fed, mut heard) = (0, Vec::new());
            while heard.len() < 16_000 {
                let input: Vec<f32> = (fed..fed + to_room.needs())
                    .map(|n| tone(440.0, f64::from(device_hz), n))
                    .collect();
                fed += input.len();
                let frame = to_room.convert(&input);
                assert_eq!(frame.len(), 320);
                heard.extend_from_slice(frame);
            }
            let purity = purity_db(&heard[3_200..], 440.0, 16_000.0);
            assert!(purity > 50.0, "{device_hz} Hz in: {purity:.1} dB");

            let mut to_device = ToDevice::new(16_000, device_hz, 320).unwrap();
            let mut heard = Vec::new();
            for frame in 0..50 {
                let input: Vec<f32> = (frame * 320..(frame + 1) * 320)
                    .map(|n| tone(440.0, 16_000.0, n))
                    .collect();
                heard.extend_from_slice(to_device.convert(&input));
            }
            let start = heard.len() / 5;
            let purity = purity_db(&heard[start..], 440.0, f64::from(device_hz));
            assert!(purity > 50.0, "{device_hz} Hz out: {purity:.1} dB");
            assert!(
                heard.len().abs_diff(device_hz as usize) < device_hz as usize / 50,
                "{} samples",
                heard.len()
            );
        }
    }

    #[test]
    fn what_cannot_alias_does_not() {
        // 15 kHz at 48 kHz would fold to 1 kHz at 16 kHz.
        let mut to_room = ToRoom::new(48_000, 16_000, 320).unwrap();
        let (mut fed, mut energy) = (0, 0.0f64);
        for frame in 0..50 {
            let input: Vec<f32> = (fed..fed + to_room.needs())
                .map(|n| tone(15_000.0, 48_000.0, n))
                .collect();
            fed += input.len();
            let sum: f64 = to_room
                .convert(&input)
                .iter()
                .map(|&s| f64::from(s) * f64::from(s))
                .sum();
            energy += if frame >= 5 { sum } else { 0.0 };
        }
        let rms = (energy / (45.0 * 320.0)).sqrt();
        assert!(20.0 * (rms / 0.354).log10() < -60.0, "alias at {rms}");
    }

    /// A ring between a device that runs `ppm` fast and frames of the room's clock.
    fn fill_after(ppm: f64, minutes: usize) -> (f64, f64, f64) {
        let mut to_device = ToDevice::new(16_000, 48_000, 320).unwrap();
        let mut control = DriftControl::default();
        let target = 0.030;
        let mut fill = target * 48_000.0;
        let (mut least, mut most) = (f64::MAX, f64::MIN);
        let silence = [0.0; 320];
        for frame in 0..minutes * 60 * 50 {
            let correction = control.update(fill / 48_000.0 - target, 0.020);
            to_device.set_correction(correction);
            fill +=
                to_device.convert(&silence).len() as f64 - 0.020 * 48_000.0 * (1.0 + ppm * 1e-6);
            if frame > 30 * 50 {
                (least, most) = (least.min(fill / 48_000.0), most.max(fill / 48_000.0));
            }
        }
        (least, most, control.drift_ppm())
    }

    #[test]
    fn the_drift_of_any_crystal_is_absorbed() {
        for ppm in [-500.0, -50.0, 0.0, 50.0, 500.0] {
            let (least, most, learned) = fill_after(ppm, 3);
            assert!(least > 0.005, "{ppm} ppm: the ring ran down to {least} s");
            assert!(most < 0.060, "{ppm} ppm: the ring filled up to {most} s");
            // A fast device needs more samples per frame: the ring is filled faster, a negative correction.
            assert!(
                (learned + ppm).abs() < 60.0,
                "{ppm} ppm learned as {learned}"
            );
        }
    }
}
