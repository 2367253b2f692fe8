//! Conversion between the converters' numbers and samples.
//!
//! Both converters run at four steps per sample (64 kHz). The ADC's four readings are added up,
//! which halves its noise. The PWM's four periods interpolate linearly from one sample to the next,
//! which suppresses the images of the voice above 8 kHz, so that a single RC element is filter
//! enough.

use talkspurt_core::audio::format::SampleRate;

/// The only sample rate of a session today.
pub const RATE_HZ: u32 = SampleRate::Hz16000.hz();

/// ADC readings, and PWM periods, per sample.
pub const STEPS_PER_SAMPLE: usize = 4;

/// How often the ADC reads and the PWM starts a period.
pub const STEP_RATE_HZ: u32 = RATE_HZ * STEPS_PER_SAMPLE as u32;

/// Samples in a block, which the DMA fills or empties between two interrupts: 5 ms, the shortest
/// frame of the protocol.
pub const BLOCK_SAMPLES: usize = 80;

/// ADC readings, and PWM periods, per block.
pub const BLOCK_STEPS: usize = BLOCK_SAMPLES * STEPS_PER_SAMPLE;

/// The ADC's full scale (RP2040 data sheet, section 4.9: 12 bits).
const ADC_READINGS: i32 = 1 << 12;
/// The FIFO's words have the mark of a failed conversion above the reading (section 4.9.6, register
/// FIFO).
const READING_MASK: u16 = (ADC_READINGS - 1) as u16;
/// The full scale of the sum of a sample's readings.
const SUMS: i32 = ADC_READINGS * STEPS_PER_SAMPLE as i32;
/// Factor from a sum to a 16-bit sample.
const SUM_TO_SAMPLE: i32 = (1 << 16) / SUMS;

/// How slowly the bias follows the microphone: a first-order high-pass at 16,000 / (2 * pi * 2^7) =
/// 20 Hz, below any voice and above the effects of temperature and supply on the bias.
const BIAS_SHIFT: u32 = 7;

/// Converts ADC readings to samples. A microphone module idles somewhere near half of the supply;
/// the level is measured.
#[derive(Clone, Copy, Debug)]
pub struct FromAdc {
    /// The mean of the sums, times 2^[`BIAS_SHIFT`].
    bias: i32,
}

impl FromAdc {
    /// Returns the sample for its readings. Anything louder than 16 bits is clipped.
    pub fn sample(&mut self, readings: &[u16; STEPS_PER_SAMPLE]) -> i16 {
        let reading = |word: &u16| i32::from(word & READING_MASK);
        let sum: i32 = readings.iter().map(reading).sum();
        let swing = sum - (self.bias >> BIAS_SHIFT);
        self.bias += swing;
        (swing * SUM_TO_SAMPLE).clamp(i16::MIN.into(), i16::MAX.into()) as i16
    }
}

impl Default for FromAdc {
    /// Starts with silence at half of the supply.
    fn default() -> Self {
        Self {
            bias: (SUMS / 2) << BIAS_SHIFT,
        }
    }
}

/// Converts samples to the PWM's duty: 0 to `PERIOD` cycles of its clock, silence in the middle.
#[derive(Clone, Copy, Debug, Default)]
pub struct ToPwm<const PERIOD: u32> {
    last: i16,
}

impl<const PERIOD: u32> ToPwm<PERIOD> {
    const FITS: () = assert!(PERIOD > 1 && PERIOD <= 1 << 16);

    /// Starts with silence.
    #[must_use]
    pub const fn new() -> Self {
        let () = Self::FITS;
        Self { last: 0 }
    }

    /// Returns the duties of a sample's periods. The last one is the sample itself.
    pub fn duties(&mut self, sample: i16) -> [u16; STEPS_PER_SAMPLE] {
        let (from, to) = (i32::from(self.last), i32::from(sample));
        self.last = sample;
        core::array::from_fn(|step| {
            let between = from + (to - from) * (step as i32 + 1) / STEPS_PER_SAMPLE as i32;
            let from_zero = (between - i32::from(i16::MIN)) as u32;
            ((from_zero * PERIOD) >> 16) as u16
        })
    }
}

const _: () = assert!(SUM_TO_SAMPLE * SUMS == 1 << 16);

#[cfg(test)]
mod tests {
    use super::*;

    /// The PWM's period on the Pico.
    const PERIOD: u32 = 2_000;

    fn settled(at: u16) -> FromAdc {
        let mut from_adc = FromAdc::default();
        for _ in 0..RATE_HZ / 2 {
            from_adc.sample(&[at; STEPS_PER_SAMPLE]);
        }
        from_adc
    }

    #[test]
    fn silence_is_silent_wherever_the_module_idles() {
        for idle in [1_000, 1_551, 2_048, 3_000] {
            let sample = settled(idle).sample(&[idle; STEPS_PER_SAMPLE]);
            assert!(sample.abs() <= 4, "{idle}: {sample}");
        }
    }

    #[test]
    fn a_microphone_that_idles_in_the_middle_is_silent_from_the_first_sample() {
        assert_eq!(FromAdc::default().sample(&[2_048; STEPS_PER_SAMPLE]), 0);
    }

    #[test]
    fn the_mark_of_a_failed_conversion_is_not_part_of_the_reading() {
        let words = [2_048, 2_048 | 1 << 15, 2_048, 2_048];
        assert_eq!(FromAdc::default().sample(&words), 0);
    }

    #[test]
    fn full_scale_of_the_converter_is_full_scale_of_the_samples() {
        assert_eq!(settled(2_048).sample(&[0; STEPS_PER_SAMPLE]), i16::MIN);
        assert!(settled(2_048).sample(&[4_095; STEPS_PER_SAMPLE]) >= 32_700);
        // The two rails differ in their distance from where a module idles. Values beyond 16 bits
        // are clipped, never wrapped.
        assert_eq!(settled(1_000).sample(&[4_095; STEPS_PER_SAMPLE]), i16::MAX);
    }

    #[test]
    fn a_voice_passes_the_high_pass_unharmed() {
        // A square wave of 200 Hz: 40 samples up, 40 down. By the end of a half wave it has lost 1
        // - (1 - 1/128)^40 = 27 %; a voice's fundamental loses 0.5 %.
        let mut from_adc = settled(2_048);
        let mut peak = 0;
        for n in 0..800 {
            let reading = if n / 40 % 2 == 0 { 2_548 } else { 1_548 };
            peak = peak.max(from_adc.sample(&[reading; STEPS_PER_SAMPLE]));
        }
        assert!((8_000..11_500).contains(&peak), "{peak}");
    }

    #[test]
    fn duties_stay_within_the_period_and_silence_is_in_the_middle() {
        let mut to_pwm = ToPwm::<PERIOD>::new();
        assert_eq!(to_pwm.duties(0), [1_000; STEPS_PER_SAMPLE]);
        assert_eq!(to_pwm.duties(i16::MAX)[3], 1_999);
        assert_eq!(to_pwm.duties(i16::MIN)[3], 0);
        assert!(
            to_pwm
                .duties(i16::MAX)
                .iter()
                .all(|&duty| u32::from(duty) < PERIOD)
        );
    }

    #[test]
    fn the_way_from_one_sample_to_the_next_is_straight() {
        let mut to_pwm = ToPwm::<{ 1 << 16 }>::new();
        assert_eq!(
            to_pwm.duties(400).map(|duty| i32::from(duty) - 32_768),
            [100, 200, 300, 400]
        );
        assert_eq!(
            to_pwm.duties(-400).map(|duty| i32::from(duty) - 32_768),
            [200, 0, -200, -400]
        );
    }
}
