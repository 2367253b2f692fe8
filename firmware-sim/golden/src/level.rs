//! Mean square, RMS, peak and dBFS.

use talkspurt_core::audio::level::{Dbfs, mean_square, peak, rms};

use crate::Out;
use crate::sound::words;

pub fn run(out: &mut Out<'_>) {
    let mut frame = [0; 320];
    for number in 0..50 {
        words(number, &mut frame);
        measure(&frame, out);
    }
    for extreme in [i16::MIN, -1, 0, 1, i16::MAX] {
        measure(&[extreme; 320], out);
        measure(&[extreme], out);
    }
    measure(&[], out);
    for rms in (0..=32_768).step_by(61) {
        out(&Dbfs::from_rms(rms).as_q8().to_le_bytes());
    }
}

fn measure(samples: &[i16], out: &mut Out<'_>) {
    out(&mean_square(samples).to_le_bytes());
    out(&rms(samples).to_le_bytes());
    out(&peak(samples).to_le_bytes());
    out(&Dbfs::from_mean_square(mean_square(samples))
        .as_q8()
        .to_le_bytes());
}
