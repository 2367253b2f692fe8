//! Finds a piece of speech in a recording (normalised cross-correlation, computed by FFT) and tells
//! how faithful it is. How much of a talk was heard is measured by [`crate::heard_speech`].
//!
//! Lengths and offsets are in samples at [`crate::wav::RATE_HZ`]. A *similarity* is the cosine
//! between two pieces of sound after alignment: 1 for the same waveform at any loudness, near 0 for
//! unrelated sound.

use std::cell::OnceCell;
use std::ops::Range;

use realfft::RealFftPlanner;
use realfft::num_complex::Complex;

use crate::wav::samples;

/// Where a template was found in a recording.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Match {
    /// The sample of the recording at which the template begins.
    pub offset: usize,
    /// The cosine between the template and the recording there, -1..=1.
    pub similarity: f64,
}

/// A recording, prepared for searching several templates in it.
pub struct Recording<'a> {
    heard: &'a [i16],
    /// Energy of the first `i` samples, so that any window's energy is one subtraction.
    energy: Vec<f64>,
    /// The spectrum of the whole recording, computed when first needed.
    spectrum: OnceCell<Spectrum>,
}

impl<'a> Recording<'a> {
    /// Prepares `heard` for searching.
    pub fn new(heard: &'a [i16]) -> Self {
        let mut energy = Vec::with_capacity(heard.len() + 1);
        let mut sum = 0.0;
        energy.push(sum);
        for &sample in heard {
            sum += f64::from(sample).powi(2);
            energy.push(sum);
        }
        Self {
            heard,
            energy,
            spectrum: OnceCell::new(),
        }
    }

    /// Returns the recording itself.
    pub fn samples(&self) -> &'a [i16] {
        self.heard
    }

    /// Returns where `template` is most similar to the recording, or `None` if it is silent or
    /// longer than the recording.
    pub fn find(&self, template: &[i16]) -> Option<Match> {
        self.find_within(template, 0..self.heard.len())
    }

    /// Like [`Recording::find`], with the template wholly inside `range`.
    pub fn find_within(&self, template: &[i16], range: Range<usize>) -> Option<Match> {
        let range = range.start..range.end.min(self.heard.len());
        let template_energy: f64 = template.iter().map(|&s| f64::from(s).powi(2)).sum();
        if template_energy == 0.0 || range.len() < template.len() {
            return None;
        }
        let correlation = if range.len() == self.heard.len() {
            self.spectrum
                .get_or_init(|| Spectrum::new(self.heard))
                .correlate(template)
        } else {
            Spectrum::new(&self.heard[range.clone()]).correlate(template)
        };
        // A window much softer than any real copy (by 40 dB) cannot win by chance.
        let least_energy = template_energy * 1e-4;
        correlation
            .iter()
            .enumerate()
            .map(|(lag, &product)| {
                let offset = range.start + lag;
                let window = self.energy[offset + template.len()] - self.energy[offset];
                Match {
                    offset,
                    similarity: product / (template_energy * window.max(least_energy)).sqrt(),
                }
            })
            .max_by(|a, b| a.similarity.total_cmp(&b.similarity))
    }
}

/// Returns the pieces of `sound` that are speech: runs of 20 ms blocks louder than `open_rms`,
/// joined over pauses of up to 300 ms (the pauses inside a sentence), without pieces shorter than
/// 200 ms.
pub fn speech_pieces(sound: &[i16], open_rms: f64) -> Vec<Range<usize>> {
    const BLOCK: usize = samples(20);
    let mut pieces: Vec<Range<usize>> = Vec::new();
    for (index, block) in sound
        .chunks(BLOCK)
        .enumerate()
        .filter(|(_, block)| rms(block) > open_rms)
    {
        let block = index * BLOCK..index * BLOCK + block.len();
        match pieces.last_mut() {
            Some(last) if block.start - last.end <= samples(300) => last.end = block.end,
            _ => pieces.push(block),
        }
    }
    pieces.retain(|piece| piece.len() >= samples(200));
    pieces
}

/// Like [`speech_pieces`], cut into parts of at most `longest` samples, so that a change of delay
/// within a sentence spoils one part only. Parts shorter than half of that are left out.
pub fn speech_parts(sound: &[i16], open_rms: f64, longest: usize) -> Vec<Range<usize>> {
    let parts = speech_pieces(sound, open_rms)
        .into_iter()
        .flat_map(|piece| {
            let end = piece.end;
            piece
                .step_by(longest)
                .map(move |start| start..(start + longest).min(end))
        });
    parts.filter(|part| part.len() >= longest / 2).collect()
}

/// Returns the root mean square of `sound`, 0 if it is empty.
pub fn rms(sound: &[i16]) -> f64 {
    if sound.is_empty() {
        return 0.0;
    }
    let sum: f64 = sound.iter().map(|&s| f64::from(s).powi(2)).sum();
    (sum / sound.len() as f64).sqrt()
}

/// Returns the greatest difference between samples of two sounds of equal length; `None` if the
/// lengths differ.
pub fn max_difference(a: &[i16], b: &[i16]) -> Option<u16> {
    (a.len() == b.len()).then(|| {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| a.abs_diff(b))
            .max()
            .unwrap_or(0)
    })
}

/// The spectrum of a recording. Correlating it with a shorter template takes two more transforms.
struct Spectrum {
    size: usize,
    length: usize,
    bins: Vec<Complex<f64>>,
}

impl Spectrum {
    fn new(heard: &[i16]) -> Self {
        // At the lags that are kept, a template ends within the recording, so the circular
        // correlation never wraps.
        let power = heard.len().next_power_of_two().max(4);
        let size = if heard.len() <= power / 4 * 3 {
            power / 4 * 3
        } else {
            power
        };
        Self {
            size,
            length: heard.len(),
            bins: transform(heard, size),
        }
    }

    /// Returns `sum(template[i] * heard[lag + i])` for every lag at which the template fits.
    fn correlate(&self, template: &[i16]) -> Vec<f64> {
        let mut product = transform(template, self.size);
        for (template, heard) in product.iter_mut().zip(&self.bins) {
            *template = template.conj() * heard;
        }
        // Rounding may leave an imaginary part where a real signal has none, which the inverse
        // refuses.
        product[0].im = 0.0;
        product[self.size / 2].im = 0.0;
        let inverse = RealFftPlanner::<f64>::new().plan_fft_inverse(self.size);
        let mut correlation = inverse.make_output_vec();
        inverse.process(&mut product, &mut correlation).expect(PLAN);
        correlation.truncate(self.length - template.len() + 1);
        for value in &mut correlation {
            *value /= self.size as f64;
        }
        correlation
    }
}

const PLAN: &str = "buffers made by the plan have the right lengths";

fn transform(sound: &[i16], size: usize) -> Vec<Complex<f64>> {
    let forward = RealFftPlanner::<f64>::new().plan_fft_forward(size);
    let mut time: Vec<f64> = sound.iter().map(|&s| f64::from(s)).collect();
    time.resize(size, 0.0);
    let mut bins = forward.make_output_vec();
    forward.process(&mut time, &mut bins).expect(PLAN);
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Noise with roughly the spectrum of speech (one-pole low-pass), from a linear congruential
    /// generator.
    fn noise(seed: u64, length: usize) -> Vec<i16> {
        let mut state = seed;
        let mut low = 0.0;
        (0..length)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                low += 0.3 * (((state >> 33) as f64 / (1u64 << 31) as f64 - 0.5) * 20_000.0 - low);
                low as i16
            })
            .collect()
    }

    fn heard_after(spoken: &[i16], delay: usize, gain: f64) -> Vec<i16> {
        let mut heard = vec![0; delay];
        heard.extend(spoken.iter().map(|&s| (f64::from(s) * gain) as i16));
        heard.resize(delay + spoken.len() + 500, 0);
        heard
    }

    proptest! {
        #[test]
        fn a_known_delay_is_found_at_any_loudness(
            delay in 0usize..5000,
            gain in 0.2f64..1.5,
            seed: u64,
        ) {
            let spoken = noise(seed, 2000);
            let found = Recording::new(&heard_after(&spoken, delay, gain)).find(&spoken).unwrap();
            prop_assert_eq!(found.offset, delay);
            prop_assert!(found.similarity > 0.99, "{}", found.similarity);
        }
    }

    #[test]
    fn the_fft_agrees_with_the_definition() {
        let (template, heard) = (noise(1, 50), noise(2, 181));
        for (lag, fast) in Spectrum::new(&heard)
            .correlate(&template)
            .into_iter()
            .enumerate()
        {
            let slow: f64 = template
                .iter()
                .zip(&heard[lag..])
                .map(|(&t, &h)| f64::from(t) * f64::from(h))
                .sum();
            assert!((fast - slow).abs() < 1.0, "lag {lag}: {fast} and {slow}");
        }
    }

    #[test]
    fn other_sound_is_not_similar() {
        let found = Recording::new(&noise(1, 60_000))
            .find(&noise(2, 16_000))
            .unwrap();
        assert!(found.similarity < 0.1, "{}", found.similarity);
    }

    #[test]
    fn half_of_a_mix_is_heard_at_the_root_of_a_half() {
        let (a, b) = (noise(1, 16_000), noise(2, 16_000));
        let mix: Vec<i16> = a
            .iter()
            .zip(&b)
            .map(|(&a, &b)| i16::midpoint(a, b))
            .collect();
        let found = Recording::new(&mix).find(&a).unwrap();
        assert_eq!(found.offset, 0);
        assert!(
            (found.similarity - 0.5f64.sqrt()).abs() < 0.02,
            "{}",
            found.similarity
        );
    }

    #[test]
    fn an_inverted_copy_is_not_similar() {
        let spoken = noise(1, 8000);
        let inverted: Vec<i16> = spoken.iter().map(|&s| -s).collect();
        assert!(Recording::new(&inverted).find(&spoken).unwrap().similarity < -0.99);
    }

    #[test]
    fn no_match_is_found_where_none_is_possible() {
        let recording = Recording::new(&[1, 2, 3]);
        assert_eq!(recording.find(&[0, 0]), None);
        assert_eq!(recording.find(&[1, 2, 3, 4]), None);
        assert_eq!(recording.find_within(&[1, 2], 2..3), None);
    }

    #[test]
    fn a_talk_with_a_pause_has_two_pieces() {
        let mut spoken = noise(1, samples(1000));
        spoken.extend(vec![0; samples(500)]);
        spoken.extend(noise(2, samples(800)));
        let pieces = speech_pieces(&spoken, 300.0);
        assert_eq!(pieces, [0..samples(1000), samples(1500)..samples(2300)]);
    }

    #[test]
    fn parts_make_up_the_pieces() {
        let spoken = noise(1, samples(1_240));
        let parts = speech_parts(&spoken, 300.0, samples(400));
        assert_eq!(
            parts,
            [0, 400, 800].map(|ms| samples(ms)..samples(ms + 400)),
            "40 ms are too short to be found"
        );
    }

    #[test]
    fn short_pauses_join_and_clicks_are_dropped() {
        let mut spoken = noise(1, samples(300));
        spoken.extend(vec![0; samples(200)]);
        spoken.extend(noise(2, samples(300)));
        spoken.extend(vec![0; samples(1000)]);
        spoken.extend(noise(3, samples(60)));
        let pieces = speech_pieces(&spoken, 300.0);
        assert_eq!((pieces.len(), &pieces[0]), (1, &(0..samples(800))));
    }

    #[test]
    fn differences_are_the_greatest_and_need_equal_lengths() {
        assert_eq!(max_difference(&[1, -5], &[2, 5]), Some(10));
        assert_eq!(max_difference(&[i16::MIN], &[i16::MAX]), Some(u16::MAX));
        assert_eq!(max_difference(&[1], &[]), None);
    }

    #[test]
    fn rms_of_a_square_wave_is_its_height() {
        assert!((rms(&[100, -100, 100, -100]) - 100.0).abs() < 1e-9);
        assert_eq!(rms(&[]), 0.0);
    }
}
