use super::*;
use std::{f64::consts::TAU, io::Cursor};

mod headers;
mod rates;

/// A WAV file, built chunk by chunk.
#[derive(Clone)]
struct Wav {
    tag: u16,
    channels: u16,
    rate_hz: u32,
    bits: u16,
    /// Stated sizes of the RIFF chunk and of the data chunk, where they are wrong.
    sizes: Option<(u32, u32)>,
    /// Chunks between `fmt ` and `data`.
    before: Vec<u8>,
    data: Vec<u8>,
    after: Vec<u8>,
}

impl Wav {
    fn new(tag: u16, channels: u16, rate_hz: u32, bits: u16, data: Vec<u8>) -> Self {
        Self {
            tag,
            channels,
            rate_hz,
            bits,
            sizes: None,
            before: Vec::new(),
            data,
            after: Vec::new(),
        }
    }

    /// 16 kHz mono 16-bit.
    fn plain(samples: &[i16]) -> Self {
        let data = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
        Self::new(1, 1, 16_000, 16, data)
    }

    fn format(&self) -> Vec<u8> {
        let block = self.channels.wrapping_mul(self.bits.div_ceil(8));
        let mut format = Vec::new();
        format.extend(self.tag.to_le_bytes());
        format.extend(self.channels.to_le_bytes());
        format.extend(self.rate_hz.to_le_bytes());
        format.extend(self.rate_hz.wrapping_mul(u32::from(block)).to_le_bytes());
        format.extend(block.to_le_bytes());
        format.extend(self.bits.to_le_bytes());
        format
    }

    fn bytes(&self) -> Vec<u8> {
        let body = [
            &b"WAVE"[..],
            &chunk(b"fmt ", &self.format()),
            &self.before,
            &chunk(b"data", &self.data),
            &self.after,
        ]
        .concat();
        let mut bytes = chunk(b"RIFF", &body);
        if let Some((riff, data)) = self.sizes {
            let at = 12 + chunk(b"fmt ", &self.format()).len() + self.before.len() + 4;
            bytes[4..8].copy_from_slice(&riff.to_le_bytes());
            bytes[at..at + 4].copy_from_slice(&data.to_le_bytes());
        }
        bytes
    }

    /// Plays it as a regular file.
    fn heard(&self) -> Vec<i16> {
        let bytes = self.bytes();
        let length = bytes.len() as u64;
        play(bytes, Some(length)).unwrap()
    }
}

fn chunk(id: &[u8; 4], body: &[u8]) -> Vec<u8> {
    let size = (body.len() as u32).to_le_bytes();
    let pad = &[0][..body.len() % 2];
    [id, &size[..], body, pad].concat()
}

fn open(bytes: Vec<u8>, file_bytes: Option<u64>) -> Result<WavReader, String> {
    let path = Path::new("test.wav");
    WavReader::from_bytes(Cursor::new(bytes), file_bytes, path, InputChannel::Voice)
}

fn drain(reader: &mut WavReader) -> Vec<i16> {
    let (mut all, mut piece) = (Vec::new(), [0; 777]);
    loop {
        let count = reader.read(&mut piece);
        all.extend_from_slice(&piece[..count]);
        if count < piece.len() {
            return all;
        }
    }
}

fn play(bytes: Vec<u8>, file_bytes: Option<u64>) -> Result<Vec<i16>, String> {
    open(bytes, file_bytes).map(|mut reader| drain(&mut reader))
}

/// Samples in which every one differs from its neighbours.
fn ramp(count: usize) -> Vec<i16> {
    (0..count)
        .map(|n| (n * 7_919 % 65_536) as u16 as i16)
        .collect()
}

#[test]
fn room_format_passes_unchanged() {
    assert_eq!(Wav::plain(&ramp(5_001)).heard(), ramp(5_001));
}

/// Format tag, bits a sample, largest deviation allowed, and how a sample is coded.
type Coding<'a> = (u16, u16, f64, &'a dyn Fn(f64) -> Vec<u8>);

#[test]
fn every_coding_keeps_the_sound() {
    let sound: Vec<f64> = (0..1_000)
        .map(|n| 0.5 * (TAU * f64::from(n) / 40.0).sin())
        .collect();
    let full = |bits: i32| 2f64.powi(bits - 1);
    let codings: [Coding<'_>; 6] = [
        (1, 8, 1.0 / 128.0, &|x| vec![(x * full(8) + 128.0) as u8]),
        (1, 16, 1e-4, &|x| {
            ((x * full(16)) as i16).to_le_bytes().to_vec()
        }),
        (1, 24, 1e-4, &|x| {
            ((x * full(24)) as i32).to_le_bytes()[..3].to_vec()
        }),
        (1, 32, 1e-4, &|x| {
            ((x * full(32)) as i32).to_le_bytes().to_vec()
        }),
        (3, 32, 1e-4, &|x| (x as f32).to_le_bytes().to_vec()),
        (3, 64, 1e-4, &|x| x.to_le_bytes().to_vec()),
    ];
    for (tag, bits, allowed, code) in codings {
        for channels in [1u16, 2, 6] {
            let data: Vec<u8> = sound
                .iter()
                .flat_map(|x| code(*x).repeat(usize::from(channels)))
                .collect();
            let mut wav = Wav::new(tag, channels, 16_000, bits, data);
            let plain = wav.heard();
            assert_eq!(plain.len(), sound.len(), "{tag}, {bits} bits");
            for (heard, said) in plain.iter().zip(&sound) {
                let off = (f64::from(*heard) / 32_768.0 - said).abs();
                assert!(off <= allowed, "{tag}, {bits} bits: off by {off}");
            }
            wav.tag = 0xFFFE;
            let extension = [
                &[22, 0][..],
                &bits.to_le_bytes(),
                &[0; 4],
                &tag.to_le_bytes(),
            ];
            let mut format = [&wav.format()[..], &extension.concat(), &GUID_TAIL].concat();
            let body = [
                b"WAVE",
                &chunk(b"fmt ", &format)[..],
                &chunk(b"data", &wav.data),
            ];
            assert_eq!(play(chunk(b"RIFF", &body.concat()), None).unwrap(), plain);
            format[30] ^= 1;
            let body = [
                b"WAVE",
                &chunk(b"fmt ", &format)[..],
                &chunk(b"data", &wav.data),
            ];
            assert!(
                play(chunk(b"RIFF", &body.concat()), None).is_err(),
                "another GUID"
            );
        }
    }
}

const GUID_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

#[test]
fn logarithmic_samples_are_those_of_g711() {
    // Values of ITU-T G.711 tables 1a and 2a, at 16 bits.
    let a_law = Wav::new(6, 1, 16_000, 8, vec![0xD5, 0x55, 0xAA, 0x2A]).heard();
    assert_eq!(a_law, [8, -8, 32_256, -32_256]);
    let mu_law = Wav::new(7, 1, 16_000, 8, vec![0xFF, 0x7F, 0x80, 0x00]).heard();
    assert_eq!(mu_law, [0, 0, 32_124, -32_124]);
}

#[test]
fn flac_and_ogg_vorbis_are_played_from_files_and_pipes() {
    for bytes in [
        &include_bytes!("../../../tests/data/tone.flac")[..],
        &include_bytes!("../../../tests/data/tone.ogg")[..],
    ] {
        for known in [Some(bytes.len() as u64), None] {
            let heard = play(bytes.to_vec(), known).unwrap();
            assert!(heard.len().abs_diff(8_000) <= 32, "{} samples", heard.len());
            let middle = &heard[2_000..6_000];
            let (mut re, mut im, mut all) = (0.0, 0.0, 0.0);
            for (n, sample) in middle.iter().enumerate() {
                let (phase, value) = (TAU * n as f64 / 16.0, f64::from(*sample));
                re += value * phase.cos();
                im += value * phase.sin();
                all += value * value;
            }
            let at_1_khz = 2.0 * (re * re + im * im) / middle.len() as f64;
            assert!(
                at_1_khz / all > 0.99,
                "1 kHz has {:.3} of it",
                at_1_khz / all
            );
            let amplitude = (2.0 * all / middle.len() as f64).sqrt() / 32_768.0;
            assert!(
                (0.45..0.55).contains(&amplitude),
                "amplitude {amplitude:.3}"
            );
        }
    }
}

#[test]
fn a_cut_flac_file_plays_what_is_there() {
    let whole = include_bytes!("../../../tests/data/tone.flac");
    let cut = play(whole[..whole.len() * 4 / 5].to_vec(), None).unwrap();
    assert!((4_000..8_000).contains(&cut.len()), "{} samples", cut.len());
}

#[test]
fn a_number_beyond_the_last_channel_is_refused() {
    let wav = Wav::new(1, 2, 16_000, 16, vec![1, 0, 2, 0]).bytes();
    let with = |channel| {
        let path = Path::new("test.wav");
        WavReader::from_bytes(Cursor::new(wav.clone()), None, path, channel)
    };
    assert_eq!(drain(&mut with(InputChannel::Number(2)).unwrap()), [2]);
    assert_eq!(drain(&mut with(InputChannel::Number(1)).unwrap()), [1]);
    let error = with(InputChannel::Number(3)).err().unwrap().to_string();
    assert!(
        error.contains("test.wav") && error.contains("channel 3"),
        "{error}"
    );
}
