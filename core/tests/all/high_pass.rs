//! The gain of the high-pass at each frequency, and its behaviour at the extremes.

use std::f64::consts::TAU;

use talkspurt_core::audio::filter::{BLOCKS_PER_SECOND, HighPass};

/// The gain at a frequency once the filter has settled.
fn gain_db(hz: u32) -> f64 {
    gain_db_and_correlation(hz).0
}

/// The gain, and the correlation with the tone: from -1 to 1.
fn gain_db_and_correlation(hz: u32) -> (f64, f64) {
    let mut filter = HighPass::new();
    let (mut before, mut after, mut both) = (0.0_f64, 0.0_f64, 0.0_f64);
    // Two seconds to settle and one to measure, which holds whole periods of any whole frequency.
    for block in 0..3 * BLOCKS_PER_SECOND {
        let phase = TAU * f64::from(hz) * f64::from(block) / f64::from(BLOCKS_PER_SECOND);
        let mean_q2 = (12_000.0 * 4.0 * phase.sin()).round() as i32;
        let left = f64::from(mean_q2) / 4.0 - f64::from(filter.below(mean_q2));
        if block >= 2 * BLOCKS_PER_SECOND {
            before += (f64::from(mean_q2) / 4.0).powi(2);
            after += left.powi(2);
            both += f64::from(mean_q2) / 4.0 * left;
        }
    }
    let left = 10.0 * (after.max(1e-9) / before).log10();
    (left, both / (before * after.max(1e-9)).sqrt())
}

#[test]
fn next_to_nothing_is_left_below_60_hz() {
    for hz in 1..=60 {
        assert!(gain_db(hz) < -35.0, "{hz} Hz: {:.1} dB", gain_db(hz));
    }
}

#[test]
fn mains_hum_is_at_a_zero_of_the_filter() {
    for hz in [50, 60] {
        assert!(gain_db(hz) < -70.0, "{hz} Hz: {:.1} dB", gain_db(hz));
    }
}

#[test]
fn voice_keeps_its_level() {
    let at_80_hz = gain_db(80);
    assert!((-5.0..-4.8).contains(&at_80_hz), "{at_80_hz:.2} dB");
    for hz in (95..1_950).step_by(5) {
        assert!(gain_db(hz).abs() < 0.6, "{hz} Hz: {:.1} dB", gain_db(hz));
    }
}

#[test]
fn voice_keeps_its_sign() {
    for hz in (300..1_950).step_by(50) {
        let (_, correlation) = gain_db_and_correlation(hz);
        assert!(correlation > 0.65, "{hz} Hz: {correlation:.2}");
    }
}

#[test]
fn an_offset_is_gone_within_100_ms_and_an_initial_one_makes_no_step() {
    for offset in [i16::MIN, -600, 600, i16::MAX] {
        let mean_q2 = i32::from(offset) * 4;
        let mut filter = HighPass::new();
        filter.begin(offset);
        for _ in 0..BLOCKS_PER_SECOND {
            assert_eq!(filter.below(mean_q2), i32::from(offset));
        }
        // Once the filter has begun, `begin` changes nothing.
        filter.begin(0);
        assert_eq!(filter.below(mean_q2), i32::from(offset));
        let mut filter = HighPass::new();
        let rest: Vec<i32> = (0..BLOCKS_PER_SECOND)
            .map(|_| (filter.below(mean_q2) - i32::from(offset)).abs())
            .collect();
        let settled = rest
            .iter()
            .rposition(|&rest| rest > i32::from(offset.unsigned_abs()) / 100);
        let settled_ms = settled.unwrap() as u32 * 1_000 / BLOCKS_PER_SECOND;
        assert!(settled_ms < 100, "{settled_ms} ms");
        assert!(rest[rest.len() - 1] <= 1);
    }
}

/// Square waves at full scale: the part taken away overshoots, yet must fit a sample, so that the
/// square of its difference to any sample fits 32 bits.
#[test]
fn the_part_taken_away_fits_a_sample_at_the_extremes() {
    let mut reached = (false, false);
    for half_period in [7, 20, 25, 33, 40, 80, 400] {
        let mut filter = HighPass::new();
        for block in 0..2 * BLOCKS_PER_SECOND {
            let high = block / half_period % 2 == 0;
            let extreme = if high { i16::MAX } else { i16::MIN };
            let below = filter.below(i32::from(extreme) * 4);
            assert!(i16::try_from(below).is_ok(), "{below}, {half_period}");
            reached.0 |= below == i32::from(i16::MAX);
            reached.1 |= below == i32::from(i16::MIN);
        }
    }
    assert_eq!(reached, (true, true), "both bounds were reached");
}
