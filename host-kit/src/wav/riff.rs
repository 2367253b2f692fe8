//! Finds the sound in a RIFF WAVE stream, whatever state its header is in.
//!
//! Killed recorders, pipes and cut files leave sizes that are zero, huge or wrong. The samples are
//! there all the same, so a size is believed only where it can be true. The input need not be
//! seekable.

use super::Fault;
use std::io::{self, ErrorKind, Read};
use symphonia::core::codecs::audio::{AudioCodecId, well_known};

/// Most chunks before the samples. Real files have a handful.
const CHUNKS_MAX: u32 = 1_000;
/// Most bytes of them: many times a cover picture or a broadcaster's metadata.
const HEADER_BYTES_MAX: u64 = 64 << 20;
/// Longest beginning of a chunk that is kept: real `fmt ` chunks have 16, 18 or 40 bytes.
const FORMAT_BYTES_MAX: u64 = 1_024;
/// Sizes from here on mean "unknown", as recorders write them into a pipe: 0x7FFFF000 (sox),
/// 0x80000000 (arecord), 0xFFFFFFFF (ffmpeg).
const UNKNOWN_FROM: u64 = 0x7FFF_0000;
/// Rest of the GUID whose first two bytes are a format tag (KSDATAFORMAT_SUBTYPE).
const SUBTYPE_TAIL: [u8; 14] = [0, 0, 0, 0, 0x10, 0, 0x80, 0, 0, 0xAA, 0, 0x38, 0x9B, 0x71];

/// What the `fmt ` chunk says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Format {
    /// How a sample is coded, and in how many bytes.
    pub(super) codec: AudioCodecId,
    sample_bytes: usize,
    pub(super) channels: u16,
    pub(super) rate_hz: u32,
}

impl Format {
    pub(super) fn frame_bytes(&self) -> usize {
        self.sample_bytes * usize::from(self.channels)
    }
}

/// The samples of a RIFF WAVE stream, as bytes.
pub(super) struct RiffReader<R> {
    input: R,
    pub(super) format: Format,
    /// Bytes of the sound still to come; `None` means up to the end of the stream.
    left: Option<u64>,
    /// Bytes of the file after the stated end of the sound, where both are known.
    behind: Option<u64>,
    /// Whether the sound has ended: what follows was found to be something else.
    is_over: bool,
    /// The first part of a sample frame whose rest has not been read.
    ahead: Vec<u8>,
    /// What is wrong with a damaged file, until it is taken.
    pub(super) warning: Option<String>,
}

/// The header while it is being read.
struct Header<R> {
    input: R,
    /// Bytes read so far, from the start of the file.
    position: u64,
}

impl<R: Read> RiffReader<R> {
    /// Reads the header up to the first sample. `input` stands after the first twelve bytes, which
    /// state `riff_bytes`. `file_bytes` is the length of the file, if it has one.
    pub(super) fn new(input: R, riff_bytes: u32, file_bytes: Option<u64>) -> Result<Self, Fault> {
        let mut header = Header {
            input,
            position: 12,
        };
        let (mut format, mut long_data_bytes) = (None, None);
        for _ in 0..CHUNKS_MAX {
            let Some((id, bytes)) = header.chunk()? else {
                return Err(Fault::format(
                    "it ends before any sound: it has no data chunk",
                ));
            };
            match &id {
                b"fmt " => format = Some(parse_format(&header.body(bytes)?)?),
                b"ds64" => {
                    let body = header.body(bytes)?;
                    let bytes = body.get(8..16).and_then(|bytes| bytes.try_into().ok());
                    long_data_bytes = bytes.map(u64::from_le_bytes);
                }
                b"data" => {
                    let format = format.ok_or_else(|| {
                        Fault::format("its data chunk comes before its fmt chunk")
                    })?;
                    let stated = match long_data_bytes {
                        Some(long) if bytes == u64::from(u32::MAX) => long,
                        _ => bytes,
                    };
                    let left = believed(stated, riff_bytes.into(), header.position, file_bytes);
                    let behind = file_bytes.zip(left).map(|(bytes, left)| {
                        bytes.saturating_sub(header.position.saturating_add(left))
                    });
                    return Ok(Self {
                        input: header.input,
                        format,
                        left,
                        behind,
                        is_over: false,
                        ahead: Vec::new(),
                        warning: None,
                    });
                }
                _ => header.skip(bytes + bytes % 2)?,
            }
        }
        Err(Fault::format(
            "it has a thousand chunks and none of them is sound",
        ))
    }

    /// Replaces `block` with the next whole sample frames, at most `frames`; empty at the end of
    /// the sound.
    pub(super) fn read_block(&mut self, frames: usize, block: &mut Vec<u8>) -> io::Result<()> {
        let frame_bytes = self.format.frame_bytes();
        block.clear();
        block.append(&mut self.ahead);
        let wanted = frames * frame_bytes;
        while block.len() < wanted {
            let missing = wanted - block.len();
            let count = self
                .left
                .map_or(missing, |left| left.min(missing as u64) as usize);
            if count == 0 && !self.goes_on(block)? {
                break;
            }
            let read = self.fill(count, block)?;
            if let Some(left) = &mut self.left {
                *left -= read as u64;
            }
            if read < count {
                self.end_early();
                break;
            }
        }
        // An odd byte at the end is not a sample.
        self.ahead = block.split_off(block.len() / frame_bytes * frame_bytes);
        Ok(())
    }

    fn fill(&mut self, count: usize, block: &mut Vec<u8>) -> io::Result<usize> {
        (&mut self.input).take(count as u64).read_to_end(block)
    }

    fn end_early(&mut self) {
        if let Some(left) = self.left.replace(0).filter(|left| *left > 0) {
            self.warning = Some(format!(
                "it was cut: {left} bytes of sound are missing at its end"
            ));
        }
    }

    /// Returns whether the sound goes on past its stated end. What follows may be another chunk,
    /// the end of the file, or sound that a stale header does not count.
    fn goes_on(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        if self.is_over {
            return Ok(false);
        }
        let start = block.len();
        // The pad byte of an odd size, and the next chunk's id and size.
        self.fill(9, block)?;
        let after = &block[start..];
        let fits = |size: u32| self.behind.is_none_or(|behind| u64::from(size) <= behind);
        // Four bytes of sound often look like an id, but rarely with a plausible size after them.
        let is_chunk = |bytes: &[u8]| {
            let is_id = |id: &[u8]| id.iter().all(|byte| matches!(byte, b' '..=b'~'));
            bytes.len() < 8 || is_id(&bytes[..4]) && fits(u32_at(bytes, 4))
        };
        if is_chunk(after) || is_chunk(&after[1..]) {
            block.truncate(start);
            self.is_over = true;
            return Ok(false);
        }
        self.left = None;
        self.warning = Some("its header is out of date: it is longer than that says".to_owned());
        Ok(true)
    }
}

impl<R: Read> Header<R> {
    /// Returns the next chunk's id and size; `None` at the end of the stream.
    fn chunk(&mut self) -> Result<Option<([u8; 4], u64)>, Fault> {
        let mut bytes = [0; 8];
        match self.input.read_exact(&mut bytes) {
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        self.position += 8;
        let id = [bytes[0], bytes[1], bytes[2], bytes[3]];
        Ok(Some((id, u64::from(u32_at(&bytes, 4)))))
    }

    /// Reads a chunk's content and keeps its beginning. A cut chunk is shorter.
    fn body(&mut self, bytes: u64) -> Result<Vec<u8>, Fault> {
        let mut body = Vec::new();
        let kept = bytes.min(FORMAT_BYTES_MAX);
        self.position += (&mut self.input).take(kept).read_to_end(&mut body)? as u64;
        self.skip(bytes - kept + bytes % 2)?;
        Ok(body)
    }

    fn skip(&mut self, bytes: u64) -> Result<(), Fault> {
        if self.position.saturating_add(bytes) > HEADER_BYTES_MAX {
            return Err(Fault::format("there is no sound within its first 64 MiB"));
        }
        self.position += io::copy(&mut (&mut self.input).take(bytes), &mut io::sink())?;
        Ok(())
    }
}

/// Returns how many bytes of sound a stated size means; `None` means all that follow.
fn believed(stated: u64, riff_bytes: u64, position: u64, file_bytes: Option<u64>) -> Option<u64> {
    let end = position.saturating_add(stated);
    match stated {
        // An empty recording states it in both sizes.
        0 if file_bytes.is_some_and(|bytes| bytes == riff_bytes + 8) => Some(0),
        0 => None,
        UNKNOWN_FROM.. if file_bytes.is_none_or(|bytes| end > bytes) => None,
        _ => Some(stated),
    }
}

fn parse_format(chunk: &[u8]) -> Result<Format, Fault> {
    if chunk.len() < 16 {
        return Err(Fault::format("its fmt chunk is cut"));
    }
    let (mut tag, channels, rate_hz) = (u16_at(chunk, 0), u16_at(chunk, 2), u32_at(chunk, 4));
    let (block_bytes, bits) = (usize::from(u16_at(chunk, 12)), u16_at(chunk, 14));
    super::check_format(channels, rate_hz)?;
    if tag == 0xFFFE && chunk.len() >= 40 {
        if chunk[26..40] != SUBTYPE_TAIL {
            return Err(Fault::format(
                "its samples are of a kind that is unknown here",
            ));
        }
        tag = u16_at(chunk, 24);
    }
    // The container's size counts: 20 bits are stored in the upper part of 24. `bits` is used where
    // the block size is wrong.
    let per_channel = block_bytes / usize::from(channels);
    let enough = per_channel * 8 >= usize::from(bits);
    let bytes = if block_bytes == per_channel * usize::from(channels) && per_channel > 0 && enough {
        per_channel
    } else {
        usize::from(bits).div_ceil(8)
    };
    let codec = match (tag, bytes) {
        (1, 1) => well_known::CODEC_ID_PCM_U8,
        (1, 2) => well_known::CODEC_ID_PCM_S16LE,
        (1, 3) => well_known::CODEC_ID_PCM_S24LE,
        (1, 4) => well_known::CODEC_ID_PCM_S32LE,
        (3, 4) => well_known::CODEC_ID_PCM_F32LE,
        (3, 8) => well_known::CODEC_ID_PCM_F64LE,
        (6, 1) => well_known::CODEC_ID_PCM_ALAW,
        (7, 1) => well_known::CODEC_ID_PCM_MULAW,
        (1 | 3 | 6 | 7, _) => {
            return Err(Fault::format(format!(
                "it has samples of {bits} bits; convert it to 16-bit PCM"
            )));
        }
        _ => return Err(Fault::compressed(&compression(tag), "WAV")),
    };
    Ok(Format {
        codec,
        sample_bytes: bytes,
        channels,
        rate_hz,
    })
}

/// Names a kind of compression by its tag in RFC 2361 and the later registries.
fn compression(tag: u16) -> String {
    let name = match tag {
        0x0002 => "Microsoft ADPCM",
        0x0011 => "IMA ADPCM",
        0x0031 => "GSM 6.10",
        0x0040 | 0x0045 | 0x0064 => "G.726 ADPCM",
        0x0050 => "MPEG audio",
        0x0055 => "MP3",
        0x0065 | 0x028F => "G.722",
        0x00FF | 0x1600 | 0x1601 | 0x1602 | 0x1610 => "AAC",
        0x0160..=0x0163 => "Windows Media Audio",
        0x2000 => "AC-3",
        0x2001 => "DTS",
        0x566F | 0x674F..=0x6771 => "Vorbis",
        0x704F => "Opus",
        0xF1AC => "FLAC",
        tag => return format!("a compression of type 0x{tag:04x}"),
    };
    name.to_owned()
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

#[cfg(test)]
mod tests;
