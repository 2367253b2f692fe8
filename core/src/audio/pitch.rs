//! The pitch period of a voice: the shift at which a sound is most like itself.
//!
//! The search runs at 4 kHz first and refines at the full rate what it has found there, so that a
//! microcontroller can afford it.

use core::ops::RangeInclusive;

use super::format::SampleRate;

/// The shortest shift in milliseconds. Of a voice above 200 Hz it is several periods: one alone,
/// repeated, sounds more like a buzzer.
pub(super) const PERIOD_MIN_MS: usize = 5;

/// The longest shift in milliseconds: a voice of 66 Hz (ITU-T G.711 Appendix I).
pub(super) const PERIOD_MAX_MS: usize = 15;

/// Sound that is compared with what was before it. The shorter it is, the more it is like what
/// comes next: of 6 to 20 ms, PESQ of concealed speech was best at 6.
pub(super) const WINDOW_MS: usize = 6;

/// As [`WINDOW_MS`], at the full rate.
const FINE_WINDOW_MS: usize = 3;

/// The rate of the first search, in samples per millisecond.
const COARSE_PER_MS: usize = 4;

const COARSE_SAMPLES: usize = (WINDOW_MS + PERIOD_MAX_MS) * COARSE_PER_MS;

/// Returns the shift in samples, of 5 to 15 ms but no more than `longest`, at which the end of
/// `sound` is most like what was before it. Of less than 21 ms, what there is is searched.
#[inline(never)]
pub(super) fn period(sound: &[i16], rate: SampleRate, longest: usize) -> usize {
    let decimation = rate.samples_in_ms(1) / COARSE_PER_MS;
    let mut coarse = [0; COARSE_SAMPLES];
    let mut decimated = 0;
    for (coarse, group) in coarse.iter_mut().rev().zip(sound.rchunks_exact(decimation)) {
        let sum: i32 = group.iter().map(|&sample| i32::from(sample)).sum();
        *coarse = (sum / decimation as i32) as i16;
        decimated += 1;
    }
    let most = (PERIOD_MAX_MS * COARSE_PER_MS).min(longest / decimation);
    let near = decimation
        * most_alike(
            &coarse[COARSE_SAMPLES - decimated..],
            WINDOW_MS * COARSE_PER_MS,
            PERIOD_MIN_MS * COARSE_PER_MS..=most,
        );
    let from = (near - (decimation - 1)).max(rate.samples_in_ms(PERIOD_MIN_MS));
    let to = (near + (decimation - 1)).min(rate.samples_in_ms(PERIOD_MAX_MS));
    let window = rate.samples_in_ms(FINE_WINDOW_MS);
    most_alike(sound, window, from..=to.min(longest)).min(longest)
}

/// Returns the shift, out of `shifts`, at which the last `window` samples are most like those
/// before them: where the square of the correlation is greatest beside the energy. The first if
/// none is like them.
fn most_alike(sound: &[i16], window: usize, shifts: RangeInclusive<usize>) -> usize {
    let first = *shifts.start();
    let Some(farthest) = sound.len().checked_sub(window).filter(|it| *it >= first) else {
        return first;
    };
    let end = &sound[farthest..];
    let last = farthest.min(*shifts.end()).max(first);
    let searched = &sound[farthest - last..farthest - first + window];
    let most = energy_of(searched) + energy_of(end);
    // What is left of a correlation has 16 bits, and of the energy 31.
    let scale = (u64::BITS - most.leading_zeros()).saturating_sub(31);
    let mut best = (0, 1, first);
    let mut energy = energy_of(&sound[farthest - first..][..window]);
    for shift in first..=last {
        let other = &sound[farthest - shift..];
        if shift > first {
            energy += product(other[0], other[0]).cast_unsigned();
            energy -= product(other[window], other[window]).cast_unsigned();
        }
        let pairs = end.iter().zip(other);
        let correlation: i64 = pairs.map(|(&end, &other)| product(end, other)).sum();
        let correlation = (correlation.max(0).cast_unsigned() >> scale) as u32 >> 15;
        let alike = correlation * correlation;
        let energy = ((energy >> scale) as u32).max(1);
        if u64::from(alike) * u64::from(best.1) > u64::from(best.0) * u64::from(energy) {
            best = (alike, energy, shift);
        }
    }
    best.2
}

fn energy_of(sound: &[i16]) -> u64 {
    sound
        .iter()
        .map(|&it| product(it, it).cast_unsigned())
        .sum()
}

fn product(one: i16, other: i16) -> i64 {
    i64::from(i32::from(one) * i32::from(other))
}
