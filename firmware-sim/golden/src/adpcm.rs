//! ADPCM payloads, and the samples they decode to.

use talkspurt_core::audio::codec::{ADPCM_PAYLOAD_MAX, AnyCodec, Codec, CodecId, ImaAdpcm};

use crate::Out;
use crate::sound::{Numbers, words};

pub fn run(out: &mut Out<'_>) {
    let mut encoder = AnyCodec::from(CodecId::ImaAdpcm);
    let mut frame = [0; 320];
    for number in 8..16 {
        words(number, &mut frame);
        there_and_back(&mut encoder, &frame, out);
    }
    // Full scale, steps from end to end, and noise: these drive the step size to its limits.
    there_and_back(&mut encoder, &[i16::MIN; 160], out);
    for (i, sample) in frame.iter_mut().enumerate() {
        *sample = if i / 3 % 2 == 0 { i16::MAX } else { i16::MIN };
    }
    there_and_back(&mut encoder, &frame, out);
    let mut numbers = Numbers::new(3);
    for sample in &mut frame {
        *sample = numbers.below(65_536) as u16 as i16;
    }
    there_and_back(&mut encoder, &frame, out);
    there_and_back(&mut encoder, &[5, -5, 5], out);
}

fn there_and_back(encoder: &mut AnyCodec, frame: &[i16], out: &mut Out<'_>) {
    let mut payload = [0; ADPCM_PAYLOAD_MAX];
    let Ok(len) = encoder.encode(frame, &mut payload) else {
        return out(b"refused");
    };
    out(&payload[..len]);
    let mut decoded = [0; 320];
    let decoded = &mut decoded[..frame.len()];
    if ImaAdpcm::default()
        .decode(&payload[..len], decoded)
        .is_err()
    {
        return out(b"refused");
    }
    for sample in decoded {
        out(&sample.to_le_bytes());
    }
}
