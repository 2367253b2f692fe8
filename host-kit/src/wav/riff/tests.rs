//! Headers of files that would be too large to make, and how each size in them is taken.

use super::*;

const GIB: u64 = 1 << 30;
const UNKNOWN: u64 = u32::MAX as u64;

/// Builds the chunks before the samples and the data chunk's header with the sound's stated size.
fn header(chunks: &[(&[u8; 4], &[u8])], data_bytes: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (id, body) in chunks {
        bytes.extend_from_slice(*id);
        bytes.extend_from_slice(&(body.len() as u32).to_le_bytes());
        bytes.extend_from_slice(body);
        bytes.resize(bytes.len().next_multiple_of(2), 0);
    }
    bytes.extend_from_slice(b"data");
    bytes.extend_from_slice(&data_bytes.to_le_bytes());
    bytes
}

/// PCM of 16 bits, one channel, 16 kHz.
const FORMAT: (&[u8; 4], &[u8]) = (
    b"fmt ",
    &[1, 0, 1, 0, 0x80, 0x3E, 0, 0, 0, 0x7D, 0, 0, 2, 0, 16, 0],
);

fn ds64(data_bytes: u64) -> [u8; 28] {
    let mut body = [0; 28];
    body[8..16].copy_from_slice(&data_bytes.to_le_bytes());
    body
}

/// Returns the believed size of the sound and the bytes after it, in a file of `file_bytes`.
fn sizes(header: &[u8], file_bytes: Option<u64>) -> (Option<u64>, Option<u64>) {
    let reader = RiffReader::new(header, u32::MAX, file_bytes)
        .map_err(drop)
        .unwrap();
    (reader.left, reader.behind)
}

#[test]
fn a_size_above_2_gib_is_believed_where_the_file_is_as_long() {
    let file_bytes = 12 + 24 + 8 + 3 * GIB;
    let header = header(&[FORMAT], (3 * GIB) as u32);
    assert_eq!(sizes(&header, Some(file_bytes)), (Some(3 * GIB), Some(0)));
    assert_eq!(
        sizes(&header, Some(file_bytes + 100)),
        (Some(3 * GIB), Some(100))
    );
    assert_eq!(sizes(&header, Some(file_bytes - 1)), (None, None));
    assert_eq!(sizes(&header, None), (None, None), "a pipe does not know");
}

#[test]
fn a_ds64_chunk_counts_where_the_data_chunk_refers_to_it() {
    let long = ds64(5 * GIB);
    let chunks: [(&[u8; 4], &[u8]); 2] = [(b"ds64", &long), FORMAT];
    let file_bytes = Some(12 + 36 + 24 + 8 + 5 * GIB);
    let (refers, own) = (header(&chunks, u32::MAX), header(&chunks, 100));
    assert_eq!(sizes(&refers, file_bytes), (Some(5 * GIB), Some(0)));
    assert_eq!(sizes(&own, file_bytes), (Some(100), Some(5 * GIB - 100)));
}

#[test]
fn every_byte_before_the_sound_is_counted() {
    // An odd chunk and its pad byte; a format with an odd tail, of which the tail is skipped.
    let mut long_format = FORMAT.1.to_vec();
    long_format.resize(1_031, 0);
    let chunks: [(&[u8; 4], &[u8]); 3] = [
        (b"LIST", &[7; 33]),
        (b"fmt ", &long_format),
        (b"id3 ", &[0; 6]),
    ];
    let header = header(&chunks, 1_000);
    let before = 12 + header.len() as u64;
    assert_eq!(
        sizes(&header, Some(before + 1_000 + 17)),
        (Some(1_000), Some(17))
    );
}

#[test]
fn up_to_64_mib_may_precede_the_sound() {
    let padding = vec![0; (HEADER_BYTES_MAX - 12 - 8 - 8) as usize];
    let fits = header(&[(b"JUNK", &padding[..padding.len() - 24]), FORMAT], 2);
    assert!(RiffReader::new(&fits[..], 0, None).is_ok());
    let mut chunk = b"JUNK".to_vec();
    chunk.extend_from_slice(&(HEADER_BYTES_MAX as u32).to_le_bytes());
    assert!(RiffReader::new(&chunk[..], 0, None).is_err());
}

#[test]
fn stated_sizes() {
    // The stated sizes of the sound and of the file, where the sound starts, and the file's real
    // length.
    for (stated, riff_bytes, position, file_bytes, expected) in [
        (1_000, 1_036, 44, Some(1_044), Some(1_000)),
        (1_000, 1_036, 44, None, Some(1_000)),
        // It may be cut, which the reader reports.
        (1_000, 1_036, 44, Some(500), Some(1_000)),
        // An empty file, and one whose recorder was killed.
        (0, 36, 44, Some(44), Some(0)),
        (0, 0, 44, Some(44), None),
        (0, 36, 44, Some(1_044), None),
        (0, 36, 44, None, None),
        (UNKNOWN_FROM - 1, 36, 44, None, Some(UNKNOWN_FROM - 1)),
        (UNKNOWN_FROM, 36, 44, None, None),
        (UNKNOWN, UNKNOWN, 44, Some(1_044), None),
        (UNKNOWN, UNKNOWN, 44, Some(44 + UNKNOWN), Some(UNKNOWN)),
        (u64::MAX, UNKNOWN, 44, Some(1_044), None),
    ] {
        assert_eq!(
            believed(stated, riff_bytes, position, file_bytes),
            expected,
            "{stated} {riff_bytes} {file_bytes:?}"
        );
    }
}

#[test]
fn compressed_kinds_are_called_by_their_names() {
    for (tag, name) in [
        (0x0002, "Microsoft ADPCM"),
        (0x0011, "IMA ADPCM"),
        (0x0031, "GSM 6.10"),
        (0x0040, "G.726 ADPCM"),
        (0x0045, "G.726 ADPCM"),
        (0x0064, "G.726 ADPCM"),
        (0x0050, "MPEG audio"),
        (0x0055, "MP3"),
        (0x0065, "G.722"),
        (0x028F, "G.722"),
        (0x00FF, "AAC"),
        (0x1610, "AAC"),
        (0x0160, "Windows Media Audio"),
        (0x0163, "Windows Media Audio"),
        (0x2000, "AC-3"),
        (0x2001, "DTS"),
        (0x566F, "Vorbis"),
        (0x6771, "Vorbis"),
        (0x704F, "Opus"),
        (0xF1AC, "FLAC"),
        (0x1234, "a compression of type 0x1234"),
    ] {
        assert_eq!(compression(tag), name);
    }
}

#[test]
fn an_extensible_format_that_is_cut_is_refused() {
    let mut format = FORMAT.1.to_vec();
    (format[0], format[1]) = (0xFE, 0xFF);
    for len in 16..40 {
        format.resize(len, 0);
        let header = header(&[(b"fmt ", &format)], 2);
        let reader = RiffReader::new(&header[..], 0, None);
        assert!(reader.is_err(), "{len}");
    }
}

/// Gives a byte at a time, and is interrupted before each.
struct Interrupted<'a>(&'a [u8], bool);

impl Read for Interrupted<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(std::io::ErrorKind::Interrupted.into());
        }
        let len = out.len().min(1);
        self.0.read(&mut out[..len])
    }
}

#[test]
fn a_pipe_that_is_interrupted_is_read_on() {
    let header = header(&[FORMAT], 2);
    let pipe = Interrupted(&header, false);
    assert!(RiffReader::new(pipe, 0, None).is_ok());
}

#[test]
fn hundreds_of_chunks_may_stand_before_the_sound() {
    let mut chunks: Vec<(&[u8; 4], &[u8])> = vec![(b"JUNK", &[]); 900];
    chunks.push(FORMAT);
    assert_eq!(sizes(&header(&chunks, 2), None), (Some(2), None));
}
