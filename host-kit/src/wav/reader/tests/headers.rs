//! Headers as recorders, pipes, crashes and attackers leave them.

use super::*;
use crate::wav::riff::RiffReader;
use proptest::prelude::*;

#[test]
fn a_list_chunk_of_odd_size_has_a_pad_byte() {
    let mut wav = Wav::plain(&ramp(1_000));
    wav.before = chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0");
    assert_eq!(wav.before.len() % 2, 0);
    assert_eq!(wav.heard(), ramp(1_000));
}

#[test]
fn missing_sizes_mean_to_the_end_of_the_file() {
    for sizes in [
        (0, 0),
        (36, 0),
        (u32::MAX, u32::MAX),
        (0x7FFF_F024, 0x7FFF_F000),
        (0x7FFF_FFFF, 0x7FFF_FFFF),
        (0x8000_0024, 0x8000_0000),
        (0, 1_000),
        (5, u32::MAX - 36),
    ] {
        let mut wav = Wav::plain(&ramp(3_000));
        wav.sizes = Some(sizes);
        let bytes = wav.bytes();
        let length = bytes.len() as u64;
        assert_eq!(
            play(bytes.clone(), None).unwrap(),
            ramp(3_000),
            "a pipe, {sizes:x?}"
        );
        assert_eq!(
            play(bytes, Some(length)).unwrap(),
            ramp(3_000),
            "a file, {sizes:x?}"
        );
    }
}

#[test]
fn bytes_after_the_sound_are_not_played() {
    let mut wav = Wav::plain(&ramp(1_000));
    wav.after = chunk(b"LIST", &[b'x'; 4_000]);
    assert_eq!(wav.heard(), ramp(1_000));
    // Nothing in it reads as another chunk.
    wav.after = chunk(b"LIST", &[200; 4_000]);
    assert_eq!(wav.heard(), ramp(1_000));
    // An odd number of 8-bit samples, and its pad byte.
    let mut wav = Wav::new(1, 1, 16_000, 8, vec![200; 1_001]);
    wav.after = chunk(b"id3 ", &[b'x'; 100]);
    assert_eq!(wav.heard().len(), 1_001);
}

#[test]
fn an_empty_recording_is_empty() {
    let empty = Wav::plain(&[]).bytes();
    assert_eq!(empty.len(), 44);
    assert_eq!(play(empty.clone(), Some(44)).unwrap(), [0i16; 0]);
    assert_eq!(play(empty, None).unwrap(), [0i16; 0]);
    let mut wav = Wav::plain(&[]);
    wav.after = chunk(b"LIST", &[b'x'; 400]);
    assert_eq!(wav.heard(), [0i16; 0], "both sizes agree that it is empty");
}

#[test]
fn a_cut_file_plays_what_is_there() {
    let whole = Wav::plain(&ramp(4_000)).bytes();
    for left in [44, 45, 46, 47, 1_001, 5_000, whole.len() - 1] {
        let cut = whole[..left].to_vec();
        let expected = ramp((left - 44) / 2);
        assert_eq!(
            play(cut.clone(), Some(left as u64)).unwrap(),
            expected,
            "{left} bytes"
        );
        assert_eq!(play(cut, None).unwrap(), expected, "{left} bytes of a pipe");
    }
    for left in 1..44 {
        let error = open(whole[..left].to_vec(), None)
            .err()
            .expect("no sound")
            .to_string();
        assert!(error.contains("test.wav"), "{error}");
    }
}

#[test]
fn a_cut_file_says_so() {
    let decoder = |bytes: Vec<u8>| {
        let mut decoder = Decoder::open(Box::new(Cursor::new(bytes)), None).unwrap();
        let mut samples = vec![0.0];
        let mut warnings = Vec::new();
        while !samples.is_empty() {
            decoder.read(&mut samples);
            warnings.extend(decoder.warning.take());
        }
        warnings
    };
    let whole = Wav::plain(&ramp(4_000)).bytes();
    assert_eq!(decoder(whole.clone()), [""; 0]);
    let warnings = decoder(whole[..4_044].to_vec());
    assert_eq!(
        warnings,
        ["it was cut: 4000 bytes of sound are missing at its end"]
    );
    let mut unknown = Wav::plain(&ramp(4_000));
    unknown.sizes = Some((u32::MAX, u32::MAX));
    assert_eq!(
        decoder(unknown.bytes()),
        [""; 0],
        "nobody knows how long it should be"
    );
}

#[test]
fn an_odd_byte_at_the_end_is_not_a_sample() {
    let mut wav = Wav::new(
        1,
        2,
        16_000,
        16,
        ramp(2_000).iter().flat_map(|s| s.to_le_bytes()).collect(),
    );
    wav.data.extend([1]);
    assert_eq!(wav.heard().len(), 1_000);
    wav.sizes = Some((0, 0));
    assert_eq!(wav.heard().len(), 1_000);
}

#[test]
fn a_stale_header_does_not_cut_the_sound() {
    // Samples that cannot be a chunk's name: not all of their bytes are printable.
    let mut wav = Wav::plain(&ramp(4_000));
    wav.sizes = Some((36 + 2_000, 2_000));
    assert_eq!(wav.heard(), ramp(4_000));
    // Frames of six bytes: what is read ahead must not shift them.
    let data: Vec<u8> = (0..3_000u32)
        .flat_map(|n| [0, 0, (n % 100) as u8, 0, 0, 0])
        .collect();
    let mut wav = Wav::new(1, 2, 16_000, 24, data);
    let whole = wav.heard();
    wav.sizes = Some((36 + 600, 600));
    assert_eq!(wav.heard(), whole);
}

#[test]
fn sound_that_looks_like_a_chunk_is_played() {
    let mut wav = Wav::plain(&ramp(3_000));
    wav.sizes = Some((36 + 2_000, 2_000));
    let mut bytes = wav.bytes();
    // Two samples that look like an id, and two that make a size of 1.9 GB.
    bytes[44 + 2_000..][..8].copy_from_slice(b"abcd1234");
    let length = bytes.len() as u64;
    let heard = play(bytes, Some(length)).unwrap();
    assert_eq!(heard.len(), 3_000);
}

#[test]
fn sixty_four_bit_sizes_are_read() {
    let data: Vec<u8> = ramp(500).iter().flat_map(|s| s.to_le_bytes()).collect();
    let ds64 = [&0u64.to_le_bytes()[..], &1_000u64.to_le_bytes(), &[0; 12]].concat();
    let mut body = [
        &b"WAVE"[..],
        &chunk(b"ds64", &ds64),
        &chunk(b"fmt ", &Wav::plain(&[]).format()),
        &chunk(b"data", &data),
    ]
    .concat();
    let at = body.len() - data.len() - 4;
    body[at..at + 4].fill(0xFF);
    body.extend(chunk(b"LIST", b"INFO"));
    let mut bytes = chunk(b"RF64", &body);
    bytes[4..8].fill(0xFF);
    assert_eq!(play(bytes, None).unwrap(), ramp(500));
}

#[test]
fn the_containers_size_counts_for_odd_numbers_of_bits() {
    let data: Vec<u8> = ramp(500).iter().flat_map(|s| s.to_le_bytes()).collect();
    let mut wav = Wav::new(1, 1, 16_000, 12, data);
    assert_eq!(wav.heard(), ramp(500), "12 bits in the upper part of 16");
    let data = ramp(500)
        .into_iter()
        .flat_map(|s| [0, s.to_le_bytes()[0], s.to_le_bytes()[1]]);
    wav = Wav::new(1, 1, 16_000, 20, data.collect());
    assert_eq!(wav.heard(), ramp(500), "20 bits in the upper part of 24");
}

#[test]
fn compressed_kinds_are_refused_by_name() {
    for (tag, name) in [
        (0x0002, "Microsoft ADPCM"),
        (0x0011, "IMA ADPCM"),
        (0x0031, "GSM 6.10"),
        (0x0055, "MP3"),
        (0x704F, "Opus"),
        (0x1234, "0x1234"),
    ] {
        let wav = Wav::new(tag, 1, 16_000, 4, vec![0; 100]).bytes();
        let error = open(wav, None).err().expect("refused").to_string();
        assert!(error.contains(name) && error.contains("convert"), "{error}");
    }
    for (start, name) in [
        (&b"ID3\x04\0\0\0\0\0\0\0\0"[..], "MP3"),
        (b"\xFF\xFB\x90\0\0\0\0\0\0\0\0\0", "MP3"),
        (b"FORM\0\0\0\0AIFF", "AIFF"),
        (b"\0\0\0\x20ftypM4A ", "MP4"),
        (b"RIFX\0\0\0\0WAVE", "RIFX"),
        (b"RIFF\0\0\0\0AVI ", "not a WAV"),
        (b"", "empty"),
        (b"hello, world", "not a sound file"),
    ] {
        let error = open(start.to_vec(), None)
            .err()
            .expect("refused")
            .to_string();
        assert!(error.contains(name), "{error}");
    }
}

#[test]
fn hostile_headers_are_refused_in_a_line() {
    for (channels, rate_hz) in [
        (0, 16_000),
        (65_535, 16_000),
        (257, 48_000),
        (1, 0),
        (1, 999),
        (2, 4_000_000_000),
    ] {
        let wav = Wav::new(1, channels, rate_hz, 16, vec![0; 64]).bytes();
        let error = open(wav, None).err().expect("refused").to_string();
        assert!(
            error.contains(&format!("{channels} channels at {rate_hz} Hz")),
            "{error}"
        );
    }
    // An endless file of chunks without sound.
    let start = Wav::plain(&[]).bytes()[..36].to_vec();
    for chunk in [chunk(b"JUNK", b""), chunk(b"JUNK", &[0; 1_000_000])] {
        let endless = EndlessChunks(chunk, 0);
        let input = Cursor::new(start.clone()).chain(endless);
        let path = Path::new("test.wav");
        let error = WavReader::from_bytes(input, None, path, InputChannel::Voice);
        assert!(error.is_err(), "endless chunks");
    }
    let zeros = WavReader::from_bytes(
        std::io::repeat(0),
        None,
        Path::new("z"),
        InputChannel::Voice,
    );
    assert!(zeros.is_err());
}

struct EndlessChunks(Vec<u8>, usize);

impl Read for EndlessChunks {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let count = out.len().min(self.0.len() - self.1);
        out[..count].copy_from_slice(&self.0[self.1..self.1 + count]);
        self.1 = (self.1 + count) % self.0.len();
        Ok(count)
    }
}

/// Checks that there are no more samples than the file's bytes can hold at the lowest rate.
fn is_bounded(bytes: &[u8]) -> bool {
    let most = (bytes.len() + 65_536) * 16 * 256;
    for known in [None, Some(bytes.len() as u64)] {
        if let Ok(heard) = play(bytes.to_vec(), known)
            && heard.len() > most
        {
            return false;
        }
    }
    true
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn arbitrary_bytes_are_no_panic(
        start in 0usize..4,
        bytes in prop::collection::vec(any::<u8>(), 0..2_000),
    ) {
        let starts = [&b""[..], b"RIFF\0\0\0\0WAVEfmt \x10\0\0\0", b"fLaC\0\0\0\x22", b"OggS\0\x02"];
        prop_assert!(is_bounded(&[starts[start], &bytes].concat()));
    }

    #[test]
    fn damaged_files_are_no_panic(
        which in 0usize..3,
        damage in prop::collection::vec((0usize..400, any::<u8>()), 1..12),
        cut in 0usize..8_000,
    ) {
        let mut bytes = match which {
            0 => Wav::new(1, 2, 44_100, 16, vec![3; 4_000]).bytes(),
            1 => include_bytes!("../../../../tests/data/tone.flac").to_vec(),
            _ => include_bytes!("../../../../tests/data/tone.ogg").to_vec(),
        };
        for (at, value) in damage {
            let at = at % bytes.len();
            bytes[at] = value;
        }
        bytes.truncate(cut.max(4));
        prop_assert!(is_bounded(&bytes));
    }
}

#[test]
fn an_unknown_size_before_samples_that_look_like_a_name_is_unknown_too() {
    let mut wav = Wav::plain(&[0x2020; 1_000]);
    wav.sizes = Some((0, 0));
    assert_eq!(wav.heard(), [0x2020; 1_000]);
}

#[test]
fn a_header_without_an_end_is_refused() {
    let mut wav = Wav::plain(&ramp(10));
    wav.before = chunk(b"JUNK", &[]).repeat(1_001);
    let error = open(wav.bytes(), None).err().expect("refused").to_string();
    assert!(error.contains("a thousand chunks"), "{error}");
    wav.before = [&b"JUNK"[..], &0x7000_0000u32.to_le_bytes()].concat();
    let error = open(wav.bytes(), None).err().expect("refused").to_string();
    assert!(error.contains("64 MiB"), "{error}");
}

/// Builds a file of samples in containers of `block` bytes, of which `bits` are stated to count.
fn contained(channels: u16, block: u16, bits: u16, data: &[u8], pad: bool) -> Vec<u8> {
    let wav = Wav::new(1, channels, 16_000, bits, data.to_vec());
    let mut format = wav.format();
    format[12..14].copy_from_slice(&block.to_le_bytes());
    if pad {
        // An odd number of bytes, and the pad byte that `chunk` adds.
        format.push(0);
    }
    let body = [
        &b"WAVE"[..],
        &chunk(b"fmt ", &format),
        &chunk(b"data", data),
    ]
    .concat();
    chunk(b"RIFF", &body)
}

#[test]
fn a_block_size_counts_where_it_can_be_right() {
    let wide: Vec<u8> = ramp(500)
        .into_iter()
        .flat_map(|s| [0, 0, s.to_le_bytes()[0], s.to_le_bytes()[1]])
        .collect();
    let file = contained(1, 4, 24, &wide, true);
    assert_eq!(play(file, None).unwrap(), ramp(500), "24 bits in 32");
    let data: Vec<u8> = ramp(500).iter().flat_map(|s| s.to_le_bytes()).collect();
    for (channels, block) in [(1, 0), (1, 1), (2, 7)] {
        let file = contained(channels, block, 16, &data, false);
        let count = 500 / usize::from(channels);
        let heard = play(file, None).unwrap();
        assert_eq!(heard.len(), count, "{channels} channels in {block} bytes");
    }
}

#[test]
fn bytes_read_ahead_of_a_block_are_not_lost() {
    let data: Vec<u8> = (0..1_200u32).map(|n| (n % 7) as u8).collect();
    let mut wav = Wav::new(1, 2, 16_000, 24, data.clone());
    wav.sizes = Some((36 + 600, 600));
    let bytes = wav.bytes();
    let opened = RiffReader::new(Cursor::new(bytes[12..].to_vec()), 36 + 600, None);
    let Ok(mut reader) = opened else {
        panic!("a WAV file is refused")
    };
    let (mut heard, mut block) = (Vec::new(), vec![0]);
    while !block.is_empty() {
        // One frame more than the header says: nine bytes show that it is wrong.
        assert!(reader.read_block(101, &mut block).is_ok());
        assert_eq!(block.len() % 6, 0);
        heard.extend_from_slice(&block);
    }
    assert!(heard == data);
}
